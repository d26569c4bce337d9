//! The session machine, driven by hand: packets and committed batches in, packets and requests out.

mod admission;
mod group;
mod inbound;
mod outbound;
mod subscriptions;

use bytes::BytesMut;
use bytestring::ByteString;

use super::*;
use crate::kept::Kept;
use crate::protocol::{
    Ack, AckProperties, ConnAck, Connect, ConnectProperties, Decoder, Packet, PacketId, ProtocolVersion,
    Publish, QoS, ReasonCode, TopicName,
};

/// Broker side of a connection, as a test plays it.
struct Client {
    session: Session,
    now: Now,
}

/// Limits that no test comes near unless it means to.
pub(crate) fn limits() -> Limits {
    Limits {
        maximum_packet_size: 1 << 20,
        receive_maximum: 4,
        window: 256,
        topic_alias_maximum: 8,
        outbound_topic_aliases: 8,
        maximum_session_expiry_interval: u32::MAX,
        default_session_expiry_interval: u32::MAX,
        maximum_keep_alive: 0,
    }
}

fn connect(version: ProtocolVersion) -> Connect {
    Connect {
        version,
        clean_start: false,
        keep_alive: 0,
        properties: ConnectProperties { session_expiry_interval: Some(60), ..ConnectProperties::default() },
        client_id: ByteString::from_static("client"),
        will: None,
        username: None,
        password: None,
    }
}

fn id(packet_id: u16) -> PacketId {
    PacketId::try_from(packet_id).expect("not zero")
}

fn ack(packet_id: u16) -> Ack {
    Ack { packet_id: id(packet_id), reason: ReasonCode::Success, properties: AckProperties::default() }
}

fn subscription(filter: &'static str, qos: u8) -> Subscription {
    let options = SubscriptionOptions { qos, no_local: false, retain_as_published: false, identifier: None };
    Subscription { filter: ByteString::from_static(filter), options, start: 0 }
}

fn message(qos: u8) -> Delivery<'static> {
    Delivery {
        qos,
        retain: false,
        publisher: "publisher",
        topic: "t",
        forwarded: &[],
        payload: b"payload",
        expires_at_millis: None,
    }
}

fn published(qos: QoS, packet_id: u16) -> Packet {
    Packet::Publish(Publish {
        qos,
        topic: Some(TopicName::try_from("t").expect("a valid topic name")),
        packet_id: (packet_id > 0).then(|| id(packet_id)),
        ..Publish::default()
    })
}

impl Client {
    fn new(connect: &Connect, restored: Option<Restored>) -> Self {
        let now = Now { monotonic_millis: 0, unix_millis: 1_000_000 };
        let limits = limits();
        let terms = Terms::negotiate(connect, &limits, ByteString::new).expect("good terms");
        let connack: ConnAck = terms.accept(restored.is_some(), &limits);
        let session = Session::start(terms, restored, connack, &limits, &Kept::nothing_to_keep(), now);
        let mut client = Self { session, now };
        assert!(matches!(client.sent().remove(0), Packet::ConnAck(_)));
        client
    }

    /// A stored MQTT 5 session that subscribes `#` at QoS 2.
    fn stored(outbound: OutboundRecord) -> Self {
        let restored =
            Restored { subscriptions: vec![subscription("#", 2)], outbound, ..Restored::default() };
        Self::new(&connect(ProtocolVersion::V5), Some(restored))
    }

    fn receive(&mut self, packet: Packet) {
        self.session.receive(packet, self.now);
    }

    fn take(&mut self, lsn: u64, qos: u8) -> Taken {
        self.session.take_from_log(Place { lsn, log: 7 }, &message(qos), self.now)
    }

    fn batch(&mut self) -> Option<Vec<Request>> {
        self.session.take_batch(self.now)
    }

    /// Tells the session that a batch is kept, with the answers of a broker where everybody listens.
    fn done(&mut self, batch: Vec<Request>) {
        let answer = |request: &Request| match request {
            Request::Publish(_) => Done::Published { matched: true },
            Request::Subscribe { filters, .. } => Done::Subscribed(
                filters.iter().flatten().map(|_| Granted { start: 100, at: 100, retained: None }).collect(),
            ),
            Request::Unsubscribe { filters, .. } => {
                Done::Unsubscribed { existed: vec![true; filters.len()], at: 100 }
            }
            _ => Done::Kept,
        };
        let done = batch.iter().map(answer).collect();
        self.session.done(batch, done, &Kept::nothing_to_keep());
    }

    fn commit(&mut self) {
        let batch = self.batch().expect("there is something to keep");
        self.done(batch);
    }

    /// What went out since last asked.
    fn sent(&mut self) -> Vec<Packet> {
        let mut decoder = Decoder::new(1 << 20);
        decoder.set_version(self.session.terms().version);
        let mut bytes: BytesMut = self.session.output().split();
        std::iter::from_fn(|| decoder.decode(&mut bytes).expect("what we send is well-formed")).collect()
    }

    /// Packet identifiers and DUP flags of the PUBLISHes that went out.
    fn sent_publishes(&mut self) -> Vec<(u16, bool)> {
        let publish = |packet| match packet {
            Packet::Publish(publish) => (publish.packet_id.map_or(0, PacketId::get), publish.dup),
            other => panic!("not a PUBLISH: {other:?}"),
        };
        self.sent().into_iter().map(publish).collect()
    }
}
