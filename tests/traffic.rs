//! Clients that do what the standard asks of them, for tests that look at something else.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Client, ClientError, Connect, Packet, Publish, Subscribe, Unsubscribe, Version, kind};

/// A subscriber that acknowledges what it gets. What it knows of QoS 2 exchanges outlives its connection.
pub(crate) struct Subscriber {
    client: Client,
    /// Identifiers of QoS 2 exchanges whose PUBREL has not come.
    unreleased: BTreeSet<u16>,
    /// Packets that came and are no part of a delivery.
    other: VecDeque<Packet>,
}

impl Subscriber {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, unreleased: BTreeSet::new(), other: VecDeque::new() }
    }

    /// Goes on with another connection of the same session.
    pub(crate) fn reconnected(&mut self, client: Client) {
        self.client = client;
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The next message, each QoS 2 message once, its acknowledgement sent.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Publish, ClientError> {
        loop {
            if let Some(message) = self.receive(patience)? {
                return Ok(message);
            }
        }
    }

    /// Reads a packet and answers it. Returns the message if it brought one.
    fn receive(&mut self, patience: Duration) -> Result<Option<Publish>, ClientError> {
        match self.client.read(patience)? {
            Packet::Publish(publish) if publish.qos == 0 => return Ok(Some(publish)),
            Packet::Publish(publish) if publish.qos == 1 => {
                self.client.ack(kind::PUBACK, publish.packet_id)?;
                return Ok(Some(publish));
            }
            Packet::Publish(publish) => {
                self.client.ack(kind::PUBREC, publish.packet_id)?;
                return Ok(self.unreleased.insert(publish.packet_id).then_some(publish));
            }
            Packet::PubRel(ack) => {
                self.unreleased.remove(&ack.packet_id);
                self.client.ack(kind::PUBCOMP, ack.packet_id)?;
            }
            other => self.other.push_back(other),
        }
        Ok(None)
    }

    /// The next `count` messages.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<Publish> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            match self.next(PATIENCE) {
                Ok(publish) => taken.push(publish),
                Err(error) => {
                    panic!("{error} after {} of {count} messages: {:?}", taken.len(), texts(&taken))
                }
            }
        }
        taken
    }

    /// All messages up to the one with payload `last`, which is left out.
    #[track_caller]
    pub(crate) fn take_until(&mut self, last: &str) -> Vec<Publish> {
        let mut taken = Vec::new();
        loop {
            match self.next(PATIENCE) {
                Ok(publish) if publish.payload == last.as_bytes() => return taken,
                Ok(publish) => taken.push(publish),
                Err(error) => {
                    panic!("{error} before {last:?}, after {} messages: {:?}", taken.len(), texts(&taken))
                }
            }
        }
    }

    /// Sends SUBSCRIBE and waits for its SUBACK. Returns the messages that come before it.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, subscribe: &Subscribe) -> Vec<Publish> {
        let version = self.client.version();
        self.client.send(&subscribe.encode(version)).expect("SUBSCRIBE is sent");
        match self.wait_for_other() {
            (before, Packet::SubAck(suback)) if suback.packet_id == subscribe.packet_id => {
                assert!(suback.reasons.iter().all(|reason| *reason < 0x80), "{suback:?}");
                before
            }
            (_, other) => panic!("{other:?} came where the SUBACK of {} belongs", subscribe.packet_id),
        }
    }

    /// Reads until a packet comes that is no part of a delivery. Returns it, and the messages that come before it.
    #[track_caller]
    pub(crate) fn wait_for_other(&mut self) -> (Vec<Publish>, Packet) {
        let mut before = Vec::new();
        loop {
            if let Some(packet) = self.other.pop_front() {
                return (before, packet);
            }
            before.extend(self.receive(PATIENCE).expect("another packet comes"));
        }
    }

    /// Sends UNSUBSCRIBE and waits for its UNSUBACK. Returns the messages that come before it.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Vec<Publish> {
        let version = self.client.version();
        self.client.send(&unsubscribe.encode(version)).expect("UNSUBSCRIBE is sent");
        match self.wait_for_other() {
            (before, Packet::UnsubAck(unsuback)) if unsuback.packet_id == unsubscribe.packet_id => before,
            (_, other) => panic!("{other:?} came where the UNSUBACK of {} belongs", unsubscribe.packet_id),
        }
    }
}

