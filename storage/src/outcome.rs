//! What the committer answers.

use crate::{Epoch, LogId, Lsn, Message, Outbound, PacketIdSet, SessionId, Subscription};

/// Proof that a transaction is as durable as the configured mode makes it. Only the committer makes one, and an
/// acknowledgement that promises durability can be built from nothing else.
#[derive(Debug)]
pub struct Durable {
    pub(crate) _made_by_the_committer: (),
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// In the log and, in the default mode, on the disk.
    Committed(Committed),
    /// The fence did not hold: another connection has taken the session over, or it is gone. Nothing was written.
    Fenced,
    /// Its source has withdrawn it, while it was set aside ([`crate::Store::withdraw`]). Nothing was written.
    Withdrawn,
}

/// A transaction that took effect.
#[derive(Debug)]
pub struct Committed {
    /// Proof for the acknowledgements it stands behind.
    pub durable: Durable,
    /// The store's head when it was published: everything at or below is readable.
    pub head: Lsn,
    /// LSN of its first Publish operation; the others follow one by one, unless a will comes between. Without one, the last LSN given out
    /// before its place in the order (what `TakePosition` asks for).
    pub lsn: Lsn,
    /// An answer for each operation that has one, in order.
    pub answers: Vec<Answer>,
    /// Which of its Publish operations were refused, counted from 0, because a session that they would have gone to is
    /// full: they have their LSNs, and nothing else of them took effect.
    pub refused: Vec<usize>,
    /// The wills that it has published, in order: of sessions that it has ended, and those that were due. They are in the
    /// logs of those who want them; who else wants them has to be told.
    pub wills: Vec<PublishedWill>,
}

/// A will that was published and removed, both at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedWill {
    /// Its LSN.
    pub lsn: Lsn,
    /// The message, with the time at which it was published and its deadline.
    pub message: Message,
}

/// The answer to one operation.
#[derive(Debug)]
pub enum Answer {
    /// To `Attach`.
    Attached(Box<Attached>),
    /// To `Subscribe`, one for each filter, in order.
    Subscribed(Vec<Subscribed>),
    /// To `Unsubscribe`: whether each filter was subscribed.
    Unsubscribed(Vec<bool>),
    /// To `ExpireSessions` and to an `Attach` or `Detach` that ended a session: those that ended.
    Ended(Vec<EndedSession>),
}

/// A session's state as it is at the attachment's place in the commit order.
#[derive(Debug)]
pub struct Attached {
    /// A stored session was resumed: Session Present.
    pub present: bool,
    /// The stored session; `None` when it ends with its connection.
    pub session: Option<AttachedSession>,
    /// What the connection's last transaction, its [`crate::Operation::Detach`], is to be fenced with: the stored session, or
    /// the will that is kept of one that ends with its connection. `None`: nothing is kept.
    pub fence: Option<(SessionId, Epoch)>,
}

/// A stored session, handed over.
#[derive(Debug)]
pub struct AttachedSession {
    /// Its number.
    pub id: SessionId,
    /// This attachment's epoch.
    pub epoch: Epoch,
    /// Its own log and the logs of its shared filters are read through this.
    pub reader: crate::Reader,
    /// Subscriptions in force.
    pub subscriptions: Vec<Subscription>,
    /// Outbound state as last saved.
    pub outbound: Outbound,
    /// Messages above the saved position and at or below this may have been sent by a connection whose state was
    /// not saved (the broker died, the connection was fenced off, or said so): sent again, they carry DUP and do not expire. `None`: none.
    pub sent_unsaved_through: Option<Lsn>,
    /// QoS 2 packet identifiers received and not released.
    pub inbound: PacketIdSet,
}

/// What became of one filter of a SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// The session had the filter already: its position was kept.
    pub existed: bool,
    /// The subscription in force.
    pub subscription: Subscription,
}

/// A session that ended.
#[derive(Debug, Clone)]
pub struct EndedSession {
    /// Whose.
    pub client_id: bytestring::ByteString,
}

/// Where a publish goes: the logs that durable subscriptions gave it, as of one version of the subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    pub(crate) version: u64,
    pub(crate) logs: smallvec::SmallVec<[LogId; 4]>,
}

impl Targets {
    /// Whether no durable subscription wants it.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }
}
