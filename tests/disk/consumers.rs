//! Slow and stuck consumers: nobody else notices, and neither memory nor the disk grows because of them.
//!
//! Through a small disk goes twice what it holds, which is possible only if what was consumed is trimmed: also behind an
//! exchange that is never finished. `STUCK_MESSAGES=1000000` sets how many messages that is; their bytes stay
//! the same.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barnacle_wire::{Client, ClientError, Connect, Packet, Property, Publish, Subscribe, Version, kind};
use tempfile::TempDir;

use super::small_disk::SmallDisk;
use super::{MIB, PATIENCE, number, payload};
use crate::broker::{Broker, Setup};

/// What goes through the disk in all, and the disk.
const LOAD_BYTES: u64 = 1536 * MIB;
const DISK_BYTES: u64 = 768 * MIB;

/// Messages that the load is divided into, unless the environment says otherwise.
const MESSAGES: u64 = 1 << 16;

/// One in so many also goes to the topic of the slow.
const TRICKLE: u64 = 64;

/// Memory by which the broker may grow: RocksDB's write buffers and caches are most of it.
const GROWTH_BYTES: u64 = 192 * MIB;

/// Messages in flight from the publisher: fewer bytes than the broker holds back for a connection.
const WINDOW: u64 = 32;

#[test]
fn a_stuck_consumer_pins_nothing_and_slow_ones_disturb_nobody() {
    let messages =
        std::env::var("STUCK_MESSAGES").map_or(MESSAGES, |messages| messages.parse().expect("a number"));
    let (broker, _disk) = broker_on_a_small_disk();
    let stuck = Consumer::start(&broker, "stuck", "load", Some(1));
    let healthy = Consumer::start(&broker, "healthy", "trickle", None);
    let _byte_a_second = ByteASecond::start(&broker);
    let mut never = session(&broker, "never", "trickle", None);
    let mut one = session(&broker, "one", "trickle", Some(1));
    let before = broker.resident_bytes();

    let begun = Instant::now();
    publish(&broker, messages);
    eprintln!("{messages} messages, {} MiB, in {:.1?}", LOAD_BYTES / MIB, begun.elapsed());
    let growth = broker.resident_bytes().saturating_sub(before);
    eprintln!("memory grew by {} MiB", growth / MIB);
    assert!(growth < GROWTH_BYTES, "memory grew by {growth} bytes");

    assert_eq!(healthy.wait_for(messages / TRICKLE), (1..=messages / TRICKLE).collect::<Vec<u64>>());
    assert_eq!(stuck.wait_for(messages), (1..=messages).collect::<Vec<u64>>());
    // Those who are slow have got what they had room for, and are still connected.
    assert_eq!((1..=256).map(|_| number(&never.expect_publish().payload)).max(), Some(256));
    never.expect_nothing(Duration::from_millis(50));
    for wanted in 1..=20 {
        let publish = one.expect_publish();
        assert_eq!(number(&publish.payload), wanted);
        one.ack(kind::PUBACK, publish.packet_id).expect("it is connected");
    }

    // The exchange that was never finished comes again, with its message, and nothing else that was finished.
    let mut stuck = broker.resume(Version::V5, "stuck");
    let publish = stuck.expect_publish();
    assert_eq!((number(&publish.payload), publish.dup), (1, true));
    stuck.ack(kind::PUBACK, publish.packet_id).expect("it is connected");
    stuck.expect_nothing(Duration::from_millis(50));
}

fn broker_on_a_small_disk() -> (Broker, SmallDisk) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let disk = SmallDisk::mount(directory.path(), DISK_BYTES);
    let setup = Setup::new()
        .setting("storage.min_free_bytes", &(32 * MIB).to_string())
        .setting("storage.warn_free_bytes", &(512 * MIB).to_string())
        .setting("storage.ballast_bytes", &(16 * MIB).to_string());
    (disk.under(setup).start_in(directory), disk)
}

