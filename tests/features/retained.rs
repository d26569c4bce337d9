//! Retained messages.

use std::thread;
use std::time::Duration;

use barnacle_wire::{Property, Publish, Subscribe, Version};

use super::{expect_marker, in_each_version, publish, retained, retained_at};

/// Retain Handling in the options byte of a subscription.
const HANDLING_IF_NEW: u8 = 1 << 4;
const HANDLING_NEVER: u8 = 2 << 4;
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

#[test]
fn retained_messages_are_set_replaced_and_cleared() {
    in_each_version(|broker, version| {
        publish(broker, &retained("r/a", "1"));
        let mut client = broker.client(version, "reader");
        let now = retained_at(broker, &mut client, &Subscribe::new(1, "r/+", 1), "r/marker");
        assert_eq!(now, pairs(&[("r/a", "1")]));

        publish(broker, &retained("r/a", "2"));
        let live = client.expect_publish();
        assert_eq!((live.payload.as_slice(), live.retain), (b"2".as_slice(), false), "[MQTT-3.3.1-12]");
        let now = retained_at(broker, &mut client, &Subscribe::new(2, "r/+", 1), "r/marker");
        assert_eq!(now, pairs(&[("r/a", "2")]));

        publish(broker, &retained("r/a", ""));
        assert!(client.expect_publish().payload.is_empty(), "clearing is a message too");
        let now = retained_at(broker, &mut client, &Subscribe::new(3, "r/+", 1), "r/marker");
        assert_eq!(now, pairs(&[]));
    });
}

#[test]
fn retained_messages_of_every_qos_are_kept_across_a_kill() {
    in_each_version(|broker, version| {
        publish(broker, &Publish::new("q/0", "zero").retain(true));
        publish(broker, &Publish::new("q/1", "one").qos(1, 1).retain(true));
        publish(broker, &Publish::new("q/2", "two").qos(2, 1).retain(true));
        broker.kill_and_start_again();
        let mut client = broker.client(version, "reader");
        let now = retained_at(broker, &mut client, &Subscribe::new(1, "q/#", 2), "q/marker");
        assert_eq!(now, pairs(&[("q/0", "zero"), ("q/1", "one"), ("q/2", "two")]));
    });
}

#[test]
fn wildcards_find_retained_messages() {
    in_each_version(|broker, version| {
        for topic in ["w/a", "w/a/b", "w/c/b", "x/a", "/w", "w"] {
            publish(broker, &retained(topic, "v"));
        }
        let topics = |filter: &str, marker: &str| {
            let mut client = broker.client(version, "reader");
            let found = retained_at(broker, &mut client, &Subscribe::new(1, filter, 1), marker);
            found.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>()
        };
        assert_eq!(topics("#", "marker"), ["/w", "w", "w/a", "w/a/b", "w/c/b", "x/a"]);
        assert_eq!(topics("w/#", "w/marker"), ["w", "w/a", "w/a/b", "w/c/b"]);
        assert_eq!(topics("w/+", "w/marker"), ["w/a"]);
        assert_eq!(topics("+/a", "marker/a"), ["w/a", "x/a"]);
        assert_eq!(topics("w/+/b", "w/marker/b"), ["w/a/b", "w/c/b"]);
        assert_eq!(topics("+", "marker"), ["w"]);
        assert_eq!(topics("+/+", "marker/marker"), ["/w", "w/a", "x/a"]);
    });
}

#[test]
fn a_retained_message_expires() {
    in_each_version(|broker, version| {
        publish(broker, &retained("e/short", "v").property(Property::MessageExpiryInterval(1)));
        publish(broker, &retained("e/long", "v").property(Property::MessageExpiryInterval(1000)));
        let mut client = broker.client(version, "early");
        let now = retained_at(broker, &mut client, &Subscribe::new(1, "e/+", 1), "e/marker");
        assert_eq!(now, pairs(&[("e/long", "v"), ("e/short", "v")]));
        thread::sleep(Duration::from_millis(1500));
        let mut client = broker.client(version, "late");
        let now = retained_at(broker, &mut client, &Subscribe::new(1, "e/+", 1), "e/marker");
        assert_eq!(now, pairs(&[("e/long", "v")]));
    });
}

#[test]
fn retain_handling_is_obeyed() {
    in_each_version(|broker, version| {
        if version != Version::V5 {
            return;
        }
        publish(broker, &retained("h/a", "v"));
        let mut client = broker.client(version, "reader");
        let mut ask = |packet_id, options| {
            retained_at(broker, &mut client, &Subscribe::new(packet_id, "h/+", options), "h/marker").len()
        };
        assert_eq!(ask(1, 1 | HANDLING_NEVER), 0, "2: never");
        assert_eq!(ask(2, 1 | HANDLING_IF_NEW), 0, "1: the subscription was there");
        assert_eq!(ask(3, 1), 1, "0: always");
        assert_eq!(ask(4, 1), 1, "0: always, again");
        let mut client = broker.client(version, "another reader");
        let subscribe = Subscribe::new(1, "h/+", 1 | HANDLING_IF_NEW);
        assert_eq!(retained_at(broker, &mut client, &subscribe, "h/marker").len(), 1, "1: it is new");
    });
}

#[test]
fn retain_handling_of_a_stored_session_knows_its_subscriptions() {
    in_each_version(|broker, version| {
        if version != Version::V5 {
            return;
        }
        publish(broker, &retained("h/a", "v"));
        let mut client = broker.new_session(version, "reader");
        let subscribe = Subscribe::new(1, "h/+", 1 | HANDLING_IF_NEW);
        client.subscribe(&subscribe);
        let message = client.expect_publish();
        assert!(message.retain);
        client.ack(barnacle_wire::kind::PUBACK, message.packet_id).expect("PUBACK is sent");
        client.disconnect();
        let mut client = broker.resume(version, "reader");
        client.subscribe(&subscribe);
        expect_marker(broker, &mut client, "h/marker");
    });
}

#[test]
fn retain_as_published_is_obeyed() {
    in_each_version(|broker, version| {
        if version != Version::V5 {
            return;
        }
        let mut plain = broker.client(version, "plain");
        plain.subscribe(&Subscribe::new(1, "p/+", 1));
        let mut faithful = broker.client(version, "faithful");
        faithful.subscribe(&Subscribe::new(1, "p/+", 1 | RETAIN_AS_PUBLISHED));
        let mut stored = broker.new_session(version, "stored");
        stored.subscribe(&Subscribe::new(1, "p/+", 1 | RETAIN_AS_PUBLISHED));
        publish(broker, &retained("p/a", "v"));
        publish(broker, &Publish::new("p/b", "v").qos(1, 1));
        let flags = |client: &mut barnacle_wire::Client| {
            [client.expect_publish().retain, client.expect_publish().retain]
        };
        assert_eq!(flags(&mut plain), [false, false], "[MQTT-3.3.1-12]");
        assert_eq!(flags(&mut faithful), [true, false], "[MQTT-3.3.1-13]");
        assert_eq!(flags(&mut stored), [true, false], "[MQTT-3.3.1-13]");
    });
}
