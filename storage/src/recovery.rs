//! Opening a store: what it has found, and the catalog that it rebuilds.

mod load;

use std::time::Duration;

use crate::engine::Engine;
use crate::{EndedSession, Lsn, keys, record};

pub(crate) use load::{Loaded, load};

/// The schema that this version writes.
pub(crate) const SCHEMA: u32 = 2;

/// What opening the store has found.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Stored sessions.
    pub sessions: usize,
    /// Those of them that were connected when the store was last open.
    pub interrupted_sessions: usize,
    /// Subscriptions of stored sessions.
    pub subscriptions: usize,
    /// Filters that they hold with QoS 1 or 2.
    pub filters: usize,
    /// The last LSN that was given out.
    pub head: Lsn,
    /// The number of the last batch: opening writes some of its own.
    pub commit: u64,
    /// The number of the last batch that has come back.
    pub recovered_commit: u64,
    /// The store was closed in an orderly way; nothing had to be replayed.
    pub clean: bool,
    /// First and last of the batches that had been acknowledged and are gone.
    pub lost: Option<(u64, u64)>,
    /// The commit mark could not be read: whether the last batches are there cannot be told.
    pub mark_unreadable: bool,
    /// Damaged parts of the write-ahead log that were left out.
    pub in_doubt: Vec<InDoubt>,
    /// Sessions that ended because they had expired, or ended with a connection that the crash broke.
    pub ended: Vec<EndedSession>,
    /// How long opening took.
    pub elapsed: Duration,
    /// Whether RocksDB computes its checksums in hardware; `None` when it does not say.
    pub fast_checksum: Option<bool>,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} sessions, {} subscriptions, {} filters, head {}, commit {}; {} in {:.3} s",
            self.sessions,
            self.subscriptions,
            self.filters,
            self.head.0,
            self.commit,
            if self.clean { "opened" } else { "recovered after a crash" },
            self.elapsed.as_secs_f64(),
        )?;
        if !self.ended.is_empty() {
            write!(formatter, "; {} sessions had expired or ended", self.ended.len())?;
        }
        if let Some((first, last)) = self.lost {
            write!(formatter, "; ACKNOWLEDGED DATA IS LOST: batches {first} to {last} are missing")?;
        }
        for doubt in &self.in_doubt {
            write!(formatter, "; ACKNOWLEDGED DATA IS IN DOUBT: {doubt}")?;
        }
        if self.mark_unreadable {
            let commit = self.commit;
            write!(
                formatter,
                "; the commit mark is damaged: whether anything behind {commit} is lost is not known"
            )?;
        }
        Ok(())
    }
}

/// A damaged part of the write-ahead log. It was left out, and what stood behind it was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// First and last of the batches that may have been in it. Empty when the first is above the last.
    pub commits: (u64, u64),
    /// First and last of the LSNs that may have been in it.
    pub lsns: (Lsn, Lsn),
    /// The file as it was.
    pub kept: std::path::PathBuf,
}

impl std::fmt::Display for InDoubt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((first, last), (first_lsn, last_lsn)) = (self.commits, self.lsns);
        write!(
            formatter,
            "the write-ahead log was damaged in its middle; batches {first} to {last}, LSN {} to {}; the file is kept as {}",
            first_lsn.0,
            last_lsn.0,
            self.kept.display()
        )
    }
}

/// What is known to be lost to damage.
pub(crate) fn quarantined(engine: &dyn Engine) -> Vec<record::QuarantineRow> {
    let view = engine.view();
    let mut rows = view.cursor(keys::META, keys::QUARANTINE, None);
    rows.seek_to_first();
    let mut known = Vec::new();
    while let Some((_, row)) = rows.item().filter(|(key, _)| key.starts_with(keys::QUARANTINE)) {
        match record::decode_quarantine(row) {
            Ok(row) => known.push(row),
            Err(reason) => tracing::warn!(%reason, "a record of earlier damage is itself damaged"),
        }
        rows.next();
    }
    known
}
