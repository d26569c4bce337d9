//! The write-ahead log: what batches it has, and what in it is damaged.
//!
//! A kill leaves a torn end: the last batch was not written whole, and nobody was told that it is there. Damage with
//! whole batches behind it is another thing. RocksDB stops at either without a word, and gives up what stands behind.
//! Here the damaged part is told from the torn end, and [`drop_damage`] writes the file without it, so that everything
//! else is recovered.

use std::fs::File;
use std::io::{Result, Write as _};
use std::path::{Path, PathBuf};

use rocksdb::{WriteBatch, WriteBatchIteratorCf};

use super::frames::{Piece, Pieces, framed};
use crate::keys;
use crate::record::{self, State};

/// Sequence number and count of a batch.
const BATCH_HEADER: usize = 12;

/// What one file of the write-ahead log has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WalFile {
    pub(crate) path: PathBuf,
    /// Damaged parts with whole batches behind them, in this file or in a later one.
    pub(crate) gaps: Vec<Gap>,
    /// Bytes at the end that are no batch: what a kill leaves.
    pub(crate) torn: usize,
    /// The sequence number of the first batch, unless what stands before it is damaged.
    pub(crate) first_sequence: Option<u64>,
    /// The sequence number that goes on behind the last batch.
    pub(crate) next_sequence: Option<u64>,
    /// The states of the first and of the last whole batch.
    pub(crate) first: Option<State>,
    pub(crate) last: Option<State>,
    length: usize,
}

/// A damaged part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    /// The states of the batches before and behind it, as far as the write-ahead log has them.
    pub(crate) before: Option<State>,
    pub(crate) behind: Option<State>,
}

impl Gap {
    /// The batches that are in doubt, first and last.
    pub(crate) fn commits(&self) -> (u64, u64) {
        let behind = self.behind.map_or(u64::MAX, |state| state.commit.saturating_sub(1));
        (self.before.map_or(1, |state| state.commit + 1).min(behind), behind)
    }

    /// The LSNs that are in doubt, first and last; at least those of the messages that are lost.
    pub(crate) fn lsns(&self) -> (u64, u64) {
        (self.before.map_or(1, |state| state.last.0 + 1), self.behind.map_or(u64::MAX, |state| state.last.0))
    }
}

/// Reads all files of the write-ahead log of a database, oldest first.
pub(crate) fn survey(database: &Path) -> Result<Vec<WalFile>> {
    let mut files = Vec::new();
    for path in paths(database)? {
        files.push(survey_file(path)?);
    }
    // An end that a later file goes on behind is not a torn end: a file is whole before the next is begun.
    let mut behind = None;
    for file in files.iter_mut().rev() {
        if behind.is_some() && file.torn > 0 {
            let length = std::mem::take(&mut file.torn);
            file.gaps.push(Gap { offset: file.length - length, length, before: file.last, behind });
        }
        behind = file.first.or(behind);
    }
    let mut before = None;
    for file in &mut files {
        for gap in &mut file.gaps {
            gap.before = gap.before.or(before);
        }
        before = file.last.or(before);
    }
    Ok(files)
}

impl WalFile {
    /// The number that is its name.
    pub(crate) fn number(&self) -> u64 {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str());
        stem.and_then(|stem| stem.parse().ok()).unwrap_or(0)
    }
}

fn paths(database: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        let numbered =
            path.file_stem().is_some_and(|stem| stem.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        if numbered && path.extension().is_some_and(|ending| ending == "log") {
            paths.push(path);
        }
    }
    // Numbers have six digits, until they have more.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(paths)
}

fn survey_file(path: PathBuf) -> Result<WalFile> {
    let bytes = std::fs::read(&path)?;
    let mut file = WalFile { path, length: bytes.len(), ..WalFile::default() };
    let mut pending: Option<Gap> = None;
    for piece in Pieces::of(&bytes) {
        match piece {
            Piece::Damage { offset, length } => match &mut pending {
                Some(gap) => gap.length = offset + length - gap.offset,
                None => pending = Some(Gap { offset, length, before: file.last, behind: None }),
            },
            Piece::Record(batch) => {
                let state = state_of(&batch);
                if let Some((header, _)) = batch.split_first_chunk::<BATCH_HEADER>() {
                    let (sequence, count) = header.split_at(8);
                    let count = count.try_into().map_or(0, u32::from_le_bytes);
                    let sequence = sequence.try_into().map_or(0, u64::from_le_bytes);
                    file.next_sequence = Some(sequence + u64::from(count));
                }
                if let (None, None, true) = (file.first, &pending, file.gaps.is_empty()) {
                    file.first_sequence = batch.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                }
                if let Some(gap) = pending.take() {
                    file.gaps.push(Gap { behind: state, ..gap });
                }
                file.first = file.first.or(state);
                file.last = state.or(file.last);
            }
        }
    }
    file.torn = pending.map_or(0, |gap| bytes.len() - gap.offset);
    Ok(file)
}

/// The state that a batch carries.
fn state_of(batch: &[u8]) -> Option<State> {
    struct Find(Option<State>);
    impl WriteBatchIteratorCf for Find {
        fn put_cf(&mut self, _family: u32, key: &[u8], value: &[u8]) {
            if key == keys::STATE
                && let Ok(state) = record::decode_state(value)
            {
                self.0 = Some(state);
            }
        }
        fn delete_cf(&mut self, _family: u32, _key: &[u8]) {}
        fn merge_cf(&mut self, _family: u32, _key: &[u8], _value: &[u8]) {}
    }
    if batch.len() < BATCH_HEADER {
        return None;
    }
    let mut find = Find(None);
    WriteBatch::from_data(batch).iterate_cf(&mut find);
    find.0
}

/// Writes a file again without what is damaged in it. The file is replaced at once, and durably.
pub(crate) fn drop_damage(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let mut whole = Vec::with_capacity(bytes.len());
    for piece in Pieces::of(&bytes) {
        if let Piece::Record(batch) = piece {
            let frames = framed(whole.len(), &batch);
            whole.extend(frames);
        }
    }
    let beside = path.with_extension("whole");
    let mut file = File::create(&beside)?;
    file.write_all(&whole)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
