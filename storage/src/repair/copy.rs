//! The copy that repair works on, or leaves behind.

use std::fs::File;
use std::path::Path;

use super::RepairError;
use crate::lock::{self, DirectoryLock, Purpose};

/// The lock file of RocksDB, in its folder. We hold it, and to close it, however it was opened, would be to let go of it.
const ENGINES_LOCK: &str = "LOCK";

/// Copies a directory with everything in it but its lock files, and brings the copy to the disk. The copy is ours, from before it begins.
pub(super) fn copy(from: &Path, to: &Path) -> Result<DirectoryLock, RepairError> {
    match std::fs::read_dir(to) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(RepairError::Occupied(to.to_owned()));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(RepairError::io(to, error)),
    }
    std::fs::create_dir_all(to).map_err(|error| RepairError::io(to, error))?;
    let lock = DirectoryLock::take(to, Purpose::Repair)?;
    copy_folder(from, to, lock::FILE_NAME)?;
    Ok(lock)
}

fn copy_folder(from: &Path, to: &Path, leave_out: &str) -> Result<(), RepairError> {
    std::fs::create_dir_all(to).map_err(|error| RepairError::io(to, error))?;
    let entries = std::fs::read_dir(from).map_err(|error| RepairError::io(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| RepairError::io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| RepairError::io(&source, error))?;
        if kind.is_dir() {
            copy_folder(&source, &target, ENGINES_LOCK)?;
        } else if kind.is_file() && entry.file_name() != leave_out {
            let copied = std::fs::copy(&source, &target).map_err(|error| RepairError::io(&source, error));
            copied.and_then(|_| sync(&target))?;
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), RepairError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| RepairError::io(path, error))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::check::access::Lock;
    use crate::engine::rocks::{FOLDER, directory::lock_holder};

    /// Asked by another process, for which alone there is a lock.
    #[test]
    fn rocksdbs_lock_is_held_behind_the_copy_too() {
        const ASKS_FOR: &str = "BARNACLE_TEST_ASKS_FOR_LOCK";
        if let Some(lock) = std::env::var_os(ASKS_FOR) {
            assert!(lock_holder(Path::new(&lock)).is_some());
            return;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let folder = from.join(FOLDER);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("CURRENT"), "MANIFEST-000001\n").expect("written");
        std::fs::write(folder.join(ENGINES_LOCK), "").expect("written");
        let is_held = || {
            let mut asks = Command::new(std::env::current_exe().expect("the system knows"));
            asks.args(["repair::copy::tests::rocksdbs_lock_is_held_behind_the_copy_too", "--exact"]);
            asks.env(ASKS_FOR, folder.join(ENGINES_LOCK)).output().expect("it runs").status.success()
        };
        assert!(!is_held());
        let _lock = Lock::take(&from).expect("nobody has it");
        assert!(is_held());
        let _copy = copy(&from, &to).expect("it is copied");
        assert!(to.join(FOLDER).join("CURRENT").exists());
        assert!(is_held());
    }
}
