//! What a caller asks of the committer: all that one event changes, durable whole or not at all.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::{DropReason, Dropped, Epoch, LogId, Lsn, Message, PacketIdSet, SessionId, Targets};

/// All that one event changes. Its operations take effect in order, at one place in the commit order.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Whose it is: the connection's number. What one source submits takes effect and is answered in the order in which it was
    /// submitted. What others submit may overtake it while it waits for a part of the disk that gives nothing. `None`: it
    /// stands in nobody's line (deadlines), or in that of its client's CONNECTs alone.
    pub source: Option<u64>,
    /// When set, the whole transaction falls away (`Outcome::Fenced`) unless this session exists with this epoch
    /// at the transaction's place in the commit order.
    pub fence: Option<(SessionId, Epoch)>,
    /// The changes, in order.
    pub operations: Vec<Operation>,
}

/// One change.
#[derive(Debug)]
pub enum Operation {
    /// A client connects: see [`Attach`].
    Attach(Attach),
    /// The fenced session's connection has ended (or its terms changed at DISCONNECT).
    Detach(Detach),
    /// Ends the fenced session: its subscriptions, exchanges, own log and will go. The will is not published.
    End,
    /// Ends detached sessions whose expiry has passed at `now_millis`, and publishes their wills: a bounded number, the
    /// longest overdue first; see [`crate::Store::next_deadline`] for whether there are more. Those for whom the disk does not give
    /// what is needed are left alone for a second at least.
    ExpireSessions {
        /// Milliseconds since the Unix epoch, on the store's clock.
        now_millis: u64,
    },
    /// Publishes the wills that are due at `now_millis`: bounded in the same way.
    PublishDueWills {
        /// Milliseconds since the Unix epoch, on the store's clock.
        now_millis: u64,
    },
    /// Appends a message to the logs of its targets, and keeps or clears it as retained. Takes one LSN, whether
    /// or not anyone wants it.
    Publish(Publish),
    /// Adds or replaces subscriptions of the fenced session.
    Subscribe(Vec<NewSubscription>),
    /// Removes subscriptions of the fenced session; an unknown filter is reported, not an error.
    Unsubscribe(Vec<ByteString>),
    /// A connection whose session is not stored becomes a member of a group, or is one already.
    JoinGroup {
        /// The whole filter, `$share/{group}/{filter}`.
        filter: ByteString,
        /// Number of the connection.
        member: u64,
    },
    /// A connection whose session is not stored leaves a group. What it was sent at QoS 2 goes to nobody else
    /// [MQTT-4.8.2-5].
    LeaveGroup {
        /// The whole filter.
        filter: ByteString,
        /// Number of the connection.
        member: u64,
        /// What it had taken and was never sent: goes back.
        unsent: Vec<Lsn>,
    },
    /// A member has taken what it had reserved.
    TakeFromGroup(GroupTake),
    /// A client has refused messages that it was sent from these logs: those from a group are counted [MQTT-4.8.2-6], and
    /// go to nobody else.
    CountRefused(Vec<LogId>),
    /// Messages that were taken for the fenced session, and were never sent, go back to the group of this log. The outbound
    /// state that is saved behind it has no exchange for them.
    ReturnToGroup {
        /// The group's log.
        log: LogId,
        /// The messages.
        unsent: Vec<Lsn>,
    },
    /// A subscription that is not durable takes its place in the order: nothing is written.
    TakePosition,
    /// Replaces the fenced session's set of QoS 2 packet identifiers received and not yet released.
    SaveInbound(PacketIdSet),
    /// Replaces the fenced session's outbound state.
    SaveOutbound(Outbound),
    /// What the fenced session's connection has sent since its outbound state was last saved stands nowhere: all that there is may
    /// have been sent, as after a crash ([`crate::AttachedSession::sent_unsaved_through`]).
    NoteUnsaved,
    /// Advances or ends (`None`) the retained scan of one of the fenced session's subscriptions.
    SaveRetainedScan {
        /// The subscription.
        filter: ByteString,
        /// Which scan, by its [`RetainedScan::through`]: that of an earlier SUBSCRIBE is left alone.
        through: Lsn,
        /// The last topic handed out; `None`: the scan is done.
        after_topic: Option<ByteString>,
    },
    /// Counts messages that the fenced session passed over; kept together with the position that passed them.
    CountDrops {
        /// Why.
        reason: DropReason,
        /// How many.
        dropped: Dropped,
    },
    /// Keeps a body for an open exchange of the fenced session (retained messages; what a trim passes).
    /// It goes when an outbound state is saved in which no exchange has this packet identifier and LSN.
    Hold {
        /// Packet identifier of the exchange.
        packet_id: u16,
        /// LSN of the message.
        lsn: Lsn,
        /// The encoded message ([`crate::encode_message`]).
        body: Bytes,
    },
}

