//! The numbers that everything in the store is known by.

use bincode::{Decode, Encode};

/// A position in the one order that all messages share: the log sequence number. `Lsn(0)` is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Lsn(pub u64);

/// A log: one session's own, or one filter's. Never used again once its log is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LogId(pub u64);

impl LogId {
    /// Where the message of an exchange begun from a retained message came from: no log holds it, the exchange
    /// holds its own copy.
    pub const RETAINED: LogId = LogId(0);
}

/// A durable session, for as long as it lives; its own log carries the same life. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SessionId(pub u64);

/// Counts the attachments of a session. An effect of an older epoch than the session's falls away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Epoch(pub u64);

impl SessionId {
    /// The session's own log: sessions and logs draw from one counter, and this one has its session's number.
    pub(crate) fn own_log(self) -> LogId {
        LogId(self.0)
    }
}
