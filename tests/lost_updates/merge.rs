//! Logs that grow while they are merged.

use std::collections::BTreeSet;

use barnacle_wire::property::Variable;
use barnacle_wire::{Connect, Property, Publish, Subscribe, Version};

use super::stored_subscriber;
use crate::broker::Broker;
use crate::traffic::{Stream, Subscriber, expect_sequence, number};

/// Topics in turn, and the identifiers of the subscriptions that match each.
const TOPICS: [(&str, &[u32]); 5] =
    [("m/1/a", &[1, 2, 3]), ("m/2/a", &[1, 2]), ("m/1/b", &[2, 3]), ("m/3/c", &[2]), ("n", &[4])];

/// Filters of the session with their identifiers: the first and the last are its own alone, others hold the rest too.
const FILTERS: [(&str, u32); 4] = [("m/+/a", 1), ("m/#", 2), ("m/1/+", 3), ("n/#", 4)];

fn identifiers(message: &Publish) -> BTreeSet<u32> {
    let identifiers = message.properties.iter().filter_map(|property| match property {
        Property::SubscriptionIdentifier(Variable(identifier)) => Some(*identifier),
        _ => None,
    });
    identifiers.collect()
}

fn connect(window: u16) -> Connect {
    Connect::persistent(Version::V5, "reader").property(Property::ReceiveMaximum(window))
}

fn subscribed(broker: &Broker, window: u16) -> Subscriber {
    drop(stored_subscriber(broker, Version::V311, "holder of all", "m/#", 1));
    drop(stored_subscriber(broker, Version::V311, "holder of some", "m/1/+", 2));
    let mut reader = broker.connect(&connect(window)).0;
    for (packet_id, (filter, identifier)) in (1..).zip(FILTERS) {
        let property = Property::SubscriptionIdentifier(Variable(identifier));
        reader.subscribe(&Subscribe::new(packet_id, filter, 1).property(property));
    }
    Subscriber::new(reader)
}

fn stream(broker: &Broker) -> Stream {
    Stream::start(broker.address(), "stream", |number| {
        let (topic, _) = TOPICS[usize::try_from(number).expect("below 2^32") % TOPICS.len()];
        Publish::new(topic, number.to_string()).qos(1, 0)
    })
}

/// Sees that each message came once, in the order published, with the identifiers of all that match it.
#[track_caller]
fn check(messages: &[Publish], end: u64) {
    let numbers: Vec<u64> = messages.iter().map(number).collect();
    expect_sequence(&numbers, 0..end);
    for message in messages {
        let (_, wanted) = TOPICS.iter().find(|(topic, _)| *topic == message.topic).expect("one of ours");
        assert_eq!(identifiers(message), wanted.iter().copied().collect(), "{}", message.topic);
    }
}

#[test]
fn logs_grow_while_they_are_merged() {
    // A window of one makes as many passes as messages; a large one reads far ahead.
    for window in [1, 7, 300] {
        let broker = Broker::start();
        let mut reader = subscribed(&broker, window);
        let stream = stream(&broker);
        let mut messages = reader.take(600);
        stream.let_pass(1000);
        let end = stream.stop();
        messages.extend(reader.take(usize::try_from(end).expect("below 2^32") - 600));
        check(&messages, end);
    }
}

#[test]
fn logs_that_grew_while_nobody_read_are_merged_after_a_kill() {
    let mut broker = Broker::start();
    let mut reader = subscribed(&broker, 20);
    let first = stream(&broker);
    let mut messages = reader.take(50);
    drop(reader);
    first.let_pass(2000);
    let end = first.stop();
    broker.kill_and_start_again();
    let (client, connack) = broker.connect(&connect(20));
    assert!(connack.session_present);
    let mut reader = Subscriber::new(client);
    let again = reader.take_until(&(end - 1).to_string());
    // What was acknowledged just before the end of the first connection may come again.
    messages.extend(again.into_iter().filter(|message| number(message) >= 50));
    check(&messages, end - 1);
}
