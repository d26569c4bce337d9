//! What of the logs is dead, and so may be left out when the engine rewrites its files.
//!
//! A consumed message gets no tombstone: while the engine rewrites files anyway, it drops the blocks that lie at or
//! below their log's floor, and those of logs that are gone. It keeps what the floors do not know, and everything until
//! recovery is complete. Floors come here only after the positions that they derive from are as durable as the mode makes
//! them: a block that is dropped must not be wanted again after a crash.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use crate::keys;
use crate::{LogId, Lsn};

/// The floors that the filter goes by; shared between the store and the engine's threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    recovered: bool,
    /// Logs from here on are not known yet.
    unknown_from: u64,
    /// Logs that are live, each with the last LSN that nobody needs.
    live: HashMap<LogId, Lsn, FixedState>,
}

impl Floors {
    /// A log is about to come into being. Called before anything is written to it.
    pub(crate) fn add(&self, log: LogId) {
        self.add_all(std::iter::once(log));
    }

    /// These are there, and nobody knows yet what of them is dead.
    pub(crate) fn add_all(&self, logs: impl Iterator<Item = LogId>) {
        let mut known = self.0.write();
        known.live.reserve(logs.size_hint().0);
        for log in logs {
            known.live.insert(log, Lsn(0));
            known.unknown_from = known.unknown_from.max(log.0 + 1);
        }
    }

    /// A log is gone, durably.
    pub(crate) fn remove(&self, log: LogId) {
        self.0.write().live.remove(&log);
    }

    /// Nobody needs what the log has at or below `floor`; it never sinks.
    pub(crate) fn raise(&self, log: LogId, floor: Lsn) {
        if let Some(known) = self.0.write().live.get_mut(&log) {
            *known = (*known).max(floor);
        }
    }

    /// The floor of a log.
    pub(crate) fn get(&self, log: LogId) -> Lsn {
        self.0.read().live.get(&log).copied().unwrap_or_default()
    }

    /// Every live log has been added, and logs below `next_id` that are not among them are dead.
    pub(crate) fn recovered(&self, next_id: u64) {
        let mut known = self.0.write();
        known.unknown_from = known.unknown_from.max(next_id);
        known.recovered = true;
    }

    /// Whether the row of family `log` that has this key can go; the key alone says so.
    pub(crate) fn drops(&self, key: &[u8]) -> bool {
        keys::parse_block(key).is_some_and(|(log, last)| self.is_dead(log, last))
    }

    /// Whether a block can go.
    fn is_dead(&self, log: LogId, last: Lsn) -> bool {
        let known = self.0.read();
        known.recovered
            && match known.live.get(&log) {
                Some(floor) => last <= *floor,
                None => log.0 < known.unknown_from,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_does_not_know_and_everything_before_recovery() {
        let floors = Floors::default();
        floors.add(LogId(3));
        floors.raise(LogId(3), Lsn(10));
        assert!(!floors.is_dead(LogId(3), Lsn(5)), "recovery is not complete");
        floors.recovered(5);
        assert!(floors.is_dead(LogId(3), Lsn(10)));
        assert!(!floors.is_dead(LogId(3), Lsn(11)));
        assert!(floors.is_dead(LogId(4), Lsn(11)), "below the next number and not live");
        assert!(!floors.is_dead(LogId(5), Lsn(1)), "not known yet");
        floors.add(LogId(6));
        assert!(!floors.is_dead(LogId(6), Lsn(1)));
        floors.raise(LogId(3), Lsn(4));
        assert_eq!(floors.get(LogId(3)), Lsn(10), "a floor never sinks");
        floors.remove(LogId(6));
        assert!(floors.is_dead(LogId(6), Lsn(1)));
        floors.raise(LogId(6), Lsn(1));
        assert_eq!(floors.get(LogId(6)), Lsn(0), "a dead log stays dead");

        assert!(floors.drops(&keys::block(LogId(3), Lsn(10), 7)));
        assert!(!floors.drops(&keys::block(LogId(3), Lsn(11), 7)));
        assert!(!floors.drops(b"a key of another shape"));
    }
}
