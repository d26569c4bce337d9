//! Members that come and go while the broker lives: what `tests/conformance/state` does not show of them, for it is about stored
//! members and the standard's words.

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Client, Packet, Publish, Subscribe, Unsubscribe, Version};

use super::{FILTER, QUIET, VERSIONS, acknowledge, drain, passing_worker, publish, session, work, worker};
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

/// What a member leaves unacknowledged at QoS 1 another gets when its session ends: here with its connection.
#[test]
fn what_a_passing_member_has_not_acknowledged_at_qos_1_goes_to_another() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut one = passing_worker(&broker, version, "one", 1);
        publish(&broker, 1..=4, 1);
        let jobs: Vec<Publish> = (0..4).map(|_| one.expect_publish()).collect();
        acknowledge(&mut one, &jobs[1]);
        // The acknowledgement is taken in before the end.
        one.send(&[0xC0, 0]).expect("PINGREQ is sent");
        assert!(matches!(one.read(PATIENCE), Ok(Packet::PingResp)));
        let mut two = worker(&broker, version, "two", 1);
        one.abort();
        let mut rest = work(&mut two, 3);
        rest.sort_unstable();
        assert_eq!(rest, [1, 3, 4], "{version:?}");
        two.expect_nothing(QUIET);
    }
}

/// [MQTT-4.8.2-5]: what was sent at QoS 2 goes to nobody else.
#[test]
fn what_a_passing_member_was_sent_at_qos_2_goes_to_nobody_else() {
    let broker = Broker::start();
    let mut one = passing_worker(&broker, Version::V5, "one", 2);
    publish(&broker, 1..=2, 2);
    one.expect_publish();
    one.expect_publish();
    let mut two = worker(&broker, Version::V5, "two", 2);
    one.abort();
    publish(&broker, 3..=3, 2);
    assert_eq!(work(&mut two, 1), [3]);
    two.expect_nothing(QUIET);
}

/// [MQTT-3.10.4-3]: what has begun goes on after UNSUBSCRIBE, and is nobody else's.
#[test]
fn what_a_passing_member_has_begun_goes_on_after_unsubscribe() {
    let broker = Broker::start();
    let mut one = passing_worker(&broker, Version::V5, "one", 1);
    let mut two = broker.client(Version::V5, "two");
    publish(&broker, 1..=1, 1);
    let job = one.expect_publish();
    two.subscribe(&Subscribe::new(1, FILTER, 1));
    assert_eq!(one.unsubscribe(&Unsubscribe::new(2, FILTER)).reasons, [0]);
    two.expect_nothing(QUIET);
    acknowledge(&mut one, &job);
    publish(&broker, 2..=2, 1);
    assert_eq!(work(&mut two, 1), [2]);
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
