//! Sessions that end: by Clean Start, and by their expiry while the broker is down.

use std::thread;
use std::time::Duration;

use barnacle_wire::{Connect, Property, Subscribe, Version};

use super::{VERSIONS, expect_nothing_waits, publish_numbers, stored_subscriber};
use crate::broker::Broker;
use crate::traffic::Subscriber;

/// CONNACK of a Clean Start has come, and the broker is killed at once: the session stays ended.
#[test]
fn clean_start_ends_a_session_for_good() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        for round in 0..4 {
            drop(stored_subscriber(&broker, version, "one", "t", 1));
            publish_numbers(&broker, "t", 1, 0..5);
            let (client, connack) = broker.connect(&Connect::new(version, "one"));
            assert!(!connack.session_present, "[MQTT-3.2.2-2]");
            broker.kill_and_start_again();
            drop(client);
            let (client, connack) = broker.connect(&Connect::persistent(version, "one"));
            assert!(!connack.session_present, "round {round}: the session came back");
            let mut subscriber = Subscriber::new(client);
            subscriber.subscribe(&Subscribe::new(1, "marker", 1));
            expect_nothing_waits(&broker, &mut subscriber, "marker");
            drop(subscriber);
            broker.client(version, "one").disconnect();
        }
    }
}

/// In 5.0 a Clean Start may make a session that lasts: it is there after a kill, and empty.
#[test]
fn clean_start_makes_a_lasting_session_without_what_was_before() {
    let mut broker = Broker::start();
    drop(stored_subscriber(&broker, Version::V5, "one", "t", 1));
    publish_numbers(&broker, "t", 1, 0..5);
    let fresh = Connect::persistent(Version::V5, "one").clean_start(true);
    let (client, connack) = broker.connect(&fresh);
    assert!(!connack.session_present);
    broker.kill_and_start_again();
    drop(client);
    publish_numbers(&broker, "t", 1, 5..8);
    let mut subscriber = Subscriber::new(broker.resume(Version::V5, "one"));
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    expect_nothing_waits(&broker, &mut subscriber, "t");
}

fn expiring(client_id: &str, seconds: u32) -> Connect {
    let connect = Connect::new(Version::V5, client_id).clean_start(false);
    connect.property(Property::SessionExpiryInterval(seconds))
}

/// The expiry of a session whose client had left goes on while the broker is down; that of a session whose client was
/// connected begins when the broker is back.
#[test]
fn a_session_expires_while_the_broker_is_down() {
    for killed in [false, true] {
        let mut broker = Broker::start();
        broker.connect(&expiring("left, short", 2)).0.disconnect();
        broker.connect(&expiring("left, long", 600)).0.disconnect();
        let connected = broker.connect(&expiring("connected", 2)).0;
        let ending = broker.connect(&expiring("ends with its connection", 0)).0;
        if killed {
            broker.kill();
        } else {
            assert!(broker.terminate().success());
        }
        drop((connected, ending));
        thread::sleep(Duration::from_millis(2300));
        broker.start_again();
        let present = |client_id: &str| {
            let (client, connack) = broker.connect(&expiring(client_id, 2));
            client.disconnect();
            connack.session_present
        };
        assert!(!present("left, short"), "it expired while the broker was down");
        assert!(present("left, long"));
        assert!(!present("ends with its connection"));
        if killed {
            assert!(present("connected"), "its time begins with the restart");
            thread::sleep(Duration::from_millis(3300));
            assert!(!present("connected"), "its time has passed");
        }
    }
}
