//! What the tests of messages and of session state have in common.

use barnacle_wire::property::Pair;
use barnacle_wire::{Ack, Connect, Disconnect, Packet, Property, Publish, Subscribe, Version, Will, kind};

use crate::server::{Peer, Server};

pub(crate) const V5: Version = Version::V5;

/// The options byte of a subscription, beside the QoS.
pub(crate) const NO_LOCAL: u8 = 1 << 2;
pub(crate) const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
pub(crate) const SEND_IF_NEW: u8 = 1 << 4;
pub(crate) const NEVER_SEND: u8 = 2 << 4;

impl Server {
    /// The same server, for a client of another version beside.
    pub(crate) fn in_version(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    /// A connection whose session outlives it, made now: Session Present must be 0.
    #[track_caller]
    pub(crate) fn new_session(&self, client_id: &str) -> Peer {
        let (peer, present) = self.session(client_id);
        assert!(!present, "{client_id} has a session before it made one");
        peer
    }

    /// A connection to the session that is there: Session Present must be 1.
    #[track_caller]
    pub(crate) fn resume(&self, client_id: &str) -> Peer {
        let (peer, present) = self.session(client_id);
        assert!(present, "the session of {client_id} is gone");
        peer
    }
}

/// Three ways to listen: with a session that ends with its connection, with one that lasts, and with one whose client has left
/// and is to come back as `away`.
#[track_caller]
pub(crate) fn live_stored_and_away(server: &Server, subscribe: &Subscribe) -> (Peer, Peer) {
    let mut live = server.client("live");
    let mut stored = server.new_session("stored");
    let mut away = server.new_session("away");
    for subscriber in [&mut live, &mut stored, &mut away] {
        subscriber.subscribe(subscribe);
    }
    away.disconnect();
    (live, stored)
}

/// Sees that nothing waits for a subscriber: the next message is one published now, at QoS 1, on a topic that it
/// subscribes to.
#[track_caller]
pub(crate) fn nothing_before_marker(server: &Server, subscriber: &mut Peer, topic: &str) {
    server.publish(&Publish::new(topic, "marker").qos(1, 1));
    let next = subscriber.message();
    assert_eq!(text(&next), "marker", "{next:?} came and should not have");
    finish(subscriber, &next);
}

/// Sees that a connection is served in earnest: it is brought what it subscribes to.
#[track_caller]
pub(crate) fn works(server: &Server, peer: &mut Peer) {
    peer.subscribe(&Subscribe::new(60_000, "works", 1));
    nothing_before_marker(server, peer, "works");
}

/// What a subscriber owes for a message; nothing else may come meanwhile.
#[track_caller]
pub(crate) fn finish(subscriber: &mut Peer, message: &Publish) {
    match message.qos {
        0 => {}
        1 => subscriber.ack(kind::PUBACK, message.packet_id),
        _ => {
            subscriber.ack(kind::PUBREC, message.packet_id);
            subscriber.expect(&Packet::PubRel(Ack::new(message.packet_id)));
            subscriber.ack(kind::PUBCOMP, message.packet_id);
        }
    }
}

/// The next message with its exchange done.
#[track_caller]
pub(crate) fn take(subscriber: &mut Peer) -> Publish {
    let message = subscriber.message();
    finish(subscriber, &message);
    message
}

/// The next messages with their exchanges done, each QoS 2 message once.
#[track_caller]
pub(crate) fn take_all(subscriber: &mut Peer, count: usize) -> Vec<Publish> {
    let (mut messages, mut releases) = (Vec::new(), 0);
    while messages.len() < count || releases > 0 {
        match subscriber.receive() {
            Packet::Publish(message) => {
                match message.qos {
                    0 => {}
                    1 => subscriber.ack(kind::PUBACK, message.packet_id),
                    _ => subscriber.ack(kind::PUBREC, message.packet_id),
                }
                releases += usize::from(message.qos == 2);
                messages.push(message);
            }
            Packet::PubRel(release) => {
                subscriber.ack(kind::PUBCOMP, release.packet_id);
                releases -= 1;
            }
            other => panic!("{other:?} after {} of {count} messages", messages.len()),
        }
    }
    messages
}

/// The same, as text.
#[track_caller]
pub(crate) fn take_texts(subscriber: &mut Peer, count: usize) -> Vec<String> {
    take_all(subscriber, count).iter().map(text).collect()
}

pub(crate) fn text(message: &Publish) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// Sees the server end the connection as the next thing it does, for one of these reasons: see [`Server::thrown_out`].
#[track_caller]
pub(crate) fn expect_end(server: &Server, peer: &mut Peer, reasons: &[u8]) {
    let ending = peer.ending();
    let expected = reasons.iter().any(|reason| ending == server.thrown_out(*reason));
    assert!(expected, "{ending}, where the reason is one of {reasons:02x?}");
}

/// Sends a packet on a new connection, which stands before it, and sees that the connection ends for it.
#[track_caller]
pub(crate) fn refused(server: &Server, packet: &[u8], reasons: &[u8]) {
    let mut peer = server.client("offender");
    peer.ping();
    peer.send(packet);
    expect_end(server, &mut peer, reasons);
}

/// Ends a session.
#[track_caller]
pub(crate) fn end_session(server: &Server, client_id: &str) {
    server.client(client_id).disconnect();
}

/// A session of 5.0 that lives on for so many seconds.
pub(crate) fn expiring(client_id: &str, session_expiry_interval: u32) -> Connect {
    let connect = Connect::new(V5, client_id).clean_start(false);
    connect.property(Property::SessionExpiryInterval(session_expiry_interval))
}

/// DISCONNECT of 5.0 that changes the Session Expiry Interval.
pub(crate) fn leaving(session_expiry_interval: u32) -> Vec<u8> {
    let properties = vec![Property::SessionExpiryInterval(session_expiry_interval)];
    Disconnect { reason: 0, properties }.encode(V5)
}

/// Waits until so many seconds have passed by the server's own clock: the session that ends then has a will.
#[track_caller]
pub(crate) fn seconds_pass(server: &Server, seconds: u32) {
    let server = server.in_version(V5);
    let mut watcher = server.client("clock watcher");
    watcher.subscribe(&Subscribe::new(1, "clock", 1));
    let mut will = will("clock", "passed");
    will.properties.push(Property::WillDelayInterval(seconds + 1000));
    server.connect(&expiring("clock", seconds).will(will)).0.abort();
    assert_eq!(text(&take(&mut watcher)), "passed");
    watcher.disconnect();
}

/// A will of QoS 1.
pub(crate) fn will(topic: &str, payload: &str) -> Will {
    Will { topic: topic.to_owned(), payload: payload.as_bytes().to_vec(), qos: 1, ..Will::default() }
}

pub(crate) fn property<T>(properties: &[Property], pick: impl Fn(&Property) -> Option<T>) -> Option<T> {
    properties.iter().find_map(pick)
}

pub(crate) fn topic_alias(message: &Publish) -> Option<u16> {
    property(&message.properties, |property| match property {
        Property::TopicAlias(alias) => Some(*alias),
        _ => None,
    })
}

pub(crate) fn expiry(message: &Publish) -> Option<u32> {
    property(&message.properties, |property| match property {
        Property::MessageExpiryInterval(seconds) => Some(*seconds),
        _ => None,
    })
}

/// The Subscription Identifiers of a message, sorted: their order has no meaning [MQTT-3.3.4-4].
pub(crate) fn identifiers(message: &Publish) -> Vec<u32> {
    let identifiers = message.properties.iter().filter_map(|property| match property {
        Property::SubscriptionIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    let mut identifiers: Vec<u32> = identifiers.collect();
    identifiers.sort_unstable();
    identifiers
}

pub(crate) fn user_property(name: &str, value: &str) -> Property {
    Property::UserProperty(Pair(name.to_owned(), value.to_owned()))
}
