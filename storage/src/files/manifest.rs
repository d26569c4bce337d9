//! The manifest: which table files the database consists of.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};

use super::frames::{self, Piece, Pieces};

/// A table file, as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFile {
    /// Number of its family.
    pub(crate) family: u32,
    pub(crate) level: u32,
    pub(crate) number: u64,
}

/// Tags of a manifest's fields.
const COMPARATOR: u64 = 1;
const LOG_NUMBER: u64 = 2;
const NEXT_FILE: u64 = 3;
const LAST_SEQUENCE: u64 = 4;
const DELETED_FILE: u64 = 6;
const PREVIOUS_LOG: u64 = 9;
const FIRST_LOG_KEPT: u64 = 10;
const LAST_FAMILY: u64 = 203;
const COLUMN_FAMILY: u64 = 200;

/// The manifest that CURRENT of a database names.
pub(crate) fn current(database: &Path) -> Result<PathBuf> {
    let name = std::fs::read_to_string(database.join("CURRENT"))?;
    match name.strip_suffix('\n') {
        Some(name) if name.starts_with("MANIFEST-") => Ok(database.join(name)),
        _ => Err(Error::new(ErrorKind::InvalidData, format!("CURRENT names no manifest but {name:?}"))),
    }
}

/// The last sequence number that the manifest knows of: everything up to it that is not in a table file is in the
/// write-ahead log, which begins at or below it.
pub(crate) fn last_sequence(database: &Path) -> Result<u64> {
    let manifest = std::fs::read(current(database)?)?;
    let mut last = 0;
    for piece in Pieces::of(&manifest) {
        if let Piece::Record(edit) = piece {
            last = sequence_of(&edit).unwrap_or(last).max(last);
        }
    }
    Ok(last)
}

/// The sequence number of a change. It stands before everything that has another form than these few fields.
fn sequence_of(mut edit: &[u8]) -> Option<u64> {
    loop {
        match take_varint(&mut edit)? {
            COMPARATOR => {
                let length = usize::try_from(take_varint(&mut edit)?).ok()?;
                edit = edit.get(length..)?;
            }
            LAST_SEQUENCE => return take_varint(&mut edit),
            LOG_NUMBER | NEXT_FILE | PREVIOUS_LOG | FIRST_LOG_KEPT | LAST_FAMILY => {
                take_varint(&mut edit)?;
            }
            _ => return None,
        }
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
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

    #[test]
    fn sequence_numbers_are_found() {
        assert_eq!(sequence_of(&[1, 2, b'a', b'b', 2, 7, 3, 9, 4, 0xac, 2, 6, 1]), Some(300));
        assert_eq!(sequence_of(&[2, 7, 6, 0, 4]), None);
        assert_eq!(sequence_of(&[4, 0x80]), None);
    }
}
