//! The commit mark: the number of the last acknowledged batch, in a small file of its own beside RocksDB.
//!
//! RocksDB's recovery stops at the first record of its log that it cannot read, and does not say whether anything
//! was lost. This file does: it is written after each batch and not synced, so it may be behind, but when it is ahead of
//! what was recovered, acknowledged data is gone.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Number (8 bytes) and its CRC-32 (4 bytes), little endian.
const LENGTH: usize = 12;

/// The name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "commit-mark";

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The number of the last acknowledged batch.
    At(u64),
    /// There is none.
    Missing,
    /// There is one, and nobody knows what it said.
    Unreadable,
}

impl Mark {
    /// Reads the mark of a directory, and leaves it alone.
    pub(crate) fn read(directory: &Path) -> std::io::Result<Mark> {
        match std::fs::read(directory.join(FILE_NAME)) {
            Ok(bytes) if bytes.is_empty() => Ok(Mark::Missing),
            Ok(bytes) => {
                let number = <[u8; LENGTH]>::try_from(bytes.as_slice()).ok().and_then(|bytes| decode(&bytes));
                Ok(number.map_or(Mark::Unreadable, Mark::At))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Mark::Missing),
            Err(error) => Err(error),
        }
    }

    /// The number, 0 when it is not known.
    pub(crate) fn number(self) -> u64 {
        if let Mark::At(number) = self { number } else { 0 }
    }
}

#[derive(Debug)]
pub(crate) struct CommitMark {
    file: File,
}

impl CommitMark {
    /// Opens the mark, and reads it.
    pub(crate) fn open(directory: &Path) -> std::io::Result<(CommitMark, Mark)> {
        let mark = Mark::read(directory)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE_NAME))?;
        if mark == Mark::Unreadable {
            // One that was longer, or shorter, is none.
            file.set_len(LENGTH as u64)?;
        }
        Ok((CommitMark { file }, mark))
    }

    pub(crate) fn set(&self, number: u64) -> std::io::Result<()> {
        self.file.write_all_at(&encode(number), 0)
    }
}

fn encode(number: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; LENGTH]) -> Option<u64> {
    let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight of twelve bytes"));
    (encode(number) == *bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_takes_nothing_for_granted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let read = || CommitMark::open(directory.path()).expect("opens").1;
        let (mark, number) = CommitMark::open(directory.path()).expect("opens");
        assert_eq!(number, Mark::Missing);
        mark.set(0x1122_3344_5566_7788).expect("written");
        assert_eq!(read(), Mark::At(0x1122_3344_5566_7788));
        for damaged in [&[1; 12][..], &[1; 5], &[1; 20]] {
            std::fs::write(directory.path().join(FILE_NAME), damaged).expect("written");
            assert_eq!(read(), Mark::Unreadable);
        }
        let (mark, _) = CommitMark::open(directory.path()).expect("opens");
        mark.set(7).expect("written");
        assert_eq!(read(), Mark::At(7));
    }
}
