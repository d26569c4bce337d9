//! The store: logs, sessions and positions on RocksDB, changed by one thread, durable before it is acknowledged.
//!
//! Barnacle keeps no queue for each client. It keeps **logs**, and each session is a **reader** with a position. Every
//! message takes the next [`Lsn`]. A filter that one durable session holds writes to that session's own log; one that
//! several hold has a log of its own, so that another offline subscriber costs nothing for each message.
//!
//! The way of a message through this crate:
//!
//! 1. [`encode_message`] makes its bytes, on the connection's thread, and [`Store::route`] finds the logs that it goes to.
//! 2. [`Store::submit`] puts a [`Transaction`] into the queue of the committer.
//! 3. The committer takes everything that waits, applies it in order to the catalog, writes one batch with one sync, and
//!    only then publishes: tail, head, answers.
//! 4. Who watches a [`Reader`] is woken, and [`Store::read`] merges what its logs have got.
//! 5. [`Operation::SaveOutbound`] moves the position; what nobody needs any more is trimmed.
//!
//! Modules: `record` and `keys` are the written form; `engine` is the disk, RocksDB or memory, with `floors` and `mark`,
//! and `space` and `health` look after its room; `catalog`, `tail`, `groups`, `quotas` and `reader` are the memory; `clock` is the
//! time; `limits`, `backlog` and `drops` are how much may wait, what does, and what does not; `committer` changes them, `read` and
//! `retained` read them, `recovery` begins, `trim` and `sweep` clean up; `check`, `repair` and `files` are for a store that is
//! stopped, or damaged.
//!
//! This crate knows no MQTT packet, no socket and no asynchronous runtime. Without the feature `rocksdb` it has the engine in memory
//! alone, and of what serves only stores on a disk some code that nobody calls.
#![cfg_attr(not(feature = "rocksdb"), allow(dead_code, unused_imports))]

/// Whether a bug on purpose is active: `planted!(AckBeforeCommit)`, see [`planted::Fault`].
#[cfg(feature = "planted-faults")]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is($crate::planted::Fault::$fault)
    };
}

/// Whether a bug on purpose is active: never, in this build.
#[cfg(not(feature = "planted-faults"))]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

mod backlog;
mod border;
mod catalog;
#[cfg(feature = "rocksdb")]
mod check;
mod clock;
mod committer;
mod drops;
mod engine;
mod error;
#[cfg(feature = "rocksdb")]
mod files;
mod floors;
mod groups;
mod health;
mod ids;
mod keys;
mod limits;
#[cfg(feature = "rocksdb")]
mod lock;
mod mark;
mod message;
mod migration;
mod options;
mod outcome;
mod packet_ids;
#[cfg(feature = "planted-faults")]
pub mod planted;
mod quarantine;
mod quotas;
mod read;
mod reader;
mod record;
mod recovery;
#[cfg(feature = "rocksdb")]
mod repair;
mod retained;
mod shared;
mod space;
mod statistics;
mod stepper;
mod store;
mod sweep;
mod tail;
pub mod topics;
mod transaction;
mod trim;

pub use backlog::{Backlog, Excess};
#[cfg(feature = "rocksdb")]
pub use check::{
    CheckCounts, CheckReport, Checker, DropView, ExchangeView, Finding, FindingKind, GroupView, Inspection,
    LogRange, MessageView, Selection, SessionView, SubscriptionView,
};
pub use clock::{Clock, MonotonicClock, WallClock};
pub use drops::{DropReason, Dropped, Drops};
pub use engine::memory::{Crashed, Fault, Memory, Survivors, Withheld};
pub use error::{CloseError, CommitError, Damaged, DecodeError, OpenError, ReadError};
pub use groups::{GroupMember, Pulled, Span};
pub use health::Health;
pub use ids::{Epoch, LogId, Lsn, SessionId};
pub use limits::{Limit, Limits, Load, Policy};
pub use message::{Entry, Message};
pub use options::{Durability, Options, Space, Trimming};
pub use outcome::{
    Answer, Attached, AttachedSession, Committed, Durable, EndedSession, Outcome, PublishedWill, Subscribed,
    Targets,
};
pub use packet_ids::PacketIdSet;
pub use quarantine::DamagedRange;
pub use read::{Budget, Pass};
pub use reader::{Reader, Wake, Watch};
pub use record::encode_message;
pub use recovery::{InDoubt, Recovery};
#[cfg(feature = "rocksdb")]
pub use repair::{RepairError, RepairReport, repair_copy, repair_with_backup};
pub use retained::RetainedPage;
pub use statistics::Statistics;
pub use stepper::Stepper;
pub use store::{Counts, Store};
pub use transaction::{
    Attach, Detach, Exchange, GroupTake, NewSubscription, Operation, Outbound, Publish, RetainedChange,
    RetainedScan, Subscription, SubscriptionOptions, Transaction, Will, WillFate,
};
