//! The copy that repair works on, or leaves behind.

use std::fs::File;
use std::path::Path;

use super::RepairError;
use crate::lock::{self, DirectoryLock, Purpose};

/// Copies a directory with everything in it, and brings the copy to the disk. The copy is ours, from before it begins.
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
    copy_folder(from, to, Some(lock::FILE_NAME))?;
    Ok(lock)
}

fn copy_folder(from: &Path, to: &Path, leave_out: Option<&str>) -> Result<(), RepairError> {
    std::fs::create_dir_all(to).map_err(|error| RepairError::io(to, error))?;
    let entries = std::fs::read_dir(from).map_err(|error| RepairError::io(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| RepairError::io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| RepairError::io(&source, error))?;
        if kind.is_dir() {
            copy_folder(&source, &target, None)?;
        } else if kind.is_file() && leave_out.is_none_or(|name| entry.file_name() != name) {
            let copied = std::fs::copy(&source, &target).map_err(|error| RepairError::io(&source, error));
            copied.and_then(|_| sync(&target))?;
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), RepairError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| RepairError::io(path, error))
}
