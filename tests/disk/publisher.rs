//! A client that publishes numbered messages without end, keeps what was refused for another time, and must never lose
//! its connection.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barnacle_wire::packets::ping;
use barnacle_wire::{Client, ClientError, Connect, Packet, Publish, Version, kind};

use super::{KEEP_ALIVE_SECONDS, payload};

/// Messages in flight.
const WINDOW: usize = 16;

/// How long it waits after a refusal.
const PAUSE: Duration = Duration::from_millis(20);

/// What a publisher is to do and has done, as others see it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) sent: AtomicU64,
    stop: AtomicBool,
}

/// A publisher on its thread.
pub(super) struct Publisher {
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) progress: Arc<Progress>,
    thread: JoinHandle<BTreeSet<u64>>,
}

impl Publisher {
    /// Publishes on `load/NAME` from now on.
    pub(super) fn start(address: SocketAddr, version: Version, qos: u8, payload_bytes: usize) -> Self {
        let name = format!("v{}-qos-{qos}", version.level());
        let progress = Arc::new(Progress::default());
        let connect = Connect::persistent(version, &name).keep_alive(KEEP_ALIVE_SECONDS);
        let (client, connack) = Client::connect(address, &connect).expect("the broker listens");
        assert_eq!(connack.reason, 0);
        let working = Working {
            client,
            name: name.clone(),
            qos,
            payload_bytes,
            progress: Arc::clone(&progress),
            next_number: 1,
            next_packet_id: 1,
            in_flight: VecDeque::new(),
            releasing: VecDeque::new(),
            again: VecDeque::new(),
            acknowledged: BTreeSet::new(),
            pinged: Instant::now(),
            pings_owed: 0,
            not_before: Instant::now(),
        };
        let thread = thread::spawn(move || working.work());
        Self { name, version, progress, thread }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it finish: everything that it has begun is acknowledged. Returns the numbers.
    pub(super) fn finish(self) -> BTreeSet<u64> {
        self.progress.stop.store(true, Relaxed);
        self.thread.join().expect("the publisher was served")
    }
}

struct Working {
    client: Client,
    name: String,
    qos: u8,
    payload_bytes: usize,
    progress: Arc<Progress>,
    next_number: u64,
    next_packet_id: u16,
    /// Packet identifiers and numbers that wait for PUBACK or PUBREC, in the order sent.
    in_flight: VecDeque<(u16, u64)>,
    /// The same for PUBCOMP.
    releasing: VecDeque<(u16, u64)>,
    /// Refused.
    again: VecDeque<u64>,
    acknowledged: BTreeSet<u64>,
    pinged: Instant,
    pings_owed: u32,
    not_before: Instant,
}

impl Working {
    fn work(mut self) -> BTreeSet<u64> {
        loop {
            let stops = self.progress.stop.load(Relaxed);
            if stops && self.in_flight.is_empty() && self.releasing.is_empty() && self.again.is_empty() {
                return self.acknowledged;
            }
            self.publish(stops);
            self.keep_alive();
            match self.client.read(Duration::from_millis(10)) {
                Ok(packet) => self.take(packet),
                Err(ClientError::Timeout(_)) => {}
                Err(error) => panic!("{} was disconnected: {error}", self.name),
            }
        }
    }

    fn publish(&mut self, stops: bool) {
        while self.in_flight.len() + self.releasing.len() < WINDOW && Instant::now() >= self.not_before {
            let number = match self.again.pop_front() {
                Some(number) => number,
                None if stops => return,
                None => {
                    self.next_number += 1;
                    self.next_number - 1
                }
            };
            let packet_id = self.next_packet_id;
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
            let topic = format!("load/{}", self.name);
            let publish = Publish::new(&topic, payload(number, self.payload_bytes)).qos(self.qos, packet_id);
            self.client.publish(&publish).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            self.in_flight.push_back((packet_id, number));
            self.progress.sent.fetch_add(1, Relaxed);
        }
    }

    fn keep_alive(&mut self) {
        if self.pinged.elapsed() > Duration::from_secs(u64::from(KEEP_ALIVE_SECONDS)) / 2 {
            assert!(self.pings_owed < 10, "{}: PINGREQ is not answered", self.name);
            self.client.send(&ping()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            self.pinged = Instant::now();
            self.pings_owed += 1;
        }
    }

    /// Answers come in the order of the publishes [MQTT-4.6.0-2].
    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                let (packet_id, number) = self.in_flight.pop_front().expect("an answer to a publish");
                assert_eq!(ack.packet_id, packet_id, "{}: answers are out of order", self.name);
                match ack.reason {
                    0 | 0x10 if self.qos == 1 => self.done(number),
                    0 | 0x10 => {
                        self.releasing.push_back((packet_id, number));
                        self.client.ack(kind::PUBREL, packet_id).expect("it is connected");
                    }
                    0x97 => {
                        self.again.push_back(number);
                        self.progress.refused.fetch_add(1, Relaxed);
                        self.not_before = Instant::now() + PAUSE;
                    }
                    reason => panic!("{}: reason {reason:#x}", self.name),
                }
            }
            Packet::PubComp(ack) => {
                let (packet_id, number) = self.releasing.pop_front().expect("an answer to a release");
                assert_eq!(ack.packet_id, packet_id, "{}: answers are out of order", self.name);
                self.done(number);
            }
            Packet::PingResp => self.pings_owed = 0,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn done(&mut self, number: u64) {
        self.acknowledged.insert(number);
        self.progress.acknowledged.fetch_add(1, Relaxed);
    }
}
