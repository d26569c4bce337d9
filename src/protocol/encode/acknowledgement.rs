//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use bytes::{BufMut, BytesMut};

use super::super::{Ack, AckProperties, PacketId, PacketType, PropertyId, ProtocolVersion, ReasonCode};
use super::EncodeError;
use super::properties::{PropertyWriter, put_properties};

/// The acknowledgements of a QoS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as in the standard")]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl From<AckKind> for PacketType {
    fn from(kind: AckKind) -> Self {
        match kind {
            AckKind::PubAck => Self::PubAck,
            AckKind::PubRec => Self::PubRec,
            AckKind::PubRel => Self::PubRel,
            AckKind::PubComp => Self::PubComp,
        }
    }
}

/// Appends an acknowledgement without properties to `out`. Success goes without a reason code, and before MQTT 5 there
/// is none.
pub fn encode_ack(
    kind: AckKind,
    packet_id: PacketId,
    reason: ReasonCode,
    version: ProtocolVersion,
    out: &mut BytesMut,
) {
    let packet_type = PacketType::from(kind);
    debug_assert!(reason.fits(packet_type), "{packet_type} does not carry {reason:?}");
    let [high, low] = packet_id.get().to_be_bytes();
    if reason == ReasonCode::Success || version != ProtocolVersion::V5 {
        out.put_slice(&[packet_type.first_byte(), 2, high, low]);
    } else {
        out.put_slice(&[packet_type.first_byte(), 3, high, low, reason.value()]);
    }
}

/// Writes the short form where it says the same.
pub(super) fn ack(
    packet_type: PacketType,
    ack: &Ack,
    v5: bool,
    body: &mut BytesMut,
) -> Result<(), EncodeError> {
    body.put_u16(ack.packet_id.get());
    if !v5 {
        return Ok(());
    }
    check_reason(packet_type, ack.reason)?;
    let without_properties = ack.properties == AckProperties::default();
    if ack.reason == ReasonCode::Success && without_properties {
        return Ok(());
    }
    body.put_u8(ack.reason.value());
    if without_properties {
        return Ok(());
    }
    put_properties(body, |writer| ack_properties(&ack.properties, writer))
}

pub(super) fn check_reason(packet_type: PacketType, reason: ReasonCode) -> Result<(), EncodeError> {
    if reason.fits(packet_type) { Ok(()) } else { Err(EncodeError::ReasonCode(packet_type, reason)) }
}

pub(super) fn ack_properties(
    properties: &AckProperties,
    writer: &mut PropertyWriter<'_>,
) -> Result<(), EncodeError> {
    writer.string(PropertyId::ReasonString, properties.reason_string.as_ref())?;
    writer.user_properties(&properties.user_properties);
    Ok(())
}
