//! Bytes to packets: frames here, the packets themselves in a file for each family.

mod acknowledgement;
mod connect;
mod connection;
mod publish;
mod subscription;

use bytes::{Buf, Bytes, BytesMut};

use super::reader::{Reader, VariableInteger, variable_integer};
use super::{DecodeError, Fault, Packet, PacketType, ProtocolVersion};

/// Splits a connection's bytes into packets.
///
/// It serves either side: whether a packet may come from this side, and now, is not judged here. But as long as the
/// version is unknown the first packet must be CONNECT, which then sets it.
#[derive(Debug)]
pub struct Decoder {
    maximum_packet_size: usize,
    version: Option<ProtocolVersion>,
    failed: Option<DecodeError>,
}

/// The fixed header of a packet whose header is complete.
#[derive(Clone, Copy, Debug)]
struct Header {
    first_byte: u8,
    /// Size of the header itself, in bytes.
    length: usize,
    remaining_length: usize,
    minimal: bool,
}

impl Decoder {
    /// A decoder for a new connection. Packets larger than `maximum_packet_size` bytes, fixed header included, are
    /// refused.
    #[must_use]
    pub fn new(maximum_packet_size: usize) -> Self {
        Self { maximum_packet_size, version: None, failed: None }
    }

    /// Version of the connection, once it is known.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Sets the version, for the side that sends CONNECT.
    pub fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    /// Changes the size from which on packets are refused.
    pub fn set_maximum_packet_size(&mut self, maximum_packet_size: usize) {
        self.maximum_packet_size = maximum_packet_size;
    }

    /// Takes the next packet from the front of the buffer; `None`: it needs more bytes, and has taken none. A packet is
    /// refused as soon as its header shows that it is too large, so the buffer need not grow beyond the limit.
    ///
    /// # Errors
    /// The bytes are no packet that the standard allows. What follows them cannot be told apart: the same error comes
    /// from then on.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.next_packet(buffer).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn next_packet(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(&first_byte) = buffer.first() else { return Ok(None) };
        let packet_type = self.check_first_byte(first_byte).map_err(|fault| DecodeError::new(fault, None))?;
        let failed = |fault| DecodeError::new(fault, Some(packet_type));
        let Some(header) = self.read_header(buffer).map_err(failed)? else { return Ok(None) };
        let size = header.length + header.remaining_length;
        if buffer.len() < size {
            return Ok(None);
        }
        let mut frame = buffer.split_to(size).freeze();
        frame.advance(header.length);
        let packet = match self.version {
            Some(version) => decode_packet(packet_type, header, frame, version).map_err(failed)?,
            None => self.first_connect(header, frame)?,
        };
        Ok(Some(packet))
    }

    fn first_connect(&mut self, header: Header, frame: Bytes) -> Result<Packet, DecodeError> {
        let mut heard = connect::Heard::default();
        let decoded = connect::connect(Reader::new(frame), header.minimal, &mut heard);
        match decoded {
            Ok(connect) => {
                self.version = heard.version;
                Ok(Packet::Connect(Box::new(connect)))
            }
            Err(fault) => {
                let error = DecodeError::new(fault, Some(PacketType::Connect));
                Err(error.of_first_connect(heard.version, heard.maximum_packet_size))
            }
        }
    }

    fn check_first_byte(&self, first_byte: u8) -> Result<PacketType, Fault> {
        let packet_type = PacketType::of_first_byte(first_byte).ok_or(Fault::ReservedType(0))?;
        if packet_type == PacketType::Publish && self.version.is_some() {
            return Ok(packet_type);
        }
        let flags = first_byte & 0x0F;
        let fixed = match (packet_type, self.version) {
            (PacketType::Publish, _) => flags,
            (PacketType::Auth, Some(ProtocolVersion::V31 | ProtocolVersion::V311)) => {
                return Err(Fault::ReservedType(15));
            }
            // MQTT 3.1 sets DUP when one of these is sent again.
            (
                PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe,
                Some(ProtocolVersion::V31),
            ) => packet_type.flags() | (flags & 0b1000),
            _ => packet_type.flags(),
        };
        if flags != fixed {
            return Err(Fault::HeaderFlags(flags));
        }
        if self.version.is_none() && packet_type != PacketType::Connect {
            return Err(Fault::NotConnect);
        }
        Ok(packet_type)
    }

    fn read_header(&self, buffer: &[u8]) -> Result<Option<Header>, Fault> {
        match variable_integer(&buffer[1..]) {
            VariableInteger::Complete { value, length, minimal } => {
                let header = Header {
                    first_byte: buffer[0],
                    length: 1 + length,
                    remaining_length: value as usize,
                    minimal,
                };
                let (size, limit) = (header.length + header.remaining_length, self.maximum_packet_size);
                if size > limit { Err(Fault::TooLarge { size, limit }) } else { Ok(Some(header)) }
            }
            VariableInteger::Incomplete => Ok(None),
            VariableInteger::TooLong => Err(Fault::VariableIntegerTooLong("remaining length")),
        }
    }
}

/// MQTT 5 asks for the shortest form of the remaining length; before, it is only what everybody does.
fn check_remaining_length(minimal: bool, version: ProtocolVersion) -> Result<(), Fault> {
    if minimal || version != ProtocolVersion::V5 {
        return Ok(());
    }
    Err(Fault::VariableIntegerNotMinimal("remaining length"))
}

#[inline]
fn decode_packet(
    packet_type: PacketType,
    header: Header,
    frame: Bytes,
    version: ProtocolVersion,
) -> Result<Packet, Fault> {
    check_remaining_length(header.minimal, version)?;
    let reader = Reader::new(frame);
    let v5 = version == ProtocolVersion::V5;
    Ok(match packet_type {
        PacketType::Publish => Packet::Publish(publish::publish(header.first_byte, reader, v5)?),
        PacketType::PubAck => Packet::PubAck(acknowledgement::ack(packet_type, reader, v5)?),
        PacketType::PubRec => Packet::PubRec(acknowledgement::ack(packet_type, reader, v5)?),
        PacketType::PubRel => Packet::PubRel(acknowledgement::ack(packet_type, reader, v5)?),
        PacketType::PubComp => Packet::PubComp(acknowledgement::ack(packet_type, reader, v5)?),
        PacketType::Subscribe => Packet::Subscribe(subscription::subscribe(reader, v5)?),
        PacketType::SubAck => Packet::SubAck(subscription::suback(reader, v5)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscription::unsubscribe(reader, v5)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscription::unsuback(reader, v5)?),
        PacketType::Connect => {
            let connect = connect::connect(reader, header.minimal, &mut connect::Heard::default())?;
            Packet::Connect(Box::new(connect))
        }
        PacketType::ConnAck => Packet::ConnAck(Box::new(connection::connack(reader, version)?)),
        PacketType::Disconnect => Packet::Disconnect(connection::disconnect(reader, v5)?),
        PacketType::Auth => Packet::Auth(connection::auth(reader)?),
        PacketType::PingReq => {
            reader.finish()?;
            Packet::PingReq
        }
        PacketType::PingResp => {
            reader.finish()?;
            Packet::PingResp
        }
    })
}
