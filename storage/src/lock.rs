//! Who has the data directory: one at a time, for as long as it works on it.
//!
//! RocksDB's own lock goes whenever the database is closed, and a repair closes it many times, as does a store that opens its
//! database anew. This one is of the whole directory, and is held from the first look to the last write. It is a lock of the
//! kernel on an open file (`flock`), so it ends with its holder, however that ends, and does not leave anything to be
//! cleaned up; that the file is there means nothing. What stands in it is for people: who holds it, and what for.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::OpenError;
use crate::engine::rocks::{FOLDER, directory::lock_holder};

/// The name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "lock";

/// What a data directory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is open, as a store.
    Store,
    /// It is only read.
    Look,
    /// It is repaired, or copied for that.
    Repair,
}

impl Purpose {
    /// In the file, and in what a second one is told.
    fn words(self) -> &'static str {
        match self {
            Purpose::Store => "a broker",
            Purpose::Look => "`barnacle check`, `barnacle inspect` or `barnacle repair --into`",
            Purpose::Repair => "`barnacle repair`",
        }
    }
}

/// A data directory that is ours. Dropped, it is anybody's.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: Option<File>,
}

impl DirectoryLock {
    /// Takes the lock of a directory that is there. Whoever only looks shares it with others who look, writes nothing and makes
    /// no file: where there is none, no broker that knows of it was ever here, and RocksDB's lock is what is left to hold.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] with the holder's name when it is taken, by this process too; otherwise what the system says.
    pub(crate) fn take(directory: &Path, purpose: Purpose) -> Result<DirectoryLock, OpenError> {
        let path = directory.join(FILE_NAME);
        let refuse = |error| refusal(directory, error);
        if purpose == Purpose::Look {
            let Ok(file) = File::open(&path) else { return Ok(DirectoryLock { file: None }) };
            return match flock(&file, FlockOperation::NonBlockingLockShared) {
                Err(Errno::WOULDBLOCK) => Err(in_use(directory, &file)),
                taken => Ok(DirectoryLock { file: taken.is_ok().then_some(file) }),
            };
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        // One of somebody else's can be locked all the same.
        let file = file.or_else(|error| File::open(&path).map_err(|_| error)).map_err(refuse)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(in_use(directory, &file)),
            Err(error) => return Err(refuse(error.into())),
        }
        // On a full disk nobody is named, and that is all.
        let text = format!("{} {}\n", std::process::id(), purpose.words());
        let _ = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
        Ok(DirectoryLock { file: Some(file) })
    }
}

impl Drop for DirectoryLock {
    /// A process that was forked and has not yet become its program would otherwise hold it for a moment longer.
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

/// Who holds it, as far as that can be told.
fn in_use(directory: &Path, mut file: &File) -> OpenError {
    let (process, purpose) = if flock(file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Who looks has RocksDB's lock too, of which the kernel says whose it is.
        (lock_holder(&directory.join(FOLDER).join("LOCK")), Some(Purpose::Look.words()))
    } else {
        let mut text = String::new();
        // What it says is a help, and no more.
        let _ = file.read_to_string(&mut text);
        let (process, words) = text.trim_end().split_once(' ').unwrap_or_default();
        let known = [Purpose::Store, Purpose::Repair].map(Purpose::words);
        (process.parse().ok(), known.into_iter().find(|known| *known == words))
    };
    OpenError::InUse { directory: directory.to_owned(), process, purpose }
}

fn refusal(directory: &Path, error: std::io::Error) -> OpenError {
    let directory = directory.to_owned();
    let reason = format!("{FILE_NAME}: {error}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::NoSpace { directory, reason },
        kind => OpenError::Io { directory, error: std::io::Error::new(kind, reason) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(directory: &Path, purpose: Purpose) -> (Option<u32>, Option<&'static str>) {
        match DirectoryLock::take(directory, purpose) {
            Err(OpenError::InUse { process, purpose, .. }) => (process, purpose),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whoever_comes_second_is_told_who_was_first_and_what_for() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let me = Some(std::process::id());
        for held in [Purpose::Repair, Purpose::Store] {
            let _lock = DirectoryLock::take(directory.path(), held).expect("it is free again");
            for purpose in [Purpose::Repair, Purpose::Look, Purpose::Store] {
                assert_eq!(holder(directory.path(), purpose), (me, Some(held.words())));
            }
        }
        let looks =
            [(); 2].map(|()| DirectoryLock::take(directory.path(), Purpose::Look).expect("as many as like"));
        for purpose in [Purpose::Repair, Purpose::Store] {
            assert_eq!(holder(directory.path(), purpose), (None, Some(Purpose::Look.words())));
        }
        drop(looks);
        DirectoryLock::take(directory.path(), Purpose::Store).expect("nobody looks any more");
    }

    #[test]
    fn whoever_only_looks_makes_no_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let _lock = DirectoryLock::take(directory.path(), Purpose::Look).expect("nobody is there");
        assert!(!directory.path().join(FILE_NAME).exists());
    }

    #[test]
    fn what_stands_in_the_file_decides_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(FILE_NAME);
        for left in
            ["1 a broker\n", "", "\u{1}nonsense of former times, which is longer than what is written"]
        {
            std::fs::write(&path, left).expect("written");
            let lock = DirectoryLock::take(directory.path(), Purpose::Store).expect("nobody holds it");
            assert_eq!(holder(directory.path(), Purpose::Look).1, Some("a broker"));
            std::fs::write(&path, left).expect("written");
            assert_ne!(holder(directory.path(), Purpose::Look).0, Some(std::process::id()));
            drop(lock);
        }
    }
}
