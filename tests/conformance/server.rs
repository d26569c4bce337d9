//! The server that a test speaks to, the broker or a wrong responder, and connections to it.
//!
//! A [`Peer`] answers nothing by itself and sends whatever it is told. Nothing here sleeps to see that nothing comes: a
//! PINGREQ is answered behind everything that had to come before ([`Peer::ping`]).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{
    Ack, Client, ClientError, ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe, Unsubscribe,
    Version, kind, packets,
};

use crate::broker::Broker;

/// Where a test finds its server, and in which version it is to speak.
#[derive(Clone)]
pub(crate) struct Server {
    /// MQTT over TCP.
    pub(crate) address: SocketAddr,
    /// MQTT over WebSocket, path `/mqtt`.
    pub(crate) websocket: SocketAddr,
    /// The version of this run.
    pub(crate) version: Version,
    /// How long an answer may take.
    pub(crate) patience: Duration,
}

impl Server {
    /// The broker.
    pub(crate) fn of(broker: &Broker, version: Version) -> Self {
        let (address, websocket) = (broker.address(), broker.websocket_address());
        Self { address, websocket, version, patience: PATIENCE }
    }

    /// Whether this run is in MQTT 5.
    pub(crate) fn v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A connection on which nothing was sent.
    #[track_caller]
    pub(crate) fn open(&self) -> Peer {
        let client = Client::open(self.address, self.version).expect("the server listens");
        Peer { client, version: self.version, patience: self.patience }
    }

    /// A connection that begins with these bytes.
    #[track_caller]
    pub(crate) fn open_with(&self, bytes: &[u8]) -> Peer {
        let mut peer = self.open();
        peer.send(bytes);
        peer
    }

    /// A connection that was let in, and its CONNACK.
    #[track_caller]
    pub(crate) fn connect(&self, connect: &Connect) -> (Peer, ConnAck) {
        let mut peer = self.open_with(&connect.encode());
        let connack = peer.connack();
        assert_eq!(connack.reason, 0, "CONNACK refuses {connect:?}");
        (peer, connack)
    }

    /// A CONNECT of this version: clean, keep-alive 60 s.
    pub(crate) fn hello(&self, client_id: &str) -> Connect {
        Connect::new(self.version, client_id)
    }

    /// A connection whose session ends with it.
    #[track_caller]
    pub(crate) fn client(&self, client_id: &str) -> Peer {
        self.connect(&self.hello(client_id)).0
    }

    /// A connection to a session that outlives it, and whether the session was there.
    #[track_caller]
    pub(crate) fn session(&self, client_id: &str) -> (Peer, bool) {
        let (peer, connack) = self.connect(&Connect::persistent(self.version, client_id));
        (peer, connack.session_present)
    }

    /// Publishes one message from a client of its own, to the end of its exchange.
    #[track_caller]
    pub(crate) fn publish(&self, message: &Publish) {
        let mut publisher = self.client("a publisher beside");
        publisher.deliver(message);
        publisher.disconnect();
    }
}

/// A client's end of a connection.
pub(crate) struct Peer {
    client: Client,
    version: Version,
    patience: Duration,
}

