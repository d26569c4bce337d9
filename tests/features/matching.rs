//! Which subscriptions a message matches, and what it brings from them.

use std::collections::BTreeSet;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::property::Variable;
use barnacle_wire::{Client, Packet, Property, Publish, Subscribe, Unsubscribe, Version, kind};

use super::{QUIET, expect_marker, in_each_version, publish};
use crate::broker::Broker;

const NO_LOCAL: u8 = 1 << 2;

fn identifiers(message: &Publish) -> BTreeSet<u32> {
    let identifiers = message.properties.iter().filter_map(|property| match property {
        Property::SubscriptionIdentifier(Variable(identifier)) => Some(*identifier),
        _ => None,
    });
    identifiers.collect()
}

#[test]
fn the_lower_qos_of_publisher_and_subscription_counts() {
    in_each_version(|broker, version| {
        for published in 0..=2u8 {
            for subscribed in 0..=2u8 {
                let mut client = broker.client(version, "reader");
                let suback = client.subscribe(&Subscribe::new(1, "q", subscribed));
                assert_eq!(suback.reasons, [subscribed], "the QoS asked for is granted");
                publish(broker, &Publish::new("q", "v").qos(published, 1));
                assert_eq!(client.expect_publish().qos, published.min(subscribed));
            }
        }
    });
}

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
fn overlapping_subscriptions_make_one_delivery_with_all_identifiers() {
    fn test(broker: &Broker, mut client: Client) {
        for (packet_id, (filter, options, identifier)) in (1..).zip([
            ("o/#", 0, Some(7)),
            ("o/+", 2, Some(268_435_455)),
            ("o/a", 1, None),
            ("x", 1, Some(3)),
        ]) {
            let mut subscribe = Subscribe::new(packet_id, filter, options);
            subscribe
                .properties
                .extend(identifier.map(|identifier| Property::SubscriptionIdentifier(Variable(identifier))));
            client.subscribe(&subscribe);
        }
        publish(broker, &Publish::new("o/a", "v").qos(2, 1));
        let message = client.expect_publish();
        assert_eq!(message.qos, 2, "the highest QoS of those that match [MQTT-3.3.4-2]");
        assert_eq!(identifiers(&message), BTreeSet::from([7, 268_435_455]), "[MQTT-3.3.4-4]");
        publish(broker, &Publish::new("o/b/c", "v").qos(2, 1));
        let message = client.expect_publish();
        assert_eq!((message.qos, identifiers(&message)), (0, BTreeSet::from([7])));
        expect_marker(broker, &mut client, "x");
    }
    in_each_version(|broker, version| {
        if version == Version::V5 {
            test(broker, broker.client(version, "reader"));
            test(broker, broker.new_session(version, "stored reader"));
        }
    });
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    in_each_version(|broker, version| {
        if version != Version::V5 {
            return;
        }
        for mut client in [broker.client(version, "one"), broker.new_session(version, "stored")] {
            client.subscribe(&Subscribe::new(1, "n/a", 1 | NO_LOCAL));
            client.deliver(&Publish::new("n/a", "own").qos(1, 5));
            client.deliver(&Publish::new("n/a", "own").qos(0, 0));
            expect_marker(broker, &mut client, "n/a");
            client.disconnect();
        }
    });
}

#[test]
fn unsubscribe_ends_a_subscription() {
    in_each_version(|broker, version| {
        for mut client in [broker.client(version, "one"), broker.new_session(version, "stored")] {
            client.subscribe(&Subscribe::new(1, "u/a", 1).and("u/b", 1));
            let unsuback = client.unsubscribe(&Unsubscribe {
                packet_id: 2,
                properties: Vec::new(),
                filters: vec!["u/a".to_owned(), "u/none".to_owned()],
            });
            if version == Version::V5 {
                assert_eq!(unsuback.reasons, [0x00, 0x11], "success, no subscription existed");
            }
            publish(broker, &Publish::new("u/a", "v").qos(1, 1));
            publish(broker, &Publish::new("u/a", "v").qos(0, 0));
            expect_marker(broker, &mut client, "u/b");
            client.disconnect();
        }
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
