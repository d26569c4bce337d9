//! Wills, whatever the broker goes through: its crash, its orderly end, and its crash at the very moment of publication.
//!
//! Who watches has a stored session, comes when it pleases, and finds each will once.

mod crash;
mod interrupted;
mod message;
mod shutdown;

use std::time::{Duration, Instant};

use barnacle_wire::{Client, Connect, Disconnect, Property, Subscribe, Version, Will};

use crate::broker::{Broker, Setup};
use crate::traffic::Subscriber;

/// The topic of all wills here.
const TOPIC: &str = "will";

/// The versions that differ on the wire.
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// A broker that gives interrupted clients so many seconds to come back.
fn broker_with_grace(seconds: u32) -> Broker {
    Setup::new().setting("session.will_grace_seconds", &seconds.to_string()).start()
}

/// A will whose payload tells whose it is.
fn will_of(client_id: &str) -> Will {
    let payload = client_id.as_bytes().to_vec();
    Will { topic: TOPIC.to_owned(), payload, qos: 1, ..Will::default() }
}

/// An MQTT 5 client with a will: its Session Expiry Interval and its Will Delay Interval, in seconds.
fn client(client_id: &str, session_expiry: u32, will_delay: u32) -> Connect {
    let mut will = will_of(client_id);
    will.properties.push(Property::WillDelayInterval(will_delay));
    let connect = Connect::new(Version::V5, client_id).clean_start(false).will(will);
    connect.property(Property::SessionExpiryInterval(session_expiry))
}

/// The session that watches, made before anything happens. It is not connected.
fn make_watcher(broker: &Broker) {
    let mut watcher = broker.new_session(Version::V5, "watcher");
    watcher.subscribe(&Subscribe::new(1, TOPIC, 2));
    watcher.disconnect();
}

/// The session that watches, connected.
fn watcher(broker: &Broker) -> Subscriber {
    Subscriber::new(broker.resume(Version::V5, "watcher"))
}

/// The next will: whose it is.
#[track_caller]
fn next_will(watcher: &mut Subscriber) -> String {
    let message = watcher.take(1).remove(0);
    String::from_utf8(message.payload).expect("wills are text here")
}

/// Sees that a will comes, and not before so long after `since`.
#[track_caller]
fn expect_will_after(watcher: &mut Subscriber, client_id: &str, since: Instant, delay: Duration) {
    assert_eq!(next_will(watcher), client_id);
    let took = since.elapsed();
    // The broker counts in milliseconds, and from a moment before.
    assert!(took + Duration::from_millis(50) >= delay, "the will of {client_id} came after {took:?}");
}

/// Sees that no more wills come for so long.
#[track_caller]
fn expect_no_will(watcher: &mut Subscriber, quiet: Duration) {
    if let Ok(message) = watcher.next(quiet) {
        panic!("{message:?} came and should not have");
    }
}

/// Ends a connection badly, and waits until what the broker makes of it is kept: it closes no sooner.
#[track_caller]
fn end_badly(mut client: Client) {
    client.send(&[0x00, 0x00]).expect("garbage is sent");
    client.expect_close();
}

/// The session that watches leaves, and what it has acknowledged is kept: it will not be sent again.
#[track_caller]
fn leave(mut watcher: Subscriber) {
    let good_bye = Disconnect::default().encode(watcher.client().version());
    watcher.client().send(&good_bye).expect("DISCONNECT is sent");
    watcher.client().expect_close();
}
