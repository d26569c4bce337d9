//! What is wrong with bytes that are refused. It is always the sender's fault: this side has no way to fail.

use std::num::NonZeroU32;

use super::{PacketType, PropertyId, ProtocolVersion, ReasonCode, TopicError};

/// Bytes that are no packet, or a packet that says what the standard forbids. The connection is to be closed
/// [MQTT-4.13.1-1].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    fault: Fault,
    packet: Option<PacketType>,
    connect_version: Option<ProtocolVersion>,
    connect_maximum_packet_size: Option<NonZeroU32>,
}

impl std::error::Error for DecodeError {}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.packet {
            Some(packet) => write!(formatter, "{packet}: {}", self.fault),
            None => self.fault.fmt(formatter),
        }
    }
}

impl DecodeError {
    pub(super) fn new(fault: Fault, packet: Option<PacketType>) -> Self {
        Self { fault, packet, connect_version: None, connect_maximum_packet_size: None }
    }

    /// Remembers the version of a first CONNECT, if its sender can be answered in it, and what it takes at most.
    pub(super) fn of_first_connect(
        mut self,
        version: Option<ProtocolVersion>,
        maximum_packet_size: Option<NonZeroU32>,
    ) -> Self {
        self.connect_maximum_packet_size = maximum_packet_size;
        self.connect_version = match &self.fault {
            // A bridge of Mosquitto sets the highest bit of the level and tries again without when it is refused.
            Fault::ProtocolLevel(level) if level & 0x7F >= ProtocolVersion::V5.level() => {
                Some(ProtocolVersion::V5)
            }
            Fault::ProtocolLevel(_) => Some(ProtocolVersion::V311),
            Fault::NoClientIdentifier => version,
            _ => version.filter(|version| *version == ProtocolVersion::V5),
        };
        self
    }

    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Type of the packet it was found in; `None`: its first byte was refused.
    #[must_use]
    pub fn packet_type(&self) -> Option<PacketType> {
        self.packet
    }

    /// The reason code for CONNACK or DISCONNECT (section 4.13).
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        self.fault.reason_code()
    }

    /// The reason code for DISCONNECT, which does not have those that only CONNACK has: a CONNECT that is not the first is a
    /// protocol error whatever is wrong with it [MQTT-3.1.0-2].
    #[must_use]
    pub fn disconnect_reason_code(&self) -> ReasonCode {
        match self.reason_code() {
            ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid => {
                ReasonCode::ProtocolError
            }
            reason => reason,
        }
    }

    /// The version in which to refuse with CONNACK before closing. `Some` when it was the connection's first CONNECT
    /// and the standard has a CONNACK for it: always in MQTT 5 [MQTT-3.1.4-1], in MQTT 3.1 and 3.1.1 for a protocol
    /// level [MQTT-3.1.2-2] or client identifier that is not accepted. For an unknown protocol level it is the version
    /// that the client is most likely to understand.
    #[must_use]
    pub fn connect_version(&self) -> Option<ProtocolVersion> {
        self.connect_version
    }

    /// The Maximum Packet Size that the connection's first CONNECT named before what was wrong with it, in bytes: a CONNACK
    /// that is larger may not be sent [MQTT-3.1.2-24].
    #[must_use]
    pub fn connect_maximum_packet_size(&self) -> Option<NonZeroU32> {
        self.connect_maximum_packet_size
    }
}

