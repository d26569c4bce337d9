//! A TCP proxy that does to connections what networks do: cuts them, leaves one end waiting for the other, stalls,
//! resets in the middle of a packet, delays, and lets a byte a second through.
//!
//! It knows no protocol. Which connections a fault hits is chosen by a seed and the connection's number, so that a
//! client which connects in the same order meets the same faults.
//!
//! ```
//! use barnacle_faultnet::{Choice, Fault, Proxy};
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let broker = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
//! let proxy = Proxy::start(broker, Choice::ALL).await?;
//! // Clients connect to proxy.address(), and then:
//! proxy.strike(Fault::Reset { within: 1000 });
//! println!("{:?}", proxy.counts());
//! # Ok(())
//! # }
//! ```

mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass, and those that a stall has held back.
    None,
    /// Both ends are closed, in order, after what has passed already.
    Cut,
    /// The client's end is closed; the server's stays open, and nothing is heard from it or taken from it any more.
    ClientGone,
    /// The server's end is closed; the client's stays open, and nothing is heard from it or taken from it any more.
    ServerGone,
    /// No byte passes, either way; the connection stays, and so do the bytes.
    Stall,
    /// After a number of further bytes to the server, chosen below this one, both ends are reset: in the middle of a
    /// packet as a rule.
    Reset {
        /// Bytes; 0 and 1 reset at once.
        within: u64,
    },
    /// Each piece of what passes waits so long first.
    Delay(Duration),
    /// So many bytes a second pass, each way, and one at least.
    Bandwidth {
        /// Bytes a second.
        bytes_per_second: u64,
    },
}

/// Which connections faults hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Chooses, together with the connection's number.
    pub seed: u64,
    /// How many of a hundred.
    pub percent: u64,
}

impl Choice {
    /// All of them.
    pub const ALL: Choice = Choice { seed: 0, percent: 100 };

    /// A number that belongs to a connection.
    fn number(self, connection: u64) -> u64 {
        let mut mixed =
            self.seed.wrapping_add(connection.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn hits(self, connection: u64) -> bool {
        self.number(connection) % 100 < self.percent
    }
}

/// What has happened since the start, each fault counted once for a connection that it has hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that clients have made.
    pub connections: u64,
    /// Those among them that the server did not accept.
    pub refused: u64,
    /// Bytes that went to the server.
    pub bytes_to_server: u64,
    /// Bytes that went to clients.
    pub bytes_to_client: u64,
    /// Connections cut.
    pub cuts: u64,
    /// Connections of which one end was left waiting.
    pub half_open: u64,
    /// Connections stalled.
    pub stalls: u64,
    /// Connections reset.
    pub resets: u64,
    /// Connections slowed: delayed or limited.
    pub slowed: u64,
}

#[derive(Default)]
struct Gauges {
    connections: AtomicU64,
    refused: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    cuts: AtomicU64,
    half_open: AtomicU64,
    stalls: AtomicU64,
    resets: AtomicU64,
    slowed: AtomicU64,
}

/// What the connections share with the proxy.
struct Shared {
    choice: Choice,
    gauges: Gauges,
    state: Mutex<State>,
}

struct State {
    /// What newcomers get.
    standing: Fault,
    present: Vec<Present>,
    /// Ends that were left waiting.
    waiting: Vec<TcpStream>,
}

/// A connection as the proxy reaches it.
struct Present {
    number: u64,
    fault: watch::Sender<Fault>,
    fuse: Arc<Fuse>,
}

/// Counts down to a reset.
struct Fuse {
    /// Bytes that still go to the server; `u64::MAX` if there is to be no reset.
    left: AtomicU64,
    burnt: Notify,
}

impl Fuse {
    /// Lit or put out, as the fault says: before anything else of the fault is known.
    fn set(&self, fault: Fault, number: u64) {
        let left = match fault {
            Fault::Reset { within } => number % within.max(1),
            _ => u64::MAX,
        };
        self.left.store(left, Relaxed);
        if left == 0 {
            self.burnt.notify_one();
        }
    }

    fn burn(&self, bytes: u64) {
        let fewer = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(bytes));
        if self.left.fetch_update(Relaxed, Relaxed, fewer).is_ok_and(|left| left <= bytes) {
            self.burnt.notify_one();
        }
    }
}

/// A proxy in front of one server. Dropped, it closes what is open.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, and connects to `upstream` for each connection.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start(upstream: SocketAddr, choice: Choice) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State { standing: Fault::None, present: Vec::new(), waiting: Vec::new() };
        let shared = Arc::new(Shared { choice, gauges: Gauges::default(), state: Mutex::new(state) });
        let accepting = tokio::spawn(accept(listener, upstream, shared.clone()));
        Ok(Proxy { address, shared, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for the connections that there are and those to come, until something else is set. `Fault::None` ends
    /// it, and closes what was left half open.
    pub fn set(&self, fault: Fault) {
        self.shared.state.lock().standing = fault;
        self.strike(fault);
        if fault == Fault::None {
            self.shared.state.lock().waiting.clear();
        }
    }

    /// Once, for the connections that there are now. Returns how many the choice let it hit.
    pub fn strike(&self, fault: Fault) -> usize {
        let state = self.shared.state.lock();
        let hit = state.present.iter().filter(|present| self.shared.choice.hits(present.number));
        let strike = |present: &Present| {
            present.fuse.set(fault, self.shared.choice.number(!present.number));
            present.fault.send_replace(fault);
        };
        hit.map(strike).count()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> Counts {
        let gauges = &self.shared.gauges;
        Counts {
            connections: gauges.connections.load(Relaxed),
            refused: gauges.refused.load(Relaxed),
            bytes_to_server: gauges.to_server.load(Relaxed),
            bytes_to_client: gauges.to_client.load(Relaxed),
            cuts: gauges.cuts.load(Relaxed),
            half_open: gauges.half_open.load(Relaxed),
            stalls: gauges.stalls.load(Relaxed),
            resets: gauges.resets.load(Relaxed),
            slowed: gauges.slowed.load(Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        let mut state = self.shared.state.lock();
        state.waiting.clear();
        for present in state.present.drain(..) {
            present.fault.send_replace(Fault::Cut);
        }
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors, say: others may end meanwhile.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let number = shared.gauges.connections.fetch_add(1, Relaxed);
        tokio::spawn(begin(client, number, upstream, shared.clone()));
    }
}

async fn begin(client: TcpStream, number: u64, upstream: SocketAddr, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        shared.gauges.refused.fetch_add(1, Relaxed);
        // As the server would have done.
        let _ = client.set_zero_linger();
        return;
    };
    // Small packets pass at once, as they would without a proxy.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let fuse = Arc::new(Fuse { left: AtomicU64::new(u64::MAX), burnt: Notify::new() });
    let faults = {
        let mut state = shared.state.lock();
        let standing = if shared.choice.hits(number) { state.standing } else { Fault::None };
        fuse.set(standing, shared.choice.number(!number));
        let (fault, faults) = watch::channel(standing);
        state.present.push(Present { number, fault, fuse: fuse.clone() });
        faults
    };
    connection::run(client, server, faults, &fuse, &shared).await;
    shared.state.lock().present.retain(|present| present.number != number);
}
