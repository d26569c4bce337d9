//! The engine: what keeps the store's rows. A narrow trait, and two behind it: RocksDB (`rocks.rs`), and one in memory that crashes on demand
//! (`memory.rs`), on which the rest of the store is tried at every point where a disk or a process can fail.
//!
//! # The contract
//!
//! Rows live in families and are ordered by their keys' bytes. What an engine promises, and the rest of the store builds on:
//!
//! - **A batch is whole or not at all**, also after a crash, and batches come back in the order in which they were written: what a
//!   crash leaves is a prefix of them.
//! - **What was synced stays.** A write that was asked to sync, or one that a later [`Engine::sync`] covers, is there
//!   after a power cut; one that was only written survives the end of the process.
//! - **What an opening finds is as good as synced**: it is not gone at the next one.
//! - **A write can be repeated.** The batch is not consumed; writing it again has the same effect, since it only puts and deletes.
//! - **An error promises nothing**: what failed may come back after a crash, or may not. After a failed sync, what it covered
//!   counts as unwritten.
//! - **A cursor sees one state**, that of when it was made. A [`View`] is short-lived: an engine that closes and opens itself anew
//!   waits for the views that are out.
//! - **Blocks of the `log` family may go by themselves** once the floors call them dead, and no others.
//!
//! Writes come from one thread, the committer's; everything else may be called from several.

mod batch;
#[cfg(test)]
mod contract;
pub(crate) mod memory;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocks;

use std::path::PathBuf;

use bytes::Bytes;

pub(crate) use batch::WriteBatch;

use crate::floors::Floors;
use crate::keys::Family;
use crate::mark::Mark;
use crate::{InDoubt, OpenError, Options};

/// An open engine, and what opening it has found.
pub(crate) struct Opened {
    pub(crate) engine: Box<dyn Engine>,
    /// What the mark says: see [`Engine::set_mark`].
    pub(crate) mark: Mark,
    /// Damage in the write-ahead log that was left out.
    pub(crate) in_doubt: Vec<InDoubt>,
}

/// Opens the engine that the options ask for. It leaves out of its logs what `floors` call dead.
pub(crate) fn open(options: &Options, floors: &Floors) -> Result<Opened, OpenError> {
    if let Some(memory) = &options.memory {
        let (engine, marked) = memory::MemoryEngine::open(memory, floors)?;
        return Ok(Opened { engine: Box::new(engine), mark: Mark::At(marked), in_doubt: Vec::new() });
    }
    on_disk(options, floors)
}

#[cfg(feature = "rocksdb")]
fn on_disk(options: &Options, floors: &Floors) -> Result<Opened, OpenError> {
    rocks::RocksDb::open(options, floors)
}

#[cfg(not(feature = "rocksdb"))]
fn on_disk(options: &Options, _floors: &Floors) -> Result<Opened, OpenError> {
    let reason = "this program was built without RocksDB, and keeps nothing on a disk".to_owned();
    Err(OpenError::Unreadable { directory: options.directory.clone(), reason })
}

/// What keeps the rows; see the module's documentation for what it promises.
pub(crate) trait Engine: Send + Sync {
    /// For reading.
    fn view(&self) -> Box<dyn View + '_>;

    /// Writes a batch, and brings it to the disk with everything before it if `sync` says so.
    fn write(&self, batch: &WriteBatch, sync: bool) -> Result<(), EngineError>;

    /// Brings to the disk what was written.
    fn sync(&self) -> Result<(), EngineError>;

    /// Closes and opens itself again after a write or a sync has failed. What comes back is rewritten and synced: it does
    /// not depend on a file whose sync has failed. Views that are asked for meanwhile wait, or tell of it.
    fn reopen(&self) -> Result<(), EngineError>;

    /// Closes itself, takes the damaged file that a failure names out of the database, keeps what can be read of it, and
    /// opens itself again. `None`: the failure names none, or one that is gone by now.
    fn set_aside(&self, failure: &EngineError) -> Result<Option<SetAside>, EngineError>;

