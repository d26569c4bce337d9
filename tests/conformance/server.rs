//! The server that a test speaks to, the broker or a wrong responder, and connections to it.
//!
//! A [`Peer`] answers nothing by itself and sends whatever it is told. Nothing here sleeps to see that nothing comes: a
//! PINGREQ is answered behind everything that had to come before ([`Peer::ping`]).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::Path;
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

    /// The [`Peer::ending`] of a client that did something wrong: DISCONNECT with a reason in MQTT 5 [MQTT-4.13.1-1]; MQTT
    /// 3.1.1 has no DISCONNECT for servers, and closes [MQTT-4.8.0-1 of 3.1.1].
    pub(crate) fn thrown_out(&self, reason: u8) -> String {
        if self.v5() { format!("DISCONNECT {reason:#04x}") } else { "closed".to_owned() }
    }

    /// The [`Peer::ending`] of a CONNECT that does not conform: CONNACK with a reason in MQTT 5; closed without one in
    /// MQTT 3.1.1 [MQTT-3.1.4-1 of 3.1.1].
    pub(crate) fn not_let_in(&self, reason: u8) -> String {
        if self.v5() { format!("CONNACK {reason:#04x}") } else { "closed".to_owned() }
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
        record(self.version, bytes);
        match self.client.send(bytes) {
            Ok(()) | Err(ClientError::Closed) => {}
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// From here on an answer has so much time.
    pub(crate) fn wait_no_longer_than(&mut self, patience: Duration) {
        self.patience = patience;
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

    /// How the server ends the connection, in words: `closed`, `DISCONNECT 0x81`, `CONNACK 0x84`, or what came instead.
    pub(crate) fn ending(&mut self) -> String {
        let mut packets = Vec::new();
        loop {
            match self.client.read(self.patience) {
                Ok(packet) => packets.push(packet),
                Err(ClientError::Closed) => break,
                Err(error) => return format!("{error}, after {packets:?}"),
            }
        }
        match &packets[..] {
            [] => "closed".to_owned(),
            [Packet::Disconnect(disconnect)] => format!("DISCONNECT {:#04x}", disconnect.reason),
            [Packet::ConnAck(connack)] if !connack.session_present => {
                format!("CONNACK {:#04x}", connack.reason)
            }
            _ => format!("closed, after {packets:?}"),
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

/// Keeps what is sent, if somebody wants it: seeds of the fuzz targets are made of it (docs/FUZZING.md).
fn record(version: Version, bytes: &[u8]) {
    let Some(folder) = std::env::var_os("BARNACLE_RECORD_PACKETS") else { return };
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let name = format!("{}-{:016x}", version.level(), hasher.finish());
    std::fs::write(Path::new(&folder).join(name), bytes).expect("what is sent can be kept");
}

/// What a client does wrong, and how its connection has to end.
pub(crate) struct Case {
    /// What is wrong, for the message.
    pub(crate) name: String,
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// How it has to end, see [`Peer::ending`].
    pub(crate) ending: String,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, bytes: Vec<u8>, ending: impl Into<String>) -> Self {
        Self { name: name.into(), bytes, ending: ending.into() }
    }
}

/// So many wrong endings are enough to see what is wrong.
const ENOUGH: usize = 12;

impl Server {
    /// Sends each case on a connection of its own, after CONNECT and a PINGREQ that is answered, and fails with all that end
    /// otherwise than they should. Afterwards the server is still there.
    #[track_caller]
    pub(crate) fn expect_endings(&self, cases: &[Case]) {
        self.endings(cases, || {
            let mut client = self.client("misused");
            client.ping();
            client
        });
    }

    /// The same for cases that are the first bytes of their connection.
    #[track_caller]
    pub(crate) fn expect_first_endings(&self, cases: &[Case]) {
        self.endings(cases, || self.open());
    }

    #[track_caller]
    fn endings(&self, cases: &[Case], begin: impl Fn() -> Peer) {
        assert!(!cases.is_empty(), "there is nothing to test");
        let mut complaints = Vec::new();
        for case in cases {
            let mut client = begin();
            client.send(&case.bytes);
            let ending = client.ending();
            if ending != case.ending {
                complaints
                    .push(format!("{}: {ending}, not {} (sent {:02x?})", case.name, case.ending, case.bytes));
            }
            if complaints.len() == ENOUGH {
                break;
            }
        }
        assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
        self.client("misused").ping();
    }
}
