//! Retained messages, and a subscriber that has not got them all.

use barnacle_wire::property::Pair;
use barnacle_wire::{Client, Connect, Property, Publish, Subscribe, Version};

use super::{LONG, leave, publish};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

/// Topic, payload and QoS of what is kept in the end, in the order of the topics.
const KEPT: [(&str, &str, u8); 4] =
    [("kept/0", "zero", 0), ("kept/1", "one", 1), ("kept/2", "two", 2), ("kept/twice", "new", 1)];

fn message(topic: &str, text: &str, qos: u8) -> Publish {
    Publish::new(topic, text)
        .qos(qos, 1)
        .retain(true)
        .property(Property::MessageExpiryInterval(LONG))
        .property(Property::UserProperty(Pair("text".to_owned(), text.to_owned())))
}

pub(super) fn write_first(broker: &Broker) {
    let kept = KEPT[..3].iter().map(|(topic, text, qos)| message(topic, text, *qos));
    publish(broker, kept.chain([message("kept/twice", "old", 2), message("kept/gone", "gone", 1)]));
}

/// A subscriber with room for one message has begun with the first, and does not acknowledge it.
pub(super) fn write_second(broker: &Broker) -> Vec<Client> {
    publish(broker, [message("kept/twice", "new", 1), Publish::new("kept/gone", "").qos(1, 1).retain(true)]);
    let (mut scanner, _) = broker.connect(&scanner());
    scanner.subscribe(&Subscribe::new(1, "kept/+", 1));
    while scanner.expect_publish().qos == 0 {}
    vec![scanner]
}

fn scanner() -> Connect {
    Connect::persistent(Version::V5, "scanner").property(Property::ReceiveMaximum(1))
}

pub(super) fn expect(broker: &Broker) {
    let (client, connack) = broker.connect(&scanner());
    assert!(connack.session_present);
    let mut scanner = Subscriber::new(client);
    // The one of QoS 0 has been sent, and may be once more.
    let mut taken = scanner.take(3);
    if taken.iter().any(|message| message.qos == 0) {
        taken.retain(|message| message.qos > 0);
        taken.extend(scanner.take(1));
    }
    assert_eq!(texts(&taken), ["one", "two", "new"]);
    assert_eq!(
        taken.iter().map(|message| (message.dup, message.retain)).collect::<Vec<_>>(),
        [(true, true), (false, true), (false, true)]
    );
    leave(scanner);

    let mut client = broker.client(Version::V5, "newcomer");
    client.subscribe(&Subscribe::new(1, "kept/#", 2));
    let mut newcomer = Subscriber::new(client);
    let mut taken = newcomer.take(KEPT.len());
    taken.sort_by(|one, other| one.topic.cmp(&other.topic));
    for (message, (topic, text, qos)) in taken.iter().zip(KEPT) {
        assert_eq!((message.topic.as_str(), message.qos, message.retain), (topic, qos, true));
        assert_eq!(message.payload, text.as_bytes());
        assert!(
            message.properties.contains(&Property::UserProperty(Pair("text".to_owned(), text.to_owned())))
        );
        let left = |property: &Property| matches!(property, Property::MessageExpiryInterval(left) if (1..=LONG).contains(left));
        assert!(message.properties.iter().any(left), "{message:?}");
    }
    leave(newcomer);
}