impl Peer {
    /// Sends bytes as they are. A server that has closed already is met at the next read.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.client.send(bytes) {
            Ok(()) | Err(ClientError::Closed) => {}
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// The next packet.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Packet {
        self.client.read(self.patience).unwrap_or_else(|error| panic!("no packet: {error}"))
    }

    /// Sees that this packet comes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: &Packet) {
        let packet = self.receive();
        assert_eq!(packet, *wanted, "another packet came than the one expected");
    }

    /// The next packet, which has to be CONNACK.
    #[track_caller]
    pub(crate) fn connack(&mut self) -> ConnAck {
        match self.receive() {
            Packet::ConnAck(connack) => connack,
            other => panic!("{other:?} came where CONNACK belongs"),
        }
    }

    /// The next packet, which has to be a PUBLISH.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Publish {
        match self.receive() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} came where a PUBLISH belongs"),
        }
    }

    /// Sends a PUBLISH.
    #[track_caller]
    pub(crate) fn publish(&mut self, message: &Publish) {
        self.send(&message.encode(self.version));
    }

    /// Sends a PUBACK, PUBREC, PUBREL or PUBCOMP of this type.
    #[track_caller]
    pub(crate) fn ack(&mut self, packet_kind: u8, packet_id: u16) {
        self.send(&Ack::new(packet_id).encode(packet_kind, self.version));
    }

    /// Sends a SUBSCRIBE; its SUBACK has to come next.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, subscribe: &Subscribe) -> SubAck {
        self.send(&subscribe.encode(self.version));
        match self.receive() {
            Packet::SubAck(suback) if suback.packet_id == subscribe.packet_id => suback,
            other => panic!("{other:?} came where the SUBACK of {} belongs", subscribe.packet_id),
        }
    }

    /// Sends an UNSUBSCRIBE; its UNSUBACK has to come next.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> SubAck {
        self.send(&unsubscribe.encode(self.version));
        match self.receive() {
            Packet::UnsubAck(unsuback) if unsuback.packet_id == unsubscribe.packet_id => unsuback,
            other => panic!("{other:?} came where the UNSUBACK of {} belongs", unsubscribe.packet_id),
        }
    }

    /// Sends a message and goes through its whole exchange; nothing else may come meanwhile. Whether anybody
    /// subscribes is nothing to it: Success and No matching subscribers are one.
    #[track_caller]
    pub(crate) fn deliver(&mut self, message: &Publish) {
        self.publish(message);
        let id = message.packet_id;
        match message.qos {
            0 => {}
            1 => match self.receive() {
                Packet::PubAck(ack) if ack.packet_id == id && ack.reason < 0x80 => {}
                other => panic!("{other:?} came where the PUBACK of {id} belongs"),
            },
            _ => {
                match self.receive() {
                    Packet::PubRec(ack) if ack.packet_id == id && ack.reason < 0x80 => {}
                    other => panic!("{other:?} came where the PUBREC of {id} belongs"),
                }
                self.ack(kind::PUBREL, id);
                self.expect(&Packet::PubComp(Ack::new(id)));
            }
        }
    }

    /// Sees that the connection stands and that nothing is on its way: PINGRESP comes next.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        self.send(&packets::ping());
        self.expect(&Packet::PingResp);
    }

    /// Sees that the server closes the connection. Returns what it sent before.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.client.read(self.patience) {
                Ok(packet) => packets.push(packet),
                Err(ClientError::Closed) => return packets,
                Err(error) => {
                    panic!("the connection should be closed, but {error}; before that: {packets:?}")
                }
            }
        }
    }

    /// Sees that the server closes the connection after a time between these two. Returns what it sent before.
    #[track_caller]
    pub(crate) fn end_between(&mut self, earliest: Duration, latest: Duration) -> Vec<Packet> {
        let begun = Instant::now();
        let packets = self.end();
        let took = begun.elapsed();
        assert!((earliest..latest).contains(&took), "closed after {took:?}, not {earliest:?} to {latest:?}");
        packets
    }

    /// Sees that the server ends the connection because of what the client did: with this reason in a DISCONNECT in
    /// MQTT 5 [MQTT-4.13.1-1], without a word before it, which has no DISCONNECT for servers.
    #[track_caller]
    pub(crate) fn end_because(&mut self, reason: u8) {
        let packets = self.end();
        match (self.version, &packets[..]) {
            (Version::V5, [Packet::Disconnect(disconnect)]) => {
                assert_eq!(disconnect.reason, reason, "DISCONNECT {:#04x}", disconnect.reason);
            }
            (Version::V31 | Version::V311, []) => {}
            _ => panic!("{packets:?} and the end came, where the reason is {reason:#04x}"),
        }
    }

    /// Says good-bye and waits until the server has closed.
    #[track_caller]
    pub(crate) fn disconnect(mut self) {
        self.send(&Disconnect::default().encode(self.version));
        let packets = self.end();
        assert!(packets.is_empty(), "{packets:?} came after DISCONNECT");
    }

    /// Ends the connection without a DISCONNECT.
    pub(crate) fn abort(self) {
        self.client.abort();
    }
}
