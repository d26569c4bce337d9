//! Parts of logs that are lost to damage: reported once, kept durably, and passed over by every reader.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{Mutex, RwLock};

use crate::committer::Work;
use crate::record::QuarantineRow;
use crate::shared::Shared;
use crate::statistics::add;
use crate::{LogId, Lsn};

/// A part of a log that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRange {
    /// The log.
    pub log: LogId,
    /// What is lost is above this LSN …
    pub after: Lsn,
    /// … and at or below this one.
    pub through: Lsn,
    /// How many messages, where the ordinals on both sides tell. In the log of a filter that others read too, a reader
    /// may not have wanted all of them.
    pub messages: Option<u64>,
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    rows: RwLock<BTreeMap<LogId, Vec<QuarantineRow>>>,
    /// Topics of retained messages that were reported.
    topics: Mutex<BTreeSet<String>>,
}

/// So many topics are remembered; those beyond are reported each time.
const TOPICS: usize = 10_000;

impl Quarantine {
    pub(crate) fn load(&self, rows: Vec<QuarantineRow>) {
        let mut known = self.rows.write();
        for row in rows {
            known.entry(row.log).or_default().push(row);
        }
    }

    /// Takes in what was found; `false` if some of it was known.
    fn insert(&self, row: &QuarantineRow) -> bool {
        let mut known = self.rows.write();
        let rows = known.entry(row.log).or_default();
        let overlaps = |known: &QuarantineRow| known.after < row.through && row.after < known.through;
        if rows.iter().any(overlaps) {
            return false;
        }
        rows.push(row.clone());
        true
    }

    /// All that is known.
    pub(crate) fn rows(&self) -> Vec<QuarantineRow> {
        self.rows.read().values().flatten().cloned().collect()
    }

    /// Whether the retained message of a topic was not reported before.
    pub(crate) fn is_news(&self, topic: &str) -> bool {
        let mut topics = self.topics.lock();
        topics.len() >= TOPICS || topics.insert(topic.to_owned())
    }

    /// What is known of a part of a log.
    pub(crate) fn within(&self, log: LogId, after: Lsn, through: Lsn) -> Option<DamagedRange> {
        let known = self.rows.read();
        let row = known.get(&log)?.iter().find(|row| row.after < through && after < row.through)?;
        let (after, through) = (row.after.max(after), row.through.min(through));
        Some(DamagedRange { log, after, through, messages: row.messages })
    }
}

impl Shared {
    /// A part of a log cannot be read. Said once, and remembered.
    pub(crate) fn quarantine(&self, range: DamagedRange, reason: &str) {
        if let Some(row) = self.note_damage(range, reason) {
            // A closed queue means that the next start meets it again.
            let _ = self.queue.push(Work::Quarantine(row));
        }
    }

    /// Says that a part of a log is lost, and gives the record of it, if that is news.
    pub(crate) fn note_damage(&self, range: DamagedRange, reason: &str) -> Option<QuarantineRow> {
        let row = QuarantineRow {
            log: range.log,
            after: range.after,
            through: range.through,
            messages: range.messages,
            reason: reason.to_owned(),
            found_at_millis: self.clock.now_millis(),
        };
        if !self.quarantine.insert(&row) {
            return None;
        }
        tracing::error!(
            log = range.log.0,
            after_lsn = range.after.0,
            through_lsn = range.through.0,
            messages = range.messages,
            "a part of a log is damaged: its messages are lost, and the rest is delivered: {reason}"
        );
        add(&self.counters.damaged_ranges, 1);
        add(&self.counters.damaged_messages, range.messages.unwrap_or(1));
        Some(row)
    }
}
