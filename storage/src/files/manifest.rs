//! The manifest: which table files the database consists of.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};

use super::frames;

/// A table file, as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFile {
    /// Number of its family.
    pub(crate) family: u32,
    pub(crate) level: u32,
    pub(crate) number: u64,
}

/// Tags of a manifest's fields.
const DELETED_FILE: u64 = 6;
const COLUMN_FAMILY: u64 = 200;

/// The manifest that CURRENT of a database names.
pub(crate) fn current(database: &Path) -> Result<PathBuf> {
    let name = std::fs::read_to_string(database.join("CURRENT"))?;
    match name.strip_suffix('\n') {
        Some(name) if name.starts_with("MANIFEST-") => Ok(database.join(name)),
        _ => Err(Error::new(ErrorKind::InvalidData, format!("CURRENT names no manifest but {name:?}"))),
    }
}

/// Takes table files out of a closed database: it opens without them, and then deletes them.
pub(crate) fn remove_files(database: &Path, files: &[TableFile]) -> Result<()> {
    let path = current(database)?;
    let mut offset = usize::try_from(std::fs::metadata(&path)?.len()).map_err(Error::other)?;
    let mut manifest = File::options().append(true).open(&path)?;
    for file in files {
        let record = frames::framed(offset, &deletion(file));
        manifest.write_all(&record)?;
        offset += record.len();
    }
    manifest.sync_all()
}

/// One change of the manifest: a file goes.
fn deletion(file: &TableFile) -> Vec<u8> {
    let mut record = Vec::with_capacity(24);
    for number in [DELETED_FILE, u64::from(file.level), file.number, COLUMN_FAMILY, u64::from(file.family)] {
        put_varint(number, &mut record);
    }
    record
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_of_a_deletion() {
        let file = TableFile { family: 5, level: 1, number: 300 };
        assert_eq!(deletion(&file), [6, 1, 0xac, 2, 0xc8, 1, 5]);
    }
}
