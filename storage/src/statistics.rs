//! Counters since the store was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the store has done since it was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Statistics {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Statistics {
                Statistics { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Batches written.
    commits,
    /// Times that the write-ahead log was brought to the disk.
    syncs,
    /// Transactions taken, those included that were fenced off or wrote nothing.
    transactions,
    /// Messages published.
    messages,
    /// Messages refused because a session that they would have gone to is full.
    refused,
    /// Messages appended to a log; one message counts once for each log.
    appends,
    /// Blocks that they were written as.
    blocks,
    /// Bytes written to the write-ahead log.
    wal_bytes,
    /// Messages copied out of a log for an exchange that would have kept the log from being trimmed.
    rescued_exchanges,
    /// Times that the engine was closed and opened again because a write or a sync had failed.
    reopenings,
    /// Reads for which the disk gave nothing: each is tried again.
    failed_reads,
    /// Damaged files that were taken out of the database while it was open, and replaced by what of them can be read.
    damaged_files,
    /// Retained messages removed because they had expired.
    expired_retained,
    /// Times that a part of a log was rewritten to make space free.
    trims,
    /// Parts of logs that could not be read, and were passed over.
    damaged_ranges,
    /// Messages in them, as far as that is known.
    damaged_messages,
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Relaxed);
}
