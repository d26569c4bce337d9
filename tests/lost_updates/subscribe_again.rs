//! Subscribing again to a filter with messages waiting: `on_connect` of every client does so.

use std::thread::{self, JoinHandle};

use barnacle_wire::{Client, Connect, Property, Publish, Subscribe, Unsubscribe, Version};

use super::{VERSIONS, expect_nothing_waits, publish_numbers, stored_subscriber};
use crate::broker::Broker;
use crate::traffic::{Stream, Subscriber, expect_sequence, number, numbers};

/// Ten messages wait; the client comes back and subscribes again, at once, with `qos_after`. Returns the QoS of each
/// message that came, after seeing that all came, once and in order.
fn subscribe_again(version: Version, qos_before: u8, qos_after: u8, killed: bool) -> Vec<u8> {
    let mut broker = Broker::start();
    drop(stored_subscriber(&broker, version, "one", "again", qos_before));
    publish_numbers(&broker, "again", 2, 0..300);
    if killed {
        broker.kill_and_start_again();
    }
    let mut client = broker.resume(version, "one");
    client.send(&Subscribe::new(2, "again", qos_after).encode(version)).expect("SUBSCRIBE is sent");
    if killed {
        // Somewhere in the middle of it.
        broker.kill_and_start_again();
        client = broker.resume(version, "one");
        client.send(&Subscribe::new(3, "again", qos_after).encode(version)).expect("SUBSCRIBE is sent");
    }
    let mut subscriber = Subscriber::new(client);
    let messages = subscriber.take(300);
    expect_sequence(&numbers(&messages), 0..300);
    expect_nothing_waits(&broker, &mut subscriber, "again");
    messages.iter().map(|message| message.qos).collect()
}

#[test]
fn subscribing_again_with_the_same_qos_keeps_the_backlog() {
    for version in VERSIONS {
        for qos in [1, 2] {
            for killed in [false, true] {
                let qos_of_each = subscribe_again(version, qos, qos, killed);
                assert!(qos_of_each.iter().all(|received| *received == qos));
            }
        }
    }
}

#[test]
fn subscribing_again_with_another_qos_keeps_the_backlog() {
    for version in VERSIONS {
        for (before, after) in [(1, 2), (2, 1)] {
            for killed in [false, true] {
                let qos_of_each = subscribe_again(version, before, after, killed);
                // What had entered the window keeps its QoS; what had not takes the new one.
                let changed = qos_of_each.iter().position(|qos| *qos == after).unwrap_or(qos_of_each.len());
                // After a kill, all of it may have been sent already: it is sent again as it was.
                assert!(killed || changed < 300, "the new QoS never came into force");
                assert!(qos_of_each[..changed].iter().all(|qos| *qos == before));
                assert!(qos_of_each[changed..].iter().all(|qos| *qos == after));
            }
        }
    }
}

#[test]
fn subscribing_again_with_qos_0_delivers_the_backlog_at_qos_0() {
    for version in VERSIONS {
        let qos_of_each = subscribe_again(version, 1, 0, false);
        let changed = qos_of_each.iter().position(|qos| *qos == 0).expect("QoS 0 came into force");
        assert!(qos_of_each[..changed].iter().all(|qos| *qos == 1));
        assert!(qos_of_each[changed..].iter().all(|qos| *qos == 0));
    }
}

#[test]
fn a_qos_0_subscription_made_qos_1_holds_from_then_on() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let mut subscriber = stored_subscriber(&broker, version, "one", "again", 0);
        publish_numbers(&broker, "again", 1, 0..3);
        assert_eq!(numbers(&subscriber.take(3)), [0, 1, 2]);
        subscriber.subscribe(&Subscribe::new(2, "again", 1));
        drop(subscriber);
        publish_numbers(&broker, "again", 1, 3..6);
        broker.kill_and_start_again();
        let mut subscriber = Subscriber::new(broker.resume(version, "one"));
        assert_eq!(numbers(&subscriber.take(3)), [3, 4, 5]);
        expect_nothing_waits(&broker, &mut subscriber, "again");
    }
}

/// A second session subscribes to a filter for which messages wait in the first one's own log: from there on the
/// filter has a log of its own, and the first reads both.
#[test]
fn a_second_subscriber_comes_to_a_filter_with_a_backlog() {
    for killed in [false, true] {
        for version in VERSIONS {
            let mut broker = Broker::start();
            let kill = |broker: &mut Broker| {
                if killed {
                    broker.kill_and_start_again();
                }
            };
            drop(stored_subscriber(&broker, version, "first", "f/#", 1));
            publish_numbers(&broker, "f/t", 1, 0..10);
            kill(&mut broker);
            drop(stored_subscriber(&broker, version, "second", "f/#", 1));
            kill(&mut broker);
            publish_numbers(&broker, "f/t", 1, 10..20);
            drop(stored_subscriber(&broker, version, "third", "f/#", 1));
            publish_numbers(&broker, "f/t", 1, 20..30);
            kill(&mut broker);
            for (id, first) in [("first", 0), ("second", 10), ("third", 20)] {
                let mut subscriber = Subscriber::new(broker.resume(version, id));
                let count = usize::try_from(30 - first).expect("at most 30");
                expect_sequence(&numbers(&subscriber.take(count)), first..30);
            }
        }
    }
}

