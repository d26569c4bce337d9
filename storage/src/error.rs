//! What can go wrong, and whose fault it is: the operator's directory, the disk, or what the disk gave back.

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{EngineError, FailureKind};
use crate::keys::Family;
use crate::{LogId, Lsn};

/// Why the bytes of a record are not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is shorter than the smallest record.
    #[error("cut short")]
    Truncated,
    /// It was written by a version that this one does not know.
    #[error("record version {0} is not known")]
    Version(u8),
    /// The bytes are not those that were written.
    #[error("checksum does not match")]
    Checksum,
    /// The checksum holds, yet a part is not what it should be.
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// A record that cannot be read, by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged record in {family}, key {key}: {reason}")]
pub struct Damaged {
    /// The family of rows.
    pub family: &'static str,
    /// The key, printable.
    pub key: String,
    /// What is wrong with it.
    pub reason: DecodeError,
}

impl Damaged {
    pub(crate) fn new(family: Family, key: &[u8], reason: DecodeError) -> Damaged {
        Damaged { family: family.name(), key: key.escape_ascii().to_string(), reason }
    }
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("data directory {} is in use by {}", directory.display(), name_holder(*process, *purpose))]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// Process identifier of the holder, where the system tells it.
        process: Option<u32>,
        /// What the holder is, if that is known: "a broker".
        purpose: Option<&'static str>,
    },
    /// The directory holds something else.
    #[error("{} is not a Barnacle data directory: it holds {found}", directory.display())]
    NotAStore {
        /// The directory.
        directory: PathBuf,
        /// What is there.
        found: String,
    },
    /// It was written by a newer Barnacle.
    #[error(
        "data directory {} has schema {found}, written by a newer version; this one knows schemas up to {known}",
        directory.display()
    )]
    NewerSchema {
        /// The data directory.
        directory: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that this version can read.
        known: u32,
    },
    /// A record that is needed cannot be read.
    #[error(
        "data directory {}: {damaged}; `barnacle check` tells all that is damaged, `barnacle repair` saves the rest \
         into a copy",
        directory.display()
    )]
    Damaged {
        /// The data directory.
        directory: PathBuf,
        /// The record.
        damaged: Damaged,
    },
    /// The files that tell what belongs to the database are damaged or missing.
    #[error(
        "data directory {} is damaged and cannot be opened: {reason}; `barnacle check` tells more, `barnacle repair` \
         saves what can be read into a copy",
        directory.display()
    )]
    Unreadable {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong; names the file.
        reason: String,
    },
    /// A file of the write-ahead log is missing, and with it batches that had been acknowledged.
    #[error(
        "data directory {}: {reason}; `barnacle check` tells more, `barnacle repair` makes a store that opens without it",
        directory.display()
    )]
    MissingLog {
        /// The data directory.
        directory: PathBuf,
        /// Which file, and which batches are in doubt.
        reason: String,
    },
    /// The file system refused.
    #[error("data directory {}: {error}", directory.display())]
    Io {
        /// The data directory.
        directory: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// The disk is full, and opening needs some room.
    #[error("data directory {}: {reason}", directory.display())]
    NoSpace {
        /// The data directory.
        directory: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
    /// RocksDB refused.
    #[error("data directory {}: {reason}", directory.display())]
    Engine {
        /// The data directory.
        directory: PathBuf,
        /// What it said.
        reason: String,
    },
}

fn name_holder(process: Option<u32>, purpose: Option<&str>) -> String {
    match (process, purpose) {
        (Some(process), Some(purpose)) => format!("process {process}: {purpose}"),
        (Some(process), None) => format!("process {process}"),
        (None, Some(purpose)) => format!("another process: {purpose}"),
        (None, None) => "another process".to_owned(),
    }
}

/// Why a transaction was not committed. Whether it is on the disk is not known; it never becomes visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A write or a sync failed, now or earlier: the store takes no more until it is opened again.
    #[error("the store has failed: {0}")]
    Failed(Arc<str>),
    /// The store was closed before its turn came.
    #[error("the store is closed")]
    Closed,
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A block of a log cannot be read.
    #[error("log {} is damaged between {} and {}: {reason}", log.0, after.0, through.0)]
    Log {
        /// The log.
        log: LogId,
        /// The damage is above this LSN …
        after: Lsn,
        /// … and at or below this one.
        through: Lsn,
        /// What is wrong.
        reason: DecodeError,
    },
    /// A block of a log is not there.
    #[error("log {} has lost entries between {} and {}", log.0, after.0, through.0)]
    Missing {
        /// The log.
        log: LogId,
        /// The last entry before the hole.
        after: Lsn,
        /// The first entry behind it.
        through: Lsn,
    },
    /// Another record cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The store is being opened again after a failed write; what was to be read is there, and can be read later.
    #[error("the store cannot be read now: {0}")]
    Unavailable(String),
    /// Reading failed: the disk gave nothing, which is no word on what is there. It may be possible later.
    #[error("the store cannot be read: {0}")]
    Engine(String),
    /// What the disk gave is not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}

impl ReadError {
    /// Why it may succeed later; `None`: it is damage, and stays.
    pub fn passing(&self) -> Option<&str> {
        match self {
            ReadError::Unavailable(reason) | ReadError::Engine(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> ReadError {
        match error.kind {
            FailureKind::Closed => ReadError::Unavailable(error.reason),
            FailureKind::Corruption => ReadError::Corrupt(error.reason),
            _ => ReadError::Engine(error.reason),
        }
    }
}

/// Why closing did not end well. Everything acknowledged is safe all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// The store had failed before.
    #[error("the store had failed: {0}")]
    Failed(Arc<str>),
    /// RocksDB failed while flushing.
    #[error("the store did not close cleanly: {0}")]
    Engine(String),
}
