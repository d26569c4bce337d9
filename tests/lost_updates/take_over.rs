//! Take-over with packets of the old connection still on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use barnacle_wire::{Client, Connect, Packet, Publish, Subscribe, Unsubscribe, Version, kind};

use super::{VERSIONS, expect_nothing_waits, publish_numbers, stored_subscriber};
use crate::broker::Broker;
use crate::traffic::{Subscriber, expect_sequence, numbers};

/// Sends the same bytes over and over until the connection breaks.
fn flood(client: &Client, bytes: Vec<u8>) -> (thread::JoinHandle<()>, Arc<AtomicBool>) {
    let mut writer = client.writer().expect("a socket can be duplicated");
    let begun = Arc::new(AtomicBool::new(false));
    let flooding = Arc::clone(&begun);
    let thread = thread::spawn(move || {
        while std::io::Write::write_all(&mut writer, &bytes).is_ok() {
            flooding.store(true, Ordering::SeqCst);
        }
    });
    (thread, begun)
}

fn wait_for(begun: &AtomicBool) {
    while !begun.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// The old connection unsubscribes and subscribes all the time. Whatever of that comes after the take-over has no
/// effect: what the new connection subscribed to stays.
#[test]
fn late_subscriptions_of_the_old_connection_have_no_effect() {
    for version in VERSIONS {
        let broker = Broker::start();
        drop(stored_subscriber(&broker, version, "one", "kept", 1));
        for round in 0..15 {
            let old = broker.resume(version, "one");
            let mut bytes = Unsubscribe::new(1, "kept").encode(version);
            bytes.extend(Subscribe::new(2, "stolen", 1).encode(version));
            bytes.extend(Unsubscribe::new(3, "stolen").encode(version));
            let (flood, begun) = flood(&old, bytes);
            wait_for(&begun);
            let mut new = Subscriber::new(broker.resume(version, "one"));
            new.subscribe(&Subscribe::new(1, "kept", 1));
            new.unsubscribe(&Unsubscribe::new(2, "stolen"));
            old.abort();
            flood.join().expect("the flood ends with its connection");
            publish_numbers(&broker, "stolen", 1, [0]);
            publish_numbers(&broker, "kept", 1, [round]);
            assert_eq!(numbers(&new.take(1)), [round]);
        }
    }
}

/// The old connection acknowledges after the take-over: the message is owed to the new one all the same, or was
/// acknowledged before, but nothing else is lost by it.
#[test]
fn late_acknowledgements_of_the_old_connection_have_no_effect() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut old = stored_subscriber(&broker, version, "one", "t", 1);
        publish_numbers(&broker, "t", 1, 0..3);
        let open: Vec<Publish> = (0..3).map(|_| old.client().expect_publish()).collect();
        let mut new = broker.resume(version, "one");
        // The old connection is closed by now; the packets go as far as they go.
        for message in &open {
            let _ = old.client().ack(kind::PUBACK, message.packet_id);
        }
        let again: Vec<Publish> = (0..3).map(|_| new.expect_publish()).collect();
        for (again, before) in again.iter().zip(&open) {
            assert!(again.dup);
            assert_eq!((again.packet_id, &again.payload), (before.packet_id, &before.payload));
            new.ack(kind::PUBACK, again.packet_id).expect("PUBACK is sent");
        }
        expect_nothing_waits(&broker, &mut Subscriber::new(new), "t");
    }
}

/// The old connection publishes at full speed into the take-over. Everything it got an acknowledgement for arrives,
/// in order, and nothing twice.
#[test]
fn publishes_of_the_old_connection_arrive_once_or_not_at_all() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut reader = stored_subscriber(&broker, version, "reader", "t", 1);
        let mut begin = 0;
        for _ in 0..10 {
            let mut old = broker.connect(&Connect::persistent(version, "one")).0;
            let count = 500;
            let bytes: Vec<u8> = (0..count)
                .flat_map(|index| {
                    Publish::new("t", (begin + u64::from(index)).to_string())
                        .qos(1, index + 1)
                        .encode(version)
                })
                .collect();
            old.send(&bytes).expect("the broker reads");
            old.expect(&Packet::PubAck(barnacle_wire::Ack::new(1)));
            let new = broker.resume(version, "one");
            let acknowledged =
                1 + old.expect_close().iter().filter(|packet| matches!(packet, Packet::PubAck(_))).count();
            let mut publisher = broker.client(Version::V311, "publisher of markers");
            publisher.deliver(&Publish::new("t", "marker").qos(1, 1));
            let arrived = numbers(&reader.take_until("marker"));
            assert!(arrived.len() >= acknowledged, "{acknowledged} acknowledged, {} arrived", arrived.len());
            expect_sequence(&arrived, begin..begin + arrived.len() as u64);
            begin += u64::from(count);
            drop(new);
        }
    }
}

/// A QoS 2 PUBLISH whose PUBREC the old connection may or may not have got is sent again by the new one.
#[test]
fn qos_2_goes_on_across_a_take_over() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let mut reader = stored_subscriber(&broker, version, "reader", "t", 2);
        for round in 0..10u64 {
            let message = Publish::new("t", round.to_string()).qos(2, 7);
            let mut old = broker.connect(&Connect::persistent(version, "one")).0;
            old.publish(&message).expect("PUBLISH is sent");
            let mut new = broker.resume(version, "one");
            new.publish(&message.clone().dup(true)).expect("PUBLISH is sent");
            new.expect(&Packet::PubRec(barnacle_wire::Ack::new(7)));
            if round % 3 == 0 {
                broker.kill_and_start_again();
                new = broker.resume(version, "one");
                reader.reconnected(broker.resume(version, "reader"));
            }
            new.ack(kind::PUBREL, 7).expect("PUBREL is sent");
            new.expect(&Packet::PubComp(barnacle_wire::Ack::new(7)));
            assert_eq!(numbers(&reader.take(1)), [round]);
        }
        expect_nothing_waits(&broker, &mut reader, "t");
    }
}

/// Many connections with one identifier at the same time: one is left, and it has the session.
#[test]
fn many_take_overs_at_once_leave_one_connection_with_the_session() {
    let broker = Broker::start();
    drop(stored_subscriber(&broker, Version::V5, "one", "t", 1));
    let address = broker.address();
    let connect = move || Client::connect(address, &Connect::persistent(Version::V5, "one"));
    let rivals: Vec<_> = (0..20).map(|_| thread::spawn(connect)).collect();
    let mut clients = Vec::new();
    for rival in rivals {
        // Some are taken over before they are let in.
        if let Ok((client, connack)) = rival.join().expect("no test panics in there") {
            assert!(connack.session_present);
            clients.push(client);
        }
    }
    publish_numbers(&broker, "t", 1, [5]);
    let mut alive = 0;
    for mut client in clients {
        match client.read(barnacle_wire::client::PATIENCE) {
            Ok(Packet::Publish(message)) => {
                assert_eq!(message.payload, b"5");
                alive += 1;
            }
            Ok(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, 0x8E),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(alive, 1);
}
