//! The clock that the shell passes in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::session::Now;

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic count.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_millis: millis(self.start.elapsed()), unix_millis: millis(unix) }
    }

    /// The instant of a monotonic deadline.
    #[must_use]
    pub fn instant(&self, monotonic_millis: u64) -> Instant {
        self.start + Duration::from_millis(monotonic_millis)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