/// What was wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Packet type 0, or AUTH before MQTT 5.
    #[error("the packet type {0} is reserved")]
    ReservedType(u8),
    /// Flags of the fixed header [MQTT-2.1.3-1].
    #[error("the fixed header has the flags {0:#06b}")]
    HeaderFlags(u8),
    /// The first packet is not CONNECT [MQTT-3.1.0-1].
    #[error("the first packet is not CONNECT")]
    NotConnect,
    /// Longer than agreed.
    #[error("the packet has {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// Whole packet, in bytes.
        size: usize,
        /// Maximum Packet Size, in bytes.
        limit: usize,
    },
    /// A variable byte integer of more than four bytes (section 1.5.5).
    #[error("the {0} takes more than four bytes")]
    VariableIntegerTooLong(&'static str),
    /// A variable byte integer of more bytes than it needs [MQTT-1.5.5-1].
    #[error("the {0} takes more bytes than it needs")]
    VariableIntegerNotMinimal(&'static str),
    /// The packet ends inside a field.
    #[error("it ends before the end of the {0}")]
    Truncated(&'static str),
    /// The packet goes on after its last field.
    #[error("bytes after its last field: {0}")]
    TrailingBytes(usize),
    /// A string that is not UTF-8 [MQTT-1.5.4-1].
    #[error("the {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A string with U+0000 [MQTT-1.5.4-2].
    #[error("the {0} has a null character")]
    NullCharacter(&'static str),
    /// A packet identifier of zero [MQTT-2.2.1-3].
    #[error("the packet identifier is zero")]
    PacketIdZero,
    /// QoS 3 [MQTT-3.3.1-4].
    #[error("the {0} is 3")]
    QoS3(&'static str),
    /// DUP with QoS 0 [MQTT-3.3.1-2].
    #[error("DUP is set with QoS 0")]
    DupAtQoS0,
    /// Neither topic nor topic alias.
    #[error("it has neither a topic name nor a topic alias")]
    NoTopic,
    /// A topic name.
    #[error("the {0} {1}")]
    TopicName(&'static str, TopicError),
    /// A topic filter.
    #[error("the topic filter {0}")]
    TopicFilter(TopicError),
    /// No property has this identifier.
    #[error("there is no property {0:#04x}")]
    UnknownProperty(u32),
    /// The packet has no such property.
    #[error("the property {0} does not belong here")]
    MisplacedProperty(PropertyId),
    /// A property that stands once stands twice.
    #[error("the property {0} is there twice")]
    RepeatedProperty(PropertyId),
    /// A property whose value is out of its range.
    #[error("the property {0} has the value {1}")]
    PropertyValue(PropertyId, u32),
    /// Authentication Data without a method.
    #[error("it has authentication data without an authentication method")]
    AuthenticationDataAlone,
    /// AUTH without a method.
    #[error("it has no authentication method")]
    NoAuthenticationMethod,
    /// The protocol name is not that of the level, or of any [MQTT-3.1.2-1].
    #[error("the protocol name is not MQTT, or MQIsdp with level 3")]
    ProtocolName,
    /// A protocol level that is not spoken here [MQTT-3.1.2-2].
    #[error("the protocol level is {0}")]
    ProtocolLevel(u8),
    /// The reserved connect flag [MQTT-3.1.2-3].
    #[error("the reserved connect flag is set")]
    ReservedConnectFlag,
    /// Will QoS or Will Retain without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13].
    #[error("there is no will, but a will QoS or will retain flag")]
    WillFlags,
    /// Before MQTT 5 a password needs a user name [MQTT-3.1.2-22 of 3.1.1].
    #[error("it has a password without a user name")]
    PasswordAlone,
    /// MQTT 3.1 has no empty client identifier.
    #[error("the client identifier is empty")]
    NoClientIdentifier,
    /// No topic filter [MQTT-3.8.3-2] [MQTT-3.10.3-2].
    #[error("it has no topic filter")]
    NoFilter,
    /// No reason code for what it answers.
    #[error("it has no reason code")]
    NoReasonCode,
    /// Reserved bits [MQTT-3.8.3-5].
    #[error("the subscription options are {0:#010b}")]
    SubscriptionOptions(u8),
    /// Retain Handling 3 (section 3.8.3.1).
    #[error("the retain handling is 3")]
    RetainHandling3,
    /// No Local for a shared subscription [MQTT-3.8.3-4].
    #[error("no local is set for a shared subscription")]
    NoLocalOfShared,
    /// A reason code that the packet does not have.
    #[error("it has the reason code {0:#04x}")]
    ReasonCode(u8),
    /// Flags of CONNACK [MQTT-3.2.2-1].
    #[error("the acknowledge flags are {0:#010b}")]
    AcknowledgeFlags(u8),
    /// Session Present with a refusal [MQTT-3.2.2-6].
    #[error("a session is present, but the connection is refused")]
    SessionPresentInRefusal,
}

impl Fault {
    /// The reason code for CONNACK or DISCONNECT.
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::ReservedType(_)
            | Self::HeaderFlags(_)
            | Self::VariableIntegerTooLong(_)
            | Self::VariableIntegerNotMinimal(_)
            | Self::Truncated(_)
            | Self::TrailingBytes(_)
            | Self::NotUtf8(_)
            | Self::NullCharacter(_)
            | Self::QoS3(_)
            | Self::UnknownProperty(_)
            | Self::MisplacedProperty(_)
            | Self::ReservedConnectFlag
            | Self::SubscriptionOptions(_)
            | Self::AcknowledgeFlags(_)
            | Self::TopicName(_, TopicError::NullCharacter)
            | Self::TopicFilter(TopicError::NullCharacter) => ReasonCode::MalformedPacket,
            Self::NotConnect
            | Self::PacketIdZero
            | Self::DupAtQoS0
            | Self::NoTopic
            | Self::RepeatedProperty(_)
            | Self::AuthenticationDataAlone
            | Self::NoAuthenticationMethod
            | Self::WillFlags
            | Self::PasswordAlone
            | Self::NoFilter
            | Self::NoReasonCode
            | Self::RetainHandling3
            | Self::NoLocalOfShared
            | Self::ReasonCode(_)
            | Self::SessionPresentInRefusal => ReasonCode::ProtocolError,
            Self::PropertyValue(PropertyId::TopicAlias, _) => ReasonCode::TopicAliasInvalid,
            Self::PropertyValue(..) => ReasonCode::ProtocolError,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::TopicName(..) => ReasonCode::TopicNameInvalid,
            Self::TopicFilter(_) => ReasonCode::TopicFilterInvalid,
            Self::ProtocolName | Self::ProtocolLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            Self::NoClientIdentifier => ReasonCode::ClientIdentifierNotValid,
        }
    }
}
