//! What is written in one go: puts and deletes, in order.
//!
//! The batch belongs to no engine, and a write does not consume it, so that the identical one can be written again. A value is shared, not
//! copied: a block of messages is copied once, by RocksDB, into what it writes.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::keys::Family;

/// What a change takes beside its key and value, roughly.
const CHANGE_OVERHEAD: usize = 6;

/// Puts and deletes, whole or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteBatch {
    changes: Vec<Change>,
    bytes: usize,
}

/// One row's change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) family: Family,
    pub(crate) key: SmallVec<[u8; 24]>,
    /// `None`: the row goes.
    pub(crate) value: Option<Bytes>,
}

impl WriteBatch {
    pub(crate) fn put(&mut self, family: Family, key: &[u8], value: impl Into<Bytes>) {
        self.push(family, key, Some(value.into()));
    }

    /// This one, and then another.
    pub(crate) fn followed_by(&self, other: &WriteBatch) -> WriteBatch {
        let changes = [self.changes.as_slice(), other.changes.as_slice()].concat();
        WriteBatch { changes, bytes: self.bytes + other.bytes }
    }

    /// The row goes, if there is one.
    pub(crate) fn delete(&mut self, family: Family, key: &[u8]) {
        self.push(family, key, None);
    }

    /// In the order in which they take effect.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What it takes in the write-ahead log, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a change out: see [`Fault`](super::memory::Fault).
    pub(super) fn remove(&mut self, at: usize) {
        self.changes.remove(at);
    }

    fn push(&mut self, family: Family, key: &[u8], value: Option<Bytes>) {
        self.bytes += CHANGE_OVERHEAD + key.len() + value.as_ref().map_or(0, Bytes::len);
        self.changes.push(Change { family, key: SmallVec::from_slice(key), value });
    }
}
