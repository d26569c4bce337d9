//! Wills.

use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Client, Connect, Disconnect, Property, Subscribe, Version, Will};

use super::{QUIET, in_each_version, property, retained_at};
use crate::broker::Broker;

fn will(payload: &str) -> Will {
    Will { topic: "will".to_owned(), payload: payload.as_bytes().to_vec(), qos: 1, ..Will::default() }
}

fn watcher(broker: &Broker, version: Version) -> Client {
    let mut watcher = broker.client(version, "watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    watcher
}

#[test]
fn a_will_is_published_when_the_connection_ends_badly() {
    in_each_version(|broker, version| {
        let mut watcher = watcher(broker, version);
        broker.connect(&Connect::new(version, "one").will(will("aborted"))).0.abort();
        assert_eq!(watcher.expect_publish().payload, b"aborted");

        let mut broken = broker.connect(&Connect::new(version, "one").will(will("broken"))).0;
        broken.send(&[0x00, 0x00]).expect("garbage is sent");
        assert_eq!(watcher.expect_publish().payload, b"broken");

        let silent = broker.connect(&Connect::new(version, "one").will(will("silent")).keep_alive(1)).0;
        assert_eq!(watcher.expect_publish().payload, b"silent");
        drop(silent);
    });
}

#[test]
fn a_will_is_forgotten_at_a_clean_disconnect() {
    in_each_version(|broker, version| {
        let mut watcher = watcher(broker, version);
        broker.connect(&Connect::new(version, "one").will(will("never"))).0.disconnect();
        broker.connect(&Connect::persistent(version, "two").will(will("never"))).0.disconnect();
        if version == Version::V5 {
            let mut leaving = broker.connect(&Connect::new(version, "three").will(will("asked for"))).0;
            let with_will = Disconnect { reason: 0x04, properties: Vec::new() };
            leaving.send(&with_will.encode(version)).expect("DISCONNECT is sent");
            assert_eq!(watcher.expect_publish().payload, b"asked for", "Disconnect with Will Message");
        }
        watcher.expect_nothing(QUIET);
    });
}

#[test]
fn a_will_is_published_at_take_over() {
    in_each_version(|broker, version| {
        let mut watcher = watcher(broker, version);
        let _first = broker.connect(&Connect::new(version, "one").will(will("taken over"))).0;
        let _second = broker.client(version, "one");
        assert_eq!(watcher.expect_publish().payload, b"taken over");
    });
}

#[test]
fn a_will_can_be_retained_and_carries_its_properties() {
    in_each_version(|broker, version| {
        let mut will = Will { retain: true, ..will("kept") };
        if version == Version::V5 {
            will.properties.push(Property::ContentType("text/plain".to_owned()));
        }
        broker.connect(&Connect::new(version, "one").will(will)).0.abort();
        let mut reader = watcher(broker, version);
        let message = reader.expect_publish();
        let content_type = property(&message.properties, |property| match property {
            Property::ContentType(content_type) => Some(content_type.clone()),
            _ => None,
        });
        assert_eq!((message.payload, content_type.is_some()), (b"kept".to_vec(), version == Version::V5));
        let mut reader = broker.client(version, "later");
        let found = retained_at(broker, &mut reader, &Subscribe::new(1, "will", 1), "will");
        assert_eq!(found, [("will".to_owned(), "kept".to_owned())]);
    });
}

fn delayed(client_id: &str, delay: u32, expiry: u32) -> Connect {
    let mut will = will(client_id);
    will.properties.push(Property::WillDelayInterval(delay));
    let connect = Connect::new(Version::V5, client_id).clean_start(false).will(will);
    connect.property(Property::SessionExpiryInterval(expiry))
}

#[test]
fn a_will_waits_for_its_delay() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, Version::V5);
    let begun = Instant::now();
    broker.connect(&delayed("one", 1, 100)).0.abort();
    assert_eq!(watcher.expect_publish().payload, b"one");
    let took = begun.elapsed();
    assert!((Duration::from_millis(950)..Duration::from_millis(2500)).contains(&took), "{took:?}");
}

#[test]
fn a_will_does_not_wait_beyond_the_end_of_its_session() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, Version::V5);
    broker.connect(&delayed("with its connection", 100, 0)).0.abort();
    assert_eq!(watcher.expect_publish().payload, b"with its connection");
    broker.connect(&delayed("expired", 100, 1)).0.abort();
    assert_eq!(watcher.expect_publish().payload, b"expired", "[MQTT-3.1.3-9]");
    broker.connect(&delayed("cleaned", 100, 100)).0.abort();
    broker.connect(&Connect::new(Version::V5, "cleaned")).0.disconnect();
    assert_eq!(watcher.expect_publish().payload, b"cleaned", "clean start ends the session");
}

#[test]
fn a_return_in_time_cancels_a_delayed_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, Version::V5);
    broker.connect(&delayed("one", 1, 100)).0.abort();
    thread::sleep(Duration::from_millis(200));
    let returned = broker.resume(Version::V5, "one");
    watcher.expect_nothing(Duration::from_millis(1500));
    returned.disconnect();
}
