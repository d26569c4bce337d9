//! The orderly end of the broker: it is not the client that leaves, so no will is taken back, and none is published before
//! the client had its chance to return.

use std::time::{Duration, Instant};

use barnacle_wire::{Connect, Packet, Property, Version};

use super::{broker_with_grace, client, expect_no_will, expect_will_after, leave, make_watcher, watcher};

#[test]
fn an_orderly_end_keeps_wills_until_the_next_start_and_publishes_those_of_clients_that_stay_away() {
    for session_expiry in [0, 100] {
        let mut broker = broker_with_grace(1);
        make_watcher(&broker);
        let mut stays_away = broker.connect(&client("stays away", session_expiry, 0)).0;
        let mut live = watcher(&broker);
        assert!(broker.terminate().success());
        match stays_away.expect_close().as_slice() {
            [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x8B, "server shutting down"),
            other => panic!("{other:?} instead of DISCONNECT"),
        }
        if let Ok(message) = live.next(Duration::from_secs(10)) {
            panic!("{message:?} was published at the end of the broker");
        }
        let begun = Instant::now();
        broker.start_again();
        let mut watcher = watcher(&broker);
        expect_will_after(&mut watcher, "stays away", begun, Duration::from_secs(1));
        leave(watcher);
        assert!(broker.terminate().success());
        broker.start_again();
        expect_no_will(&mut super::watcher(&broker), Duration::from_millis(1500));
    }
}

#[test]
fn a_client_that_returns_after_an_orderly_end_has_no_will_published() {
    let mut broker = broker_with_grace(1);
    make_watcher(&broker);
    let before = broker.connect(&client("returns", 100, 0)).0;
    assert!(broker.terminate().success());
    broker.start_again();
    drop(before);
    let back = Connect::new(Version::V5, "returns").clean_start(false);
    let (_back, connack) = broker.connect(&back.property(Property::SessionExpiryInterval(100)));
    assert!(connack.session_present);
    expect_no_will(&mut watcher(&broker), Duration::from_millis(1500));
}

/// The session's own time runs while the broker is down, and its will goes with it.
#[test]
fn a_session_that_ends_during_the_down_time_has_its_will_published_at_the_start() {
    let mut broker = broker_with_grace(1000);
    make_watcher(&broker);
    let ending = broker.connect(&client("ending", 1, 0)).0;
    assert!(broker.terminate().success());
    drop(ending);
    std::thread::sleep(Duration::from_millis(1100));
    broker.start_again();
    expect_will_after(&mut watcher(&broker), "ending", Instant::now(), Duration::ZERO);
}