/// As above, with a window full of messages that are not acknowledged.
#[test]
fn a_second_subscriber_comes_while_the_first_has_a_full_window() {
    for killed in [false, true] {
        let mut broker = Broker::start();
        let connect = || Connect::persistent(Version::V5, "first").property(Property::ReceiveMaximum(3));
        let mut first = broker.connect(&connect()).0;
        first.subscribe(&Subscribe::new(1, "f/#", 1));
        publish_numbers(&broker, "f/t", 1, 0..10);
        let open: Vec<Publish> = (0..3).map(|_| first.expect_publish()).collect();
        assert_eq!(numbers(&open), [0, 1, 2]);
        drop(stored_subscriber(&broker, Version::V5, "second", "f/#", 1));
        publish_numbers(&broker, "f/t", 1, 10..20);
        if killed {
            broker.kill_and_start_again();
        }
        first = broker.connect(&connect()).0;
        let mut subscriber = Subscriber::new(first);
        let messages = subscriber.take(20);
        expect_sequence(&numbers(&messages), 0..20);
        assert!(messages[..3].iter().all(|message| message.dup));
        expect_nothing_waits(&broker, &mut subscriber, "f/t");
    }
}

/// The holders of a filter come and go; the one that stays misses nothing, and nobody gets what is not its own.
#[test]
fn holders_of_a_filter_come_and_go_around_one_that_stays() {
    let mut broker = Broker::start();
    drop(stored_subscriber(&broker, Version::V311, "stays", "f/#", 1));
    let mut next = 0;
    let mut publish_three = |broker: &Broker| {
        publish_numbers(broker, "f/t", 1, next..next + 3);
        next += 3;
    };
    for round in 0..4 {
        publish_three(&broker);
        let mut comes = stored_subscriber(&broker, Version::V311, "comes and goes", "f/#", 1);
        publish_three(&broker);
        assert_eq!(comes.take(3).len(), 3);
        if round % 2 == 0 {
            broker.kill_and_start_again();
            comes.reconnected(broker.resume(Version::V311, "comes and goes"));
        }
        comes.unsubscribe(&Unsubscribe::new(2, "f/#"));
        publish_three(&broker);
        drop(comes);
        let clean = broker.client(Version::V311, "comes and goes");
        clean.disconnect();
        publish_three(&broker);
    }
    let mut stays = Subscriber::new(broker.resume(Version::V311, "stays"));
    expect_sequence(&numbers(&stays.take(48)), 0..48);
    expect_nothing_waits(&broker, &mut stays, "f/t");
}

/// As above, while messages flow: the filter gets a log of its own and loses holders all the time. Whoever stays
/// misses nothing, live and offline.
#[test]
fn holders_of_a_filter_come_and_go_while_messages_flow() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        drop(stored_subscriber(&broker, version, "offline", "f/#", 1));
        let mut live = stored_subscriber(&broker, version, "live", "f/#", 2);
        let mut other = stored_subscriber(&broker, version, "other filter", "f/+", 1);
        let stream = Stream::start(broker.address(), "stream", |number| {
            Publish::new("f/t", number.to_string()).qos(1 + (number % 2) as u8, 0)
        });
        let flapping: Vec<_> = ["f/#", "f/+", "f/t"].map(|filter| flap(&broker, version, filter)).into();
        let mut messages = live.take(1500);
        flapping.into_iter().for_each(|flapping| flapping.join().expect("they come and go to the end"));
        let end = stream.stop();
        // QoS 1 and QoS 2 each keep their order; between them there is none to keep.
        let last = usize::try_from(end).expect("below 2^32");
        messages.extend(live.take(last - messages.len()));
        expect_each_qos_in_order(&messages, end);
        expect_each_qos_in_order(&other.take(last), end);
        broker.kill_and_start_again();
        let mut offline = Subscriber::new(broker.resume(version, "offline"));
        expect_each_qos_in_order(&offline.take(last), end);
        expect_nothing_waits(&broker, &mut offline, "f/t");
    }
}

/// A session that subscribes, takes a few messages in sequence, unsubscribes or ends, forty times.
fn flap(broker: &Broker, version: Version, filter: &'static str) -> JoinHandle<()> {
    let address = broker.address();
    thread::spawn(move || {
        for round in 0..40 {
            let connect = Connect::persistent(version, &format!("flapping on {filter}"));
            let (client, connack) = Client::connect(address, &connect).expect("the broker listens");
            assert_eq!(connack.session_present, round % 2 == 1, "every other one ends by Clean Start");
            let mut subscriber = Subscriber::new(client);
            let mut messages = subscriber.subscribe(&Subscribe::new(1, filter, 1));
            messages.extend(subscriber.take(5));
            let first = messages.first().map_or(0, number);
            expect_sequence(&numbers(&messages), first..first + messages.len() as u64);
            subscriber.unsubscribe(&Unsubscribe::new(2, filter));
            drop(subscriber);
            if round % 2 == 1 {
                let (client, _) =
                    Client::connect(address, &Connect::new(version, &connect.client_id)).expect("it listens");
                client.disconnect();
            }
        }
    })
}

/// Sees that the odd and the even numbers, which came at different QoS, are complete and in order.
#[track_caller]
fn expect_each_qos_in_order(messages: &[Publish], end: u64) {
    for rest in 0..2 {
        let halves: Vec<u64> = messages
            .iter()
            .map(number)
            .filter(|number| number % 2 == rest)
            .map(|number| number / 2)
            .collect();
        expect_sequence(&halves, 0..(end + 1 - rest) / 2);
    }
}
