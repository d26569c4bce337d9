//! Clients that were connected when the broker died: when their wills are due, and what cancels them.

use std::time::{Duration, Instant};

use barnacle_wire::{Connect, Property, Subscribe, Version};

use super::{
    TOPIC, VERSIONS, broker_with_grace, client, expect_no_will, expect_will_after, leave, make_watcher,
    next_will, watcher, will_of,
};
use crate::broker::Broker;

#[test]
fn the_wills_of_clients_that_do_not_return_come_when_the_grace_has_passed_and_once() {
    let mut broker = broker_with_grace(1);
    make_watcher(&broker);
    let mut connections = Vec::new();
    let mut expected = Vec::new();
    for version in VERSIONS {
        for (kind, connect) in [("brief", Connect::new as fn(_, &str) -> _), ("lasting", Connect::persistent)]
        {
            let client_id = format!("{kind} {version:?}");
            connections.push(broker.connect(&connect(version, &client_id).will(will_of(&client_id))).0);
            expected.push(client_id);
        }
    }
    expected.sort();
    broker.kill();
    let begun = Instant::now();
    broker.start_again();
    let mut watcher = watcher(&broker);
    let mut came = vec![next_will(&mut watcher)];
    assert!(begun.elapsed() >= Duration::from_millis(950), "it came after {:?}", begun.elapsed());
    came.extend((1..expected.len()).map(|_| next_will(&mut watcher)));
    came.sort();
    assert_eq!(came, expected);
    leave(watcher);
    broker.kill_and_start_again();
    expect_no_will(&mut super::watcher(&broker), Duration::from_millis(1500));
}

#[test]
fn a_short_keep_alive_is_sooner_than_the_grace_and_a_delay_comes_on_top() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let silent = broker.connect(&client("silent", 100, 0).keep_alive(1)).0;
    let delayed = broker.connect(&client("delayed", 100, 1).keep_alive(1)).0;
    let without = broker.connect(&client("without keep-alive", 100, 0).keep_alive(0)).0;
    broker.kill();
    let begun = Instant::now();
    broker.start_again();
    drop((silent, delayed, without));
    let mut watcher = watcher(&broker);
    expect_will_after(&mut watcher, "silent", begun, Duration::from_millis(1500));
    expect_will_after(&mut watcher, "delayed", begun, Duration::from_millis(2500));
    // That one has the whole grace.
    expect_no_will(&mut watcher, Duration::from_millis(500));
}

#[test]
fn a_will_does_not_wait_for_grace_or_delay_when_its_session_ends_before() {
    let mut broker = Broker::start();
    make_watcher(&broker);
    let ending = broker.connect(&client("ending", 1, 1000)).0;
    broker.kill();
    let begun = Instant::now();
    broker.start_again();
    drop(ending);
    let mut watcher = watcher(&broker);
    expect_will_after(&mut watcher, "ending", begun, Duration::from_secs(1));
    assert!(!broker.connect(&client("ending", 1, 1000)).1.session_present);
}

#[test]
fn a_return_that_resumes_the_session_cancels_its_will() {
    let mut broker = broker_with_grace(1);
    make_watcher(&broker);
    for will_delay in [0, 1] {
        let client_id = format!("returns {will_delay}");
        let before = broker.connect(&client(&client_id, 100, will_delay)).0;
        broker.kill_and_start_again();
        drop(before);
        let mut back = Connect::new(Version::V5, &client_id).clean_start(false);
        back.properties.push(Property::SessionExpiryInterval(100));
        let (back, connack) = broker.connect(&back);
        assert!(connack.session_present);
        expect_no_will(&mut watcher(&broker), Duration::from_millis(2500));
        back.disconnect();
    }
}

/// Its session had ended with its connection: a return does not resume it, and the will is published, before anything that
/// the client says then.
#[test]
fn a_return_after_a_session_that_ended_with_its_connection_finds_none_and_publishes_its_will() {
    for version in VERSIONS {
        for clean_start in [true, false] {
            let mut broker = Broker::start();
            make_watcher(&broker);
            let before = broker.connect(&Connect::new(version, "brief").will(will_of("brief"))).0;
            broker.kill_and_start_again();
            drop(before);
            // Connected at once, to see that it is the return that publishes it.
            let mut watcher = watcher(&broker);
            let (mut back, connack) =
                broker.connect(&Connect { clean_start, ..Connect::persistent(version, "brief") });
            assert!(!connack.session_present);
            back.deliver(&barnacle_wire::Publish::new(TOPIC, "online").qos(1, 1));
            assert_eq!([next_will(&mut watcher), next_will(&mut watcher)], ["brief", "online"]);
        }
    }
}

/// A client that is not known to any session may watch too, from the restart on.
#[test]
fn live_subscribers_get_the_wills_of_interrupted_clients() {
    let mut broker = broker_with_grace(1);
    let gone = broker.connect(&client("gone", 0, 0)).0;
    broker.kill_and_start_again();
    drop(gone);
    let mut live = VERSIONS.map(|version| {
        let mut live = broker.client(version, &format!("live {version:?}"));
        live.subscribe(&Subscribe::new(1, TOPIC, 1));
        live
    });
    for live in &mut live {
        assert_eq!(live.expect_publish().payload, b"gone");
    }
}
