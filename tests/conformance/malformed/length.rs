//! Lengths: of the packet and of what is in it. Packets cut at every byte and with bytes too many (sections 2.1.4, 1.5.5).

use barnacle_wire::{Packet, Publish, Subscribe};

use super::packets::{End, Whole, after_connect, connect, frame};
use crate::server::{Case, Server};

tests! {
    packets_cut_at_every_byte: BOTH;
    connect_cut_at_every_byte: BOTH;
    packets_with_bytes_too_many: BOTH;
    lengths_inside_that_reach_beyond_the_packet: BOTH;
    a_remaining_length_of_five_bytes: BOTH;
    packets_in_pieces_are_whole_packets: BOTH;
    whole_packets_are_taken: BOTH;
}

/// Each packet cut after every byte of its body, with a remaining length that is true to what is left: malformed in the
/// middle of a field, and where a field is missing that has to be there; a protocol error where no filter is left. What
/// may be missing (the payload, reason code and properties of acknowledgements) is left to `whole_packets_are_taken`.
/// [MQTT5 4.13.1-1, 3.8.3-2, 3.10.3-2] [MQTT311 4.8.0-1, 3.8.3-3, 3.10.3-2]
fn packets_cut_at_every_byte(server: &Server) {
    let mut cases = Vec::new();
    for whole in after_connect(server.version) {
        let body = whole.body();
        for length in 0..body.len() {
            let reason = match whole.cut(length) {
                End::Well => continue,
                End::Malformed => 0x81,
                End::Misused => 0x82,
            };
            let name = format!("{} of {length} bytes instead of {}", whole.name, body.len());
            cases.push(Case::new(name, frame(whole.first, &body[..length]), server.thrown_out(reason)));
        }
    }
    server.expect_endings(&cases);
}

/// CONNECT cut after every byte. Before the protocol level nobody knows how to answer, and it is closed; from there on
/// MQTT 5 has CONNACK 0x81.
/// [MQTT5 3.1.4-1, 3.1.2-1, 3.1.3-3] [MQTT311 3.1.4-1, 3.1.3-3]
fn connect_cut_at_every_byte(server: &Server) {
    let body = connect(server.version).body();
    let case = |length: usize| {
        let ending = if length < 7 { "closed".to_owned() } else { server.not_let_in(0x81) };
        Case::new(format!("CONNECT of {length} bytes"), frame(0x10, &body[..length]), ending)
    };
    server.expect_first_endings(&(0..body.len()).map(case).collect::<Vec<_>>());
    assert_eq!(server.open_with(&frame(0x10, &body)).connack().reason, 0);
}

/// Packets with more bytes than they have fields: one, and the bytes of a PINGREQ that the length swallows. PUBLISH is not
/// among them, since its payload takes what there is.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn packets_with_bytes_too_many(server: &Server) {
    let mut cases = Vec::new();
    let packets = after_connect(server.version);
    for whole in packets.iter().filter(|whole| whole.first >> 4 != 3) {
        for more in [&[0][..], &[0xc0, 0]] {
            let bytes = frame(whole.first, &[whole.body(), more.to_vec()].concat());
            cases.push(Case::new(format!("{} and {more:?}", whole.name), bytes, server.thrown_out(0x81)));
        }
    }
    server.expect_endings(&cases);
    let body = [connect(server.version).body(), vec![0]].concat();
    let case = Case::new("CONNECT and a byte", frame(0x10, &body), server.not_let_in(0x81));
    server.expect_first_endings(&[case]);
}

