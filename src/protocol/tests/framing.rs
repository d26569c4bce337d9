//! Fixed headers, sizes, and where packets begin and end.

use bytes::BytesMut;

use super::super::{
    Decoder, Fault, MAXIMUM_PACKET_SIZE, Packet, PacketType, ProtocolVersion, ReasonCode, encode,
};
use super::notation::bytes;
use super::refused::{LIMIT, MALFORMED, V5, V31, V311, check, decoder};

#[test]
fn reserved_types() {
    check(&[
        (None, "00 00", MALFORMED, "the packet type 0 is reserved"),
        (V5, "0F 00", MALFORMED, "the packet type 0 is reserved"),
    ]);
}

/// [MQTT-2.1.3-1]
#[test]
fn the_fixed_headers_flags() {
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        for first_byte in 0x10..=0xFF_u8 {
            let packet_type = PacketType::of_first_byte(first_byte).expect("a type above 0");
            let flags = first_byte & 0x0F;
            let sent_again = version == ProtocolVersion::V31 && flags == 0b1010;
            let allowed = match packet_type {
                PacketType::Publish => true,
                PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => {
                    flags == 0b0010 || sent_again
                }
                PacketType::Auth => flags == 0 && version == ProtocolVersion::V5,
                _ => flags == 0,
            };
            let decoded = decoder(Some(version)).decode(&mut BytesMut::from(&[first_byte][..]));
            assert_eq!(decoded.is_ok(), allowed, "{first_byte:#04x} of {version}: {decoded:?}");
            if let Err(error) = decoded {
                assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
            }
        }
    }
}

/// [MQTT-1.5.5-1]
#[test]
fn remaining_length() {
    const TOO_LONG: &str = "PINGREQ: the remaining length takes more than four bytes";
    const NOT_MINIMAL: &str = "PINGREQ: the remaining length takes more bytes than it needs";
    check(&[
        (V5, "C0 80808080", MALFORMED, TOO_LONG),
        (V311, "C0 8080808000", MALFORMED, TOO_LONG),
        (V31, "C0 FFFFFFFF", MALFORMED, TOO_LONG),
        (V5, "C0 8000", MALFORMED, NOT_MINIMAL),
        (V5, "C0 80808000", MALFORMED, NOT_MINIMAL),
        (
            None,
            "10 9180 00 <MQTT> 05 02 003C [] <barn>",
            MALFORMED,
            "CONNECT: the remaining length takes more bytes than it needs",
        ),
    ]);
    for version in [V31, V311] {
        assert_eq!(decoder(version).decode(&mut bytes("C0 8000")), Ok(Some(Packet::PingReq)));
    }
}

#[test]
fn a_packet_that_is_too_large_is_refused_by_its_header() {
    let payload = |length: usize| format!("30[<a> {}]", "78".repeat(length));
    // Header 3 bytes, topic 3 bytes.
    let fits = decoder(V311).decode(&mut bytes(&payload(LIMIT - 6)));
    assert!(matches!(fits, Ok(Some(Packet::Publish(_)))), "{fits:?}");

    let mut too_large = bytes(&payload(LIMIT - 5));
    too_large.truncate(3);
    let error = decoder(V311).decode(&mut too_large).expect_err("too large");
    assert_eq!(error.fault(), &Fault::TooLarge { size: LIMIT + 1, limit: LIMIT });
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);

    let mut largest = bytes("10 FFFFFF7F");
    let mut decoder = Decoder::new(MAXIMUM_PACKET_SIZE - 1);
    let error = decoder.decode(&mut largest).expect_err("too large");
    assert_eq!(error.fault(), &Fault::TooLarge { size: MAXIMUM_PACKET_SIZE, limit: MAXIMUM_PACKET_SIZE - 1 });
    assert_eq!(error.connect_version(), None, "its version was not read");
    let mut decoder = Decoder::new(MAXIMUM_PACKET_SIZE);
    assert_eq!(decoder.decode(&mut bytes("10 FFFFFF7F")), Ok(None));
}

#[test]
fn the_limit_can_be_raised_after_connect() {
    let mut decoder = Decoder::new(20);
    let mut buffer = bytes("10[<MQTT> 04 02 003C <zen>] 30[<a> '0123456789abcdefghij']");
    assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Packet::Connect(_)))));
    decoder.set_maximum_packet_size(25);
    assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Packet::Publish(_)))));
}

#[test]
fn connect_sets_the_version_of_what_follows() {
    for (connect, publish) in [
        ("10[<MQIsdp> 03 02 003C <zen>]", "30[<a> 00 'x']"),
        ("10[<MQTT> 04 02 003C <zen>]", "30[<a> 00 'x']"),
        ("10[<MQTT> 05 02 003C [] <zen>]", "30[<a> [] 00 'x']"),
    ] {
        let mut decoder = decoder(None);
        let mut buffer = bytes(&format!("{connect} {publish} C0 00"));
        assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Packet::Connect(_)))), "{connect}");
        let Ok(Some(Packet::Publish(publish))) = decoder.decode(&mut buffer) else {
            panic!("{publish} after {connect}");
        };
        assert_eq!(&publish.payload[..], b"\0x", "after {connect}");
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(Packet::PingReq)));
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }
}

#[test]
fn payload_and_strings_are_slices_of_the_frame() {
    let mut buffer = bytes("32[<topic> 0001 [03<text>] 'payload']");
    let frame = buffer.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = decoder(V5).decode(&mut buffer) else {
        panic!("a PUBLISH");
    };
    let topic = publish.topic.expect("a topic");
    for part in [topic.as_str().as_bytes(), &publish.properties.forwarded, &publish.payload] {
        let range = part.as_ptr_range();
        assert!(frame.start <= range.start && range.end <= frame.end, "{part:?} was copied");
    }
}

#[test]
fn encoding_appends() {
    let mut out = BytesMut::from(&b"before"[..]);
    encode(&Packet::PingReq, ProtocolVersion::V5, &mut out).expect("PINGREQ is always valid");
    encode(&Packet::PingResp, ProtocolVersion::V311, &mut out).expect("PINGRESP is always valid");
    assert_eq!(out, bytes("'before' C0 00 D0 00"));
}
