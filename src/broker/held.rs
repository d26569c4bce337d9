//! What all connections together hold back because the store cannot keep it now: bounded, and woken when it can again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes of publishes that one connection may hold back, beside one of the largest that it may send.
const CONNECTION_BYTES: usize = 1 << 20;

/// Bytes of publishes that all connections together may hold back, beside one of the largest.
const TOTAL_BYTES: usize = 64 << 20;

/// The publishes that all connections hold back.
#[derive(Debug, Default)]
pub(crate) struct HeldPublishes {
    bytes: AtomicUsize,
    waiting: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

/// What one connection holds back; nothing any more when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldShare {
    all: Arc<HeldPublishes>,
    connection: u64,
    bytes: usize,
}

impl HeldPublishes {
    /// The store can keep publishes again, or may: whoever holds some tries.
    pub(crate) fn wake_all(&self) {
        self.waiting.lock().values().for_each(|signal| signal.notify_one());
    }
}

impl HeldShare {
    pub(crate) fn new(all: &Arc<HeldPublishes>, connection: u64) -> Self {
        Self { all: Arc::clone(all), connection, bytes: 0 }
    }

    /// The connection holds so many bytes now, and is woken through `signal` while it holds any. `false`: it holds more
    /// than before, and that is too much.
    pub(crate) fn set(&mut self, bytes: usize, maximum_packet_size: usize, signal: &Arc<Notify>) -> bool {
        if bytes == self.bytes {
            return true;
        }
        if self.bytes == 0 {
            self.all.waiting.lock().insert(self.connection, Arc::clone(signal));
        }
        let grown = bytes > self.bytes;
        let before = self.all.bytes.fetch_add(bytes, Relaxed);
        self.all.bytes.fetch_sub(self.bytes, Relaxed);
        let total = before + bytes - self.bytes;
        self.bytes = bytes;
        if bytes == 0 {
            self.all.waiting.lock().remove(&self.connection);
        }
        !grown
            || (bytes <= CONNECTION_BYTES + maximum_packet_size && total <= TOTAL_BYTES + maximum_packet_size)
    }
}

impl Drop for HeldShare {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.all.bytes.fetch_sub(self.bytes, Relaxed);
            self.all.waiting.lock().remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_and_all_together_are_bounded() {
        let all = Arc::new(HeldPublishes::default());
        let signal = Arc::new(Notify::new());
        let packet = 1000;
        let mut shares: Vec<_> = (0..65).map(|connection| HeldShare::new(&all, connection)).collect();
        assert!(!shares[0].set(CONNECTION_BYTES + packet + 1, packet, &signal), "one has too much");
        assert!(shares[0].set(CONNECTION_BYTES, packet, &signal), "less than before is never too much");
        for share in &mut shares[1..64] {
            assert!(share.set(CONNECTION_BYTES, packet, &signal));
        }
        assert!(!shares[64].set(packet + 1, packet, &signal), "all together have too much");
        assert_eq!(all.waiting.lock().len(), 65);
        drop(shares);
        assert_eq!((all.bytes.load(Relaxed), all.waiting.lock().len()), (0, 0));
    }

    #[tokio::test]
    async fn who_holds_something_is_woken() {
        let all = Arc::new(HeldPublishes::default());
        let signal = Arc::new(Notify::new());
        let mut share = HeldShare::new(&all, 1);
        share.set(1, 1, &signal);
        all.wake_all();
        signal.notified().await;
    }
}
