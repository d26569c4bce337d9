//! The data directory: what may be in it, what is refused, and who has it.

use std::fs::File;
use std::path::Path;

use rocksdb::DB;

use super::{DEFAULT_FAMILY, FOLDER, NO_SPACE};
use crate::keys;
use crate::mark;
use crate::recovery::SCHEMA;
use crate::space;
use crate::{OpenError, Options};

/// Refuses a directory that is something else, and makes one that is not there.
pub(super) fn check(options: &Options) -> Result<(), OpenError> {
    let directory = &options.directory;
    let io = |error| OpenError::Io { directory: directory.clone(), error };
    std::fs::create_dir_all(directory).map_err(io)?;
    match list_families(options)? {
        Some(families) => {
            let known = |name: &str| keys::FAMILIES.iter().any(|family| family.name() == name);
            let foreign = families.iter().find(|name| !known(name));
            match foreign {
                Some(foreign) => Err(foreign_family(options, foreign)),
                None => Ok(()),
            }
        }
        None => check_new(directory),
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
    match peek_schema(options) {
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
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if name != mark::FILE_NAME && name != space::FILE_NAME && name != FOLDER && name != "lost+found" {
            return Err(refuse(format!("{}, and no database", name.display())));
        }
    }
    let (_, number) = mark::CommitMark::open(directory).map_err(io)?;
    if number > 0 {
        return Err(refuse(format!("the mark of commit {number}, and no database")));
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
fn peek_schema(options: &Options) -> Option<u32> {
    let path = options.directory.join(FOLDER);
    let families = [DEFAULT_FAMILY, keys::META.name()];
    let db = DB::open_cf_for_read_only(&rocksdb::Options::default(), path, families, false).ok()?;
    let row = db.get_cf(db.cf_handle(keys::META.name())?, keys::SCHEMA).ok()??;
    crate::record::decode_schema(&row).ok()
}

/// RocksDB's refusal to open, in our words where we know better.
pub(super) fn refusal(directory: &Path, path: &Path, reason: String) -> OpenError {
    let directory = directory.to_owned();
    if reason.contains("lock hold by current process") {
        return OpenError::InUse { directory, process: Some(std::process::id()) };
    }
    if reason.contains("While lock file") {
        return OpenError::InUse { directory, process: lock_holder(&path.join("LOCK")) };
    }
    if NO_SPACE.iter().any(|words| reason.contains(words)) {
        return OpenError::NoSpace { directory, reason };
    }
    OpenError::Engine { directory, reason }
}

/// Who holds the lock file. Only asked when it is another process: closing the file would give up a lock of our own.
fn lock_holder(lock: &Path) -> Option<u32> {
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    let file = File::open(lock).ok()?;
    let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??.pid?;
    u32::try_from(holder.as_raw_nonzero().get()).ok()
}