impl Operation {
    /// Whether it works on the session that its transaction is fenced with.
    pub(crate) fn needs_fence(&self) -> bool {
        !matches!(
            self,
            Operation::Attach(_)
                | Operation::ExpireSessions { .. }
                | Operation::PublishDueWills { .. }
                | Operation::Publish(_)
                | Operation::JoinGroup { .. }
                | Operation::LeaveGroup { .. }
                | Operation::TakeFromGroup(_)
                | Operation::CountRefused(_)
                | Operation::TakePosition
        )
    }
}

/// What a member takes from its group, and is done with.
///
/// A stored session takes in the transaction that saves its exchanges, and is done when a later outbound state
/// has them no more. Another member takes a QoS 1 message when it has acknowledged it, and one of QoS 2 before it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupTake {
    /// The whole filter.
    pub filter: ByteString,
    /// Number of the connection.
    pub member: u64,
    /// As they were pulled.
    pub taken: Vec<crate::Span>,
    /// QoS 2 messages among them, of a member that is not stored.
    pub sent: Vec<Lsn>,
    /// Those of `sent`, now or before, that it has received.
    pub received: Vec<Lsn>,
}

/// A client connects.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Client identifier, not empty.
    pub client_id: ByteString,
    /// Clean Start (clean session in 3.1.1): what is stored ends first.
    pub clean_start: bool,
    /// Session Expiry Interval in seconds; 0: the session ends with its connection and a new one is not stored;
    /// `u32::MAX`: never.
    pub session_expiry_interval: u32,
    /// Protocol level, 3, 4 or 5.
    pub protocol_level: u8,
    /// Keep-alive in seconds, as granted; 0: none. After a crash it says how long a client may be silent before its
    /// connection counts as ended.
    pub keep_alive: u16,
    /// Will message of this connection. It is kept even when the session is not [MQTT-3.1.2-7].
    pub will: Option<Will>,
    /// Milliseconds since the Unix epoch, on the store's clock ([`crate::Store::clock`]).
    pub now_millis: u64,
}

/// A connection's end.
#[derive(Debug, Clone)]
pub struct Detach {
    /// Session Expiry Interval from here on, in seconds. 0 ends the session.
    pub session_expiry_interval: u32,
    /// What becomes of the will.
    pub will: WillFate,
    /// Milliseconds since the Unix epoch, on the store's clock: expiry and Will Delay count from here.
    pub now_millis: u64,
}

/// What becomes of a will when its connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WillFate {
    /// It goes unpublished: the client said good-bye [MQTT-3.14.4-3].
    Forget,
    /// It is published when its Will Delay has passed or the session ends, whichever comes first [MQTT-3.1.3-9].
    Publish,
    /// The broker ends, not the client: when the store is opened again, the will is due as if the connection had broken
    /// then.
    Keep,
}

/// A message to be stored.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Topic name (also inside `body`; here for matching and as the retained key).
    pub topic: ByteString,
    /// The encoded message ([`crate::encode_message`]).
    pub body: Bytes,
    /// Deadline, as in the message: the committer never opens the body.
    pub expires_at_millis: Option<u64>,
    /// Quality of service 0, 1 or 2. 0 is appended to no log.
    pub qos: u8,
    /// Where it goes, as matched by [`crate::Store::route`]; matched again if subscriptions changed since.
    pub targets: Targets,
    /// What becomes of the topic's retained message.
    pub retained: RetainedChange,
    /// Its publisher can be told that it is refused: see [`crate::Policy::Reject`].
    pub refusable: bool,
    /// Its packet identifier, if the fenced session keeps it until it is released (QoS 2). When the publish is refused,
    /// the identifier is taken out of every set that [`Operation::SaveInbound`] brings until it is used again.
    pub packet_id: Option<u16>,
}

