//! Why a packet is not encoded: it would break the standard, and that is the caller's fault.

use super::super::{PacketType, PropertyId, ProtocolVersion, ReasonCode};

/// A packet that the standard does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// String or binary data of more than 65,535 bytes.
    #[error("the {0} is longer than 65535 bytes")]
    TooLong(&'static str),
    /// A string with U+0000 [MQTT-1.5.4-2].
    #[error("the {0} has a null character")]
    NullCharacter(&'static str),
    /// A packet of more than 256 MiB.
    #[error("the packet is longer than a remaining length can say")]
    TooLarge,
    /// The version has no such packet.
    #[error("{1} has no {0}")]
    NotInVersion(PacketType, ProtocolVersion),
    /// The packet has no such reason code.
    #[error("{0} does not carry the reason code {1:?}")]
    ReasonCode(PacketType, ReasonCode),
    /// A packet identifier with QoS 0, or none with QoS 1 or 2 [MQTT-2.2.1-2].
    #[error("a packet identifier goes with QoS 1 and 2, and with those only")]
    PacketId,
    /// DUP with QoS 0 [MQTT-3.3.1-2].
    #[error("DUP is set with QoS 0")]
    DupAtQoS0,
    /// Neither topic nor topic alias.
    #[error("there is neither a topic name nor a topic alias")]
    NoTopic,
    /// The forwarded properties are not such.
    #[error("the forwarded properties are not valid")]
    Forwarded,
    /// A response topic that is no topic name [MQTT-3.3.2-14].
    #[error("the response topic is not a topic name")]
    ResponseTopic,
    /// A property's value is out of its range.
    #[error("the {0} is out of its range")]
    PropertyValue(PropertyId),
    /// No topic filter [MQTT-3.8.3-2] [MQTT-3.10.3-2].
    #[error("there is no topic filter")]
    NoFilter,
    /// No reason code.
    #[error("there is no reason code")]
    NoReasonCode,
    /// No Local for a shared subscription [MQTT-3.8.3-4].
    #[error("no local is set for a shared subscription")]
    NoLocalOfShared,
    /// Session Present with a refusal [MQTT-3.2.2-6].
    #[error("a session is present, but the connection is refused")]
    SessionPresentInRefusal,
    /// Authentication Data without a method.
    #[error("there is authentication data without an authentication method")]
    AuthenticationDataAlone,
    /// AUTH without a method.
    #[error("there is no authentication method")]
    NoAuthenticationMethod,
    /// Before MQTT 5 a password needs a user name.
    #[error("there is a password without a user name")]
    PasswordAlone,
    /// MQTT 3.1 has no empty client identifier.
    #[error("the client identifier is empty")]
    NoClientIdentifier,
}
