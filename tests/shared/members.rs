//! Members that come and go while the broker lives.

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Ack, Client, Connect, Packet, Property, Publish, Subscribe, Unsubscribe, Version, kind};

use super::{
    FILTER, QUIET, VERSIONS, acknowledge, drain, end_session, number, passing_worker, publish, session, work,
    worker,
};
use crate::broker::{Broker, Setup};

#[test]
fn each_message_goes_to_one_member_and_all_have_their_share() {
    for version in VERSIONS {
        for qos in 0..=2 {
            let broker = Broker::start();
            let mut members = [
                worker(&broker, version, "one", 2),
                passing_worker(&broker, version, "two", 2),
                worker(&broker, version, "three", 2),
            ];
            publish(&broker, 1..=30, qos);
            let shares: Vec<Vec<u16>> = members.iter_mut().map(drain).collect();
            let mut all = shares.concat();
            all.sort_unstable();
            assert_eq!(all, (1..=30).collect::<Vec<_>>(), "{version:?} QoS {qos}: {shares:?}");
            assert!(shares.iter().all(|share| share.len() >= 5), "{version:?} QoS {qos}: {shares:?}");
        }
    }
}

#[test]
fn connack_offers_shared_subscriptions() {
    let broker = Broker::start();
    let (_, connack) = broker.connect(&Connect::new(Version::V5, "one"));
    let refused = Property::SharedSubscriptionAvailable(0);
    assert!(!connack.properties.contains(&refused), "{connack:?}");
}

#[test]
fn the_granted_qos_is_respected() {
    // [MQTT-4.8.2-3]
    let broker = Broker::start();
    let mut member = worker(&broker, Version::V5, "one", 1);
    publish(&broker, 1..=1, 2);
    assert_eq!(member.expect_publish().qos, 1);
}

#[test]
fn a_members_own_subscriptions_bring_their_own_copies() {
    let broker = Broker::start();
    let mut member = worker(&broker, Version::V5, "one", 1);
    member.subscribe(&Subscribe::new(2, "jobs/x", 1));
    publish(&broker, 1..=1, 1);
    assert_eq!(work(&mut member, 2), [1, 1]);
    member.expect_nothing(QUIET);
}

#[test]
fn retained_messages_are_not_sent_to_a_shared_subscription() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "publisher");
    client.publish(&Publish::new("jobs/x", "kept").qos(1, 1).retain(true)).expect("PUBLISH is sent");
    assert!(matches!(client.read(PATIENCE), Ok(Packet::PubAck(ack)) if ack.reason < 0x80));
    let mut stored = worker(&broker, Version::V5, "one", 1);
    let mut passing = passing_worker(&broker, Version::V311, "two", 1);
    stored.expect_nothing(QUIET);
    passing.expect_nothing(QUIET);
}

/// What one member leaves unacknowledged at QoS 1 another gets when its session ends, in either version and whether
/// or not it was stored.
#[test]
fn what_is_unacknowledged_at_qos_1_goes_to_another_member_at_the_sessions_end() {
    for stored in [true, false] {
        let broker = Broker::start();
        let mut one = match stored {
            true => worker(&broker, Version::V5, "one", 1),
            false => passing_worker(&broker, Version::V311, "one", 1),
        };
        publish(&broker, 1..=4, 1);
        let jobs: Vec<Publish> = (0..4).map(|_| one.expect_publish()).collect();
        acknowledge(&mut one, &jobs[1]);
        // The acknowledgement is taken in before the end.
        one.send(&[0xC0, 0]).expect("PINGREQ is sent");
        assert!(matches!(one.read(PATIENCE), Ok(Packet::PingResp)));
        let mut two = worker(&broker, Version::V5, "two", 1);
        match stored {
            true => end_session(one),
            false => one.abort(),
        }
        let mut rest = work(&mut two, 3);
        rest.sort_unstable();
        assert_eq!(rest, [1, 3, 4], "stored: {stored}");
        two.expect_nothing(QUIET);
    }
}

/// [MQTT-4.8.2-5]: what was sent at QoS 2 goes to nobody else.
#[test]
fn what_was_sent_at_qos_2_goes_to_nobody_else() {
    for stored in [true, false] {
        let broker = Broker::start();
        let mut one = match stored {
            true => worker(&broker, Version::V5, "one", 2),
            false => passing_worker(&broker, Version::V5, "one", 2),
        };
        publish(&broker, 1..=2, 2);
        one.expect_publish();
        one.expect_publish();
        let mut two = worker(&broker, Version::V5, "two", 2);
        match stored {
            true => end_session(one),
            false => one.abort(),
        }
        publish(&broker, 3..=3, 2);
        assert_eq!(work(&mut two, 1), [3], "stored: {stored}");
        two.expect_nothing(QUIET);
    }
}

/// [MQTT-4.8.2-4]: a member that returns completes what it began; nobody else gets it meanwhile.
#[test]
fn a_member_that_returns_completes_what_it_began() {
    for qos in [1, 2] {
        let broker = Broker::start();
        let mut one = worker(&broker, Version::V5, "one", 2);
        publish(&broker, 1..=1, qos);
        let first = one.expect_publish();
        one.abort();
        let mut two = worker(&broker, Version::V5, "two", 2);
        two.expect_nothing(QUIET);
        let mut one = session(&broker, Version::V5, "one");
        let again = one.expect_publish();
        assert_eq!((again.packet_id, again.dup, &again.payload), (first.packet_id, true, &first.payload));
        acknowledge(&mut one, &again);
        assert!(drain(&mut one).is_empty());
    }
}

