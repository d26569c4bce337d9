//! Ports for brokers under test.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// MQTT over TCP and over WebSocket where nobody says otherwise.
pub(super) const DEFAULT: [u16; 2] = [1883, 8083];

/// A port of 127.0.0.1 that nobody listens on. It lies below those that the operating system gives to outgoing
/// connections, so that none of them takes it while a broker is down between two starts.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u64 = 12_000;
    // What was given out may not be listened on yet.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let offset = RandomState::new().hash_one(0) % COUNT;
        let port = FIRST + u16::try_from(offset).expect("the offset is below COUNT");
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// Waits for its turn, then for the default ports to be free, a moment only: a broker that is ending gets that long.
/// They are held until the file is dropped.
pub(super) fn hold_default() -> File {
    let path = std::env::temp_dir().join("barnacle-default-ports.lock");
    let lock = File::create(&path).expect("the lock file can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("a file of our own can be locked");
    let deadline = Instant::now() + Duration::from_secs(5);
    for port in DEFAULT {
        while let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            assert!(
                Instant::now() < deadline,
                "port {port} is taken ({error}). These programs say localhost:{port}, as users' programs do: stop \
                 what listens there (another broker?) and run the tests again"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
    lock
}

#[test]
fn no_port_is_given_out_twice() {
    let ports: BTreeSet<u16> = (0..500).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 500);
}
