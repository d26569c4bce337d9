//! Packets about the connection itself: CONNECT, CONNACK, DISCONNECT and AUTH.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::super::{ProtocolVersion, QoS, ReasonCode, TopicName, UserProperties};

/// CONNECT (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Protocol version.
    pub version: ProtocolVersion,
    /// Clean Start; in MQTT 3.1 and 3.1.1 Clean Session.
    pub clean_start: bool,
    /// Keep Alive in seconds; 0: none.
    pub keep_alive: u16,
    /// Properties.
    pub properties: ConnectProperties,
    /// Client identifier; may be empty, but in MQTT 3.1.
    pub client_id: ByteString,
    /// Will, if the Will Flag is set.
    pub will: Option<Will>,
    /// User Name.
    pub username: Option<ByteString>,
    /// Password; may stand without a user name in MQTT 5 only.
    pub password: Option<Bytes>,
}

/// Properties of CONNECT (section 3.1.2.11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Session Expiry Interval in seconds; `None`: 0.
    pub session_expiry_interval: Option<u32>,
    /// Receive Maximum; `None`: 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum Packet Size in bytes; `None`: no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Topic Alias Maximum; `None`: 0.
    pub topic_alias_maximum: Option<u16>,
    /// Request Response Information; `None`: no.
    pub request_response_information: Option<bool>,
    /// Request Problem Information; `None`: yes.
    pub request_problem_information: Option<bool>,
    /// User Properties.
    pub user_properties: UserProperties,
    /// Authentication Method.
    pub authentication_method: Option<ByteString>,
    /// Authentication Data; only with a method.
    pub authentication_data: Option<Bytes>,
}

/// The will in a CONNECT (sections 3.1.2.5 and 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Topic.
    pub topic: TopicName,
    /// Will Payload.
    pub payload: Bytes,
    /// Will Properties.
    pub properties: WillProperties,
}

/// Properties of a will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WillProperties {
    /// Will Delay Interval in seconds; absent on the wire: 0.
    pub delay_interval: u32,
    /// Message Expiry Interval in seconds; `None`: the message does not expire.
    pub message_expiry_interval: Option<u32>,
    /// What is forwarded unchanged, as in [`PublishProperties::forwarded`](super::PublishProperties::forwarded).
    pub forwarded: Bytes,
}

/// CONNACK (section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Session Present. MQTT 3.1 has no such flag: it is not sent there.
    pub session_present: bool,
    /// Reason code; before MQTT 5 sent as the nearest return code.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK (section 3.2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Session Expiry Interval in seconds; `None`: what the client asked for.
    pub session_expiry_interval: Option<u32>,
    /// Receive Maximum; `None`: 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// Maximum QoS, 0 or 1; `None`: 2.
    pub maximum_qos: Option<QoS>,
    /// Retain Available; `None`: yes.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size in bytes; `None`: no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Assigned Client Identifier.
    pub assigned_client_identifier: Option<ByteString>,
    /// Topic Alias Maximum; `None`: 0.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<ByteString>,
    /// User Properties.
    pub user_properties: UserProperties,
    /// Wildcard Subscription Available; `None`: yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Subscription Identifiers Available; `None`: yes.
    pub subscription_identifiers_available: Option<bool>,
    /// Shared Subscription Available; `None`: yes.
    pub shared_subscription_available: Option<bool>,
    /// Server Keep Alive in seconds; `None`: what the client asked for.
    pub server_keep_alive: Option<u16>,
    /// Response Information.
    pub response_information: Option<ByteString>,
    /// Server Reference.
    pub server_reference: Option<ByteString>,
    /// Authentication Method.
    pub authentication_method: Option<ByteString>,
    /// Authentication Data; only with a method.
    pub authentication_data: Option<Bytes>,
}

/// DISCONNECT (section 3.14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// Reason code; Success before MQTT 5.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: DisconnectProperties,
}

/// Properties of DISCONNECT (section 3.14.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    /// Session Expiry Interval in seconds, from a client; `None`: as in CONNECT.
    pub session_expiry_interval: Option<u32>,
    /// Reason String.
    pub reason_string: Option<ByteString>,
    /// User Properties.
    pub user_properties: UserProperties,
    /// Server Reference.
    pub server_reference: Option<ByteString>,
}

/// AUTH (section 3.15), MQTT 5 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Reason code.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: AuthProperties,
}

/// Properties of AUTH (section 3.15.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties {
    /// Authentication Method; `None` only in an AUTH that has neither reason code nor properties on the wire.
    pub authentication_method: Option<ByteString>,
    /// Authentication Data; only with a method.
    pub authentication_data: Option<Bytes>,
    /// Reason String.
    pub reason_string: Option<ByteString>,
    /// User Properties.
    pub user_properties: UserProperties,
}
