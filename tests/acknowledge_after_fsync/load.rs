//! The clients: publishers of both kinds with many messages in flight, subscribers live and offline, sessions and
//! subscriptions made meanwhile.

use std::net::SocketAddr;
use std::thread;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Client, Connect, Packet, Publish, Subscribe, Version, kind};

use super::token::bracketed;
use crate::broker::Broker;
use crate::traffic::Subscriber;

/// Messages that a publisher has in flight.
const WINDOW: u16 = 40;
/// Messages of a publisher of QoS 1.
const QOS_1: u16 = 500;
/// Messages of a publisher of QoS 2, whose exchange is twice as long.
const QOS_2: u16 = 250;
/// Sessions that are made, one after the other, by each of two threads.
const SESSIONS: u16 = 40;
/// Bytes of a payload: records are of many lengths, and lie across the blocks of the log.
const PAYLOAD_BYTES: std::ops::Range<usize> = 64..600;

/// Version and QoS of the publishers.
const PUBLISHERS: [(Version, u8); 8] = [
    (Version::V311, 1),
    (Version::V311, 1),
    (Version::V5, 1),
    (Version::V5, 1),
    (Version::V311, 2),
    (Version::V311, 2),
    (Version::V5, 2),
    (Version::V5, 2),
];

/// Runs everything to its last acknowledgement.
pub(super) fn run(broker: &Broker) {
    let address = broker.address();
    // What is published matches both filters: `<filter-offline>/<filter-live>/…`.
    let [offline_part, live_part] = ["filter-offline", "filter-live"].map(bracketed);
    let topic = format!("{offline_part}/{live_part}/t");
    let mut offline = broker.new_session(Version::V311, &bracketed("client-offline"));
    offline.subscribe(&Subscribe::new(1, &format!("{offline_part}/#"), 2));
    offline.disconnect();
    let mut live = broker.new_session(Version::V5, &bracketed("client-live"));
    live.subscribe(&Subscribe::new(1, &format!("+/{live_part}/#"), 2));
    let mut live = Subscriber::new(live);
    let total: usize = PUBLISHERS.iter().map(|(_, qos)| usize::from(count(*qos))).sum();
    thread::scope(|scope| {
        for (number, (version, qos)) in PUBLISHERS.into_iter().enumerate() {
            let topic = &topic;
            scope.spawn(move || publish(address, number, version, qos, topic));
        }
        for version in [Version::V311, Version::V5] {
            scope.spawn(move || make_sessions(address, version));
        }
        scope.spawn(move || live.take(total));
    });
}

fn count(qos: u8) -> u16 {
    if qos == 1 { QOS_1 } else { QOS_2 }
}

/// Publishes with a full window until all is acknowledged. The session lasts, so that its QoS 2 identifiers are kept.
fn publish(address: SocketAddr, number: usize, version: Version, qos: u8, topic: &str) {
    let connect = Connect::persistent(version, &bracketed(&format!("client-{number}")));
    let (mut client, connack) = Client::connect(address, &connect).expect("the broker listens");
    assert_eq!(connack.reason, 0);
    let window = WINDOW.min(connack.receive_maximum());
    let (mut sent, mut finished) = (0, 0);
    while finished < count(qos) {
        while sent < count(qos) && sent - finished < window {
            sent += 1;
            let mut payload = bracketed(&format!("m-{number}-{sent}")).into_bytes();
            let length = PAYLOAD_BYTES.start + usize::from(sent) * 37 % PAYLOAD_BYTES.len();
            payload.resize(length, b'.');
            client.publish(&Publish::new(topic, payload).qos(qos, sent)).expect("PUBLISH is sent");
        }
        match client.read(PATIENCE).expect("the broker acknowledges") {
            Packet::PubAck(ack) | Packet::PubComp(ack) if ack.reason == 0 => finished += 1,
            Packet::PubRec(ack) if ack.reason == 0 => {
                client.ack(kind::PUBREL, ack.packet_id).expect("PUBREL is sent");
            }
            other => panic!("{other:?} came to a publisher"),
        }
    }
    client.disconnect();
}

/// Makes sessions, each with a subscription.
fn make_sessions(address: SocketAddr, version: Version) {
    for number in 0..SESSIONS {
        let name = format!("{}-{number}", version.level());
        let connect = Connect::persistent(version, &bracketed(&format!("client-s-{name}")));
        let (mut client, connack) = Client::connect(address, &connect).expect("the broker listens");
        assert!(connack.reason == 0 && !connack.session_present, "{connack:?}");
        let filter = format!("t/{}/+", bracketed(&format!("filter-{name}")));
        let suback = client.subscribe(&Subscribe::new(9, &filter, 1));
        assert_eq!(suback.reasons, [1]);
        client.disconnect();
    }
}
