//! What of the protocol is more than the standard asks, or crosses a kill of the broker, in every version that has it. What
//! the standard says is in tests/conformance.

mod matching;
mod retained;
mod session;

use std::time::Duration;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Ack, Client, Packet, Publish, Subscribe, Version, kind};

use crate::broker::Broker;

/// The versions that differ on the wire; 3.1 differs from 3.1.1 in CONNECT only.
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// Long enough for a message that should not come to have come.
const QUIET: Duration = Duration::from_millis(150);

/// Runs a test in each version, against a broker of its own.
fn in_each_version(test: impl Fn(&mut Broker, Version)) {
    for version in VERSIONS {
        let mut broker = Broker::start();
        test(&mut broker, version);
    }
}

/// Publishes a message to its acknowledgement, from a client of its own.
#[track_caller]
fn publish(broker: &Broker, message: &Publish) {
    let mut client = broker.client(Version::V5, "publisher");
    client.publish(message).expect("PUBLISH is sent");
    // Whether anyone subscribes is nothing to this publisher: Success and No matching subscribers are one.
    match (message.qos, (message.qos > 0).then(|| client.read(PATIENCE))) {
        (0, _) => {}
        (1, Some(Ok(Packet::PubAck(ack)))) if ack.reason < 0x80 => {}
        (2, Some(Ok(Packet::PubRec(ack)))) if ack.reason < 0x80 => {
            client.ack(kind::PUBREL, ack.packet_id).expect("PUBREL is sent");
            client.expect(&Packet::PubComp(Ack::new(ack.packet_id)));
        }
        (_, answer) => panic!("{message:?} was answered with {answer:?}"),
    }
    client.disconnect();
}

/// Sees that the marker comes next. Marker messages go the same way as those that are awaited, so that nothing is
/// awaited any more once one has come.
#[track_caller]
fn expect_marker(broker: &Broker, client: &mut Client, topic: &str) {
    publish(broker, &Publish::new(topic, "marker").qos(1, 1));
    let next = client.expect_publish();
    assert_eq!(next.payload, b"marker", "{next:?} came and should not have");
}

/// Subscribes, and collects the retained messages that come because of it, as topic and payload, sorted. The filters
/// must match `marker_topic`.
#[track_caller]
fn retained_at(
    broker: &Broker,
    client: &mut Client,
    subscribe: &Subscribe,
    marker_topic: &str,
) -> Vec<(String, String)> {
    client.subscribe(subscribe);
    publish(broker, &Publish::new(marker_topic, "marker").qos(1, 1));
    let mut messages = Vec::new();
    loop {
        let message = client.expect_publish();
        if message.payload == b"marker" {
            messages.sort();
            return messages;
        }
        assert!(message.retain, "{message:?} is not marked as retained");
        messages.push((message.topic, String::from_utf8(message.payload).expect("these tests send text")));
    }
}
