//! Wills that were under way when the broker died.

use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Connect, Version, packets};

use super::{
    VERSIONS, broker_with_grace, client, end_badly, expect_no_will, expect_will_after, leave, make_watcher,
    next_will, watcher, will_of,
};
use crate::broker::Broker;

/// The client is gone, and the broker dies a moment later: before it has noticed, while it writes, or after. The will is
/// published once, by this broker or by the next.
#[test]
fn a_will_is_published_once_however_the_broker_dies() {
    let mut broker = broker_with_grace(0);
    make_watcher(&broker);
    for round in 0..24 {
        // The first half ends with its connection, the second outlives it.
        let session_expiry = if round < 12 { 0 } else { 100 };
        let client_id = format!("client {round}");
        let (leaving, _) = broker.connect(&client(&client_id, session_expiry, 0));
        leaving.abort();
        let until = Instant::now() + Duration::from_micros(250) * (round % 12);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        broker.kill_and_start_again();
        let mut watcher = watcher(&broker);
        assert_eq!(next_will(&mut watcher), client_id);
        watcher.client().send(&packets::ping()).expect("the connection is alive");
        let (more, _) = watcher.wait_for_other();
        assert!(more.is_empty(), "round {round}: {more:?}");
        leave(watcher);
    }
}

/// The same at the moment at which delayed wills are due, one every few milliseconds: some are published by the broker that
/// dies, the others by the next.
#[test]
fn delayed_wills_are_published_once_when_the_broker_dies_as_they_fall_due() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    for round in 0..4 {
        let begun = Instant::now();
        let mut expected = Vec::new();
        for number in 0..12 {
            let client_id = format!("client {round} {number}");
            end_badly(broker.connect(&client(&client_id, 100, 1)).0);
            expected.push(client_id);
        }
        let took = begun.elapsed();
        thread::sleep((Duration::from_secs(1) + took / 2).saturating_sub(begun.elapsed()));
        broker.kill_and_start_again();
        let mut watcher = watcher(&broker);
        let mut came: Vec<_> = expected.iter().map(|_| next_will(&mut watcher)).collect();
        came.sort();
        expected.sort();
        assert_eq!(came, expected);
        watcher.client().send(&packets::ping()).expect("the connection is alive");
        assert!(watcher.wait_for_other().0.is_empty());
        leave(watcher);
    }
}

#[test]
fn a_delayed_will_goes_on_counting_across_a_crash() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let begun = Instant::now();
    let leaving = broker.connect(&client("delayed", 100, 2)).0;
    end_badly(leaving);
    broker.kill_and_start_again();
    let mut watcher = watcher(&broker);
    expect_will_after(&mut watcher, "delayed", begun, Duration::from_secs(2));
    // Counted from the restart, with the grace of 60 s, it would not be here yet.
    leave(watcher);
    broker.kill_and_start_again();
    let mut watcher = super::watcher(&broker);
    expect_no_will(&mut watcher, Duration::from_millis(500));
}

#[test]
fn a_delayed_will_that_fell_due_while_the_broker_was_down_is_there_when_it_is_up() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let leaving = broker.connect(&client("overdue", 100, 1)).0;
    end_badly(leaving);
    broker.kill();
    thread::sleep(Duration::from_millis(1100));
    broker.start_again();
    // Even the client's own return comes too late for it.
    broker.connect(&client("overdue", 100, 1)).0.disconnect();
    assert_eq!(next_will(&mut watcher(&broker)), "overdue");
}

#[test]
fn a_return_after_a_crash_cancels_a_delayed_will_for_good() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let leaving = broker.connect(&client("returns", 100, 2)).0;
    end_badly(leaving);
    broker.kill_and_start_again();
    broker.resume(Version::V5, "returns").disconnect();
    broker.kill_and_start_again();
    expect_no_will(&mut watcher(&broker), Duration::from_millis(2500));
}

#[test]
fn a_will_that_was_taken_back_stays_away_after_a_crash() {
    let mut broker = broker_with_grace(0);
    make_watcher(&broker);
    for version in VERSIONS {
        let brief = Connect::new(version, "brief").will(will_of("brief"));
        broker.connect(&brief).0.disconnect();
        let lasting = Connect::persistent(version, "lasting").will(will_of("lasting"));
        broker.connect(&lasting).0.disconnect();
    }
    broker.kill_and_start_again();
    expect_no_will(&mut watcher(&broker), Duration::from_millis(500));
}

/// A session that ends with Clean Start has its will published in the same breath, and CONNACK says that both are kept.
#[test]
fn clean_start_publishes_the_will_of_what_it_ends_before_it_is_acknowledged() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let leaving = broker.connect(&client("cleaned", 1000, 1000)).0;
    end_badly(leaving);
    drop(broker.client(Version::V5, "cleaned"));
    broker.kill_and_start_again();
    let mut watcher = watcher(&broker);
    assert_eq!(next_will(&mut watcher), "cleaned");
    expect_no_will(&mut watcher, Duration::from_millis(300));
}
