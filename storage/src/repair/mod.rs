//! Saving what can be read of a damaged store.
//!
//! Repair works on a copy and never on the only one. It leaves out what cannot be read, puts aside what makes no sense, makes
//! the rest agree with itself, and tells each thing that it has done. Original and copy are held from beginning to end, so that
//! no broker starts on either meanwhile. What comes out is a store that opens and that
//! [`crate::Checker::check`] finds whole.
//!
//! - `copy`: the copy, durable before anything is changed;
//! - `batches`: damage in the write-ahead log;
//! - `missing`: files of it that are not there;
//! - `table`: table files with damaged blocks;
//! - `rows`: rows that are damaged, or that refer to what is gone.

pub(crate) mod batches;
mod copy;
mod missing;
mod rows;
pub(crate) mod table;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub(crate) use batches::settle as leave_out_damaged_batches;

use crate::check::access::{self, Access, Lock};
use crate::check::{CheckReport, Checker, Finding};
use crate::engine::named_file;
use crate::engine::rocks::FOLDER;
use crate::lock::{DirectoryLock, Purpose};
use crate::mark::{CommitMark, Mark};
use crate::{OpenError, check};

/// Why a store was not repaired. The original is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The store cannot be opened for another reason than damage.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The place for the copy is not free.
    #[error("{} is there already: give the name of a directory that is not, or that is empty", .0.display())]
    Occupied(PathBuf),
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// RocksDB refused.
    #[error("{0}")]
    Engine(String),
}

impl RepairError {
    fn io(path: &Path, error: std::io::Error) -> RepairError {
        RepairError::Io { path: path.to_owned(), error }
    }
}

impl From<rocksdb::Error> for RepairError {
    fn from(error: rocksdb::Error) -> RepairError {
        RepairError::Engine(error.into_string())
    }
}

/// What repairing has done.
#[derive(Debug, Clone, Serialize)]
pub struct RepairReport {
    /// The store that was read.
    pub from: PathBuf,
    /// The store that was made whole.
    pub into: PathBuf,
    /// Each thing that was done, in order.
    pub steps: Vec<String>,
    /// Rows that were put aside: they are in `quarantine/rows.txt` of the repaired store.
    pub rows_put_aside: u64,
    /// What was wrong, as far as the store could be read before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<CheckReport>,
    /// The repaired store, checked.
    pub after: CheckReport,
}

/// Copies the store in `from` to `into`, which must not be there or be empty, and repairs the copy. `from` is only read.
///
/// # Errors
///
/// When `from` is in use or no store, `into` is taken, or the copy cannot be written.
pub fn repair_copy(from: &Path, into: &Path) -> Result<RepairReport, RepairError> {
    access::require_directory(from)?;
    // Nothing is written to it, not even a lock file.
    let _from = DirectoryLock::take(from, Purpose::Look)?;
    let _engine = Lock::take(from)?;
    let _into = copy::copy(from, into)?;
    repair(from, into)
}

/// Copies the store in `directory` to `backup`, which must not be there or be empty, and then repairs the store where it
/// is.
///
/// # Errors
///
/// When `directory` is in use or no store, `backup` is taken, or either cannot be written. The backup is whole before
/// anything is changed.
pub fn repair_with_backup(directory: &Path, backup: &Path) -> Result<RepairReport, RepairError> {
    access::require_directory(directory)?;
    let _directory = DirectoryLock::take(directory, Purpose::Repair)?;
    let engine = Lock::take(directory)?;
    let _backup = copy::copy(directory, backup)?;
    // RocksDB takes this one itself, again and again; the directory stays ours.
    drop(engine);
    repair(directory, directory)
}

