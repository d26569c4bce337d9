//! PUBLISH (section 3.3): the packet that is sent most.

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};

use super::super::{
    ForwardedProperties, MAXIMUM_PACKET_SIZE, MAXIMUM_VARIABLE_INTEGER, PacketId, PacketType, PropertyId,
    ProtocolVersion, Publish, QoS,
};
use super::{EncodeError, LONGEST, put_variable_integer, variable_integer_length};

/// A PUBLISH of a message that stands elsewhere: encoded without building a packet first.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingPublish<'a> {
    /// DUP; never with QoS 0.
    pub dup: bool,
    /// QoS.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Packet identifier; with QoS 1 and 2, and only then.
    pub packet_id: Option<PacketId>,
    /// Topic name; may be empty with an alias.
    pub topic: &'a str,
    /// Topic Alias, not zero; MQTT 5 only.
    pub topic_alias: Option<u16>,
    /// Message Expiry Interval in seconds.
    pub message_expiry_interval: Option<u32>,
    /// Subscription Identifiers, 1 to 268,435,455.
    pub subscription_identifiers: &'a [u32],
    /// Forwarded properties, as they were decoded.
    pub forwarded: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
}

impl OutgoingPublish<'_> {
    /// Size of the packet, fixed header included, in bytes. Above [`MAXIMUM_PACKET_SIZE`] it cannot be encoded.
    #[must_use]
    pub fn encoded_len(&self, version: ProtocolVersion) -> usize {
        let properties = self.properties_length(version);
        let remaining_length = self.remaining_length(version, properties);
        1 + variable_integer_length(remaining_length) + remaining_length
    }

    /// Appends the packet to `out`. Before MQTT 5 it has no properties.
    ///
    /// # Panics
    /// When the packet is larger than [`MAXIMUM_PACKET_SIZE`], or the fields do not go together: that is the caller's
    /// to know.
    pub fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) {
        assert_eq!(
            self.packet_id.is_some(),
            self.qos != QoS::AtMostOnce,
            "QoS and packet identifier go together"
        );
        assert!(self.topic.len() <= LONGEST, "a topic name has at most 65535 bytes");
        let properties = self.properties_length(version);
        let remaining_length = self.remaining_length(version, properties);
        assert!(
            remaining_length <= MAXIMUM_VARIABLE_INTEGER,
            "a packet has at most {MAXIMUM_PACKET_SIZE} bytes"
        );
        debug_assert!(!self.dup || self.qos != QoS::AtMostOnce, "DUP does not go with QoS 0");
        debug_assert!(!self.topic.is_empty() || self.topic_alias.is_some(), "a topic or an alias");
        debug_assert_ne!(self.topic_alias, Some(0), "an alias is not zero");

        out.reserve(5 + remaining_length);
        out.put_u8(self.first_byte());
        put_variable_integer(remaining_length, out);
        out.put_u16(self.topic.len() as u16);
        out.put_slice(self.topic.as_bytes());
        if let Some(packet_id) = self.packet_id {
            out.put_u16(packet_id.get());
        }
        if version == ProtocolVersion::V5 {
            self.put_properties(properties, out);
        }
        out.put_slice(self.payload);
    }

    fn first_byte(&self) -> u8 {
        PacketType::Publish.first_byte()
            | u8::from(self.dup) << 3
            | (self.qos as u8) << 1
            | u8::from(self.retain)
    }

    fn remaining_length(&self, version: ProtocolVersion, properties: usize) -> usize {
        let packet_id = if self.packet_id.is_some() { 2 } else { 0 };
        let properties = match version {
            ProtocolVersion::V5 => variable_integer_length(properties) + properties,
            ProtocolVersion::V31 | ProtocolVersion::V311 => 0,
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    /// Length of the properties, without the length in front.
    fn properties_length(&self, version: ProtocolVersion) -> usize {
        if version != ProtocolVersion::V5 {
            return 0;
        }
        let expiry = if self.message_expiry_interval.is_some() { 5 } else { 0 };
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let identifier_length = |identifier: &u32| 1 + variable_integer_length(*identifier as usize);
        let identifiers: usize = self.subscription_identifiers.iter().map(identifier_length).sum();
        expiry + alias + identifiers + self.forwarded.len()
    }

    fn put_properties(&self, length: usize, out: &mut BytesMut) {
        put_variable_integer(length, out);
        if let Some(seconds) = self.message_expiry_interval {
            out.put_u8(PropertyId::MessageExpiryInterval as u8);
            out.put_u32(seconds);
        }
        if let Some(alias) = self.topic_alias {
            out.put_u8(PropertyId::TopicAlias as u8);
            out.put_u16(alias);
        }
        for &identifier in self.subscription_identifiers {
            out.put_u8(PropertyId::SubscriptionIdentifier as u8);
            put_variable_integer(identifier as usize, out);
        }
        out.put_slice(self.forwarded);
    }
}

/// Encodes a PUBLISH that anybody may have built: checks it first.
pub(super) fn publish(
    publish: &Publish,
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let properties = &publish.properties;
    if publish.dup && publish.qos == QoS::AtMostOnce {
        return Err(EncodeError::DupAtQoS0);
    }
    if publish.packet_id.is_some() != (publish.qos != QoS::AtMostOnce) {
        return Err(EncodeError::PacketId);
    }
    let topic_alias = properties.topic_alias.filter(|_| version == ProtocolVersion::V5);
    if publish.topic.is_none() && topic_alias.is_none() {
        return Err(EncodeError::NoTopic);
    }
    let in_range = |identifier: &u32| (1..=MAXIMUM_VARIABLE_INTEGER).contains(&(*identifier as usize));
    if !properties.subscription_identifiers.iter().all(in_range) {
        return Err(EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier));
    }
    ForwardedProperties::decode(&properties.forwarded).map_err(|_| EncodeError::Forwarded)?;
    let outgoing = OutgoingPublish {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        packet_id: publish.packet_id,
        topic: publish.topic.as_ref().map_or("", |topic| topic.as_str()),
        topic_alias: topic_alias.map(NonZeroU16::get),
        message_expiry_interval: properties.message_expiry_interval,
        subscription_identifiers: &properties.subscription_identifiers,
        forwarded: &properties.forwarded,
        payload: &publish.payload,
    };
    if outgoing.encoded_len(version) > MAXIMUM_PACKET_SIZE {
        return Err(EncodeError::TooLarge);
    }
    outgoing.encode(version, out);
    Ok(())
}
