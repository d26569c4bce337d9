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

#[derive(Debug)]
pub(crate) struct CommitMark {
    file: File,
}

impl CommitMark {
    /// Opens the mark, and reads it: 0 when there is none, or none that can be read.
    pub(crate) fn open(directory: &Path) -> std::io::Result<(CommitMark, u64)> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE_NAME))?;
        let mut bytes = [0; LENGTH];
        let number = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes).unwrap_or_else(|| {
                tracing::warn!(
                    "the commit mark cannot be read; whether acknowledged data was lost is not known"
                );
                0
            }),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        Ok((CommitMark { file }, number))
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
        let (mark, number) = CommitMark::open(directory.path()).expect("opens");
        assert_eq!(number, 0);
        mark.set(0x1122_3344_5566_7788).expect("written");
        assert_eq!(CommitMark::open(directory.path()).expect("opens").1, 0x1122_3344_5566_7788);
        std::fs::write(directory.path().join(FILE_NAME), [1; 12]).expect("written");
        assert_eq!(CommitMark::open(directory.path()).expect("opens").1, 0);
    }
}