/// Repairs the store in `into`, of which there is a copy, and that is ours.
fn repair(from: &Path, into: &Path) -> Result<RepairReport, RepairError> {
    let mut steps = Vec::new();
    let (mut unreadable, mut lacks_log) = (false, false);
    let before = match Checker::open_locked(into) {
        Ok(checker) => Some(checker.check()),
        Err(OpenError::Unreadable { reason, .. }) => {
            steps.push(format!("the database did not open: {reason}"));
            unreadable = true;
            None
        }
        Err(OpenError::MissingLog { reason, .. }) => {
            steps.push(format!("opened without a file of the write-ahead log: {reason}"));
            lacks_log = true;
            None
        }
        Err(error) => return Err(error.into()),
    };
    for doubt in batches::leave_out_damaged(into)? {
        steps.push(doubt.to_string());
    }
    if unreadable {
        rebuild(into, &mut steps)?;
    }
    // Whatever the write-ahead log has goes to files.
    let db = table::open(into)?;
    if lacks_log {
        table::begin_log_anew(&db)?;
    }
    drop(db);
    replace_tables(into, &mut steps)?;
    let rows_put_aside = rows::mend(into, before.as_ref(), rows::What::All, &mut steps)?;
    let after = Checker::open_locked(into)?.check();
    let after =
        if set_mark(into, after.commit, &mut steps)? { Checker::open_locked(into)?.check() } else { after };
    Ok(RepairReport {
        from: from.to_owned(),
        into: into.to_owned(),
        steps,
        rows_put_aside,
        before: before.map(without_repetition),
        after,
    })
}

/// The report before is long where the damage is; what is in it of notes is in the one after.
fn without_repetition(mut report: CheckReport) -> CheckReport {
    report.findings.retain(|finding: &Finding| finding.kind.is_damage());
    report
}

/// What the mark says is missing is known by now, and a mark that cannot be read is made anew. `false`: it was right.
fn set_mark(into: &Path, commit: u64, steps: &mut Vec<String>) -> Result<bool, RepairError> {
    let io = |error| RepairError::io(into, error);
    let what = match Mark::read(into).map_err(io)? {
        Mark::At(marked) if marked > commit => format!("batches {} to {marked} are lost", commit + 1),
        Mark::Unreadable => "it could not be read: whether the last batches are lost is not known".to_owned(),
        Mark::At(_) | Mark::Missing => return Ok(false),
    };
    steps.push(format!("the commit mark was set to {commit}; {what}"));
    let (mark, _) = CommitMark::open(into).map_err(io)?;
    mark.set(commit).map_err(io)?;
    Ok(true)
}

/// Has RocksDB put together a database from the files that are there.
fn rebuild(into: &Path, steps: &mut Vec<String>) -> Result<(), RepairError> {
    let path = into.join(FOLDER);
    rocksdb::DB::repair(&rocksdb::Options::default(), &path)?;
    let lost = path.join("lost");
    let mut set_aside: Vec<String> = std::fs::read_dir(&lost)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().display().to_string())
        .collect();
    set_aside.sort();
    steps.push("put the database together from the files that are there".to_owned());
    if !set_aside.is_empty() {
        steps.push(format!("set aside in {}: {}", lost.display(), set_aside.join(", ")));
    }
    Ok(())
}

/// Replaces each table file that has blocks that cannot be read.
fn replace_tables(into: &Path, steps: &mut Vec<String>) -> Result<(), RepairError> {
    // What cannot be read may hide more of the same.
    let mut seen = Vec::new();
    loop {
        let damaged = damaged_tables(into)?;
        let Some(number) = damaged.into_iter().find(|number| !seen.contains(number)) else { return Ok(()) };
        seen.push(number);
        if let Some(replaced) = table::replace(into, number)? {
            steps.push(replaced.to_string());
        }
    }
}

impl std::fmt::Display for table::Replaced {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} ({}) cannot be read in {} places: wrote its other {} rows again, and took it out of the database",
            self.kept.display(),
            self.family,
            self.lost.len(),
            self.rows
        )?;
        if self.doubtful > 0 {
            write!(formatter, "; {} rows of other files may be older than what is lost", self.doubtful)?;
        }
        Ok(())
    }
}

/// Table files with blocks that cannot be read.
fn damaged_tables(into: &Path) -> Result<Vec<u64>, RepairError> {
    let access = Access::open(into)?;
    let mut numbers = Vec::new();
    for family in crate::keys::FAMILIES {
        let Some(family) = access.family(family) else { continue };
        check::scan::scan(&access.db, family, &[], None, |found| {
            if let check::scan::Found::Unreadable(gap) = found {
                numbers.extend(named_file(&gap.reason));
            }
        });
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}
