//! What is on the disk at one moment. A copy shares all rows, and pays only for what is changed later.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Cursor, EngineError, WriteBatch};
use crate::keys::{FAMILIES, Family};

type Table = BTreeMap<Bytes, Bytes>;

/// The rows of all families.
#[derive(Clone, Default)]
pub(super) struct Image {
    tables: [Arc<Table>; FAMILIES.len()],
}

impl Image {
    pub(super) fn apply(&mut self, batch: &WriteBatch) {
        for change in batch.changes() {
            let table = Arc::make_mut(&mut self.tables[change.family.index()]);
            match &change.value {
                Some(value) => drop(table.insert(Bytes::copy_from_slice(&change.key), value.clone())),
                None => drop(table.remove(&*change.key)),
            }
        }
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<Bytes> {
        self.tables[family.index()].get(key).cloned()
    }

    pub(super) fn family(&self, family: Family) -> Arc<Table> {
        self.tables[family.index()].clone()
    }

    /// Keys and values from one key to before another.
    pub(super) fn bytes(&self, family: Family, from: &[u8], to: &[u8]) -> u64 {
        if from >= to {
            return 0;
        }
        let rows = self.tables[family.index()].range::<[u8], _>((Included(from), Excluded(to)));
        rows.map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// Removes the rows whose keys are dead.
    pub(super) fn remove(&mut self, family: Family, is_dead: impl Fn(&[u8]) -> bool) {
        let table = &mut self.tables[family.index()];
        if table.keys().any(|key| is_dead(key)) {
            Arc::make_mut(table).retain(|key, _| !is_dead(key));
        }
    }
}

/// A cursor over a table as it was when the cursor was made.
pub(super) struct Rows {
    table: Arc<Table>,
    from: Bytes,
    to: Option<Bytes>,
    row: Option<(Bytes, Bytes)>,
}

impl Rows {
    pub(super) fn new(table: Arc<Table>, from: &[u8], to: Option<&[u8]>) -> Rows {
        Rows { table, from: Bytes::copy_from_slice(from), to: to.map(Bytes::copy_from_slice), row: None }
    }

    fn set(&mut self, row: Option<(Bytes, Bytes)>) {
        let inside = |key: &Bytes| *key >= self.from && self.to.as_ref().is_none_or(|to| key < to);
        self.row = row.filter(|(key, _)| inside(key));
    }

    fn seek_from(&mut self, bound: std::ops::Bound<&[u8]>) {
        let found = self.table.range::<[u8], _>((bound, Unbounded)).next();
        let found = found.map(|(key, value)| (key.clone(), value.clone()));
        self.set(found);
    }
}

impl Cursor for Rows {
    fn seek_to_first(&mut self) {
        self.seek(&[]);
    }

    fn seek_to_last(&mut self) {
        let end = self.to.as_deref().map_or(Unbounded, Excluded);
        let found = self.table.range::<[u8], _>((Unbounded, end)).next_back();
        let found = found.map(|(key, value)| (key.clone(), value.clone()));
        self.set(found);
    }

    fn seek(&mut self, key: &[u8]) {
        let key = Bytes::copy_from_slice(key).max(self.from.clone());
        self.seek_from(Included(&key));
    }

    fn next(&mut self) {
        let Some((key, _)) = self.row.take() else { return };
        self.seek_from(Excluded(&key));
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.row.as_ref().map(|(key, value)| (&key[..], &value[..]))
    }

    fn status(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