    /// What work in the background has failed for, if that is damage and news: a compaction that comes upon a damaged
    /// block is tried again and again, and never ends.
    fn background_damage(&self) -> Option<EngineError>;

    /// Room on the disk that [`Engine::reopen`] may need, in bytes, roughly.
    fn reopening_bytes(&self) -> u64;

    /// Makes the write-ahead log shorter, if it takes much, by writing what is in memory to files of at most so many bytes in
    /// all. What is to be replayed gets less by it, too.
    fn shorten_log(&self, room_bytes: u64) -> Result<(), EngineError>;

    /// Writes what is in memory to files, so that the next opening has nothing to replay. Nothing more is to be asked of the
    /// engine.
    fn flush(&self) -> Result<(), EngineError>;

    /// Notes the number of the last batch that was acknowledged, without a sync: it may be behind after a power cut, and after a
    /// kill it is not. What is found there at opening tells whether anything is missing.
    fn set_mark(&self, commit: u64) -> std::io::Result<()>;

    /// Bytes on the disk between two keys of `log`, roughly.
    fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64;

    /// Makes free the space of what lies between two keys of `log`, all of which is dead.
    fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError>;

    /// Whether checksums of the files are computed in hardware; `None` when the engine does not say.
    fn has_fast_checksum(&self) -> Option<bool>;
}

/// The engine, held for reading.
pub(crate) trait View {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// A cursor over the keys of a family from `from` to before `to`; not positioned.
    fn cursor<'a>(&'a self, family: Family, from: &[u8], to: Option<&[u8]>) -> Box<dyn Cursor + 'a>;
}

/// A place among the rows of a family.
pub(crate) trait Cursor {
    fn seek_to_first(&mut self);

    fn seek_to_last(&mut self);

    /// To the first key at or behind `key`.
    fn seek(&mut self, key: &[u8]);

    /// To the next row; only from a row.
    fn next(&mut self);

    /// The row; `None` at the end of the range, or when reading has failed: see [`Cursor::status`].
    fn item(&self) -> Option<(&[u8], &[u8])>;

    /// Why there is no row. `Ok`: there is none.
    fn status(&self) -> Result<(), EngineError>;
}

/// A damaged file that was taken out of the database.
#[derive(Debug)]
pub(crate) struct SetAside {
    /// Where it is kept, as it was.
    pub(crate) kept: PathBuf,
    /// The name of the family whose rows it had.
    pub(crate) family: String,
    /// How many of its rows were written again.
    pub(crate) rows: u64,
    /// What of it cannot be read.
    pub(crate) lost: Vec<LostKeys>,
}

/// Keys of which the rows cannot be read.
#[derive(Debug)]
pub(crate) struct LostKeys {
    /// They are at or behind this key …
    pub(crate) from: Vec<u8>,
    /// … and before this one; `None`: up to the last.
    pub(crate) to: Option<Vec<u8>>,
    /// What the engine says; names the file.
    pub(crate) reason: String,
}

impl LostKeys {
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }
}

/// What an engine could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct EngineError {
    pub(crate) kind: FailureKind,
    /// In the engine's words.
    pub(crate) reason: String,
}

/// What is to be done about a failure depends on its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The disk is full: room can be made.
    NoSpace,
    /// Reading, writing or syncing failed.
    Io,
    /// What was read is not what was written.
    Corruption,
    /// It is being opened again; later it is possible.
    Closed,
    /// Anything else: a bug, or an engine that has been stopped.
    Other,
}

/// The number of the table file that a message of RocksDB names.
pub(crate) fn named_file(message: &str) -> Option<u64> {
    let before = message.split(".sst").next().filter(|before| before.len() < message.len())?;
    let digits = before.rsplit(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// A cursor where nothing can be read.
struct NoRows(EngineError);

impl Cursor for NoRows {
    fn seek_to_first(&mut self) {}

    fn seek_to_last(&mut self) {}

    fn seek(&mut self, _key: &[u8]) {}

    fn next(&mut self) {}

    fn item(&self) -> Option<(&[u8], &[u8])> {
        None
    }

    fn status(&self) -> Result<(), EngineError> {
        Err(self.0.clone())
    }
}
