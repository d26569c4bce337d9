//! Everything that a server sends, parsed strictly into values that tests compare.

use crate::packets::{Ack, Auth, Disconnect, Publish};
use crate::property::{Properties, Property, take_properties};
use crate::{Version, kind};

/// A packet from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// CONNACK
    ConnAck(ConnAck),
    /// PUBLISH
    Publish(Publish),
    /// PUBACK
    PubAck(Ack),
    /// PUBREC
    PubRec(Ack),
    /// PUBREL
    PubRel(Ack),
    /// PUBCOMP
    PubComp(Ack),
    /// SUBACK
    SubAck(SubAck),
    /// UNSUBACK; without reason codes before 5.0
    UnsubAck(SubAck),
    /// PINGRESP
    PingResp,
    /// DISCONNECT, 5.0 only
    Disconnect(Disconnect),
    /// AUTH, 5.0 only
    Auth(Auth),
}

/// CONNACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Session Present.
    pub session_present: bool,
    /// Reason code, before 5.0 the return code.
    pub reason: u8,
    /// Properties, 5.0 only.
    pub properties: Properties,
}

impl ConnAck {
    /// The Receive Maximum of the server, 65,535 if it says nothing.
    pub fn receive_maximum(&self) -> u16 {
        self.properties
            .iter()
            .find_map(
                |property| if let Property::ReceiveMaximum(value) = property { Some(*value) } else { None },
            )
            .unwrap_or(u16::MAX)
    }
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubAck {
    /// Packet identifier.
    pub packet_id: u16,
    /// A reason code for each filter.
    pub reasons: Vec<u8>,
    /// Properties, 5.0 only.
    pub properties: Properties,
}

/// What is wrong with a packet of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field ends behind the packet.
    #[error("the packet ends inside a field")]
    Truncated,
    /// Bytes left behind the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// A variable byte integer of five bytes, or one that is longer than it must be.
    #[error("a variable byte integer is not in its shortest form")]
    Variable,
    /// A string that is not UTF-8 or holds U+0000.
    #[error("a string is not well-formed")]
    Text,
    /// A property identifier that does not exist.
    #[error("no property has identifier {0:#x}")]
    UnknownProperty(u32),
    /// A property that may stand once stands twice.
    #[error("property {0:#x} stands twice")]
    RepeatedProperty(u32),
    /// Reserved flags, or a type that a server does not send.
    #[error("first byte {0:#04x} is not one that a server sends")]
    FirstByte(u8),
    /// A value the standard does not allow.
    #[error("{0}")]
    Value(&'static str),
}

/// Parses the packet that `bytes` begin with, and says how many bytes it took; `None` while it is not whole.
pub fn parse(version: Version, bytes: &[u8]) -> Result<Option<(Packet, usize)>, ParseError> {
    let Some((header, length)) = frame_length(bytes)? else { return Ok(None) };
    let Some(body) = bytes.get(header..header + length) else { return Ok(None) };
    let packet = parse_body(version, bytes[0], Reader::new(body))?;
    Ok(Some((packet, header + length)))
}

/// Length of the fixed header and remaining length, if the header is whole.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, ParseError> {
    let mut value = 0usize;
    for position in 0..4 {
        let Some(byte) = bytes.get(position + 1) else { return Ok(None) };
        value |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            if *byte == 0 && position > 0 {
                return Err(ParseError::Variable);
            }
            return Ok(Some((position + 2, value)));
        }
    }
    Err(ParseError::Variable)
}

pub(crate) fn parse_body(version: Version, first: u8, mut reader: Reader<'_>) -> Result<Packet, ParseError> {
    let packet_kind = first >> 4;
    let flags = if packet_kind == kind::PUBREL { 2 } else { 0 };
    if packet_kind != kind::PUBLISH && first & 0x0f != flags {
        return Err(ParseError::FirstByte(first));
    }
    let packet = match packet_kind {
        kind::CONNACK => Packet::ConnAck(connack(version, &mut reader)?),
        kind::PUBLISH => Packet::Publish(publish(version, first, &mut reader)?),
        kind::PUBACK => Packet::PubAck(ack(version, &mut reader)?),
        kind::PUBREC => Packet::PubRec(ack(version, &mut reader)?),
        kind::PUBREL => Packet::PubRel(ack(version, &mut reader)?),
        kind::PUBCOMP => Packet::PubComp(ack(version, &mut reader)?),
        kind::SUBACK => Packet::SubAck(suback(version, &mut reader, true)?),
        kind::UNSUBACK => Packet::UnsubAck(suback(version, &mut reader, version.has_properties())?),
        kind::PINGRESP => Packet::PingResp,
        kind::DISCONNECT if version.has_properties() => {
            let (reason, properties) = reason(&mut reader)?;
            Packet::Disconnect(Disconnect { reason, properties })
        }
        kind::AUTH if version.has_properties() => {
            let (reason, properties) = reason(&mut reader)?;
            Packet::Auth(Auth { reason, properties })
        }
        _ => return Err(ParseError::FirstByte(first)),
    };
    if reader.is_empty() { Ok(packet) } else { Err(ParseError::Trailing(reader.bytes.len())) }
}

