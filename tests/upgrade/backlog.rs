//! Messages that wait: for one session, and for several together; in both versions.

use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{Client, Connect, Property, Publish, Subscribe, Version};

use super::{LONG, QUIET, VERSIONS, connect, leave, publish};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

/// Who shares a filter, and whose own filter is each.
const SHARED: &str = "line/#";

fn reader(version: &str) -> String {
    format!("reader-{version}")
}

fn alone(version: &str) -> String {
    format!("alone-{version}")
}

pub(super) fn write_first(broker: &Broker) {
    for (version, name) in VERSIONS {
        let mut reader = broker.new_session(version, &reader(name));
        let subscribe = Subscribe::new(1, SHARED, 2).property(Property::SubscriptionIdentifier(Variable(7)));
        reader.subscribe(&subscribe);
        reader.disconnect();
        // A session that is to end some day, not one that never does.
        let connect = match version {
            Version::V5 => Connect::new(version, &alone(name))
                .clean_start(false)
                .property(Property::SessionExpiryInterval(LONG)),
            _ => Connect::persistent(version, &alone(name)),
        };
        let mut alone: Client = broker.connect(&connect).0;
        alone.subscribe(&Subscribe::new(1, &format!("alone/{name}/+"), 2));
        alone.disconnect();
    }
    publish(broker, messages(1..=4));
}

pub(super) fn write_second(broker: &Broker) {
    publish(broker, messages(5..=8));
}

/// Each number once on each topic, at QoS 1 and 2 in turn.
fn messages(numbers: std::ops::RangeInclusive<u8>) -> impl Iterator<Item = Publish> {
    numbers.flat_map(|number| {
        let qos = 1 + number % 2;
        ["line/a", "alone/311/a", "alone/5/a"].map(|topic| {
            let message = Publish::new(topic, number.to_string()).qos(qos, 1);
            properties().into_iter().fold(message, Publish::property)
        })
    })
}

fn properties() -> [Property; 6] {
    [
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(LONG),
        Property::ContentType("text/plain".to_owned()),
        Property::ResponseTopic("answers/here".to_owned()),
        Property::CorrelationData(vec![0, 1, 255]),
        Property::UserProperty(Pair("unit".to_owned(), "°C".to_owned())),
    ]
}

pub(super) fn expect(broker: &Broker) {
    for (version, name) in VERSIONS {
        expect_eight(broker, version, &reader(name), "line/a", true);
        expect_eight(broker, version, &alone(name), &format!("alone/{name}/a"), false);
    }
}

fn expect_eight(broker: &Broker, version: Version, client_id: &str, topic: &str, identified: bool) {
    let mut subscriber = Subscriber::new(broker.resume(version, client_id));
    let taken = subscriber.take(8);
    let wanted: Vec<String> = (1..=8).map(|number| number.to_string()).collect();
    assert_eq!(texts(&taken), wanted, "{client_id}");
    for (message, number) in taken.iter().zip(1..=8_u8) {
        let described = (message.topic.as_str(), message.qos, message.retain, message.dup);
        assert_eq!(described, (topic, 1 + number % 2, false, false), "{client_id}: {number}");
        if version == Version::V5 {
            expect_properties(message, identified);
        }
    }
    leave(subscriber);
}

fn expect_properties(message: &Publish, identified: bool) {
    for property in properties() {
        let found = match &property {
            Property::MessageExpiryInterval(_) => message.properties.iter().any(
                |found| matches!(found, Property::MessageExpiryInterval(left) if (1..=LONG).contains(left)),
            ),
            same => message.properties.contains(same),
        };
        assert!(found, "{property:?} is not in {message:?}");
    }
    let identifier = Property::SubscriptionIdentifier(Variable(7));
    assert_eq!(message.properties.contains(&identifier), identified, "{message:?}");
}

pub(super) fn expect_nothing_more(broker: &Broker) {
    for (version, name) in VERSIONS {
        for client_id in [reader(name), alone(name)] {
            connect(broker, version, &client_id).expect_nothing(QUIET);
        }
    }
}
