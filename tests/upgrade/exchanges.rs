//! QoS 2 in each of its phases, to a client and from one; QoS 1 beside it.

use barnacle_wire::{Ack, Client, Packet, Publish, Subscribe, Version, kind};

use super::{QUIET, VERSIONS, connect, leave, packets, publish};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

/// Packet identifiers of messages that a client has published and not released.
const UNRELEASED: [u16; 3] = [9, 10, 700];

fn receiver(name: &str) -> String {
    format!("receiver-{name}")
}

fn sender(name: &str) -> String {
    format!("sender-{name}")
}

pub(super) fn write_first(broker: &Broker) {
    let mut watcher = broker.new_session(Version::V5, "watcher");
    watcher.subscribe(&Subscribe::new(1, "in/#", 2));
    watcher.disconnect();
}

pub(super) fn write_second(broker: &Broker) -> Vec<Client> {
    VERSIONS
        .iter()
        .flat_map(|(version, name)| [receive(broker, *version, name), send(broker, *version, name)])
        .collect()
}

/// Of four messages, the first and the last are received and not complete, the others sent and not acknowledged.
fn receive(broker: &Broker, version: Version, name: &str) -> Client {
    let mut client = broker.new_session(version, &receiver(name));
    client.subscribe(&Subscribe::new(1, &format!("out/{name}"), 2));
    let message = |(text, qos)| Publish::new(&format!("out/{name}"), text).qos(qos, 1);
    publish(broker, [("first", 2), ("second", 2), ("third", 1), ("fourth", 2)].map(message));
    for packet_id in 1..=4 {
        assert_eq!(client.expect_publish().packet_id, packet_id);
    }
    for packet_id in [1, 4] {
        client.ack(kind::PUBREC, packet_id).expect("PUBREC is sent");
        client.expect(&Packet::PubRel(Ack::new(packet_id)));
    }
    client
}

fn send(broker: &Broker, version: Version, name: &str) -> Client {
    let mut client = broker.new_session(version, &sender(name));
    for packet_id in UNRELEASED {
        client.publish(&message(name, packet_id)).expect("PUBLISH is sent");
        client.expect(&Packet::PubRec(Ack::new(packet_id)));
    }
    client
}

fn message(name: &str, packet_id: u16) -> Publish {
    Publish::new(&format!("in/{name}"), format!("{name} {packet_id}")).qos(2, packet_id)
}

pub(super) fn expect(broker: &Broker) {
    for (version, name) in VERSIONS {
        expect_received(broker, version, name);
        expect_sent(broker, version, name);
    }
    let mut watcher = Subscriber::new(broker.resume(Version::V5, "watcher"));
    let mut wanted: Vec<String> = Vec::new();
    for (_, name) in VERSIONS {
        wanted.extend(UNRELEASED.map(|packet_id| format!("{name} {packet_id}")));
    }
    assert_eq!(texts(&watcher.take(wanted.len())), wanted, "each once");
    leave(watcher);
}

/// What was under way goes on with its packet identifiers, in its order.
fn expect_received(broker: &Broker, version: Version, name: &str) {
    let mut client = broker.resume(version, &receiver(name));
    let (mut messages, mut releases) = (Vec::new(), Vec::new());
    for packet in packets(&mut client, 4) {
        match packet {
            Packet::Publish(again) => {
                let text = String::from_utf8(again.payload).expect("text");
                messages.push((again.packet_id, again.dup, again.qos, text));
            }
            Packet::PubRel(release) => releases.push(release.packet_id),
            other => panic!("{other:?} came to {name}"),
        }
    }
    assert_eq!(messages, [(2, true, 2, "second".to_owned()), (3, true, 1, "third".to_owned())], "{name}");
    assert_eq!(releases, [1, 4], "{name}");
    client.ack(kind::PUBCOMP, 1).expect("PUBCOMP is sent");
    client.ack(kind::PUBCOMP, 4).expect("PUBCOMP is sent");
    client.ack(kind::PUBACK, 3).expect("PUBACK is sent");
    client.ack(kind::PUBREC, 2).expect("PUBREC is sent");
    client.expect(&Packet::PubRel(Ack::new(2)));
    client.ack(kind::PUBCOMP, 2).expect("PUBCOMP is sent");
    leave(Subscriber::new(client));
}

/// What was received and not released is not taken for a new message, and is released.
fn expect_sent(broker: &Broker, version: Version, name: &str) {
    let mut client = broker.resume(version, &sender(name));
    for packet_id in UNRELEASED {
        client.publish(&message(name, packet_id).dup(true)).expect("PUBLISH is sent");
        client.expect(&Packet::PubRec(Ack::new(packet_id)));
        client.ack(kind::PUBREL, packet_id).expect("PUBREL is sent");
        client.expect(&Packet::PubComp(Ack::new(packet_id)));
    }
    client.disconnect();
}

pub(super) fn expect_nothing_more(broker: &Broker) {
    for (version, name) in VERSIONS {
        connect(broker, version, &receiver(name)).expect_nothing(QUIET);
        connect(broker, version, &sender(name)).expect_nothing(QUIET);
    }
    connect(broker, Version::V5, "watcher").expect_nothing(QUIET);
}