impl Publish {
    /// A message that goes to `targets`; nobody can be told that it is refused. `buffer` is room to encode it in.
    pub fn of(message: &Message, targets: Targets, buffer: &mut BytesMut) -> Publish {
        Publish {
            topic: message.topic.clone(),
            body: crate::encode_message(message, buffer),
            expires_at_millis: message.expires_at_millis,
            qos: message.qos,
            targets,
            retained: RetainedChange::of(message),
            refusable: false,
            packet_id: None,
        }
    }
}

/// What a publish does to its topic's retained message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainedChange {
    /// Not a retained publish.
    Leave,
    /// The topic's retained message is this one from here on.
    Set,
    /// The topic has none from here on (empty payload).
    Clear,
    /// The topic has none from here on, and nothing is written if it had none: for a message that there is no room for.
    Forget,
}

/// A subscription asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// Topic filter, validated.
    pub filter: ByteString,
    /// Its options.
    pub options: SubscriptionOptions,
    /// Retained messages are to be sent (Retain Handling is judged by the committer against whether the
    /// subscription existed: 0 always, 1 only if new, 2 never).
    pub retain_handling: u8,
}

/// Options of a subscription, as the standard names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SubscriptionOptions {
    /// Maximum QoS, 0, 1 or 2.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A subscription in force, as a session's record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Topic filter.
    pub filter: ByteString,
    /// Its options.
    pub options: SubscriptionOptions,
    /// Messages with a greater LSN are its own; kept when the same filter is subscribed again [MQTT-3.8.4-4].
    pub start: Lsn,
    /// Its scan of retained messages, when not yet done.
    pub retained_scan: Option<RetainedScan>,
}

/// A scan of retained messages that belongs to a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RetainedScan {
    /// Messages at or below this go out as retained; newer ones arrive live.
    pub through: Lsn,
    /// The last topic handed out; empty: none yet.
    pub after_topic: String,
}

/// Outbound state of a session: a position and the exchanges that are open, in the order sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Outbound {
    /// Every message of the session's logs at or below has been taken into an exchange, sent at QoS 0, or dropped.
    pub position: Lsn,
    /// The last packet identifier that was given out in sequence; 0 before the first.
    pub last_packet_id: u16,
    /// Exchanges that have begun and not ended, in the order sent.
    pub open: Vec<Exchange>,
}

/// An open exchange: what was frozen when the message entered the window.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Exchange {
    /// Packet identifier.
    pub packet_id: u16,
    /// The message.
    pub lsn: Lsn,
    /// Where it can be read, unless held ([`LogId::RETAINED`]: only held).
    pub log: LogId,
    /// QoS of the delivery, 1 or 2.
    pub qos: u8,
    /// PUBREC has been seen: PUBREL is what is sent again.
    pub received: bool,
    /// RETAIN flag of the delivery.
    pub retain: bool,
    /// Subscription Identifiers of the delivery.
    pub subscription_identifiers: Vec<u32>,
}

/// A will, kept with its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic, properties, payload, QoS and RETAIN; its `published_at_millis` and deadline are set when it is published
    /// [MQTT-3.1.2-8].
    pub message: crate::Message,
    /// Will Delay Interval in seconds.
    pub delay_interval: u32,
    /// Message Expiry Interval in seconds, counted from when it is published [MQTT 5.0, 3.1.3.2.4].
    pub message_expiry_interval: Option<u32>,
}

impl RetainedChange {
    /// What a message does, by its RETAIN flag and its payload [MQTT-3.3.1-6].
    pub fn of(message: &crate::Message) -> RetainedChange {
        match (message.retain, message.payload.is_empty()) {
            (false, _) => RetainedChange::Leave,
            (true, false) => RetainedChange::Set,
            (true, true) => RetainedChange::Clear,
        }
    }
}
