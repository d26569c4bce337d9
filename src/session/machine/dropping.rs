//! What a session passes over: counted, and kept with its next record.

use super::Session;
use crate::session::{Delivery, Dropped, Now, Place};

impl Session {
    /// What was dropped since it was last counted: for the last batch of a stored session, and for one that is not stored.
    pub fn take_dropped(&mut self) -> Dropped {
        self.outbound.take_dropped()
    }

    /// Whether a message of the own log waited for a subscription that is gone. What is left of a shared log is counted
    /// where the log is left.
    pub(super) fn was_unsubscribed(&self, place: Place, delivery: &Delivery<'_>) -> bool {
        place.log == self.own_log && !self.subscriptions.matches(delivery.topic, place.lsn)
    }

    /// Passes over what waits beyond a limit, up to this LSN. Exchanges that have begun go on. `false`: not now.
    pub fn drop_through(&mut self, lsn: u64, dropped: Dropped, now: Now) -> bool {
        self.outbound.drop_through(lsn, dropped, now)
    }

    /// LSN up to which the logs have been taken.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.outbound.position()
    }
}
