//! A stopped store, opened to be read only, with nobody else at it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamily, DB};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::OpenError;
use crate::engine::rocks::{FOLDER, directory as directory_rules};
use crate::keys::{self, Family};
use crate::mark::Mark;
use crate::recovery::SCHEMA;

/// RocksDB's lock, which is all that an earlier version holds.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock. A store on a medium that cannot be written to is only asked for.
    pub(crate) fn take(directory: &Path) -> Result<Lock, OpenError> {
        let path = directory.join(FOLDER).join("LOCK");
        let in_use = || OpenError::InUse {
            directory: directory.to_owned(),
            process: directory_rules::lock_holder(&path),
            purpose: None,
        };
        match File::options().read(true).write(true).open(&path) {
            Ok(file) => match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Lock { _file: Some(file) }),
                Err(Errno::AGAIN | Errno::ACCESS) => Err(in_use()),
                Err(error) => Err(io(directory, error.into())),
            },
            Err(_) if directory_rules::lock_holder(&path).is_some() => Err(in_use()),
            Err(_) => Ok(Lock { _file: None }),
        }
    }
}

/// The database, read only. Its write-ahead log is read into memory, and nothing is written.
pub(crate) struct Access {
    pub(crate) db: DB,
}

impl Access {
    /// Opens the database of a data directory.
    pub(crate) fn open(directory: &Path) -> Result<Access, OpenError> {
        let path = directory.join(FOLDER);
        require_store(directory)?;
        let refuse = |error: rocksdb::Error| OpenError::Unreadable {
            directory: directory.to_owned(),
            reason: error.into_string(),
        };
        let options = rocksdb::Options::default();
        let families = DB::list_cf(&options, &path).map_err(refuse)?;
        if let Some(foreign) = families.iter().find(|name| !directory_rules::is_ours(name)) {
            return Err(match directory_rules::peek_schema(&path) {
                Some(found) if found > SCHEMA => {
                    OpenError::NewerSchema { directory: directory.to_owned(), found, known: SCHEMA }
                }
                _ => not_a_store(directory, format!("a database with the family {foreign:?}")),
            });
        }
        let db = DB::open_cf_for_read_only(&options, &path, families, false).map_err(refuse)?;
        let access = Access { db };
        if let Some(found) = access.schema()
            && found > SCHEMA
        {
            return Err(OpenError::NewerSchema { directory: directory.to_owned(), found, known: SCHEMA });
        }
        Ok(access)
    }

    /// Refuses a database in which something was committed and that lacks a family.
    pub(crate) fn require_families(&self, directory: &Path) -> Result<(), OpenError> {
        let mark = Mark::read(directory).map_err(|error| io(directory, error))?;
        match keys::FAMILIES.iter().find(|family| self.family(**family).is_none()) {
            Some(missing) if mark.number() > 0 => Err(directory_rules::missing_family(directory, *missing)),
            _ => Ok(()),
        }
    }

    /// The schema, if that can be read.
    pub(crate) fn schema(&self) -> Option<u32> {
        let row = self.db.get_cf(self.family(keys::META)?, keys::SCHEMA).ok()??;
        crate::record::decode_schema(&row).ok()
    }

    /// A family; `None` if the store was never begun.
    pub(crate) fn family(&self, family: Family) -> Option<&ColumnFamily> {
        self.db.cf_handle(family.name())
    }
}

/// Refuses what is no store at all; one with parts missing is a store.
pub(crate) fn require_store(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(FOLDER);
    let entries = std::fs::read_dir(directory).map_err(|error| io(directory, error))?;
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name().display().to_string()).collect();
    if !path.is_dir() {
        let found =
            names.first().map_or_else(|| "nothing".to_owned(), |name| format!("{name}, and no database"));
        return Err(not_a_store(directory, found));
    }
    if !path.join("CURRENT").exists() {
        return Err(match directory_rules::files_without_current(&path).first() {
            Some(file) => OpenError::Unreadable {
                directory: directory.to_owned(),
                reason: format!(
                    "{} is missing, and {} is there",
                    path.join("CURRENT").display(),
                    file.display()
                ),
            },
            None => not_a_store(directory, "an empty database folder".to_owned()),
        });
    }
    Ok(())
}

/// Refuses what is no store at all, and takes one that has lost CURRENT.
pub(crate) fn require_directory(directory: &Path) -> Result<(), OpenError> {
    match require_store(directory) {
        Ok(()) | Err(OpenError::Unreadable { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn not_a_store(directory: &Path, found: String) -> OpenError {
    OpenError::NotAStore { directory: directory.to_owned(), found }
}

pub(crate) fn io(directory: &Path, error: std::io::Error) -> OpenError {
    OpenError::Io { directory: PathBuf::from(directory), error }
}
