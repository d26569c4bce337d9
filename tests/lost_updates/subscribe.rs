//! Messages published between SUBSCRIBE and its commit.

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Connect, Packet, Publish, Subscribe, Unsubscribe, Version};

use super::{VERSIONS, stored_subscriber};
use crate::broker::Broker;
use crate::traffic::{Stream, Subscriber, expect_sequence, numbers};

/// Sees that what was received is every number from some first one, which lies before `first_due`, up to `end`.
#[track_caller]
fn check(received: &[u64], first_due: u64, end: u64) {
    let first = *received.first().unwrap_or(&end);
    assert!(first <= first_due, "{first_due} was sent after SUBACK, and {first} is the first that came");
    expect_sequence(received, first..end);
}

/// Subscribes sessions one after the other while a publisher goes on, and sees what each gets.
fn subscribe_while_publishing(lasting: bool, published_qos: u8, killed: bool) {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let stream = Stream::start(broker.address(), "stream", move |number| {
            Publish::new("s/t", number.to_string()).qos(published_qos, 0)
        });
        let mut subscribers = Vec::new();
        for round in 0..12u16 {
            stream.let_pass(40);
            let id = format!("subscriber {round}");
            let connect =
                if lasting { Connect::persistent(version, &id) } else { Connect::new(version, &id) };
            let mut subscriber = Subscriber::new(broker.connect(&connect).0);
            // One filter that all share, and one that nobody else has.
            let filter = if round % 3 == 2 { format!("s/+/{round}/#") } else { "s/+".to_owned() };
            let mut early = subscriber.subscribe(&Subscribe::new(1, &filter, 2).and("s/#", 2));
            let first_due = stream.not_begun();
            early.extend(subscriber.take(30));
            subscribers.push((id, subscriber, early, first_due));
        }
        stream.let_pass(100);
        let end = stream.stop();
        if killed {
            broker.kill_and_start_again();
        }
        for (id, mut subscriber, mut received, first_due) in subscribers {
            if killed {
                subscriber.reconnected(broker.resume(version, &id));
            }
            let last = (end - 1).to_string();
            let rest = subscriber.take_until(&last);
            // What was acknowledged just before the kill may come again.
            let seen = numbers(&received);
            received.extend(rest.into_iter().filter(|message| {
                let repeated =
                    message.dup && numbers(std::slice::from_ref(message)).iter().all(|n| seen.contains(n));
                !(killed && repeated)
            }));
            check(&numbers(&received), first_due, end - 1);
        }
    }
}

#[test]
fn published_between_subscribe_and_its_commit() {
    subscribe_while_publishing(true, 1, false);
}

#[test]
fn published_between_subscribe_and_its_commit_then_killed() {
    subscribe_while_publishing(true, 1, true);
}

#[test]
fn published_between_subscribe_and_its_commit_exactly_once() {
    subscribe_while_publishing(true, 2, false);
}

#[test]
fn published_between_subscribe_and_its_commit_of_a_session_that_does_not_last() {
    subscribe_while_publishing(false, 1, false);
}

/// SUBSCRIBE is pipelined behind CONNECT, and SUBACK is hardly read when the broker is killed.
#[test]
fn killed_right_after_suback() {
    let mut broker = Broker::start();
    for round in 0..6 {
        let id = format!("subscriber {round}");
        let subscriber = stored_subscriber(&broker, Version::V311, &id, "s/t", 1);
        broker.kill_and_start_again();
        drop(subscriber);
        super::publish_numbers(&broker, "s/t", 1, 0..3);
        let mut subscriber = Subscriber::new(broker.resume(Version::V311, &id));
        assert_eq!(numbers(&subscriber.take(3)), [0, 1, 2], "round {round}");
    }
}

/// A client publishes to its own subscription without waiting for SUBACK: the broker has read SUBSCRIBE first. What it
/// published before SUBSCRIBE is not its own.
#[test]
fn published_by_the_subscriber_right_behind_its_subscribe() {
    for version in VERSIONS {
        // Messages that a stored session wants take another way than those that none does.
        for held in [false, true] {
            let broker = Broker::start();
            if held {
                drop(stored_subscriber(&broker, version, "holder", "#", 2));
            }
            let connects = [Connect::new(version, "one"), Connect::persistent(version, "another")];
            for (connect, qos) in connects.iter().flat_map(|connect| (1..3).map(move |qos| (connect, qos))) {
                let topic = format!("{}/{qos}", connect.client_id);
                let mut bytes = Publish::new("elsewhere", "before").qos(qos, 1).encode(version);
                bytes.extend(Subscribe::new(2, &topic, 1).encode(version));
                bytes.extend(Publish::new(&topic, "behind").qos(qos, 3).encode(version));
                bytes.extend(Publish::new(&topic, "last").qos(qos, 4).encode(version));
                let mut client = broker.connect(connect).0;
                client.send(&bytes).expect("all are sent");
                let mut subscriber = Subscriber::new(client);
                for wanted in ["behind", "last"] {
                    let message = subscriber.next(PATIENCE);
                    let message = message.unwrap_or_else(|error| panic!("QoS {qos} of {connect:?}: {error}"));
                    assert_eq!(message.payload, wanted.as_bytes());
                }
            }
        }
    }
}

/// UNSUBSCRIBE and SUBSCRIBE to the same filter in one go: what waited is dropped, what comes then arrives.
#[test]
fn unsubscribed_and_subscribed_in_one_go() {
    for version in VERSIONS {
        let broker = Broker::start();
        drop(stored_subscriber(&broker, version, "one", "t", 1));
        let mut holder = stored_subscriber(&broker, version, "holder", "t", 1);
        super::publish_numbers(&broker, "t", 1, 0..400);
        let mut client = broker.resume(version, "one");
        let mut bytes = Unsubscribe::new(1, "t").encode(version);
        bytes.extend(Subscribe::new(2, "t", 1).encode(version));
        client.send(&bytes).expect("both are sent");
        let mut subscriber = Subscriber::new(client);
        let (mut messages, unsuback) = subscriber.wait_for_other();
        let (more, suback) = subscriber.wait_for_other();
        assert!(
            matches!((&unsuback, &suback), (Packet::UnsubAck(_), Packet::SubAck(_))),
            "{unsuback:?}, {suback:?}"
        );
        messages.extend(more);
        super::publish_numbers(&broker, "t", 1, 400..420);
        messages.extend(subscriber.take_until("419"));
        let arrived = numbers(&messages);
        // Exchanges that had begun are completed; behind them stands nothing that waited.
        let begun = arrived.iter().take_while(|number| **number < 400).count();
        assert!(begun <= 256, "{begun} of what waited arrived");
        expect_sequence(&arrived[..begun], 0..begun as u64);
        expect_sequence(&arrived[begun..], 400..419);
        expect_sequence(&numbers(&holder.take(420)), 0..420);
    }
}
