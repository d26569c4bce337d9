//! What checking a store has found, in a form to be printed as it is or written as JSON.

use std::path::PathBuf;

use serde::Serialize;

/// What [`crate::Checker::check`] has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// The data directory.
    pub directory: PathBuf,
    /// The schema of the store, if that could be read.
    pub schema: Option<u32>,
    /// The number of the last batch.
    pub commit: u64,
    /// The last LSN that was given out.
    pub head: u64,
    /// The store was closed in an orderly way.
    pub clean_shutdown: bool,
    /// What was read.
    pub counts: CheckCounts,
    /// What is wrong, or worth knowing; the first [`CheckReport::FINDINGS`] of them.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: usize,
}

/// How much was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CheckCounts {
    /// Stored sessions.
    pub sessions: u64,
    /// Their subscriptions.
    pub subscriptions: u64,
    /// Filters with a log of their own.
    pub filters: u64,
    /// Logs that have entries.
    pub logs: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Messages in the blocks, consumed ones included whose space was not made free yet.
    pub messages: u64,
    /// Open exchanges towards clients.
    pub exchanges: u64,
    /// Retained messages.
    pub retained: u64,
    /// Bytes of all rows.
    pub bytes: u64,
}

/// Something that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind it is of.
    pub kind: FindingKind,
    /// Where: a family, or a file.
    pub place: String,
    /// The key of a row, printable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// The part of a log that is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<LogRange>,
    /// Client identifiers of sessions whose waiting messages may be among what is lost; at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// A part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LogRange {
    /// The log.
    pub log: u64,
    /// Above this LSN …
    pub after: u64,
    /// … and at or below this one.
    pub through: u64,
    /// How many messages, where the ordinals on both sides tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A part of a file that RocksDB cannot read.
    Unreadable,
    /// A record whose checksum does not match, or that is malformed.
    Damaged,
    /// Entries that a log has had and that are not there.
    Missing,
    /// Records that do not agree with each other.
    Inconsistent,
    /// Batches of the write-ahead log that cannot be read, with others behind them.
    WriteAheadLog,
    /// Batches that had been acknowledged and are gone.
    Lost,
    /// Known and reported before: the store goes on without it.
    Quarantined,
    /// Worth knowing, and no damage: what a kill leaves.
    Note,
}

impl FindingKind {
    /// Whether it is damage that nobody has dealt with.
    pub fn is_damage(self) -> bool {
        !matches!(self, FindingKind::Quarantined | FindingKind::Note)
    }
}

impl CheckReport {
    /// So many findings are kept.
    pub const FINDINGS: usize = 10_000;

    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| !finding.kind.is_damage())
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        // Damage is never crowded out by notes.
        if self.findings.len() < Self::FINDINGS || (finding.kind.is_damage() && self.is_clean()) {
            self.findings.push(finding);
        }
    }

    pub(crate) fn row(&mut self, kind: FindingKind, family: &str, key: &[u8], what: impl Into<String>) {
        self.add(Finding { key: Some(printable(key)), ..Finding::at(kind, family, what) });
    }
}

impl Finding {
    pub(crate) fn at(kind: FindingKind, place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { kind, place: place.into(), key: None, what: what.into(), range: None, sessions: Vec::new() }
    }
}

/// A key, printable.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
