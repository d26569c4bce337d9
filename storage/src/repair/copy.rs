//! The copy that repair works on, or leaves behind.

use std::fs::File;
use std::path::Path;

use super::RepairError;

/// Copies a directory with everything in it, and brings the copy to the disk.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), RepairError> {
    match std::fs::read_dir(to) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(RepairError::Occupied(to.to_owned()));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(RepairError::io(to, error)),
    }
    copy_folder(from, to)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), RepairError> {
    std::fs::create_dir_all(to).map_err(|error| RepairError::io(to, error))?;
    let entries = std::fs::read_dir(from).map_err(|error| RepairError::io(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| RepairError::io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| RepairError::io(&source, error))?;
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            let copied = std::fs::copy(&source, &target).map_err(|error| RepairError::io(&source, error));
            copied.and_then(|_| sync(&target))?;
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), RepairError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| RepairError::io(path, error))
}
