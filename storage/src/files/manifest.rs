//! The manifest: which table files the database consists of.

use std::collections::BTreeMap;
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
const DATABASE_ID: u64 = 8193;
const COLUMN_FAMILY: u64 = 200;

/// The manifest that CURRENT of a database names.
pub(crate) fn current(database: &Path) -> Result<PathBuf> {
    let name = std::fs::read_to_string(database.join("CURRENT"))?;
    match name.strip_suffix('\n') {
        Some(name) if name.starts_with("MANIFEST-") => Ok(database.join(name)),
        _ => Err(Error::new(ErrorKind::InvalidData, format!("CURRENT names no manifest but {name:?}"))),
    }
}

/// What the manifest says of the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogNumbers {
    /// The last sequence number that it knows of: everything up to it that is not in a table file is in the write-ahead log,
    /// which begins at or below it.
    pub(crate) last_sequence: u64,
    /// Files with lower numbers are not needed. A file of this number is there, unless it was only the next number to be
    /// given out when the log was replayed; 0: it does not say.
    pub(crate) first_kept: u64,
    /// The file that a family goes on with, what is before it being in table files; and the last sequence number by then.
    goes_on_with: BTreeMap<u64, u64>,
}

/// Reads all changes of a manifest.
pub(crate) fn log_numbers(database: &Path) -> Result<LogNumbers> {
    let manifest = std::fs::read(current(database)?)?;
    let mut known = LogNumbers::default();
    for piece in Pieces::of(&manifest) {
        if let Piece::Record(edit) = piece {
            known.take(&edit);
        }
    }
    Ok(known)
}

impl LogNumbers {
    /// One change. What is wanted stands before everything that has another form than these few fields.
    fn take(&mut self, mut edit: &[u8]) {
        let mut goes_on_with = None;
        while let Some(tag) = take_varint(&mut edit) {
            let value = match tag {
                COMPARATOR | DATABASE_ID => {
                    let length = take_varint(&mut edit).and_then(|length| usize::try_from(length).ok());
                    let Some(rest) = length.and_then(|length| edit.get(length..)) else { break };
                    edit = rest;
                    continue;
                }
                LAST_SEQUENCE | LOG_NUMBER | FIRST_LOG_KEPT | NEXT_FILE | PREVIOUS_LOG | LAST_FAMILY => {
                    let Some(value) = take_varint(&mut edit) else { break };
                    value
                }
                _ => break,
            };
            match tag {
                LAST_SEQUENCE => self.last_sequence = self.last_sequence.max(value),
                LOG_NUMBER => goes_on_with = Some(value),
                FIRST_LOG_KEPT => self.first_kept = self.first_kept.max(value),
                _ => {}
            }
        }
        if let Some(number) = goes_on_with {
            self.goes_on_with.insert(number, self.last_sequence);
        }
    }

    /// The last sequence number of what is before the first file that is needed, or a later one: what begins behind it is not
    /// the beginning of the log. The first file may be named before the table files that were made of what is before it.
    pub(crate) fn first_kept_sequence(&self) -> u64 {
        self.goes_on_with.range(..=self.first_kept).map(|(_, sequence)| *sequence).max().unwrap_or(0)
    }

    /// The highest number of a file that some family goes on with.
    pub(crate) fn newest(&self) -> u64 {
        self.goes_on_with.last_key_value().map_or(0, |(number, _)| *number)
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
    fn numbers_are_found() {
        let mut known = LogNumbers::default();
        known.take(&[0x81, 0x40, 2, b'i', b'd', 1, 2, b'a', b'b', 2, 7, 3, 9, 10, 7, 4, 0xac, 2, 6, 1]);
        assert_eq!((known.last_sequence, known.first_kept, known.newest()), (300, 7, 7));
        assert_eq!(known.first_kept_sequence(), 300);
        // The same number again says nothing new, and what cannot be read says nothing at all.
        known.take(&[10, 7, 4, 0xad, 2]);
        known.take(&[4, 0x80]);
        // A family that goes on with a later file has a table file of more than what is before the first.
        known.take(&[2, 8, 6, 0, 4, 0xff, 0x7f]);
        assert_eq!((known.last_sequence, known.newest(), known.first_kept_sequence()), (301, 8, 300));
        // Named first, and then another family gets its table file.
        known.take(&[2, 7, 4, 0xae, 2]);
        assert_eq!(known.first_kept_sequence(), 302);
        known.take(&[10, 8, 4, 0xaf, 2]);
        assert_eq!((known.first_kept, known.first_kept_sequence()), (8, 302));
    }
}