/// [MQTT-4.8.2-6]: a message that a member refuses is discarded.
#[test]
fn what_a_member_refuses_goes_to_nobody() {
    for (kind, qos) in [(kind::PUBACK, 1), (kind::PUBREC, 2)] {
        for stored in [true, false] {
            let broker = Broker::start();
            let mut one = match stored {
                true => worker(&broker, Version::V5, "one", 2),
                false => passing_worker(&broker, Version::V5, "one", 2),
            };
            publish(&broker, 1..=1, qos);
            let job = one.expect_publish();
            let refusal = Ack { reason: 0x83, ..Ack::new(job.packet_id) };
            one.send(&refusal.encode(kind, Version::V5)).expect("a refusal is sent");
            publish(&broker, 2..=2, qos);
            assert_eq!(work(&mut one, 1), [2]);
            let mut two = worker(&broker, Version::V5, "two", 2);
            end_session(one);
            publish(&broker, 3..=3, qos);
            assert_eq!(work(&mut two, 1), [3], "QoS {qos}, stored: {stored}");
            two.expect_nothing(QUIET);
        }
    }
}

/// A member with no room leaves the rest to the others.
#[test]
fn a_member_takes_no_more_than_its_window() {
    let broker = Broker::start();
    let narrow = Connect::persistent(Version::V5, "narrow").property(Property::ReceiveMaximum(2));
    let mut narrow = broker.connect(&narrow).0;
    narrow.subscribe(&Subscribe::new(1, FILTER, 1));
    let mut wide = worker(&broker, Version::V311, "wide", 1);
    publish(&broker, 1..=20, 1);
    let held: Vec<u16> = (0..2).map(|_| number(&narrow.expect_publish())).collect();
    narrow.expect_nothing(QUIET);
    let mut rest = drain(&mut wide);
    rest.extend(&held);
    rest.sort_unstable();
    assert_eq!(rest, (1..=20).collect::<Vec<_>>());
}

/// While no member is connected, a group with a stored one queues; whoever comes first takes.
#[test]
fn a_group_queues_while_its_members_are_away() {
    for version in VERSIONS {
        let broker = Broker::start();
        worker(&broker, version, "one", 1).disconnect();
        publish(&broker, 1..=5, 1);
        let mut two = passing_worker(&broker, version, "two", 1);
        assert_eq!(work(&mut two, 5), [1, 2, 3, 4, 5]);
        let mut one = session(&broker, version, "one");
        one.expect_nothing(QUIET);
    }
}

#[test]
fn the_last_member_takes_the_group_along() {
    let broker = Broker::start();
    let mut one = worker(&broker, Version::V5, "one", 1);
    assert_eq!(one.unsubscribe(&Unsubscribe::new(2, FILTER)).reasons, [0]);
    publish(&broker, 1..=3, 1);
    one.subscribe(&Subscribe::new(3, FILTER, 1));
    publish(&broker, 4..=4, 1);
    assert_eq!(work(&mut one, 1), [4]);
    assert_eq!(one.unsubscribe(&Unsubscribe::new(4, FILTER)).reasons, [0]);
    assert_eq!(one.unsubscribe(&Unsubscribe::new(5, FILTER)).reasons, [0x11]);
}

/// [MQTT-3.10.4-3]: what has begun goes on after UNSUBSCRIBE, and is nobody else's.
#[test]
fn what_has_begun_goes_on_after_unsubscribe() {
    for stored in [true, false] {
        let broker = Broker::start();
        let mut one = match stored {
            true => worker(&broker, Version::V5, "one", 1),
            false => passing_worker(&broker, Version::V5, "one", 1),
        };
        let mut two = broker.client(Version::V5, "two");
        publish(&broker, 1..=1, 1);
        let job = one.expect_publish();
        two.subscribe(&Subscribe::new(1, FILTER, 1));
        assert_eq!(one.unsubscribe(&Unsubscribe::new(2, FILTER)).reasons, [0]);
        two.expect_nothing(QUIET);
        acknowledge(&mut one, &job);
        publish(&broker, 2..=2, 1);
        assert_eq!(work(&mut two, 1), [2], "stored: {stored}");
    }
}

/// A member that does not read holds up nobody but itself.
#[test]
fn a_stuck_member_leaves_the_work_to_the_others() {
    let broker = Setup::new().setting("limits.max_inflight_messages", "10").start();
    let _stuck = worker(&broker, Version::V5, "stuck", 1);
    let mut member = worker(&broker, Version::V5, "busy", 1);
    publish(&broker, 1..=200, 1);
    assert!(drain(&mut member).len() >= 190);
}

/// A client that took the session over pulls in its place.
#[test]
fn a_member_that_is_taken_over_loses_nothing() {
    let broker = Broker::start();
    let mut old: Client = worker(&broker, Version::V5, "one", 1);
    publish(&broker, 1..=3, 1);
    old.expect_publish();
    let mut new = session(&broker, Version::V5, "one");
    publish(&broker, 4..=5, 1);
    let mut numbers = drain(&mut new);
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}
