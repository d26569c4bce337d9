//! Packets to bytes. What the decoder would refuse is refused here too, so neither side of a connection sends it.

mod acknowledgement;
mod connect;
mod connection;
mod error;
pub(super) mod properties;
mod publish;
mod subscription;

use bytes::{BufMut, BytesMut};

pub use acknowledgement::{AckKind, encode_ack};
pub use error::EncodeError;
pub use publish::OutgoingPublish;

use super::{MAXIMUM_VARIABLE_INTEGER, Packet, PacketType, ProtocolVersion};

/// Longest string or binary data, in bytes (sections 1.5.4 and 1.5.6).
const LONGEST: usize = u16::MAX as usize;

/// Appends a packet to `out`. A CONNECT is encoded in the version that it names.
///
/// MQTT 3.1 and 3.1.1 have no properties, and reason codes only in CONNACK and SUBACK: there the rest is left out.
///
/// # Errors
/// The standard does not allow the packet. Nothing is appended then.
pub fn encode(packet: &Packet, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    let v5 = version == ProtocolVersion::V5;
    let packet_type = packet.packet_type();
    match packet {
        Packet::Connect(connect) => frame(packet_type, out, |body| connect::connect(connect, body)),
        Packet::ConnAck(connack) => {
            frame(packet_type, out, |body| connection::connack(connack, version, body))
        }
        Packet::Publish(publish) => publish::publish(publish, version, out),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            frame(packet_type, out, |body| acknowledgement::ack(packet_type, ack, v5, body))
        }
        Packet::Subscribe(subscribe) => {
            frame(packet_type, out, |body| subscription::subscribe(subscribe, v5, body))
        }
        Packet::SubAck(suback) => frame(packet_type, out, |body| subscription::suback(suback, v5, body)),
        Packet::Unsubscribe(unsubscribe) => {
            frame(packet_type, out, |body| subscription::unsubscribe(unsubscribe, v5, body))
        }
        Packet::UnsubAck(unsuback) => {
            frame(packet_type, out, |body| subscription::unsuback(unsuback, v5, body))
        }
        Packet::PingReq | Packet::PingResp => {
            out.put_slice(&[packet_type.first_byte(), 0]);
            Ok(())
        }
        Packet::Disconnect(disconnect) => {
            frame(packet_type, out, |body| connection::disconnect(disconnect, v5, body))
        }
        Packet::Auth(_) if !v5 => Err(EncodeError::NotInVersion(packet_type, version)),
        Packet::Auth(auth) => frame(packet_type, out, |body| connection::auth(auth, body)),
    }
}

/// Puts the fixed header in front of what `write` writes.
fn frame(
    packet_type: PacketType,
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut body = BytesMut::with_capacity(64);
    write(&mut body)?;
    if body.len() > MAXIMUM_VARIABLE_INTEGER {
        return Err(EncodeError::TooLarge);
    }
    out.reserve(body.len() + 5);
    out.put_u8(packet_type.first_byte());
    put_variable_integer(body.len(), out);
    out.put_slice(&body);
    Ok(())
}

/// Writes a variable byte integer (section 1.5.5); it is at most `MAXIMUM_VARIABLE_INTEGER`.
fn put_variable_integer(value: usize, out: &mut BytesMut) {
    debug_assert!(value <= MAXIMUM_VARIABLE_INTEGER, "{value} is no variable byte integer");
    let mut rest = value;
    while rest > 0x7F {
        out.put_u8((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Bytes that a variable byte integer takes.
const fn variable_integer_length(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_binary(data: &[u8], field: &'static str, out: &mut BytesMut) -> Result<(), EncodeError> {
    let length = u16::try_from(data.len()).map_err(|_| EncodeError::TooLong(field))?;
    out.put_u16(length);
    out.put_slice(data);
    Ok(())
}

fn put_string(text: &str, field: &'static str, out: &mut BytesMut) -> Result<(), EncodeError> {
    if text.as_bytes().contains(&0) {
        return Err(EncodeError::NullCharacter(field));
    }
    put_binary(text.as_bytes(), field, out)
}
