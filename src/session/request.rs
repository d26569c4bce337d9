//! What a session asks of the broker, and what it is told when it is done.
//!
//! A batch of requests is all that one turn of a connection wants kept. It is committed whole or not at all, and
//! batches are done in the order in which they were taken, so acknowledgements leave in the order of what they
//! acknowledge [MQTT-4.6.0-2].

use bytes::Bytes;
use bytestring::ByteString;

use super::Dropped;
use super::outbound::OutboundRecord;
use crate::protocol::{ReasonCode, SubscribeFilter, TopicFilter, TopicName};

/// One thing to be done.
#[derive(Clone, Debug)]
pub enum Request {
    /// A message to be kept and routed.
    Publish(Incoming),
    /// A PUBLISH that is not kept: it is answered at its place in the order, and nothing else.
    Refused {
        /// QoS 1 or 2.
        qos: u8,
        /// Its packet identifier.
        packet_id: u16,
        /// Why.
        reason: ReasonCode,
    },
    /// A QoS 2 PUBLISH came again: PUBREC goes again, after the first one's commit.
    Repeated {
        /// Its packet identifier.
        packet_id: u16,
    },
    /// PUBREL: PUBCOMP follows when the release is kept.
    Release {
        /// Its packet identifier.
        packet_id: u16,
        /// Whether a PUBLISH with it was received.
        known: bool,
    },
    /// Subscriptions to be added or replaced.
    Subscribe {
        /// Packet identifier of the SUBSCRIBE.
        packet_id: u16,
        /// Subscription Identifier.
        identifier: Option<u32>,
        /// Filters in order; those refused already with their reason.
        filters: Vec<Result<SubscribeFilter, ReasonCode>>,
    },
    /// Subscriptions to be removed.
    Unsubscribe {
        /// Packet identifier of the UNSUBSCRIBE.
        packet_id: u16,
        /// Filters in order.
        filters: Vec<TopicFilter>,
    },
    /// The QoS 2 packet identifiers received and not released, all of them.
    SaveInbound(Vec<u16>),
    /// The outbound record.
    SaveOutbound(OutboundRecord),
    /// Messages that the session passed over, up to the position of the record before it.
    CountDrops(Dropped),
    /// The client has refused messages from these logs: those of groups are counted [MQTT-4.8.2-6].
    CountRefused(Vec<u64>),
    /// An exchange holds its own copy of its message.
    Hold {
        /// Packet identifier of the exchange.
        packet_id: u16,
        /// LSN of the message.
        lsn: u64,
        /// The message, as the store encodes it.
        body: Bytes,
    },
    /// Messages of a group have been taken. In a stored session together with the record of their exchanges; else when
    /// the client has them, or, at QoS 2, before they are sent.
    TakeFromGroup {
        /// Filter of the shared subscription.
        filter: ByteString,
        /// What was taken: LSNs above the first of each pair, up to the second.
        taken: Vec<(u64, u64)>,
        /// LSNs of QoS 2 messages among them, in a session that is not stored.
        sent: Vec<u64>,
        /// Those of `sent`, now or before, that the client has.
        received: Vec<u64>,
    },
    /// A scan of retained messages has come this far.
    SaveScan {
        /// The subscription's filter.
        filter: ByteString,
        /// The LSN up to which it goes: which scan of this filter it is.
        through: u64,
        /// Last topic handed out; `None`: the scan is done.
        after_topic: Option<ByteString>,
    },
}

/// A PUBLISH that was received.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// QoS 0, 1 or 2.
    pub qos: u8,
    /// RETAIN flag.
    pub retain: bool,
    /// Packet identifier, for QoS 1 and 2.
    pub packet_id: Option<u16>,
    /// Topic name, its alias resolved.
    pub topic: TopicName,
    /// Message Expiry Interval in seconds.
    pub message_expiry_interval: Option<u32>,
    /// Property block to be forwarded unchanged.
    pub forwarded: Bytes,
    /// Application payload.
    pub payload: Bytes,
}

impl Incoming {
    /// What it takes in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD + self.topic.as_str().len() + self.forwarded.len() + self.payload.len()
    }

    /// The packet identifier of a QoS 2 message.
    pub(super) fn exactly_once(&self) -> Option<u16> {
        self.packet_id.filter(|_| self.qos == 2)
    }
}

/// How a request was done.
#[derive(Clone, Debug)]
pub enum Done {
    /// `Publish`: whether any subscription wanted it.
    Published {
        /// Some subscription matched.
        matched: bool,
    },
    /// `Publish`: it was refused, for this reason, and none of it took effect.
    Refused(ReasonCode),
    /// `Subscribe`: one for each filter that was not refused already.
    Subscribed(Vec<Granted>),
    /// `Unsubscribe`.
    Unsubscribed {
        /// Whether each filter was subscribed.
        existed: Vec<bool>,
        /// The last LSN before the UNSUBSCRIBE's place in the order.
        at: u64,
    },
    /// Everything else.
    Kept,
}

/// A subscription that was made or replaced.
#[derive(Clone, Debug)]
pub struct Granted {
    /// It begins after this LSN.
    pub start: u64,
    /// The last LSN before the SUBSCRIBE's place in the order.
    pub at: u64,
    /// Retained messages to be sent (Retain Handling was judged); `None`: no others than before.
    pub retained: Option<RetainedFrom>,
}

/// Which retained messages a subscription has still to send.
#[derive(Clone, Debug)]
pub struct RetainedFrom {
    /// Those at or below this LSN.
    pub through: u64,
    /// Those behind this topic; empty: all.
    pub after_topic: ByteString,
}
