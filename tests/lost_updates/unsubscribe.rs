//! UNSUBSCRIBE with an open exchange: what has begun is completed, what waits is dropped [MQTT-3.10.4-3].

use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Ack, Client, Connect, Packet, Property, Publish, Subscribe, Unsubscribe, Version, kind};

use super::{VERSIONS, expect_nothing_waits, publish_numbers, stored_subscriber};
use crate::broker::Broker;
use crate::traffic::{Subscriber, expect_sequence, noise};

/// Who else holds the filter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Others {
    /// Nobody ever did: its messages are in the session's own log.
    None,
    /// Another session does: its messages are in the filter's log.
    Stay,
    /// Another session did, and left before: the filter's log dies with this UNSUBSCRIBE.
    Left,
}

const OTHERS: [Others; 3] = [Others::None, Others::Stay, Others::Left];

/// A session with the filter `u/t` and another one, `marker`.
fn subscribed(broker: &Broker, version: Version, others: Others) -> Client {
    if others != Others::None {
        drop(stored_subscriber(broker, version, "other", "u/t", 2));
    }
    let mut client = broker.new_session(version, "one");
    client.subscribe(&Subscribe::new(1, "u/t", 2).and("marker", 1));
    client
}

fn leave(broker: &Broker, version: Version, others: Others) {
    if others == Others::Left {
        broker.client(version, "other").disconnect();
    }
}

#[track_caller]
fn again(message: &Publish, before: &Publish) {
    assert!(message.dup, "what comes again says so [MQTT-3.3.1-1]");
    assert_eq!(
        (message.packet_id, &message.payload, message.qos),
        (before.packet_id, &before.payload, before.qos)
    );
}

/// Disconnects, and waits until what the client acknowledged last is kept: it may become so a little later, but is when
/// the session is handed to the next connection.
fn settle(broker: &Broker, version: Version, client: Client) {
    client.disconnect();
    broker.resume(version, "one").abort();
}

/// UNSUBSCRIBE with three QoS 1 messages sent and not acknowledged.
fn qos_1(version: Version, others: Others, killed: bool) {
    let mut broker = Broker::start();
    let mut client = subscribed(&broker, version, others);
    publish_numbers(&broker, "u/t", 1, 0..3);
    let open: Vec<Publish> = (0..3).map(|_| client.expect_publish()).collect();
    leave(&broker, version, others);
    client.unsubscribe(&Unsubscribe::new(2, "u/t"));
    if killed {
        broker.kill_and_start_again();
        client = broker.resume(version, "one");
        open.iter().for_each(|before| again(&client.expect_publish(), before));
    }
    publish_numbers(&broker, "u/t", 1, 3..6);
    client.ack(kind::PUBACK, open[1].packet_id).expect("PUBACK is sent");
    settle(&broker, version, client);
    broker.kill_and_start_again();
    let mut client = broker.resume(version, "one");
    for before in [&open[0], &open[2]] {
        again(&client.expect_publish(), before);
        client.ack(kind::PUBACK, before.packet_id).expect("PUBACK is sent");
    }
    expect_nothing_waits(&broker, &mut Subscriber::new(client), "marker");
}

#[test]
fn unsubscribe_with_qos_1_messages_unacknowledged() {
    for version in VERSIONS {
        for others in OTHERS {
            for killed in [false, true] {
                qos_1(version, others, killed);
            }
        }
    }
}

