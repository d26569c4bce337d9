//! What a will looks like when it comes: QoS, RETAIN, properties, and an expiry that counts from its publication.

use std::time::Duration;

use barnacle_wire::{Connect, Property, Publish, Subscribe, Version, Will};

use super::{TOPIC, client, end_badly, make_watcher, watcher, will_of};
use crate::broker::{Broker, Setup};

fn expiry_of(message: &Publish) -> Option<u32> {
    message.properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(*seconds),
        _ => None,
    })
}

#[test]
fn a_will_keeps_its_qos_and_its_properties_across_a_crash_before_and_after_its_publication() {
    let mut broker = Setup::new().setting("session.will_grace_seconds", "0").start();
    make_watcher(&broker);
    let properties = vec![
        Property::ContentType("text/plain".to_owned()),
        Property::ResponseTopic("answers".to_owned()),
        Property::CorrelationData(b"7".to_vec()),
        Property::UserProperty(barnacle_wire::property::Pair("a".to_owned(), "b".to_owned())),
    ];
    let mut will = Will { qos: 2, ..will_of("gone") };
    will.properties = properties.clone();
    let gone = broker.connect(&Connect::persistent(Version::V5, "gone").will(will)).0;
    broker.kill_and_start_again();
    drop(gone);
    broker.kill_and_start_again();
    let message = watcher(&broker).take(1).remove(0);
    assert_eq!((message.qos, message.retain, message.payload), (2, false, b"gone".to_vec()));
    assert_eq!(message.properties, properties);
}

#[test]
fn the_expiry_of_a_will_counts_from_its_publication() {
    let broker = Broker::start();
    make_watcher(&broker);
    let with_expiry = |client_id: &str, seconds| {
        let mut connect = client(client_id, 100, 1);
        let will = connect.will.as_mut().expect("it has a will");
        will.properties.push(Property::MessageExpiryInterval(seconds));
        connect
    };
    // Published more than a second after CONNECT, and at once delivered: nothing of the interval is used up.
    let mut live = watcher(&broker);
    for (client_id, seconds) in [("short", 1), ("long", 100)] {
        end_badly(broker.connect(&with_expiry(client_id, seconds)).0);
    }
    for expected in [1, 100] {
        let message = live.take(1).remove(0);
        assert_eq!(expiry_of(&message), Some(expected), "{message:?}");
    }
    live.client().stream().shutdown(std::net::Shutdown::Both).expect("the connection ends");
    // Not seen in time, it expires like any message.
    for (client_id, seconds) in [("short", 1), ("long", 100)] {
        end_badly(broker.connect(&with_expiry(client_id, seconds)).0);
    }
    std::thread::sleep(Duration::from_millis(2100));
    let mut late = watcher(&broker);
    let message = late.take(1).remove(0);
    assert_eq!(message.payload, b"long");
    assert!(expiry_of(&message).is_some_and(|left| (90..100).contains(&left)), "{message:?}");
}

#[test]
fn a_retained_will_is_retained_across_a_crash() {
    for version in super::VERSIONS {
        let mut broker = Setup::new().setting("session.will_grace_seconds", "0").start();
        let will = Will { retain: true, ..will_of("offline") };
        let gone = broker.connect(&Connect::new(version, "device").will(will)).0;
        broker.kill_and_start_again();
        drop(gone);
        broker.kill_and_start_again();
        let mut reader = broker.client(version, "reader");
        reader.subscribe(&Subscribe::new(1, TOPIC, 1));
        let message = reader.expect_publish();
        assert!(message.retain && message.payload == b"offline", "{message:?}");
    }
}
