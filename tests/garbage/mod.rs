//! Garbage on the socket never panics, stalls or bloats the broker.
//!
//! Each test runs beside a well-behaved client whose messages must keep coming, and looks at the broker's memory and
//! process afterwards. That it never panicked, its fixture sees.

mod handshake;
mod prefixes;
mod random;

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Client, Connect, Packet, Publish, Subscribe, Version};

use crate::broker::Broker;

/// What garbage may cost in memory, in bytes.
const GROWTH_BYTES: u64 = 64 << 20;

/// How long a message of the well-behaved client may take, whatever else goes on.
const LATENCY_LIMIT: Duration = Duration::from_secs(3);

/// A client that does everything right and sees that its messages come.
struct WellBehaved {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Duration)>,
}

impl WellBehaved {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let connect = Connect::persistent(Version::V5, "well-behaved");
        let (mut client, _) = Client::connect(address, &connect).expect("the broker listens");
        client.subscribe(&Subscribe::new(1, "well/behaved", 1));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut rounds, mut slowest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    slowest = slowest.max(round_trip(&mut client));
                    rounds += 1;
                    thread::sleep(Duration::from_millis(5));
                }
                (rounds, slowest)
            }
        });
        Self { stop, thread }
    }

    /// Sees that its messages came all the time.
    #[track_caller]
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (rounds, slowest) = self.thread.join().expect("every message of the well-behaved client came");
        eprintln!("beside it, {rounds} messages, the slowest in {slowest:.1?}");
        assert!(rounds > 0 && slowest < LATENCY_LIMIT, "{rounds} messages, the slowest in {slowest:?}");
    }
}

fn round_trip(client: &mut Client) -> Duration {
    let begun = Instant::now();
    client.publish(&Publish::new("well/behaved", "v").qos(1, 1)).expect("PUBLISH is sent");
    let (mut acknowledged, mut arrived) = (false, false);
    while !(acknowledged && arrived) {
        match client.read(PATIENCE).expect("the broker goes on") {
            Packet::PubAck(_) => acknowledged = true,
            Packet::Publish(message) => {
                client.ack(barnacle_wire::kind::PUBACK, message.packet_id).expect("PUBACK is sent");
                arrived = true;
            }
            other => panic!("{other:?}"),
        }
    }
    begun.elapsed()
}

/// Runs `attack` beside a well-behaved client and sees that the broker is none the worse.
fn beside_a_well_behaved_client(broker: Broker, attack: impl FnOnce(&Broker)) {
    beside_a_well_behaved_client_within(GROWTH_BYTES, broker, attack);
}

/// As above, with another bound for the memory, in bytes.
fn beside_a_well_behaved_client_within(growth_limit: u64, mut broker: Broker, attack: impl FnOnce(&Broker)) {
    let client = WellBehaved::start(broker.address());
    thread::sleep(Duration::from_millis(100));
    let before = broker.resident_bytes();
    attack(&broker);
    client.stop();
    let growth = broker.resident_bytes().saturating_sub(before);
    eprintln!("memory grew by {} KiB", growth >> 10);
    assert!(growth < growth_limit, "memory grew by {growth} bytes");
    assert!(broker.is_running(), "the broker has ended");
}

/// Does `work` for each item, several at a time.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(usize, &T) + Sync) {
    const THREADS: usize = 8;
    let work = &work;
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                items
                    .iter()
                    .enumerate()
                    .skip(first)
                    .step_by(THREADS)
                    .for_each(|(index, item)| work(index, item));
            });
        }
    });
}

/// Says that nothing more comes, and sees that the broker ends the connection too. Returns what it sent before.
#[track_caller]
fn expect_end(mut stream: TcpStream) -> Vec<u8> {
    // Either may fail because the broker has ended it already.
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes the option");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("the broker does not end the connection: {error}"),
    }
}