/// UNSUBSCRIBE with a QoS 2 exchange in each of its phases.
fn qos_2(version: Version, others: Others, killed: bool) {
    let mut broker = Broker::start();
    let mut client = subscribed(&broker, version, others);
    publish_numbers(&broker, "u/t", 2, 0..2);
    let (sent, received) = (client.expect_publish(), client.expect_publish());
    client.ack(kind::PUBREC, received.packet_id).expect("PUBREC is sent");
    client.expect(&Packet::PubRel(Ack::new(received.packet_id)));
    leave(&broker, version, others);
    client.unsubscribe(&Unsubscribe::new(2, "u/t"));
    if killed {
        broker.kill_and_start_again();
        client = broker.resume(version, "one");
        // PUBLISH and PUBREL come in the order sent; PUBRELs among themselves and PUBLISHes among themselves.
        let mut came = [false, false];
        for _ in 0..2 {
            match client.read(Duration::from_secs(10)).expect("both exchanges go on") {
                Packet::PubRel(ack) => {
                    assert_eq!(ack.packet_id, received.packet_id);
                    came[0] = true;
                }
                Packet::Publish(message) => {
                    again(&message, &sent);
                    came[1] = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, [true, true]);
    }
    client.ack(kind::PUBCOMP, received.packet_id).expect("PUBCOMP is sent");
    client.ack(kind::PUBREC, sent.packet_id).expect("PUBREC is sent");
    client.expect(&Packet::PubRel(Ack::new(sent.packet_id)));
    client.ack(kind::PUBCOMP, sent.packet_id).expect("PUBCOMP is sent");
    expect_nothing_waits(&broker, &mut Subscriber::new(client), "marker");
}

#[test]
fn unsubscribe_with_qos_2_exchanges_open() {
    for version in VERSIONS {
        for others in OTHERS {
            for killed in [false, true] {
                qos_2(version, others, killed);
            }
        }
    }
}

#[test]
fn unsubscribe_drops_what_waits_behind_the_window() {
    for others in OTHERS {
        let mut broker = Broker::start();
        drop(subscribed(&broker, Version::V5, others));
        let connect = || Connect::persistent(Version::V5, "one").property(Property::ReceiveMaximum(2));
        publish_numbers(&broker, "u/t", 1, 0..6);
        let mut client = broker.connect(&connect()).0;
        let open = [client.expect_publish(), client.expect_publish()];
        leave(&broker, Version::V5, others);
        client.unsubscribe(&Unsubscribe::new(2, "u/t"));
        client.ack(kind::PUBACK, open[0].packet_id).expect("PUBACK is sent");
        settle(&broker, Version::V5, client);
        broker.kill_and_start_again();
        let mut client = broker.connect(&connect()).0;
        again(&client.expect_publish(), &open[1]);
        client.ack(kind::PUBACK, open[1].packet_id).expect("PUBACK is sent");
        client.subscribe(&Subscribe::new(3, "u/t", 1));
        expect_nothing_waits(&broker, &mut Subscriber::new(client), "u/t");
    }
}

/// The messages match another subscription still in force: they are not dropped.
#[test]
fn unsubscribe_keeps_what_another_filter_wants() {
    for version in VERSIONS {
        for others in OTHERS {
            let mut broker = Broker::start();
            let mut client = subscribed(&broker, version, others);
            client.subscribe(&Subscribe::new(2, "u/#", 1));
            client.disconnect();
            publish_numbers(&broker, "u/t", 1, 0..400);
            leave(&broker, version, others);
            let mut subscriber = Subscriber::new(broker.resume(version, "one"));
            let mut messages = subscriber.unsubscribe(&Unsubscribe::new(3, "u/t"));
            broker.kill_and_start_again();
            subscriber.reconnected(broker.resume(version, "one"));
            let seen = crate::traffic::numbers(&messages);
            publish_numbers(&broker, "u/t", 1, [400]);
            messages.extend(subscriber.take_until("400"));
            let mut numbers = crate::traffic::numbers(&messages[seen.len()..]);
            // Those acknowledged just before the kill may come again.
            numbers.retain(|number| !seen.contains(number));
            let all: Vec<u64> = seen.into_iter().chain(numbers).collect();
            expect_sequence(&all, 0..400);
        }
    }
}

/// The log of the filter dies with the UNSUBSCRIBE, and its space is made free; the exchange that had begun still has
/// its message.
#[test]
fn unsubscribe_keeps_an_exchange_whose_log_is_gone_from_the_disk() {
    const MESSAGES: u16 = 110;
    const MESSAGE_BYTES: usize = 900_000;
    let mut broker = Broker::start();
    let mut reader = Subscriber::new(subscribed(&broker, Version::V5, Others::Left));
    let mut publisher = broker.client(Version::V311, "publisher");
    for number in 0..MESSAGES {
        // Nothing that could be compressed. The other session has not read it: it stays in the filter's log.
        publisher.deliver(&Publish::new("u/t", noise(number.into(), MESSAGE_BYTES)).qos(1, 1));
        reader.take(1);
    }
    publisher.deliver(&Publish::new("u/t", "begun").qos(2, 1));
    let client = reader.client();
    let begun = client.expect_publish();
    assert_eq!(begun.payload, b"begun");
    leave(&broker, Version::V5, Others::Left);
    let before = table_bytes(&broker);
    client.unsubscribe(&Unsubscribe::new(2, "u/t"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while table_bytes(&broker) > before / 2 {
        assert!(Instant::now() < deadline, "{} bytes of tables, {before} before", table_bytes(&broker));
        thread::sleep(Duration::from_millis(50));
    }
    broker.kill_and_start_again();
    again(&broker.resume(Version::V5, "one").expect_publish(), &begun);
}

/// What RocksDB's tables take on the disk.
fn table_bytes(broker: &Broker) -> u64 {
    let files = std::fs::read_dir(broker.data_directory()).expect("the data directory is there");
    let tables = files.flatten().filter(|file| file.path().extension().is_some_and(|found| found == "sst"));
    // A file may go between being listed and being looked at.
    tables.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
