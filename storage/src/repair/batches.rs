//! Damage in the middle of the write-ahead log.
//!
//! RocksDB stops at it, and gives up every batch behind it: messages that were acknowledged and that can be read. Here the
//! damaged part is left out, and everything behind it is recovered. What referred to a lost batch is mended, so that the
//! store opens. The files are kept as they were, for whoever wants to look for more in them.

use std::path::Path;

use super::{RepairError, rows, table};
use crate::check::access::{Lock, io};
use crate::engine::rocks::FOLDER;
use crate::files::wal;
use crate::{InDoubt, Lsn, OpenError};

/// What opening a store does before RocksDB reads the write-ahead log. A torn end is left to RocksDB.
pub(crate) fn settle(directory: &Path) -> Result<Vec<InDoubt>, OpenError> {
    let path = directory.join(FOLDER);
    if !path.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    // Without the lock: only reading, and files that somebody is writing to have no damage with batches behind it.
    let damaged = |files: Vec<wal::WalFile>| files.iter().any(|file| !file.gaps.is_empty());
    if !damaged(wal::survey(&path).map_err(|error| io(directory, error))?) {
        return Ok(Vec::new());
    }
    let lock = Lock::take(directory)?;
    let engine = |error: RepairError| match error {
        RepairError::Open(error) => error,
        error => OpenError::Engine { directory: directory.to_owned(), reason: error.to_string() },
    };
    let found = leave_out_damaged(directory).map_err(engine)?;
    // RocksDB takes the lock itself.
    drop(lock);
    let mut steps = Vec::new();
    rows::mend(directory, None, rows::What::References, &mut steps).map_err(engine)?;
    for step in steps {
        tracing::error!("mended after damage in the write-ahead log: {step}");
    }
    Ok(found)
}

/// Leaves out what is damaged, and keeps each file as it was.
pub(super) fn leave_out_damaged(directory: &Path) -> Result<Vec<InDoubt>, RepairError> {
    let path = directory.join(FOLDER);
    let mut found = Vec::new();
    for file in wal::survey(&path).map_err(|error| RepairError::io(&path, error))? {
        if file.gaps.is_empty() {
            continue;
        }
        let kept = table::keep(directory, &file.path)?;
        for gap in &file.gaps {
            let (first, last) = gap.lsns();
            let doubt = InDoubt { commits: gap.commits(), lsns: (Lsn(first), Lsn(last)), kept: kept.clone() };
            found.push(doubt);
        }
        wal::drop_damage(&file.path).map_err(|error| RepairError::io(&file.path, error))?;
    }
    Ok(found)
}
