//! A store without threads, for simulators: what its threads would do is done when it is told to.
//!
//! The same store, the same committer: only who calls it is another. Nothing in it then depends on time or on chance, but
//! on the order of the calls.

use std::sync::Arc;

use crate::committer;
use crate::health::Level;
use crate::shared::Shared;

/// Does the work of the threads that a store opened with [`Store::open_stepped`](crate::Store::open_stepped) does not have.
/// There is one for each opening, and it is not to be shared: one thread commits.
pub struct Stepper {
    shared: Arc<Shared>,
}

impl Stepper {
    pub(crate) fn new(shared: Arc<Shared>) -> Stepper {
        Stepper { shared }
    }

    /// What the committer does in one turn: all that waits is committed in one batch, and answered before this returns.
    /// `false`: nothing waited.
    pub fn commit(&mut self) -> bool {
        committer::step(&self.shared)
    }

    /// What the interval mode does now and then: brings to the disk what was written.
    pub fn sync(&mut self) {
        committer::sync_now(&self.shared);
    }

    /// What the look at the space finds now and then: whether the disk is full, by the watermark.
    pub fn find_space(&mut self, full: bool) {
        let level = if full { Level::Full } else { Level::Enough };
        self.shared.board.set_space(level, 0);
    }

    /// Wakes the many readers of a log that the committer leaves to the notifier.
    pub fn notify(&mut self) {
        self.shared.readers.notify_waiting_crowds();
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stepper").finish_non_exhaustive()
    }
}
