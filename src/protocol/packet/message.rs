//! PUBLISH and the acknowledgements of its handshakes.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::super::{PacketId, QoS, ReasonCode, TopicName, UserProperties};

/// PUBLISH (section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// DUP; never with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// QoS.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Topic name; `None`: empty, and the topic alias stands for it.
    pub topic: Option<TopicName>,
    /// Packet identifier: with QoS 1 and 2, and only then [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Properties.
    pub properties: PublishProperties,
    /// Application payload.
    pub payload: Bytes,
}

/// Properties of PUBLISH (section 3.3.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// Message Expiry Interval in seconds; `None`: the message does not expire.
    pub message_expiry_interval: Option<u32>,
    /// Topic Alias.
    pub topic_alias: Option<NonZeroU16>,
    /// Subscription Identifiers, 1 to 268,435,455; only a server sends them.
    pub subscription_identifiers: SmallVec<[u32; 2]>,
    /// The properties that go to the subscribers unchanged [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16]
    /// [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]: Payload Format Indicator, Content Type, Response Topic,
    /// Correlation Data and User Properties, encoded as they came and in that order, without the length in front.
    /// Validated when it was decoded; [`ForwardedProperties`](super::super::ForwardedProperties) reads it.
    pub forwarded: Bytes,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Reason code; Success before MQTT 5.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: AckProperties,
}

/// Properties of an acknowledgement of any kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckProperties {
    /// Reason String.
    pub reason_string: Option<ByteString>,
    /// User Properties.
    pub user_properties: UserProperties,
}
