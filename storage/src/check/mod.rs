//! Looking at a stopped store: every record, every reference between families, every count.
//!
//! A [`Checker`] opens read only and holds the data directory meanwhile. [`Checker::check`] tells whether the store is what it
//! should be; [`Checker::inspect`] shows what is in it. Both go on behind what cannot be read.
//!
//! - `access`: lock and database;
//! - `scan`: rows, over damage;
//! - `rows`: the small families and what they say of each other;
//! - `logs`: blocks, ordinals and running bytes;
//! - `files`: the write-ahead log and the commit mark;
//! - `inspect`: sessions, backlogs, exchanges, messages.

pub(crate) mod access;
mod files;
mod inspect;
pub(crate) mod logs;
mod report;
pub(crate) mod rows;
pub(crate) mod scan;

use std::path::{Path, PathBuf};

pub use inspect::{
    DropView, ExchangeView, GroupView, Inspection, MessageView, Selection, SessionView, SubscriptionView,
};
pub use report::{CheckCounts, CheckReport, Finding, FindingKind, LogRange};

use crate::OpenError;
use crate::engine::rocks::closed;
use crate::lock::{DirectoryLock, Purpose};
use crate::repair::batches;
use access::{Access, Lock};
use rows::Model;

/// A stopped store, to be looked at.
pub struct Checker {
    directory: PathBuf,
    access: Access,
    _lock: Lock,
    _directory: Option<DirectoryLock>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Checker").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Checker {
    /// Opens the store in a data directory. Nothing is written, and no broker can open it meanwhile.
    ///
    /// # Errors
    ///
    /// When the directory is in use, is no store, is one of a newer version, or when the files that tell which
    /// others belong to the database cannot be read ([`OpenError::Unreadable`]): the store is damaged then.
    pub fn open(directory: &Path) -> Result<Checker, OpenError> {
        access::require_directory(directory)?;
        let lock = DirectoryLock::take(directory, Purpose::Look)?;
        Ok(Checker { _directory: Some(lock), ..Checker::open_locked(directory)? })
    }

    /// Opens the store in a data directory that is ours.
    pub(crate) fn open_locked(directory: &Path) -> Result<Checker, OpenError> {
        access::require_store(directory)?;
        let lock = Lock::take(directory)?;
        let access = Access::open(directory)?;
        access.require_families(directory)?;
        closed::verify(directory)?;
        batches::check_beginning(directory)?;
        Ok(Checker { directory: directory.to_owned(), access, _lock: lock, _directory: None })
    }

    /// Reads everything, and tells what is wrong.
    pub fn check(&self) -> CheckReport {
        let mut report = CheckReport {
            directory: self.directory.clone(),
            schema: self.access.schema(),
            ..CheckReport::default()
        };
        let model = Model::read(&self.access, &mut report);
        model.check_references(&mut report);
        logs::check(&self.access, &model, &mut report);
        files::check(&self.directory, model.state.commit, &mut report);
        report
    }

    /// Shows what is in the store.
    pub fn inspect(&self, selection: &Selection) -> Inspection {
        inspect::inspect(&self.access, selection)
    }
}
