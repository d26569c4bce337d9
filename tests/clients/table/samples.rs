//! The sample programs of Paho C, as Debian packages them: `paho_c_*` use its asynchronous interface, `paho_cs_*` the synchronous one.
//! The other samples of the package name a broker of their own.

use std::process::Command;

use super::{Library, Program};
use crate::broker::Broker;

/// What is shown, and the test that shows it.
pub(super) const SHOWN: [(&str, &str); 1] = [(
    "publish and subscribe at QoS 2, retained, 3.1.1 and 5.0",
    "samples_find_what_was_left_and_hear_what_comes",
)];

fn start(broker: &Broker, program: &str, version: &str, arguments: &[&str]) -> Program {
    let port = broker.address().port().to_string();
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "samples", "-q", "2", "-V", version]).args(arguments);
    // They write to a pipe in blocks unless told otherwise.
    let mut unbuffered = Command::new("stdbuf");
    unbuffered.arg("-oL").arg(command.get_program()).args(command.get_args());
    Program::run(program, unbuffered)
}

#[test]
fn samples_find_what_was_left_and_hear_what_comes() {
    for (publisher, subscriber) in [("paho_c_pub", "paho_c_sub"), ("paho_cs_pub", "paho_cs_sub")] {
        for version in ["311", "5"] {
            let broker = Library::broker();
            start(&broker, publisher, version, &["-i", "one", "-r", "-m", "left"]).finish();
            let mut heard = start(&broker, subscriber, version, &["-i", "two"]);
            heard.expect("left");
            start(&broker, publisher, version, &["-i", "one", "-m", "said"]).finish();
            heard.expect("said");
            heard.expect_silence();
        }
    }
}
