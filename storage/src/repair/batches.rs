//! Damage in the middle of the write-ahead log.
//!
//! RocksDB stops at it, and gives up every batch behind it: messages that were acknowledged and that can be read. Here the
//! damaged part is left out, and everything behind it is recovered. What referred to a lost batch is mended, so that the
//! store opens. The files are kept as they were, for whoever wants to look for more in them.

use std::path::Path;

use super::{RepairError, missing, rows, table};
use crate::check::access::{Lock, io};
use crate::engine::rocks::FOLDER;
use crate::files::{manifest, wal};
use crate::{InDoubt, Lsn, OpenError};

/// What opening a store does before RocksDB reads the write-ahead log. A torn end is left to RocksDB.
pub(crate) fn settle(directory: &Path) -> Result<Vec<InDoubt>, OpenError> {
    let path = directory.join(FOLDER);
    if !path.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    // Without the lock: only reading, and files that somebody is writing to have no damage with batches behind it.
    let mut files = wal::survey(&path).map_err(|error| io(directory, error))?;
    if check(directory, &files).is_err() {
        // They may have changed while they were read, if somebody has the store open.
        let _lock = Lock::take(directory)?;
        files = wal::survey(&path).map_err(|error| io(directory, error))?;
        check(directory, &files)?;
    }
    if files.iter().all(|file| file.gaps.is_empty()) {
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

/// The write-ahead log goes on where the table files end. If it begins later, there are table files of which the manifest
/// has lost the end, or a file of the log is missing; opening the database would then delete those that it does not know.
pub(crate) fn check_beginning(directory: &Path) -> Result<(), OpenError> {
    let files = wal::survey(&directory.join(FOLDER)).map_err(|error| io(directory, error))?;
    check(directory, &files)
}

fn check(directory: &Path, files: &[wal::WalFile]) -> Result<(), OpenError> {
    let path = directory.join(FOLDER);
    let kept = files.first().and_then(|file| file.path.file_name());
    if kept.is_some_and(|name| directory.join(table::QUARANTINE).join(name).exists()) {
        // Its beginning was damaged, and was left out.
        return Ok(());
    }
    // One that cannot be read is refused by RocksDB.
    let Ok(known) = manifest::log_numbers(&path) else { return Ok(()) };
    missing::check(directory, files, &known)?;
    let Some(first) = files.first().and_then(|file| file.first_sequence) else { return Ok(()) };
    let unreadable = |reason| OpenError::Unreadable { directory: directory.to_owned(), reason };
    let known = known.last_sequence;
    if first > known + 1 {
        return Err(unreadable(format!(
            "the write-ahead log begins with {} at {first}, and the manifest that {} names ends at {known}: one of them \
             was cut short, or a file is missing",
            files[0].path.display(),
            path.join("CURRENT").display()
        )));
    }
    Ok(())
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
