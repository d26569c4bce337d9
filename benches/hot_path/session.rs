//! The session machine: what one message costs it, in and out.

use std::hint::black_box;

use barnacle::kept::Kept;
use barnacle::protocol::{
    Ack, AckProperties, Connect, ConnectProperties, Packet, PacketId, ProtocolVersion, Publish, QoS,
    ReasonCode, TopicName,
};
use barnacle::session::{
    Delivery, Done, Granted, Limits, Now, Place, Request, Restored, Session, Subscription,
    SubscriptionOptions, Taken, Terms,
};
use barnacle_storage::{Answer, Memory, Options, Store};
use bytes::Bytes;
use bytestring::ByteString;
use criterion::{Criterion, Throughput};

use crate::store::{self, attach};

/// Messages in one go, as many as a client has in flight.
const WINDOW: u16 = 100;

/// A window of messages from the client until they are acknowledged, and to the client until it has acknowledged.
pub(crate) fn bench(criterion: &mut Criterion) {
    let kept = proof();
    let mut group = criterion.benchmark_group("session machine, a message");
    group.throughput(Throughput::Elements(u64::from(WINDOW)));
    for (qos, name) in [(QoS::AtLeastOnce, "QoS 1"), (QoS::ExactlyOnce, "QoS 2")] {
        group.bench_function(format!("in, {name}"), |bencher| {
            let mut client = Client::new();
            bencher.iter(|| client.publishes_a_window(qos, &kept));
        });
    }
    for (qos, name) in [(1, "QoS 1"), (2, "QoS 2")] {
        group.bench_function(format!("out, {name}"), |bencher| {
            let mut client = Client::new();
            bencher.iter(|| client.receives_a_window(qos, &kept));
        });
    }
    group.finish();
}

/// What the session builds acknowledgements from. There is no other way to one than a commit.
fn proof() -> Kept {
    let options = Options::in_memory(&Memory::new());
    let (store, _) = Store::open(options).expect("a disk in memory opens");
    let attached = store::commit(&store, None, vec![attach("proof")]);
    assert!(matches!(attached.answers[..], [Answer::Attached(_)]));
    Kept::by(&attached.durable)
}

struct Client {
    session: Session,
    now: Now,
    lsn: u64,
}

impl Client {
    /// A stored session of MQTT 3.1.1 that subscribes `#` at QoS 2.
    fn new() -> Client {
        let limits = Limits {
            maximum_packet_size: 1 << 20,
            receive_maximum: 1024,
            window: 256,
            topic_alias_maximum: 8,
            outbound_topic_aliases: 8,
            maximum_session_expiry_interval: u32::MAX,
            default_session_expiry_interval: u32::MAX,
            maximum_keep_alive: 0,
        };
        let connect = Connect {
            version: ProtocolVersion::V311,
            clean_start: false,
            keep_alive: 0,
            properties: ConnectProperties::default(),
            client_id: ByteString::from_static("client"),
            will: None,
            username: None,
            password: None,
        };
        let options =
            SubscriptionOptions { qos: 2, no_local: false, retain_as_published: false, identifier: None };
        let subscription = Subscription { filter: ByteString::from_static("#"), options, start: 0 };
        let restored = Restored { subscriptions: vec![subscription], ..Restored::default() };
        let now = Now { monotonic_millis: 0, unix_millis: 1_000_000 };
        let terms = Terms::negotiate(&connect, &limits, ByteString::new).expect("good terms");
        let connack = terms.accept(true, &limits);
        let session = Session::start(terms, Some(restored), connack, &limits, &proof(), now);
        Client { session, now, lsn: 0 }
    }

    fn publishes_a_window(&mut self, qos: QoS, kept: &Kept) {
        for packet_id in 1..=WINDOW {
            let publish = Publish {
                qos,
                topic: Some(TopicName::try_from("plant/line-4/press-2/pressure").expect("a topic name")),
                packet_id: Some(id(packet_id)),
                payload: Bytes::from_static(&[7; 256]),
                ..Publish::default()
            };
            self.session.receive(Packet::Publish(publish), self.now);
        }
        self.keep(kept);
        if qos == QoS::ExactlyOnce {
            (1..=WINDOW).for_each(|packet_id| self.session.receive(Packet::PubRel(ack(packet_id)), self.now));
            self.keep(kept);
        }
        self.expect_output();
    }

    fn receives_a_window(&mut self, qos: u8, kept: &Kept) {
        let mut begun = Vec::with_capacity(usize::from(WINDOW));
        for _ in 0..WINDOW {
            self.lsn += 1;
            let delivery = Delivery {
                qos,
                retain: false,
                publisher: "publisher",
                topic: "plant/line-4/press-2/pressure",
                forwarded: &[],
                payload: &[7; 256],
                expires_at_millis: None,
            };
            match self.session.take_from_log(Place { lsn: self.lsn, log: 7 }, &delivery, self.now) {
                Taken::Begun(packet_id) => begun.push(packet_id),
                other => panic!("the window has room: {other:?}"),
            }
        }
        for packet_id in &begun {
            let packet =
                if qos == 1 { Packet::PubAck(ack(*packet_id)) } else { Packet::PubRec(ack(*packet_id)) };
            self.session.receive(packet, self.now);
        }
        if qos == 2 {
            self.keep(kept);
            begun
                .iter()
                .for_each(|packet_id| self.session.receive(Packet::PubComp(ack(*packet_id)), self.now));
        }
        // The record of what has ended is due now and then.
        self.now.monotonic_millis += 10;
        self.keep(kept);
        self.expect_output();
    }

    /// What a broker does with a batch, without a store.
    fn keep(&mut self, kept: &Kept) {
        while let Some(batch) = self.session.take_batch(self.now) {
            let answer = |request: &Request| match request {
                Request::Publish(_) => Done::Published { matched: true },
                Request::Subscribe { filters, .. } => Done::Subscribed(
                    filters.iter().map(|_| Granted { start: 0, at: 0, retained: None }).collect(),
                ),
                _ => Done::Kept,
            };
            let done = batch.iter().map(answer).collect();
            self.session.done(batch, done, kept);
        }
    }

    fn expect_output(&mut self) {
        let output = self.session.output();
        assert!(output.len() >= usize::from(WINDOW) * 4, "a window is answered, or sent");
        black_box(&output);
        output.clear();
        assert!(self.session.closing().is_none(), "the client does nothing wrong");
    }
}

fn id(packet_id: u16) -> PacketId {
    PacketId::try_from(packet_id).expect("not zero")
}

fn ack(packet_id: u16) -> Ack {
    Ack { packet_id: id(packet_id), reason: ReasonCode::Success, properties: AckProperties::default() }
}
