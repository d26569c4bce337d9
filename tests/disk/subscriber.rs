//! A client that receives what was published, at its own pace, and must never lose its connection.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barnacle_wire::packets::ping;
use barnacle_wire::{Client, ClientError, Connect, Packet, Property, Publish, Version, kind};

use super::{KEEP_ALIVE_SECONDS, number};

/// The numbers that came on each topic, in the order in which they came first.
pub(super) type Received = BTreeMap<String, Vec<u64>>;

/// A subscriber on its thread.
pub(super) struct Subscriber {
    pub(super) received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Received>,
}

impl Subscriber {
    /// Resumes the session of `client_id` and takes a message each `pace`.
    pub(super) fn start(address: SocketAddr, version: Version, client_id: &str, pace: Duration) -> Self {
        let mut connect = Connect::persistent(version, client_id).keep_alive(KEEP_ALIVE_SECONDS);
        if version == Version::V5 && !pace.is_zero() {
            connect = connect.property(Property::ReceiveMaximum(1));
        }
        let (client, connack) = Client::connect(address, &connect).expect("the broker listens");
        assert!(connack.session_present, "{client_id} has a session");
        let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let working = Working {
            client,
            name: client_id.to_owned(),
            pace,
            received: BTreeMap::new(),
            seen: HashSet::new(),
            count: Arc::clone(&received),
            stop: Arc::clone(&stop),
        };
        let thread = thread::spawn(move || working.work());
        Self { received, stop, thread }
    }

    /// Has it leave, and returns what it received.
    pub(super) fn finish(self) -> Received {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the subscriber was served")
    }
}

struct Working {
    client: Client,
    name: String,
    pace: Duration,
    received: Received,
    seen: HashSet<(String, u64)>,
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Working {
    fn work(mut self) -> Received {
        let mut pinged = Instant::now();
        while !self.stop.load(Relaxed) {
            if pinged.elapsed() > Duration::from_secs(u64::from(KEEP_ALIVE_SECONDS)) / 2 {
                self.client.send(&ping()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
                pinged = Instant::now();
            }
            match self.client.read(Duration::from_millis(20)) {
                Ok(packet) => self.take(packet),
                Err(ClientError::Timeout(_)) => {}
                Err(error) => panic!("{} was disconnected: {error}", self.name),
            }
        }
        self.client.disconnect();
        self.received
    }

    fn take(&mut self, packet: Packet) {
        let answer = match packet {
            Packet::Publish(publish) => self.message(&publish),
            Packet::PubRel(ack) => Some((kind::PUBCOMP, ack.packet_id)),
            Packet::PingResp => None,
            other => panic!("{}: {other:?}", self.name),
        };
        if let Some((kind, packet_id)) = answer {
            self.client.ack(kind, packet_id).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }

    fn message(&mut self, publish: &Publish) -> Option<(u8, u16)> {
        let number = number(&publish.payload);
        let is_new = self.seen.insert((publish.topic.clone(), number));
        assert!(is_new || publish.qos < 2, "{}: {number} came twice", self.name);
        if is_new {
            self.received.entry(publish.topic.clone()).or_default().push(number);
        }
        self.count.fetch_add(1, Relaxed);
        if !self.pace.is_zero() {
            // The client works on the message; that is its pace, not something to wait for.
            thread::sleep(self.pace);
        }
        match publish.qos {
            0 => None,
            1 => Some((kind::PUBACK, publish.packet_id)),
            _ => Some((kind::PUBREC, publish.packet_id)),
        }
    }
}
