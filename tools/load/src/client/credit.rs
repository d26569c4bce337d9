//! Closed loop at QoS 0, where nothing is acknowledged: a publisher is no more than its window ahead of what was delivered.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// What was delivered of one publisher's messages.
pub(crate) struct Credit {
    delivered: AtomicU64,
    /// Subscribers that each message goes to.
    fan_out: u64,
    changed: Notify,
}

impl Credit {
    /// Of a publisher whose messages go to `fan_out` subscribers each.
    pub(crate) fn new(fan_out: u64) -> Credit {
        Credit { delivered: AtomicU64::new(0), fan_out: fan_out.max(1), changed: Notify::new() }
    }

    /// `count` more deliveries.
    pub(crate) fn add(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Messages that have been delivered to everybody, on average.
    pub(crate) fn messages(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed) / self.fan_out
    }

    /// Returns when something was delivered since the last call.
    pub(crate) async fn wait(&self) {
        self.changed.notified().await;
    }
}