fn session(broker: &Broker, client_id: &str, filter: &str, receive_maximum: Option<u16>) -> Client {
    let mut connect = Connect::persistent(Version::V5, client_id).keep_alive(0);
    if let Some(receive_maximum) = receive_maximum {
        connect = connect.property(Property::ReceiveMaximum(receive_maximum));
    }
    let (mut client, _) = broker.connect(&connect);
    client.subscribe(&Subscribe::new(1, filter, 1));
    client
}

/// Publishes numbered messages. Its client cannot be refused anything: should it be faster than the trimming for a while,
/// it waits.
fn publish(broker: &Broker, messages: u64) {
    let mut client = broker.client(Version::V311, "publisher");
    let bytes = usize::try_from(LOAD_BYTES / messages).expect("it fits").max(8);
    let (mut sent, mut in_flight) = (0, 0);
    while sent < messages || in_flight > 0 {
        while sent < messages && in_flight < WINDOW {
            sent += 1;
            let mut send = |topic, number| {
                let packet_id =
                    u16::try_from((sent * 2 + u64::from(topic == "load")) % 60_000 + 1).expect("it fits");
                let publish = Publish::new(topic, payload(number, bytes)).qos(1, packet_id);
                client.publish(&publish).expect("it is connected");
                in_flight += 1;
            };
            send("load", sent);
            if sent % TRICKLE == 0 {
                send("trickle", sent / TRICKLE);
            }
        }
        match client.read(PATIENCE) {
            Ok(Packet::PubAck(_)) => {}
            other => panic!("{other:?} instead of PUBACK: is nothing trimmed?"),
        }
        in_flight -= 1;
    }
}

/// Takes its messages as they come, on its thread. It may have one that it never acknowledges.
struct Consumer {
    stop: Arc<AtomicBool>,
    received: Arc<std::sync::Mutex<Vec<u64>>>,
    thread: JoinHandle<()>,
}

impl Consumer {
    fn start(broker: &Broker, client_id: &str, filter: &str, never: Option<u64>) -> Self {
        let mut client = session(broker, client_id, filter, None);
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::<std::sync::Mutex<Vec<u64>>>::default();
        let thread = {
            let (stop, received) = (Arc::clone(&stop), Arc::clone(&received));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let publish = match client.read(Duration::from_millis(20)) {
                        Ok(Packet::Publish(publish)) => publish,
                        Err(ClientError::Timeout(_)) => continue,
                        other => panic!("{other:?}"),
                    };
                    let number = number(&publish.payload);
                    if Some(number) != never {
                        client.ack(kind::PUBACK, publish.packet_id).expect("it is connected");
                    }
                    received.lock().expect("nobody panicked").push(number);
                }
                client.disconnect();
            })
        };
        Self { stop, received, thread }
    }

    /// Waits until so many have come; what it received.
    fn wait_for(self, count: u64) -> Vec<u64> {
        let deadline = Instant::now() + PATIENCE;
        while (self.received.lock().expect("nobody panicked").len() as u64) < count {
            assert!(Instant::now() < deadline && !self.thread.is_finished(), "not everything came");
            thread::sleep(Duration::from_millis(5));
        }
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it was served");
        std::mem::take(&mut self.received.lock().expect("nobody panicked"))
    }
}

/// A client that takes a byte a second from the network.
struct ByteASecond {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ByteASecond {
    fn start(broker: &Broker) -> Self {
        let client = session(broker, "byte-a-second", "trickle", None);
        let mut stream: TcpStream = client.writer().expect("a second handle");
        stream.set_read_timeout(None).expect("a socket can wait");
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let _client = client;
            let mut byte = [0];
            while !stopping.load(Relaxed) {
                assert_eq!(stream.read(&mut byte).expect("it is connected"), 1, "the broker closed");
                thread::park_timeout(Duration::from_secs(1));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for ByteASecond {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            assert!(thread.join().is_ok() || thread::panicking(), "the slowest was disconnected");
        }
    }
}
