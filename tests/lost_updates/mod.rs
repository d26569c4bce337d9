//! Lost updates: what one side does while the other is in the middle of something, a case a test.
//!
//! Most cases run again with the broker killed at the worst moment.

mod merge;
mod retained;
mod session_end;
mod subscribe;
mod subscribe_again;
mod take_over;
mod unsubscribe;

use barnacle_wire::{Publish, Subscribe, Version};

use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

/// The versions that differ on the wire.
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// Publishes numbered messages to their acknowledgements.
fn publish_numbers(broker: &Broker, topic: &str, qos: u8, numbers: impl IntoIterator<Item = u64>) {
    let mut publisher = broker.client(Version::V311, "publisher of numbers");
    for number in numbers {
        publisher.deliver(&Publish::new(topic, number.to_string()).qos(qos, 1));
    }
    publisher.disconnect();
}

/// Sees that nothing waits for the subscriber on a topic it is subscribed to: the next message is one published now.
#[track_caller]
fn expect_nothing_waits(broker: &Broker, subscriber: &mut Subscriber, topic: &str) {
    let mut publisher = broker.client(Version::V311, "publisher of markers");
    publisher.deliver(&Publish::new(topic, "marker").qos(1, 1));
    publisher.disconnect();
    let before = subscriber.take_until("marker");
    assert!(before.is_empty(), "these came and should not have: {:?}", texts(&before));
}

/// A stored session, made now, subscribed to one filter.
fn stored_subscriber(
    broker: &Broker,
    version: Version,
    client_id: &str,
    filter: &str,
    qos: u8,
) -> Subscriber {
    let mut client = broker.new_session(version, client_id);
    client.subscribe(&Subscribe::new(1, filter, qos));
    Subscriber::new(client)
}
