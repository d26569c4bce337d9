//! What is in a broker's store, and the commands for one whose broker is stopped.

use std::path::Path;
use std::process::Output;

use barnacle_wire::{Publish, Subscribe, Version};

use super::{Broker, barnacle};

impl Broker {
    /// A broker in which messages wait for the session "reader", which is offline: their numbers, with so many digits. Each was a
    /// batch.
    pub(crate) fn with_backlog(messages: usize, digits: usize) -> Self {
        let broker = Self::start();
        let mut reader = broker.new_session(Version::V5, "reader");
        reader.subscribe(&Subscribe::new(1, "line/#", 1));
        reader.disconnect();
        let mut publisher = broker.client(Version::V5, "publisher");
        for number in 0..messages {
            publisher.deliver(&Publish::new("line/1", format!("{number:0>digits$}").as_bytes()).qos(1, 1));
        }
        broker
    }
}

/// Runs a command for the store in a directory.
pub(crate) fn run(arguments: &[&str], directory: &Path) -> Output {
    let (name, more) = arguments.split_first().expect("a command");
    barnacle().arg(name).arg(directory).args(more).output().expect("the binary was built with this test")
}

/// What it said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
