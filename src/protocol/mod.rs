//! The wire format: MQTT 3.1, 3.1.1 and 5.0, bytes to packets and packets to bytes.
//!
//! It does no I/O and reads no clock, and it keeps no state but the version of the connection. What a packet may say
//! at this point of a conversation, and which side may say it, is judged by the session machine; what a packet may
//! say at all is judged here, once: a [`Packet`] that was decoded holds only what the standard allows.
//!
//! - `types`, `reason_code`, `topic`, `packet`: what packets are made of;
//! - `reader`, `property`: the data types of the standard's section 1.5 and its properties, read and checked;
//! - `decode`: [`Decoder`], frames and packets, a file for each family of packets; `error`: what was wrong and where;
//! - `encode`: [`encode()`] for any packet, [`OutgoingPublish`] and [`encode_ack`] for the two that are sent most.
//!
//! Payloads and strings are slices of the frame that brought them. Whoever keeps one for long keeps the whole
//! read buffer, and so should copy it.

mod decode;
mod encode;
mod error;
mod forwarded;
mod packet;
mod property;
mod reader;
mod reason_code;
#[cfg(test)]
mod tests;
mod topic;
mod types;
mod user_properties;

pub use decode::Decoder;
pub use encode::{AckKind, EncodeError, OutgoingPublish, encode, encode_ack};
pub use error::{DecodeError, Fault};
pub use forwarded::ForwardedProperties;
pub use packet::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, Packet, Publish, PublishProperties, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, UnsubAck, Unsubscribe, Will, WillProperties,
};
pub use property::PropertyId;
pub use reason_code::ReasonCode;
pub use topic::{TopicError, TopicFilter, TopicName};
pub use types::{PacketId, PacketType, ProtocolVersion, QoS};
pub use user_properties::UserProperties;

/// Largest value of a variable byte integer, and so the longest remaining length, in bytes (section 1.5.5).
pub const MAXIMUM_VARIABLE_INTEGER: usize = 268_435_455;

/// Size of the largest packet there can be, fixed header included, in bytes.
pub const MAXIMUM_PACKET_SIZE: usize = MAXIMUM_VARIABLE_INTEGER + 5;
