//! The clock that the shell passes in.

use std::time::Instant;

use barnacle_storage::Store;

use crate::session::Now;

/// Reads the store's clock, which outlives the process and does not jump.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    store: barnacle_storage::Clock,
}

impl Clock {
    /// The clock of an open store.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { store: store.clock() }
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { monotonic_millis: self.store.elapsed_millis(), unix_millis: self.store.now_millis() }
    }

    /// The instant of a monotonic deadline.
    #[must_use]
    pub fn instant(&self, monotonic_millis: u64) -> Instant {
        self.store.instant(monotonic_millis)
    }
}
