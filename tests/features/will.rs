//! Wills.

use barnacle_wire::{Client, Connect, Property, Subscribe, Version, Will};

use super::{in_each_version, property, retained_at};
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
