//! Sessions that expire while nobody is there to look.

use std::thread;
use std::time::Duration;

use barnacle_wire::{Connect, Version};

use crate::broker::{Broker, Setup};

fn present(broker: &Broker, connect: &Connect) -> bool {
    let (client, connack) = broker.connect(connect);
    client.disconnect();
    connack.session_present
}

/// MQTT 3.1.1 has no Session Expiry Interval: the operator's applies, from the end of the connection on, whoever is down.
#[test]
fn an_older_clients_session_expires_as_configured_across_a_restart() {
    let version = Version::V311;
    for orderly in [true, false] {
        let mut broker = Setup::new().setting("session.mqtt3_expiry_seconds", "2").start();
        broker.new_session(version, "short").disconnect();
        broker.new_session(Version::V5, "its own").disconnect();
        if orderly {
            assert!(broker.terminate().success());
        } else {
            broker.kill();
        }
        thread::sleep(Duration::from_millis(1100));
        broker.start_again();
        assert!(present(&broker, &Connect::persistent(version, "short")), "half its time is over");
        broker.kill();
        thread::sleep(Duration::from_millis(2100));
        broker.start_again();
        assert!(!present(&broker, &Connect::persistent(version, "short")));
        assert!(present(&broker, &Connect::persistent(Version::V5, "its own")));
    }
}

#[test]
fn an_older_clients_session_never_expires_unless_that_is_set() {
    let mut broker = Broker::start();
    broker.new_session(Version::V311, "lasting").disconnect();
    broker.kill();
    thread::sleep(Duration::from_millis(1100));
    broker.start_again();
    assert!(present(&broker, &Connect::persistent(Version::V311, "lasting")));
}
