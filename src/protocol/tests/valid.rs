//! Runs the tables of valid packets.

use bytes::BytesMut;

use super::super::{Decoder, Packet, PacketType, ProtocolVersion, encode};
use super::notation::bytes;
use super::{valid_connection, valid_message, valid_subscription};

/// A packet as bytes and as a value.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) version: ProtocolVersion,
    pub(super) bytes: &'static str,
    pub(super) packet: Packet,
    /// These are the bytes that the encoder writes for the packet.
    pub(super) canonical: bool,
}

pub(super) const V31: ProtocolVersion = ProtocolVersion::V31;
pub(super) const V311: ProtocolVersion = ProtocolVersion::V311;
pub(super) const V5: ProtocolVersion = ProtocolVersion::V5;

/// A packet that the encoder writes as these bytes.
pub(super) fn case(
    what: &'static str,
    version: ProtocolVersion,
    bytes: &'static str,
    packet: impl Into<Packet>,
) -> Case {
    Case { what, version, bytes, packet: packet.into(), canonical: true }
}

/// Another way to say a packet than the encoder's.
pub(super) fn other_form(
    what: &'static str,
    version: ProtocolVersion,
    bytes: &'static str,
    packet: impl Into<Packet>,
) -> Case {
    Case { canonical: false, ..case(what, version, bytes, packet) }
}

pub(super) fn all() -> Vec<Case> {
    let mut cases = valid_connection::cases();
    cases.extend(valid_message::cases());
    cases.extend(valid_subscription::cases());
    cases
}

/// A decoder as it is when the packet comes.
pub(super) fn decoder(packet_type: PacketType, version: ProtocolVersion) -> Decoder {
    let mut decoder = Decoder::new(1024 * 1024);
    if packet_type != PacketType::Connect {
        decoder.set_version(version);
    }
    decoder
}

#[test]
fn valid_packets_decode() {
    for case in all() {
        let mut decoder = decoder(case.packet.packet_type(), case.version);
        let mut buffer = bytes(case.bytes);
        let decoded = decoder.decode(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", case.what));
        assert_eq!(decoded.as_ref(), Some(&case.packet), "{}", case.what);
        assert!(buffer.is_empty(), "{}: {buffer:?} is left", case.what);
        assert_eq!(decoder.version(), Some(case.version), "{}", case.what);
    }
}

#[test]
fn packets_encode_to_the_tables_bytes() {
    for case in all() {
        let mut encoded = BytesMut::new();
        encode(&case.packet, case.version, &mut encoded)
            .unwrap_or_else(|error| panic!("{}: {error}", case.what));
        let same = encoded == bytes(case.bytes);
        assert_eq!(same, case.canonical, "{}: {encoded:02x?}", case.what);
    }
}

#[test]
fn every_packet_type_is_in_the_tables_in_every_version() {
    for version in [V31, V311, V5] {
        for type_bits in 1..16 {
            let packet_type = PacketType::of_first_byte(type_bits << 4).expect("a type for 1 to 15");
            let there =
                all().iter().any(|case| case.version == version && case.packet.packet_type() == packet_type);
            let exists = packet_type != PacketType::Auth || version == V5;
            assert_eq!(there, exists, "{packet_type} of {version}");
        }
    }
}

#[test]
fn a_prefix_of_a_packet_is_incomplete() {
    for case in all() {
        let whole = bytes(case.bytes);
        for length in 0..whole.len() {
            let mut decoder = decoder(case.packet.packet_type(), case.version);
            let mut prefix = BytesMut::from(&whole[..length]);
            assert_eq!(decoder.decode(&mut prefix), Ok(None), "{} cut at {length}", case.what);
            assert_eq!(prefix, whole[..length], "{}: an incomplete packet stays in the buffer", case.what);
            prefix.extend_from_slice(&whole[length..]);
            let decoded = decoder.decode(&mut prefix);
            assert_eq!(decoded, Ok(Some(case.packet.clone())), "{} cut at {length}", case.what);
        }
    }
}

#[test]
fn a_packet_that_ends_early_is_refused_or_is_another() {
    for case in all().into_iter().filter(|case| case.canonical) {
        let whole = bytes(case.bytes);
        let body_start = 1 + whole[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        for length in body_start..whole.len() {
            // A remaining length of one byte that is the truth about the truncated packet.
            let Ok(remaining_length @ 0..0x80) = u8::try_from(length - body_start) else { continue };
            let mut short = BytesMut::from(&[whole[0], remaining_length][..]);
            short.extend_from_slice(&whole[body_start..length]);
            if let Ok(decoded) = decoder(case.packet.packet_type(), case.version).decode(&mut short) {
                assert_ne!(decoded, None, "{} truncated to {length}: it is all there", case.what);
                assert_ne!(decoded.as_ref(), Some(&case.packet), "{} truncated to {length}", case.what);
            }
        }
    }
}

impl From<super::super::Publish> for Packet {
    fn from(publish: super::super::Publish) -> Self {
        Self::Publish(publish)
    }
}

impl From<super::super::Subscribe> for Packet {
    fn from(subscribe: super::super::Subscribe) -> Self {
        Self::Subscribe(subscribe)
    }
}

impl From<super::super::Connect> for Packet {
    fn from(connect: super::super::Connect) -> Self {
        Self::Connect(Box::new(connect))
    }
}

impl From<super::super::ConnAck> for Packet {
    fn from(connack: super::super::ConnAck) -> Self {
        Self::ConnAck(Box::new(connack))
    }
}
