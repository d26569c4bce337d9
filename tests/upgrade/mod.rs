//! Upgrades: what an earlier version has written, this one opens, and has everything.
//!
//! Each part of the store is a scenario that is played twice: one version writes it, and another, or the same, finds it.
//! `tests/fixtures/store-v1` holds what the first version wrote; `make fixture` writes what this one does.

mod backlog;
mod exchanges;
mod fixture;
mod groups;
mod limited;
mod retained;
mod wills;

use std::path::Path;
use std::time::Duration;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{
    Ack, Client, ClientError, Connect, Disconnect, Packet, Property, Publish, Version, kind,
};
use serde_json::Value;

use crate::broker::store::{run, text};
use crate::broker::{Broker, Setup};
use crate::traffic::Subscriber;

/// An interval in seconds that no fixture outlives: 126 years.
const LONG: u32 = 4_000_000_000;

/// Long enough for a packet that should not come to have come.
const QUIET: Duration = Duration::from_millis(150);

/// The versions that differ on the wire, and what names of the one are told from names of the other by.
const VERSIONS: [(Version, &str); 2] = [(Version::V311, "311"), (Version::V5, "5")];

/// The broker that writes: with a limit for what one of the scenarios leaves, and no file that only keeps space.
fn writer() -> Setup {
    Setup::new()
        .setting("storage.ballast_bytes", "0")
        .setting("queue.session_max_messages", &limited::LIMIT.to_string())
        .setting("queue.session_policy", "drop-newest")
}

/// The broker that finds it all. Clients that were interrupted get no time to come back: their wills are due at once.
fn reader() -> Setup {
    Setup::new().setting("session.will_grace_seconds", "0")
}

/// Writes everything: one half before an orderly end, which leaves it in table files, the other before a kill, which leaves
/// it in the write-ahead log. The broker that is returned is dead.
fn written() -> Broker {
    let mut broker = writer().start();
    backlog::write_first(&broker);
    limited::write(&broker);
    retained::write_first(&broker);
    wills::write_first(&broker);
    exchanges::write_first(&broker);
    groups::write_first(&broker);
    assert!(broker.terminate().success());
    broker.start_again();
    backlog::write_second(&broker);
    let connected = [
        retained::write_second(&broker),
        wills::write_second(&broker),
        exchanges::write_second(&broker),
        groups::write_second(&broker),
    ];
    broker.kill();
    drop(connected);
    broker
}

/// Sees that everything is there, and that nothing of it comes again after it was taken.
fn expect_everything(broker: &mut Broker) {
    wills::expect(broker);
    backlog::expect(broker);
    limited::expect(broker);
    retained::expect(broker);
    exchanges::expect(broker);
    groups::expect(broker);
    assert!(broker.terminate().success());
    expect_whole(&broker.data_directory());
    broker.start_again();
    backlog::expect_nothing_more(broker);
    exchanges::expect_nothing_more(broker);
    groups::expect_nothing_more(broker);
}

/// Sees that `barnacle check` finds nothing.
fn expect_whole(directory: &Path) {
    let checked = run(&["check"], directory);
    assert_eq!(checked.status.code(), Some(0), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

/// What `barnacle inspect` says of a store.
fn inspected(directory: &Path) -> Value {
    let output = run(&["inspect", "--json"], directory);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What it says of a session.
fn session_of<'a>(inspection: &'a Value, client_id: &str) -> &'a Value {
    let sessions = inspection["sessions"].as_array().expect("sessions");
    let found = sessions.iter().find(|session| session["client_id"] == client_id);
    found.unwrap_or_else(|| panic!("the session {client_id} is not there"))
}

/// The session of a client, made or resumed.
fn connect(broker: &Broker, version: Version, client_id: &str) -> Client {
    broker.connect(&Connect::persistent(version, client_id)).0
}

/// Publishes messages, each to the end of its exchange, whether or not anybody wants it now.
fn publish(broker: &Broker, messages: impl IntoIterator<Item = Publish>) {
    let mut press = broker.client(Version::V5, "press");
    for (packet_id, mut message) in (1..).zip(messages) {
        message.packet_id = if message.qos == 0 { 0 } else { packet_id };
        press.publish(&message).expect("PUBLISH is sent");
        match message.qos {
            0 => {}
            1 => expect_taken(press.read(PATIENCE)),
            _ => {
                expect_taken(press.read(PATIENCE));
                press.ack(kind::PUBREL, packet_id).expect("PUBREL is sent");
                press.expect(&Packet::PubComp(Ack::new(packet_id)));
            }
        }
    }
    press.disconnect();
}

#[track_caller]
fn expect_taken(packet: Result<Packet, ClientError>) {
    let taken = matches!(&packet, Ok(Packet::PubAck(ack) | Packet::PubRec(ack)) if ack.reason < 0x80);
    assert!(taken, "{packet:?} came where PUBACK or PUBREC belongs");
}

/// Sees that a subscriber gets nothing more, and that what it has acknowledged is kept.
#[track_caller]
fn leave(mut subscriber: Subscriber) {
    if let Ok(message) = subscriber.next(QUIET) {
        panic!("{message:?} came and should not have");
    }
    let version = subscriber.client().version();
    subscriber.client().send(&Disconnect::default().encode(version)).expect("DISCONNECT is sent");
    subscriber.client().expect_close();
}

/// Ends a session with its connection.
fn end_session(mut client: Client) {
    let properties = vec![Property::SessionExpiryInterval(0)];
    let goodbye = Disconnect { properties, ..Disconnect::default() };
    client.send(&goodbye.encode(Version::V5)).expect("DISCONNECT is sent");
    client.expect_close();
}

/// The next packets.
#[track_caller]
fn packets(client: &mut Client, count: usize) -> Vec<Packet> {
    let mut packets = Vec::new();
    while packets.len() < count {
        match client.read(PATIENCE) {
            Ok(packet) => packets.push(packet),
            Err(error) => panic!("{error} after {packets:?}"),
        }
    }
    packets
}

/// What this version writes it finds. With `BARNACLE_FIXTURE=DIR` the written store is also kept as a fixture in DIR:
/// that is what `make fixture` is.
#[test]
fn what_this_version_writes_it_opens_and_has_everything() {
    let mut broker = written();
    expect_whole(&broker.data_directory());
    if let Some(folder) = std::env::var_os("BARNACLE_FIXTURE") {
        fixture::pack(&broker.data_directory(), Path::new(&folder));
    }
    broker.start_again_as(reader());
    expect_everything(&mut broker);
}

#[test]
fn what_the_first_version_wrote_is_opened_and_has_everything() {
    let directory = fixture::unpacked("store-v1");
    expect_whole(&directory.path().join("data"));
    let mut broker = reader().start_in(directory);
    expect_everything(&mut broker);
}
