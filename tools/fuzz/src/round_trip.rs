//! What is decoded can be encoded, is the same when it is decoded again, and means the same to a codec of another hand.

use barnacle::protocol::{ForwardedProperties, OutgoingPublish, Packet, ProtocolVersion, Publish, encode};
use barnacle_wire::{Version, parse};
use bytes::BytesMut;

use crate::stream::{How, decode_all, decoder, parts};

/// Takes one input.
///
/// # Panics
/// When a packet does not come back as it was.
pub fn run(input: &[u8]) {
    let Some((how, stream)) = parts(input) else { return };
    let decoded = decode_all(How { piece: stream.len().max(1), ..how }, stream);
    for (packet, version) in decoded.packets {
        there_and_back(&packet, version);
    }
}

fn there_and_back(packet: &Packet, version: ProtocolVersion) {
    // A CONNECT that comes later may be of another version; it is encoded in its own.
    let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
    let bytes = encoded(packet, version);
    let known = if matches!(packet, Packet::Connect(_)) { None } else { Some(version) };
    let mut buffer = bytes.clone();
    let again = decoder(known).decode(&mut buffer);
    assert_eq!(again, Ok(Some(packet.clone())), "encoded as {bytes:02x?}");
    assert!(buffer.is_empty(), "{packet:?}: the encoder writes more than a packet");
    if let Packet::Publish(publish) = packet {
        as_it_is_forwarded(publish, version, &bytes);
    }
    if comes_from_a_server(packet, version) {
        read_by_the_witness(packet, version, &bytes);
    }
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    bytes
}

/// The short way from a message to a PUBLISH writes the same bytes.
fn as_it_is_forwarded(publish: &Publish, version: ProtocolVersion, bytes: &[u8]) {
    let properties = &publish.properties;
    let outgoing = OutgoingPublish {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        packet_id: publish.packet_id,
        topic: publish.topic.as_ref().map_or("", |topic| topic.as_str()),
        topic_alias: properties.topic_alias.map(std::num::NonZero::get),
        message_expiry_interval: properties.message_expiry_interval,
        subscription_identifiers: &properties.subscription_identifiers,
        forwarded: &properties.forwarded,
        payload: &publish.payload,
    };
    let mut forwarded = BytesMut::new();
    outgoing.encode(version, &mut forwarded);
    assert_eq!(forwarded, bytes, "{publish:?}: the two ways to encode it differ");
    assert_eq!(outgoing.encoded_len(version), bytes.len(), "{publish:?}: of another length than was said");
    let read = ForwardedProperties::decode(&properties.forwarded).expect("checked when it was decoded");
    let again = read.encode().expect("what was decoded can be encoded");
    assert_eq!(ForwardedProperties::decode(&again), Ok(read));
}

fn comes_from_a_server(packet: &Packet, version: ProtocolVersion) -> bool {
    match packet {
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => false,
        Packet::Disconnect(_) => version == ProtocolVersion::V5,
        _ => true,
    }
}

fn read_by_the_witness(packet: &Packet, version: ProtocolVersion, bytes: &[u8]) {
    let version = match version {
        ProtocolVersion::V31 => Version::V31,
        ProtocolVersion::V311 => Version::V311,
        ProtocolVersion::V5 => Version::V5,
    };
    match parse(version, bytes) {
        Ok(Some((_, length))) => assert_eq!(length, bytes.len(), "{packet:?}: read as a shorter packet"),
        other => panic!("{packet:?} as {bytes:02x?}: the witness says {other:?}"),
    }
}
