//! What the file system has done since it was mounted, and what stands on it now.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::faults::FaultCounts;

/// What has happened since the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of the kernel, reads and look-ups included.
    pub operations: u64,
    /// Fsyncs and fdatasyncs of files that succeeded.
    pub fsyncs: u64,
    /// Fsyncs of directories that succeeded.
    pub directory_fsyncs: u64,
    /// Bytes that programs have written.
    pub bytes_written: u64,
    /// Bytes of writes that no fsync covers yet: what a power cut would take.
    pub bytes_not_durable: u64,
    /// Bytes in use, as the pretended capacity counts them.
    pub bytes_used: u64,
    /// Faults that hit.
    pub faults: FaultCounts,
}

/// The counters behind [`Counts`].
#[derive(Default)]
pub(crate) struct Gauges {
    pub(crate) operations: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) folder_fsyncs: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) not_durable: AtomicU64,
    pub(crate) used: AtomicI64,
}

impl Gauges {
    pub(crate) fn used(&self) -> u64 {
        u64::try_from(self.used.load(Relaxed)).unwrap_or(0)
    }

    pub(crate) fn counts(&self, faults: FaultCounts) -> Counts {
        Counts {
            operations: self.operations.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            directory_fsyncs: self.folder_fsyncs.load(Relaxed),
            bytes_written: self.written.load(Relaxed),
            bytes_not_durable: self.not_durable.load(Relaxed),
            bytes_used: self.used(),
            faults,
        }
    }
}
