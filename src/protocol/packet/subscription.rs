//! SUBSCRIBE and UNSUBSCRIBE, and what answers them.

use super::super::{PacketId, QoS, ReasonCode, TopicFilter, UserProperties};
use super::AckProperties;

/// SUBSCRIBE (section 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Subscription Identifier, 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    /// User Properties.
    pub user_properties: UserProperties,
    /// At least one filter [MQTT-3.8.3-2].
    pub filters: Vec<SubscribeFilter>,
}

/// A topic filter in a SUBSCRIBE with its subscription options (section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// Topic filter.
    pub filter: TopicFilter,
    /// Maximum QoS.
    pub qos: QoS,
    /// No Local; never for a shared subscription [MQTT-3.8.3-4].
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// Retain Handling: when a subscription brings retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// Whenever it is made or made again; the way of MQTT 3.1.1.
    #[default]
    SendAtSubscribe = 0,
    /// Only when it is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl From<RetainHandling> for u8 {
    fn from(handling: RetainHandling) -> Self {
        handling as Self
    }
}

/// SUBACK (section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// One for each filter, in order; before MQTT 5 every error is sent as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// Properties.
    pub properties: AckProperties,
}

/// UNSUBSCRIBE (section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// User Properties.
    pub user_properties: UserProperties,
    /// At least one filter [MQTT-3.10.3-2].
    pub filters: Vec<TopicFilter>,
}

/// UNSUBACK (section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// One for each filter, in order; not sent before MQTT 5.
    pub reasons: Vec<ReasonCode>,
    /// Properties.
    pub properties: AckProperties,
}
