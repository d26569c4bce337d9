//! The first byte: packet types and their flags (section 2.1).

use super::packets::{after_connect, connect};
use crate::server::{Case, Server};

tests! {
    flags_are_as_the_packet_type_has_them: BOTH;
    publish_has_no_qos_3_and_no_dup_at_qos_0: BOTH;
    connect_has_no_flags: BOTH;
    the_reserved_packet_types_are_refused: BOTH;
}

/// The right flags of each packet type but PUBLISH are fixed. With any of the fifteen others, the packet is malformed,
/// though all behind is as it has to be.
/// [MQTT5 2.1.3-1, 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1, 3.15.1-1, 4.13.1-1]
/// [MQTT311 2.2.2-1, 2.2.2-2, 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1]
fn flags_are_as_the_packet_type_has_them(server: &Server) {
    let mut cases = Vec::new();
    for whole in after_connect(server.version).iter().filter(|whole| whole.first >> 4 != 3) {
        for flags in (0..=15).filter(|flags| whole.first & 15 != *flags) {
            let mut bytes = whole.encode();
            bytes[0] = whole.first & 0xf0 | flags;
            let name = format!("{} with flags {flags:#06b}", whole.name);
            cases.push(Case::new(name, bytes, server.thrown_out(0x81)));
        }
    }
    server.expect_endings(&cases);
}

/// Both QoS bits make a PUBLISH malformed; DUP at QoS 0 contradicts itself, a protocol error.
/// [MQTT5 3.3.1-2, 3.3.1-4] [MQTT311 3.3.1-2, 3.3.1-4]
fn publish_has_no_qos_3_and_no_dup_at_qos_0(server: &Server) {
    let publishes = after_connect(server.version);
    let mut cases = Vec::new();
    for whole in publishes.iter().filter(|whole| whole.first >> 4 == 3) {
        for (flags, reason) in [(0b0110, 0x81), (0b0111, 0x81), (0b1110, 0x81), (0b1111, 0x81)] {
            let mut bytes = whole.encode();
            bytes[0] = 0x30 | flags;
            let name = format!("{} with flags {flags:#06b}", whole.name);
            cases.push(Case::new(name, bytes, server.thrown_out(reason)));
        }
    }
    for flags in [0b1000, 0b1001] {
        let mut bytes = publishes[0].encode();
        bytes[0] = 0x30 | flags;
        cases.push(Case::new(format!("QoS 0 with {flags:#06b}"), bytes, server.thrown_out(0x82)));
    }
    server.expect_endings(&cases);
}

/// The flags of CONNECT are zero. What has others is no CONNECT, and nothing else may come first: it is closed.
/// [MQTT5 2.1.3-1, 3.1.4-1] [MQTT311 2.2.2-1, 2.2.2-2, 3.1.4-1]
fn connect_has_no_flags(server: &Server) {
    let whole = connect(server.version);
    let case = |flags: u8| {
        let mut bytes = whole.encode();
        bytes[0] |= flags;
        Case::new(format!("CONNECT with flags {flags:#06b}"), bytes, "closed")
    };
    server.expect_first_endings(&(1..=15).map(case).collect::<Vec<_>>());
    assert_eq!(server.open_with(&whole.encode()).connack().reason, 0);
}

/// Type 0 does not exist in any version, type 15 not before MQTT 5.
/// [MQTT5 2.1.3-1, 4.13.1-1] [MQTT311 2.2.2-2, 4.8.0-1]
fn the_reserved_packet_types_are_refused(server: &Server) {
    let mut types: Vec<u8> = (0..=15).collect();
    if !server.v5() {
        types.extend(0xf0..=0xff);
    }
    let endings = |body: &[u8]| {
        let body = body.to_vec();
        let case = |first: &u8| {
            let length = u8::try_from(body.len()).expect("it is short");
            let bytes = [&[*first, length], &body[..]].concat();
            Case::new(format!("{first:#04x}"), bytes, server.thrown_out(0x81))
        };
        types.iter().map(case).collect::<Vec<_>>()
    };
    server.expect_endings(&endings(&[]));
    server.expect_endings(&endings(&[0, 9]));
}
