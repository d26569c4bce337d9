//! How a store is opened.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::{Limits, Memory, MonotonicClock, WallClock};

/// How a store is opened. [`Options::new`] gives the values that a broker wants.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made when it is not there.
    pub directory: PathBuf,
    /// A disk in memory that takes the directory's place, for simulators; the directory is then no more than a name.
    pub memory: Option<Memory>,
    /// When a transaction counts as committed.
    pub durability: Durability,
    /// Bound of the cache of what was appended last, in bytes.
    pub tail_cache_bytes: usize,
    /// When space is made free.
    pub trimming: Trimming,
    /// How much may wait.
    pub limits: Limits,
    /// How much space must be left on the disk.
    pub space: Space,
    /// How long, at most, after the store was opened the connections that a crash broke count as ended, and their wills
    /// fall due; one and a half keep-alives if that is sooner.
    pub will_grace: Duration,
    /// Where the time comes from; see [`crate::Clock`] for what is made of it.
    pub wall_clock: WallClock,
    /// What measures the time while the store is open.
    pub monotonic_clock: MonotonicClock,
}

impl Options {
    /// The defaults, on a disk in memory.
    pub fn in_memory(memory: &Memory) -> Options {
        Options { memory: Some(memory.clone()), ..Options::new("memory") }
    }

    /// The defaults, for a data directory.
    pub fn new(directory: impl Into<PathBuf>) -> Options {
        Options {
            directory: directory.into(),
            memory: None,
            durability: Durability::Fsync,
            tail_cache_bytes: 16 * 1024 * 1024,
            trimming: Trimming::default(),
            limits: Limits::default(),
            space: Space::default(),
            will_grace: Duration::from_secs(60),
            wall_clock: SystemTime::now,
            monotonic_clock: Instant::now,
        }
    }
}

/// When a transaction counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Written and on the disk: survives a power cut.
    Fsync,
    /// Written; on the disk after at most this long. A killed process loses nothing, a power cut what was not yet there.
    Interval(Duration),
    /// Written; on the disk when the operating system pleases. A killed process loses nothing.
    Os,
}

/// How much space must be left on the file system of the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Below it the store is full: see [`crate::Store::is_full`].
    pub min_free_bytes: u64,
    /// Below it the log warns.
    pub warn_free_bytes: u64,
    /// Size of the file that is let go of when the last byte has been written; 0: none.
    pub ballast_bytes: u64,
}

impl Default for Space {
    fn default() -> Space {
        const MIB: u64 = 1024 * 1024;
        Space { min_free_bytes: 256 * MIB, warn_free_bytes: 1024 * MIB, ballast_bytes: 64 * MIB }
    }
}

/// When space is made free that consumed messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimming {
    /// How often the logs are looked at.
    pub interval: Duration,
    /// A log's region of the disk is rewritten when so many bytes of it are dead, and they are more than half.
    pub dead_bytes: u64,
    /// An open exchange whose message lies so many LSNs behind its session's position gets its own copy, and the log need
    /// not keep the message for it any longer.
    pub stuck_after: u64,
    /// The same for an exchange behind which so many bytes of the log are dead.
    pub stuck_bytes: u64,
}

impl Default for Trimming {
    fn default() -> Trimming {
        Trimming {
            interval: Duration::from_secs(2),
            dead_bytes: 32 * 1024 * 1024,
            stuck_after: 16 * 1024,
            stuck_bytes: 16 * 1024 * 1024,
        }
    }
}
