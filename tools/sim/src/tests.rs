//! The simulator itself: a seed is a run, whenever it is taken, and what is left out of a run stays out.

use std::time::Duration;

use barnacle_storage::{Fault, Survivors};
use barnacle_wire::packets::{Disconnect, Unsubscribe};
use barnacle_wire::{Connect, Property, Publish, Subscribe, Version};

use crate::campaign;
use crate::machine::{Fate, Machine};
use crate::network::Link;
use crate::scenario::Scenario;
use crate::steps::Steps;
use crate::world;

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_last_event() {
    for seed in 0..40 {
        let (one, other) =
            (world::run(seed, &Steps::default(), false), world::run(seed, &Steps::default(), false));
        assert!(one.events > 0);
        assert_eq!((one.hash, one.events), (other.hash, other.events), "seed {seed}");
    }
    let (one, other) = (world::run(1, &Steps::default(), false), world::run(2, &Steps::default(), false));
    assert_ne!(one.hash, other.hash);
}

/// New seeds are for `make sim`: here a failure is a change of the broker's, or of the simulator's.
#[test]
fn campaign_of_ten_thousand_known_seeds_finds_nothing() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert!(crate::many(0, 10_000, None, threads, 1), "see above");
}

#[test]
fn whatever_a_seed_does_there_is_something_to_judge() {
    let found = campaign::run(0, 200, None, 2, 1);
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    for what in [
        "messages delivered",
        "messages delivered again",
        "messages published again",
        "messages refused",
        "sessions resumed",
        "sessions that have expired",
        "take-overs",
        "links cut",
        "links half-open",
        "kills between operations",
        "power cuts between operations",
        "crashes in an operation",
        "orderly ends",
        "full disks",
        "reads for which the disk gave nothing",
        "turns of the trimmer",
        "wills that are due",
        "wills taken back",
        "messages of a group left to others",
        "messages dropped for the limit of a session",
        "messages dropped for the limit of a group",
        "messages dropped because they had expired",
        "subscriptions with No Local",
        "subscriptions with Retain As Published",
    ] {
        assert!(found.coverage.contains_key(what), "{what} never happened in {} seeds", found.seeds);
    }
}

/// Seed 728, with 5925 and 8881: the committer had crashed before it kept the good-bye, and the connection closed in order.
#[test]
fn a_good_bye_that_is_not_kept_is_not_answered_by_an_orderly_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without threads and sockets").block_on(async {
        for crashes in [false, true] {
            let scenario = Scenario { latency_millis: 0, socket_bytes: 1 << 10, ..Scenario::of(0) };
            let mut machine = Machine::new(&scenario);
            machine.start().expect("an empty disk");
            let link = machine.connect().expect("it has just started");
            let connect =
                Connect::new(Version::V5, "c").property(Property::SessionExpiryInterval(60)).encode();
            link.send(&connect);
            pass(&link).await;
            machine.commit();
            pass(&link).await;
            assert!(!link.receive().is_empty(), "CONNACK");
            link.send(&Disconnect::default().encode(Version::V5));
            pass(&link).await;
            assert!(machine.has_work() && !link.has_ended(), "it is not kept yet");
            if crashes {
                machine.plan(1, Fault::Crash(Survivors::Finished));
            }
            let fate = machine.commit();
            assert_eq!(matches!(fate, Fate::Crashed), crashes, "{fate:?}");
            pass(&link).await;
            assert!(link.has_ended());
            assert_eq!(link.ended_in_order(), !crashes);
            machine.kill(Survivors::Finished).await;
        }
    });
}

/// Seed 4249: the connection went on pulling from the group that had ended, and got nothing of the new one.
#[test]
fn a_group_that_its_last_member_leaves_and_joins_at_once_is_pulled_from() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without threads and sockets").block_on(async {
        let scenario = Scenario { latency_millis: 0, socket_bytes: 1 << 10, ..Scenario::of(0) };
        for expiry in [0, 60] {
            for commits_between in [false, true] {
                let mut machine = Machine::new(&scenario);
                machine.start().expect("an empty disk");
                let link = machine.connect().expect("it has just started");
                let connect =
                    Connect::new(Version::V5, "c").property(Property::SessionExpiryInterval(expiry));
                link.send(&connect.encode());
                turn(&mut machine, &link).await;
                link.send(&Subscribe::new(1, "$share/a/g", 1).encode(Version::V5));
                turn(&mut machine, &link).await;
                link.send(&Unsubscribe::new(1, "$share/a/g").encode(Version::V5));
                if commits_between {
                    turn(&mut machine, &link).await;
                }
                link.send(&Subscribe::new(2, "$share/a/g", 1).encode(Version::V5));
                turn(&mut machine, &link).await;
                link.receive();
                link.send(&Publish::new("g", "message").qos(1, 3).encode(Version::V5));
                turn(&mut machine, &link).await;
                turn(&mut machine, &link).await;
                let got = link.receive();
                assert!(got.windows(7).any(|bytes| bytes == b"message"), "expiry {expiry}: {got:?}");
                machine.kill(Survivors::Finished).await;
            }
        }
    });
}

async fn turn(machine: &mut Machine, link: &Link) {
    pass(link).await;
    machine.commit();
    pass(link).await;
}

async fn pass(link: &Link) {
    for _ in 0..2 {
        link.deliver();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
