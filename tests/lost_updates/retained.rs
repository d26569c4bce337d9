//! Retained messages changed during SUBSCRIBE.

use std::collections::BTreeMap;

use barnacle_wire::{Connect, Property, Publish, Subscribe, Version};

use super::VERSIONS;
use crate::broker::Broker;
use crate::traffic::{Stream, Subscriber, expect_sequence, number, numbers};

/// One topic is set again and again while sessions subscribe. Each sees the value that was retained when it
/// subscribed or a later one, and every later one in order: never an older one after a newer, never a gap.
fn one_topic(version: Version, lasting: bool) {
    let broker = Broker::start();
    let stream = Stream::start(broker.address(), "stream", |number| {
        Publish::new("r/t", number.to_string()).qos(1, 0).retain(true)
    });
    let mut subscribers = Vec::new();
    for round in 0..12 {
        stream.let_pass(30);
        let id = format!("subscriber {round}");
        let connect = if lasting { Connect::persistent(version, &id) } else { Connect::new(version, &id) };
        let mut subscriber = Subscriber::new(broker.connect(&connect).0);
        let settled = stream.acknowledged();
        let early = subscriber.subscribe(&Subscribe::new(1, "r/+", 1));
        subscribers.push((subscriber, early, settled, stream.not_begun()));
    }
    stream.let_pass(50);
    let end = stream.stop();
    for (mut subscriber, mut messages, settled, not_begun) in subscribers {
        messages.extend(subscriber.take_until(&(end - 1).to_string()));
        let first = messages.first().map_or(end - 1, number);
        // `settled` messages were acknowledged before SUBSCRIBE: the last of them, or a later one, was retained.
        assert!(
            first + 1 >= settled,
            "{first} was out of date: {settled} were acknowledged before SUBSCRIBE"
        );
        assert!(first <= not_begun, "{first} came first, {not_begun} and later ones were sent after SUBACK");
        expect_sequence(&numbers(&messages), first..end - 1);
        assert!(
            messages.iter().skip(1).all(|message| !message.retain),
            "only the first may be from the store"
        );
    }
}

#[test]
fn a_retained_message_changes_during_subscribe() {
    for version in VERSIONS {
        one_topic(version, true);
    }
}

#[test]
fn a_retained_message_changes_during_subscribe_of_a_session_that_does_not_last() {
    for version in VERSIONS {
        one_topic(version, false);
    }
}

/// Sixty topics are set and cleared in turn while a slow session subscribes to all of them. At the end it knows the
/// state of each, and never saw one go back.
fn many_topics(version: Version, lasting: bool) {
    const TOPICS: u64 = 60;
    let broker = Broker::start();
    let stream = Stream::start(broker.address(), "stream", |number| {
        // A topic's first value is its number; every third change clears it.
        let payload = if number / TOPICS % 3 == 2 { String::new() } else { number.to_string() };
        Publish::new(&format!("m/{}", number % TOPICS), payload).qos(1, 0).retain(true)
    });
    let mut subscribers = Vec::new();
    for round in 0..4 {
        stream.let_pass(TOPICS * 2 + 17);
        let id = format!("subscriber {round}");
        let mut connect =
            if lasting { Connect::persistent(version, &id) } else { Connect::new(version, &id) };
        if version == Version::V5 {
            connect.properties.push(Property::ReceiveMaximum(4));
        }
        let mut subscriber = Subscriber::new(broker.connect(&connect).0);
        let early = subscriber.subscribe(&Subscribe::new(1, "m/#", 1));
        subscribers.push((subscriber, early));
    }
    stream.let_pass(TOPICS * 3);
    let end = stream.stop();
    let mut publisher = broker.client(Version::V311, "publisher of markers");
    publisher.deliver(&Publish::new("m/marker", "marker").qos(1, 1));
    let mut wanted = BTreeMap::new();
    for number in 0..end {
        let cleared = number / TOPICS % 3 == 2;
        wanted.insert(format!("m/{}", number % TOPICS), (!cleared).then_some(number));
    }
    for (mut subscriber, mut messages) in subscribers {
        messages.extend(subscriber.take_until("marker"));
        let mut known: BTreeMap<String, Option<u64>> =
            wanted.keys().map(|topic| (topic.clone(), None)).collect();
        let mut last = BTreeMap::new();
        for message in &messages {
            let value = (!message.payload.is_empty()).then(|| number(message));
            if let Some(value) = value {
                let before = last.insert(message.topic.clone(), value);
                assert!(before < Some(value), "{} went from {before:?} to {value}", message.topic);
            }
            known.insert(message.topic.clone(), value);
        }
        assert_eq!(known, wanted);
    }
}

#[test]
fn many_retained_messages_change_during_subscribe() {
    for version in VERSIONS {
        many_topics(version, true);
        many_topics(version, false);
    }
}

/// The retained messages of a SUBSCRIBE are owed once SUBACK has come: a kill in the middle of them loses none.
#[test]
fn the_retained_messages_of_a_subscribe_go_on_after_a_kill() {
    const TOPICS: u64 = 400;
    for version in VERSIONS {
        let mut broker = Broker::start();
        let stream = Stream::start(broker.address(), "stream", |number| {
            Publish::new(&format!("k/{:03}", number % TOPICS), number.to_string()).qos(1, 0).retain(true)
        });
        stream.let_pass(TOPICS);
        let end = stream.stop();
        let mut connect = Connect::persistent(version, "one");
        if version == Version::V5 {
            connect.properties.push(Property::ReceiveMaximum(10));
        }
        let mut subscriber = Subscriber::new(broker.connect(&connect).0);
        let mut messages = subscriber.subscribe(&Subscribe::new(1, "k/#", 1));
        messages.extend(subscriber.take(40));
        broker.kill_and_start_again();
        let mut publisher = broker.client(Version::V311, "publisher");
        publisher.deliver(&Publish::new("k/000", end.to_string()).qos(1, 1).retain(true));
        publisher.deliver(&Publish::new("k/marker", "marker").qos(1, 1));
        let (client, connack) = broker.connect(&connect);
        assert!(connack.session_present);
        subscriber.reconnected(client);
        messages.extend(subscriber.take_until("marker"));
        let mut known = BTreeMap::new();
        for message in &messages {
            let before = known.insert(message.topic.clone(), number(message));
            assert!(before <= Some(number(message)), "{} went back from {before:?}", message.topic);
        }
        let mut wanted: BTreeMap<String, u64> =
            (0..end).map(|number| (format!("k/{:03}", number % TOPICS), number)).collect();
        wanted.insert("k/000".to_owned(), end);
        assert_eq!(known, wanted);
    }
}