fn connack(version: Version, reader: &mut Reader<'_>) -> Result<ConnAck, ParseError> {
    let flags = reader.u8()?;
    if flags > 1 {
        return Err(ParseError::Value("reserved CONNACK flags are set"));
    }
    let reason = reader.u8()?;
    if flags == 1 && reason != 0 {
        return Err(ParseError::Value("Session Present in a CONNACK that refuses [MQTT-3.2.2-6]"));
    }
    let properties = if version.has_properties() { take_properties(reader)? } else { Properties::new() };
    Ok(ConnAck { session_present: flags == 1, reason, properties })
}

fn publish(version: Version, first: u8, reader: &mut Reader<'_>) -> Result<Publish, ParseError> {
    let qos = first >> 1 & 3;
    let dup = first & 8 != 0;
    if qos == 3 || (qos == 0 && dup) {
        return Err(ParseError::FirstByte(first));
    }
    let topic = reader.string()?.to_owned();
    if topic.contains(['+', '#']) {
        return Err(ParseError::Value("a wildcard in a topic name [MQTT-3.3.2-2]"));
    }
    let packet_id = if qos > 0 { packet_id(reader)? } else { 0 };
    let properties = if version.has_properties() { take_properties(reader)? } else { Properties::new() };
    let aliased = properties.iter().any(|property| matches!(property, Property::TopicAlias(_)));
    if topic.is_empty() && !aliased {
        return Err(ParseError::Value("an empty topic name without a Topic Alias"));
    }
    let payload = reader.take(reader.bytes.len())?.to_vec();
    Ok(Publish { dup, qos, retain: first & 1 != 0, topic, packet_id, properties, payload })
}

fn ack(version: Version, reader: &mut Reader<'_>) -> Result<Ack, ParseError> {
    let packet_id = packet_id(reader)?;
    if !version.has_properties() {
        return Ok(Ack::new(packet_id));
    }
    let (reason, properties) = reason(reader)?;
    Ok(Ack { packet_id, reason, properties })
}

fn suback(version: Version, reader: &mut Reader<'_>, has_reasons: bool) -> Result<SubAck, ParseError> {
    let packet_id = packet_id(reader)?;
    let properties = if version.has_properties() { take_properties(reader)? } else { Properties::new() };
    let reasons = if has_reasons { reader.take(reader.bytes.len())?.to_vec() } else { Vec::new() };
    if has_reasons && reasons.is_empty() {
        return Err(ParseError::Value("no reason code at all"));
    }
    Ok(SubAck { packet_id, reasons, properties })
}

/// Reason code and properties, each of which may be left out at the end of the packet.
fn reason(reader: &mut Reader<'_>) -> Result<(u8, Properties), ParseError> {
    let reason = if reader.is_empty() { 0 } else { reader.u8()? };
    let properties = if reader.is_empty() { Properties::new() } else { take_properties(reader)? };
    Ok((reason, properties))
}

fn packet_id(reader: &mut Reader<'_>) -> Result<u16, ParseError> {
    match reader.u16()? {
        0 => Err(ParseError::Value("packet identifier 0")),
        value => Ok(value),
    }
}

/// Takes fields off the front of a packet.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(ParseError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ParseError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ParseError> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ParseError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    pub(crate) fn variable(&mut self) -> Result<u32, ParseError> {
        let mut value = 0u32;
        for position in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return if byte == 0 && position > 0 { Err(ParseError::Variable) } else { Ok(value) };
            }
        }
        Err(ParseError::Variable)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], ParseError> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, ParseError> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| ParseError::Text)?;
        if text.contains('\0') { Err(ParseError::Text) } else { Ok(text) }
    }
}