/// Payloads as text.
pub(crate) fn texts(messages: &[Publish]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

/// Payloads that are numbers, as numbers.
#[track_caller]
pub(crate) fn numbers(messages: &[Publish]) -> Vec<u64> {
    messages.iter().map(number).collect()
}

/// A payload that is a number.
#[track_caller]
pub(crate) fn number(message: &Publish) -> u64 {
    let text = std::str::from_utf8(&message.payload).expect("these tests send numbers");
    text.parse().expect("these tests send numbers")
}

/// Sees that these are all numbers of a range, once and in order; says where they first are not.
#[track_caller]
pub(crate) fn expect_sequence(numbers: &[u64], wanted: std::ops::Range<u64>) {
    let differs = numbers.iter().copied().map(Some).chain([None]).zip(wanted.clone().map(Some).chain([None]));
    let Some(at) = differs.enumerate().find_map(|(at, (found, wanted))| (found != wanted).then_some(at))
    else {
        return;
    };
    let around = &numbers[at.saturating_sub(3)..numbers.len().min(at + 4)];
    panic!("{} numbers for {wanted:?}; they differ at {at}, around which stand {around:?}", numbers.len());
}

/// Bytes that differ from seed to seed and are the same for the same one.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Publishes numbered messages as fast as they are acknowledged, from a thread of its own.
pub(crate) struct Stream {
    begun: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Stream {
    /// Messages in flight.
    const WINDOW: u64 = 32;

    /// Begins. `message` makes the message with a number, without its packet identifier; QoS 1 or 2.
    pub(crate) fn start(
        address: SocketAddr,
        client_id: &str,
        message: impl Fn(u64) -> Publish + Send + 'static,
    ) -> Self {
        let (begun, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (client, _) =
            Client::connect(address, &Connect::new(Version::V311, client_id)).expect("the broker listens");
        let thread = thread::spawn({
            let (begun, acknowledged, stop) =
                (Arc::clone(&begun), Arc::clone(&acknowledged), Arc::clone(&stop));
            move || publish_until(client, &message, &begun, &acknowledged, &stop)
        });
        Self { begun, acknowledged, stop, thread }
    }

    /// No message with this number or a higher one has been sent.
    pub(crate) fn not_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// All messages with a lower number are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more messages are acknowledged.
    pub(crate) fn let_pass(&self, count: u64) {
        let until = self.acknowledged() + count;
        while self.acknowledged() < until {
            assert!(!self.thread.is_finished(), "the publisher has ended");
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Stops, and waits until everything is acknowledged. Returns how many messages there were.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the publisher goes on to its end");
        self.acknowledged.load(Ordering::SeqCst)
    }
}

fn publish_until(
    mut client: Client,
    message: &dyn Fn(u64) -> Publish,
    begun: &AtomicU64,
    acknowledged: &AtomicU64,
    stop: &AtomicBool,
) {
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        let (mut next, finished) = (begun.load(Ordering::SeqCst), acknowledged.load(Ordering::SeqCst));
        if stopping && next == finished {
            return client.disconnect();
        }
        while !stopping && next - finished < Stream::WINDOW {
            begun.store(next + 1, Ordering::SeqCst);
            let mut publish = message(next);
            publish.packet_id = u16::try_from(next % 60_000).expect("below 60,000") + 1;
            client.publish(&publish).expect("PUBLISH is sent");
            next += 1;
        }
        match client.read(PATIENCE).expect("the broker acknowledges") {
            Packet::PubAck(_) | Packet::PubComp(_) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Packet::PubRec(ack) => client.ack(kind::PUBREL, ack.packet_id).expect("PUBREL is sent"),
            other => panic!("{other:?} came to a publisher"),
        }
    }
}
