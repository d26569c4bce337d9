//! The data directory: what may be in it, what is refused, and who has it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rocksdb::DB;

use super::{DEFAULT_FAMILY, FOLDER, NO_SPACE};
use crate::keys;
use crate::lock::{self, DirectoryLock, Purpose};
use crate::mark;
use crate::recovery::SCHEMA;
use crate::space;
use crate::{OpenError, Options};

/// Takes the directory, which is made if it is not there. One that is something else is refused, with nothing left in it.
pub(super) fn take(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let io = |error| OpenError::Io { directory: directory.to_owned(), error };
    std::fs::create_dir_all(directory).map_err(io)?;
    if !directory.join(lock::FILE_NAME).exists() && !directory.join(FOLDER).join("CURRENT").exists() {
        refuse_foreign_names(directory)?;
    }
    DirectoryLock::take(directory, Purpose::Store)
}

/// Refuses a directory that is something else.
pub(super) fn check(options: &Options) -> Result<(), OpenError> {
    let directory = &options.directory;
    match list_families(options)? {
        Some(families) => {
            let foreign = families.iter().find(|name| !is_ours(name));
            match foreign {
                Some(foreign) => Err(foreign_family(options, foreign)),
                None => check_families(options, &families),
            }
        }
        None => check_new(directory),
    }
}

/// A database in which something was committed has all families: a manifest that was cut short has not.
fn check_families(options: &Options, families: &[String]) -> Result<(), OpenError> {
    let directory = &options.directory;
    let mark =
        mark::Mark::read(directory).map_err(|error| OpenError::Io { directory: directory.clone(), error })?;
    let missing = keys::FAMILIES.iter().find(|family| !families.iter().any(|name| name == family.name()));
    match missing {
        Some(missing) if mark.number() > 0 => Err(missing_family(directory, *missing)),
        _ => Ok(()),
    }
}

pub(crate) fn missing_family(directory: &Path, missing: keys::Family) -> OpenError {
    let current = directory.join(FOLDER).join("CURRENT");
    let (current, name) = (current.display(), missing.name());
    OpenError::Unreadable {
        directory: directory.to_owned(),
        reason: format!(
            "the manifest that {current} names does not have the family {name}: it was cut short"
        ),
    }
}

/// Makes sure that a power cut leaves the directory itself: syncing the files in it does not.
pub(super) fn sync(options: &Options) -> Result<(), OpenError> {
    let directory = &options.directory;
    let sync = || {
        let absolute = std::path::absolute(directory)?;
        absolute.ancestors().take(2).try_for_each(|directory| std::fs::File::open(directory)?.sync_all())
    };
    sync().map_err(|error| OpenError::Io { directory: directory.clone(), error })
}

/// A database with families that are not ours is of a newer version, or of another kind.
fn foreign_family(options: &Options, family: &str) -> OpenError {
    match peek_schema(&options.directory.join(FOLDER)) {
        Some(found) if found > SCHEMA => {
            OpenError::NewerSchema { directory: options.directory.clone(), found, known: SCHEMA }
        }
        _ => OpenError::NotAStore {
            directory: options.directory.clone(),
            found: format!("a database with the family {family:?}"),
        },
    }
}

/// Without a database, the directory must be empty, or be left from a start that was broken off.
fn check_new(directory: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { directory: directory.to_owned(), error };
    let refuse = |found: String| OpenError::NotAStore { directory: directory.to_owned(), found };
    refuse_foreign_names(directory)?;
    let database = directory.join(FOLDER);
    if let Some(file) = files_without_current(&database).first() {
        let current = database.join("CURRENT");
        let reason = format!("{} is missing, and {} is there", current.display(), file.display());
        return Err(OpenError::Unreadable { directory: directory.to_owned(), reason });
    }
    match mark::Mark::read(directory).map_err(io)? {
        mark::Mark::At(number) if number > 0 => {
            Err(refuse(format!("the mark of commit {number}, and no database")))
        }
        mark::Mark::Unreadable => {
            Err(refuse("a commit mark that cannot be read, and no database".to_owned()))
        }
        mark::Mark::At(_) | mark::Mark::Missing => Ok(()),
    }
}

fn refuse_foreign_names(directory: &Path) -> Result<(), OpenError> {
    const OURS: [&str; 5] = [mark::FILE_NAME, space::FILE_NAME, lock::FILE_NAME, FOLDER, "lost+found"];
    let io = |error| OpenError::Io { directory: directory.to_owned(), error };
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if !OURS.iter().any(|ours| name == *ours) {
            let found = format!("{}, and no database", name.display());
            return Err(OpenError::NotAStore { directory: directory.to_owned(), found });
        }
    }
    Ok(())
}

/// The families that a directory's database has; `None` when it has no database.
fn list_families(options: &Options) -> Result<Option<Vec<String>>, OpenError> {
    let path = options.directory.join(FOLDER);
    if !path.join("CURRENT").exists() {
        return Ok(None);
    }
    let families: Vec<String> = DB::list_cf(&rocksdb::Options::default(), &path)
        .map_err(|error| refusal(&options.directory, &path, error.into_string()))?;
    Ok(Some(families.into_iter().filter(|name| name != DEFAULT_FAMILY).collect()))
}

/// The schema of a database that cannot be opened because it has families of which this version knows nothing.
pub(crate) fn peek_schema(path: &Path) -> Option<u32> {
    let families = [DEFAULT_FAMILY, keys::META.name()];
    let db = DB::open_cf_for_read_only(&rocksdb::Options::default(), path, families, false).ok()?;
    let row = db.get_cf(db.cf_handle(keys::META.name())?, keys::SCHEMA).ok()??;
    crate::record::decode_schema(&row).ok()
}

/// RocksDB's refusal to open, in our words where we know better.
pub(super) fn refusal(directory: &Path, path: &Path, reason: String) -> OpenError {
    let directory = directory.to_owned();
    if reason.contains("lock hold by current process") {
        return OpenError::InUse { directory, process: Some(std::process::id()), purpose: None };
    }
    if reason.contains("While lock file") {
        return OpenError::InUse { directory, process: lock_holder(&path.join("LOCK")), purpose: None };
    }
    if NO_SPACE.iter().any(|words| reason.contains(words)) {
        return OpenError::NoSpace { directory, reason };
    }
    if reason.starts_with("Corruption") || reason.contains("No such file") {
        return OpenError::Unreadable { directory, reason };
    }
    OpenError::Engine { directory, reason }
}

/// Whether a database of ours has a family of that name.
pub(crate) fn is_ours(name: &str) -> bool {
    name == DEFAULT_FAMILY || keys::FAMILIES.iter().any(|family| family.name() == name)
}

/// Files with data in the folder of a database that has lost CURRENT: what a start that was broken off leaves has none.
pub(crate) fn files_without_current(path: &Path) -> Vec<PathBuf> {
    let has_data = |entry: &std::fs::DirEntry| {
        let (name, path) = (entry.file_name(), entry.path());
        let manifest = name.as_encoded_bytes().starts_with(b"MANIFEST-") && name != "MANIFEST-000001";
        let is = |ending: &str| path.extension().is_some_and(|found| found == ending);
        manifest || is("sst") || (is("log") && entry.metadata().is_ok_and(|file| file.len() > 0))
    };
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.filter(has_data).map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Who holds the lock file. Only asked when it is another process: closing the file would give up a lock of our own.
pub(crate) fn lock_holder(lock: &Path) -> Option<u32> {
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    let file = File::open(lock).ok()?;
    let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??.pid?;
    u32::try_from(holder.as_raw_nonzero().get()).ok()
}