/// A string whose length reaches beyond the packet makes it malformed, however little it reaches; the bytes of the next
/// packet are not taken for its rest.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn lengths_inside_that_reach_beyond_the_packet(server: &Server) {
    let properties: &[u8] = if server.v5() { &[0] } else { &[] };
    let mut cases = Vec::new();
    for length in [2u16, 3, 0x7f, 0x100, 0xffff] {
        let string = [&length.to_be_bytes()[..], b"x"].concat();
        let packets = [
            ("topic name", 0x30, string.clone()),
            ("filter of SUBSCRIBE", 0x82, [&[0, 9], properties, &string].concat()),
            ("filter of UNSUBSCRIBE", 0xa2, [&[0, 9], properties, &string].concat()),
        ];
        for (what, first, body) in packets {
            let bytes = [frame(first, &body), vec![0xc0, 0, 0xc0, 0]].concat();
            cases.push(Case::new(format!("{what} of {length}"), bytes, server.thrown_out(0x81)));
        }
    }
    if server.v5() {
        for length in
            [&[1][..], &[0x7f], &[0xff, 0x7f], &[0xff, 0xff, 0xff, 0x7f], &[0xff, 0xff, 0xff, 0xff, 1]]
        {
            let packets = [
                ("PUBLISH", 0x30, [b"\0\x01t", length].concat()),
                ("SUBSCRIBE", 0x82, [&[0, 9], length].concat()),
                ("PUBREL", 0x62, [&[0, 9, 0], length].concat()),
                ("DISCONNECT", 0xe0, [&[0], length].concat()),
            ];
            for (what, first, body) in packets {
                let name = format!("property length {length:02x?} of {what}");
                cases.push(Case::new(name, frame(first, &body), "DISCONNECT 0x81"));
            }
        }
    }
    server.expect_endings(&cases);
}

/// A remaining length takes four bytes at most: with a fifth announced, the packet is malformed, and nothing is waited for.
/// [MQTT5 1.5.5-1, 4.13.1-1] [MQTT311 2.2.2-2, 4.8.0-1]
fn a_remaining_length_of_five_bytes(server: &Server) {
    let whole = after_connect(server.version);
    let endless =
        [&[0x80; 4][..], &[0xff; 4], &[0x80, 0x80, 0x80, 0x80, 0x00], &[0xff, 0xff, 0xff, 0xff, 0x7f]];
    let case = |whole: &Whole, length: &[u8]| {
        let bytes = [&[whole.first], length].concat();
        Case::new(format!("{} {length:02x?}", whole.name), bytes, server.thrown_out(0x81))
    };
    let cases: Vec<Case> = whole.iter().flat_map(|whole| endless.map(|length| case(whole, length))).collect();
    server.expect_endings(&cases);
    let first = endless.map(|length| Case::new("CONNECT", [&[0x10], length].concat(), "closed"));
    server.expect_first_endings(&first);
}

/// The network may cut packets anywhere and join them: byte by byte, or all in one piece, they are the same packets.
/// [MQTT5 4.2-1] [MQTT311 7.1.1-1]
fn packets_in_pieces_are_whole_packets(server: &Server) {
    let version = server.version;
    let mut bytes = server.hello("in pieces").encode();
    bytes.extend(Subscribe::new(1, "pieces", 0).encode(version));
    bytes.extend(Publish::new("pieces", "joined").encode(version));
    bytes.extend([0xc0, 0]);
    for size in [1, 2, 3, 7, bytes.len()] {
        let mut client = server.open();
        for piece in bytes.chunks(size) {
            client.send(piece);
        }
        assert_eq!(client.connack().reason, 0);
        // PINGRESP waits for nobody, and may come before what has to be kept first.
        let answers = [client.receive(), client.receive(), client.receive()];
        let granted = |packet: &Packet| matches!(packet, Packet::SubAck(suback) if suback.reasons == [0]);
        assert!(answers.iter().any(granted), "{answers:?}");
        assert!(answers.contains(&Packet::PingResp), "{answers:?}");
        assert!(answers.contains(&Packet::Publish(Publish::new("pieces", "joined"))), "{answers:?}");
    }
}

/// What the other tests of this module spoil is right before: each packet whole, and cut where it may end, leaves the
/// connection as it is; DISCONNECT closes it without a complaint. AUTH needs a method, and is left out.
/// [MQTT5 2.1.3-1, 3.5.2-1, 3.6.2-1, 3.7.2-1] [MQTT311 2.2.2-1]
fn whole_packets_are_taken(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "cut/topic", 0));
    for whole in after_connect(server.version).iter().filter(|whole| whole.first != 0xf0) {
        let body = whole.body();
        for length in (0..=body.len()).filter(|length| whole.cut(*length) == End::Well) {
            let mut client = server.client("whole");
            client.send(&frame(whole.first, &body[..length]));
            if whole.name == "DISCONNECT" {
                assert_eq!(client.ending(), "closed");
                continue;
            }
            // An answer, if one is due, comes before the PINGRESP or behind it.
            client.send(&[0xc0, 0]);
            while client.receive() != Packet::PingResp {}
            if whole.first >> 4 == 3 {
                assert_eq!(witness.message().topic, "cut/topic", "{}", whole.name);
            }
        }
    }
}
