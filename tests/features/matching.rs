//! Which subscriptions a message matches, and what it brings from them.

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Packet, Publish, Subscribe, Unsubscribe, Version, kind};

use super::{QUIET, expect_marker, in_each_version, publish};
use crate::broker::Broker;

#[test]
fn qos_2_is_one_delivery_however_often_the_publish_is_repeated() {
    in_each_version(|broker, version| {
        let mut reader = broker.new_session(version, "reader");
        reader.subscribe(&Subscribe::new(1, "t", 2));
        let mut publisher = broker.new_session(version, "sender");
        let message = Publish::new("t", "once").qos(2, 9);
        let received = Packet::PubRec(barnacle_wire::Ack::new(9));
        publisher.publish(&message).expect("PUBLISH is sent");
        publisher.expect(&received);
        publisher.publish(&message.clone().dup(true)).expect("PUBLISH is sent");
        publisher.expect(&received);
        publisher.abort();
        broker.kill_and_start_again();
        let mut publisher = broker.resume(version, "sender");
        publisher.publish(&message.dup(true)).expect("PUBLISH is sent");
        publisher.expect(&received);
        publisher.ack(kind::PUBREL, 9).expect("PUBREL is sent");
        publisher.expect(&Packet::PubComp(barnacle_wire::Ack::new(9)));
        let mut reader = broker.resume(version, "reader");
        assert_eq!(reader.expect_publish().payload, b"once");
        expect_marker(broker, &mut reader, "t");
    });
}

#[test]
fn qos_0_reaches_connected_subscribers_and_waits_for_nobody() {
    in_each_version(|broker, version| {
        let mut live = broker.client(version, "live");
        live.subscribe(&Subscribe::new(1, "z", 2));
        let mut stored = broker.new_session(version, "stored");
        stored.subscribe(&Subscribe::new(1, "z", 2));
        publish(broker, &Publish::new("z", "first"));
        assert_eq!(
            (live.expect_publish().payload, stored.expect_publish().payload),
            (b"first".into(), b"first".into())
        );
        stored.disconnect();
        publish(broker, &Publish::new("z", "second"));
        assert_eq!(live.expect_publish().payload, b"second");
        let mut stored = broker.resume(version, "stored");
        stored.expect_nothing(QUIET);
        expect_marker(broker, &mut stored, "z");
    });
}

#[test]
fn a_filter_that_is_unsubscribed_and_subscribed_at_once_is_subscribed() {
    in_each_version(|broker, version| {
        for persistent in [false, true] {
            let id = format!("reader {persistent}");
            let mut client =
                if persistent { broker.new_session(version, &id) } else { broker.client(version, &id) };
            client.subscribe(&Subscribe::new(1, "again", 0));
            let mut both = Unsubscribe::new(2, "again").encode(version);
            both.extend(Subscribe::new(3, "again", 0).encode(version));
            client.send(&both).expect("both are sent");
            assert!(matches!(client.read(PATIENCE), Ok(Packet::UnsubAck(_))));
            assert!(matches!(client.read(PATIENCE), Ok(Packet::SubAck(_))));
            publish(broker, &Publish::new("again", "heard"));
            assert_eq!(client.expect_publish().payload, b"heard");
        }
    });
}

#[test]
fn a_connection_that_ends_right_behind_its_subscribe_leaves_no_subscription() {
    let broker = Broker::start();
    for index in 0..20 {
        let mut client = broker.client(Version::V5, "brief");
        let topic = format!("brief/{index}");
        client.send(&Subscribe::new(1, &topic, 0).encode(Version::V5)).expect("SUBSCRIBE is sent");
        client.abort();
        // The same client identifier: when it is let in, the connection before it has gone.
        let mut after = broker.client(Version::V5, "brief");
        after.publish(&Publish::new(&topic, "").qos(1, 1)).expect("PUBLISH is sent");
        match after.read(PATIENCE) {
            Ok(Packet::PubAck(ack)) => assert_eq!(ack.reason, 0x10, "nobody subscribes {topic} any more"),
            other => panic!("{other:?} to a PUBLISH"),
        }
    }
}
