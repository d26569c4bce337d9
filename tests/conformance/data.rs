//! Data types, and what all packets have in common: strings, variable byte integers, packet identifiers, property
//! lengths (sections 1.5 and 2.2, 2.3 of MQTT 3.1.1).

use std::collections::BTreeSet;

use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{Ack, Packet, Property, Publish, RawPacket, Subscribe, Unsubscribe, Version, kind};

use crate::server::{Case, Server};

tests! {
    strings_after_connect_are_well_formed: BOTH;
    strings_of_connect_are_well_formed: BOTH;
    strings_in_properties_are_well_formed: V5;
    no_string_has_the_null_character: BOTH;
    a_byte_order_mark_is_a_character: BOTH;
    integers_of_variable_length_are_as_short_as_can_be: V5;
    mqtt_3_takes_a_remaining_length_with_bytes_to_spare: V311;
    a_packet_identifier_is_not_zero: BOTH;
    the_server_gives_every_message_an_identifier_of_its_own: BOTH;
    acknowledgements_repeat_the_identifier: BOTH;
    at_qos_0_there_is_no_identifier: BOTH;
    the_property_length_is_there_even_for_none: V5;
}

/// Bytes that are no UTF-8: alone, cut short, too long for what they say, surrogates, beyond U+10FFFF.
const NOT_UTF8: [(&str, &[u8]); 12] = [
    ("a continuation byte alone", b"a\x80"),
    ("a first byte without its second", b"a\xc3("),
    ("the end inside a character", b"a\xe2\x82"),
    ("two bytes for a slash", b"a\xc0\xaf"),
    ("two bytes for the null character", b"a\xc0\x80"),
    ("three bytes for a slash", b"\xe0\x80\xafa"),
    ("the surrogate U+D800", b"a\xed\xa0\x80"),
    ("the surrogate U+DFFF", b"a\xed\xbf\xbf"),
    ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
    ("U+110000", b"\xf4\x90\x80\x80"),
    ("a byte that UTF-8 does not have", b"a\xff"),
    ("five bytes for one character", b"\xf8\x88\x80\x80\x80"),
];

const WITH_NULL: [(&str, &[u8]); 3] =
    [("U+0000 alone", b"\0"), ("U+0000 inside", b"a\0b"), ("U+0000 at the end", b"ab\0")];

/// Packets after CONNECT with this text for a string of theirs.
fn packets_with(text: &[u8], version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let empty: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let publish = |first| RawPacket::new(first).binary(text);
    let request = |first| RawPacket::new(first).u16(7).bytes(empty).binary(text);
    vec![
        ("the topic name of a PUBLISH", publish(0x30).bytes(empty).finish()),
        ("the topic name of a PUBLISH of QoS 1", publish(0x32).u16(7).bytes(empty).finish()),
        ("the topic name of a PUBLISH of QoS 2", publish(0x34).u16(7).bytes(empty).finish()),
        ("the filter of a SUBSCRIBE", request(0x82).u8(0).finish()),
        ("the filter of an UNSUBSCRIBE", request(0xa2).finish()),
    ]
}

/// CONNECT with this text for a string of its.
fn connects_with(text: &[u8], version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let empty: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let begin =
        |flags| RawPacket::new(0x10).string("MQTT").u8(version.level()).u8(flags).u16(60).bytes(empty);
    vec![
        ("the client identifier", begin(2).binary(text).finish()),
        ("the will topic", begin(6).string("c").bytes(empty).binary(text).string("payload").finish()),
        ("the user name", begin(0x82).string("c").binary(text).finish()),
    ]
}

/// Every string that a client sends as a property, with this text.
fn properties_with(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let string = |identifier: u8| {
        let length = u16::try_from(text.len()).expect("it is short").to_be_bytes();
        [&[identifier], &length[..], text].concat()
    };
    let length = u16::try_from(text.len()).expect("it is short").to_be_bytes();
    let name = [&[0x26], &length[..], text, b"\0\x01v"].concat();
    let value = [b"\x26\0\x01n", &length[..], text].concat();
    let with = |packet: RawPacket, block: &[u8]| {
        packet.variable(u32::try_from(block.len()).expect("it is short")).bytes(block)
    };
    let publish = |block: &[u8]| with(RawPacket::new(0x30).string("t"), block).finish();
    let mut packets = vec![
        ("the content type", publish(&string(0x03))),
        ("the response topic", publish(&string(0x08))),
        ("the reason string of a PUBACK", with(RawPacket::new(0x40).u16(7).u8(0), &string(0x1f)).finish()),
        ("the reason string of a DISCONNECT", with(RawPacket::new(0xe0).u8(0), &string(0x1f)).finish()),
        ("the authentication method", with(RawPacket::new(0xf0).u8(0x18), &string(0x15)).finish()),
    ];
    for (what, block) in [("the name of a user property", name), ("the value of a user property", value)] {
        packets.push((what, publish(&block)));
        packets.push((what, with(RawPacket::new(0x82).u16(7), &block).string("f").u8(0).finish()));
        packets.push((what, with(RawPacket::new(0xa2).u16(7), &block).string("f").finish()));
        packets.push((what, with(RawPacket::new(0xe0).u8(0), &block).finish()));
    }
    packets
}

fn cases(
    texts: &[(&str, &'static [u8])],
    packets: impl Fn(&[u8]) -> Vec<(&'static str, Vec<u8>)>,
    ending: &str,
) -> Vec<Case> {
    let each =
        texts.iter().flat_map(|(what, text)| packets(text).into_iter().map(move |packet| (what, packet)));
    each.map(|(what, (place, bytes))| Case::new(format!("{what} in {place}"), bytes, ending)).collect()
}

/// Topic names and filters are UTF-8 without surrogates: a packet that has anything else in their place is malformed. MQTT 5
/// says so in DISCONNECT (0x81), before it the connection is closed.
/// [MQTT5 1.5.4-1, 3.3.2-1, 3.8.3-1, 3.10.3-1] [MQTT311 1.5.3-1, 3.3.2-1, 3.8.3-1, 3.10.3-1]
fn strings_after_connect_are_well_formed(server: &Server) {
    let ending = server.thrown_out(0x81);
    server.expect_endings(&cases(&NOT_UTF8, |text| packets_with(text, server.version), &ending));
}

/// Client identifier, will topic and user name are UTF-8 as well. MQTT 5 refuses with CONNACK (0x81); MQTT 3.1.1 has no
/// return code for what is malformed, and closes without CONNACK. What is UTF-8 in the same places is let in.
/// [MQTT5 1.5.4-1, 3.1.3-4, 3.1.3-11, 3.1.3-12] [MQTT311 1.5.3-1, 3.1.3-4, 3.1.3-10, 3.1.3-11]
fn strings_of_connect_are_well_formed(server: &Server) {
    let ending = server.not_let_in(0x81);
    server.expect_first_endings(&cases(&NOT_UTF8, |text| connects_with(text, server.version), &ending));
    for (place, connect) in connects_with("ä\u{10ffff}水".as_bytes(), server.version) {
        assert_eq!(server.open_with(&connect).connack().reason, 0, "{place}");
    }
}

/// The same for each string that a client sends as a property, both strings of a User Property included.
/// [MQTT5 1.5.4-1, 1.5.4-2, 1.5.7-1, 3.3.2-13, 3.3.2-19]
fn strings_in_properties_are_well_formed(server: &Server) {
    server.expect_endings(&cases(&NOT_UTF8, properties_with, "DISCONNECT 0x81"));
    server.expect_endings(&cases(&WITH_NULL, properties_with, "DISCONNECT 0x81"));
}

/// U+0000 is a character of UTF-8 and not of MQTT: with it, a packet is malformed, in CONNECT and after it.
/// [MQTT5 1.5.4-2, 4.7.3-2] [MQTT311 1.5.3-2, 4.7.3-2]
fn no_string_has_the_null_character(server: &Server) {
    let after = cases(&WITH_NULL, |text| packets_with(text, server.version), &server.thrown_out(0x81));
    server.expect_endings(&after);
    let first = cases(&WITH_NULL, |text| connects_with(text, server.version), &server.not_let_in(0x81));
    server.expect_first_endings(&first);
}

/// U+FEFF at the beginning of a string is a character like others: neither skipped nor stripped. A topic with it is
/// another topic than the one without, and comes with it; a client identifier with it is another client's.
/// [MQTT5 1.5.4-3, 4.7.3-4] [MQTT311 1.5.3-3, 4.7.3-4]
fn a_byte_order_mark_is_a_character(server: &Server) {
    let (mut with, mut without) = (server.client("\u{feff}reader"), server.client("reader"));
    with.subscribe(&Subscribe::new(1, "\u{feff}topic", 0));
    without.subscribe(&Subscribe::new(1, "topic", 0));
    for topic in ["\u{feff}topic", "topic"] {
        server.publish(&Publish::new(topic, topic).qos(1, 1));
    }
    assert_eq!(with.message(), Publish::new("\u{feff}topic", "\u{feff}topic"));
    assert_eq!(without.message(), Publish::new("topic", "topic"));
    with.ping();
    without.ping();
}

/// A variable byte integer takes as few bytes as it can: remaining length, property length, property identifier and
/// Subscription Identifier. With a byte more, the packet is malformed. The same packets with the short form are taken.
/// [MQTT5 1.5.5-1]
fn integers_of_variable_length_are_as_short_as_can_be(server: &Server) {
    let subscribe = |block: &[u8]| RawPacket::new(0x82).u16(7).bytes(block).string("f").u8(0).finish();
    let publish = |length: &[u8]| RawPacket::new(0x30).bytes(b"\0\x01t\0v").finish_with_length_bytes(length);
    let long: [(&str, Vec<u8>); 9] = [
        ("remaining length of a PINGREQ", vec![0xc0, 0x80, 0x00]),
        ("remaining length of a PUBLISH", publish(&[0x85, 0x00])),
        ("remaining length in three bytes", publish(&[0x85, 0x80, 0x00])),
        ("remaining length in four bytes", publish(&[0x85, 0x80, 0x80, 0x00])),
        ("property length", subscribe(&[0x80, 0x00])),
        ("property length of one property", subscribe(&[0x82, 0x00, 0x0b, 0x05])),
        ("property identifier", subscribe(&[0x03, 0x8b, 0x00, 0x05])),
        ("Subscription Identifier", subscribe(&[0x03, 0x0b, 0x85, 0x00])),
        ("Subscription Identifier in four bytes", subscribe(&[0x05, 0x0b, 0x85, 0x80, 0x80, 0x00])),
    ];
    server.expect_endings(&long.map(|(what, bytes)| Case::new(what, bytes, "DISCONNECT 0x81")));
    let connect = server.hello("long").encode();
    let length = connect[1] | 0x80;
    let connect = [&[connect[0], length, 0], &connect[2..]].concat();
    server.expect_first_endings(&[Case::new("remaining length of CONNECT", connect, "CONNACK 0x81")]);
    let mut client = server.client("short");
    client.send(&publish(&[5]));
    client.send(&subscribe(&[0x02, 0x0b, 0x05]));
    assert!(matches!(client.receive(), Packet::SubAck(suback) if suback.reasons == [0]));
    client.ping();
}

/// MQTT 3.1.1 does not ask for the shortest form, and clients exist that do not send it: four bytes for a length that
/// fits one are taken. A fifth is one too many. MQTT 5 has only the short form
/// (its statement 1.5.5-1).
/// [MQTT311 2.2.2-2]
fn mqtt_3_takes_a_remaining_length_with_bytes_to_spare(server: &Server) {
    let mut client = server.client("long");
    client.send(&[0xc0, 0x80, 0x80, 0x80, 0x00]);
    client.expect(&Packet::PingResp);
    client.send(&[0x30, 0x85, 0x80, 0x00, 0, 1, b't', b'v', b'v']);
    client.ping();
    server.expect_endings(&[Case::new("a fifth byte", vec![0xc0, 0x80, 0x80, 0x80, 0x80, 0x00], "closed")]);
}

/// Zero is no packet identifier: not for a PUBLISH of QoS 1 or 2, not for SUBSCRIBE and UNSUBSCRIBE, not in an
/// acknowledgement. A protocol error in MQTT 5.
/// [MQTT5 2.2.1-3] [MQTT311 2.3.1-1]
fn a_packet_identifier_is_not_zero(server: &Server) {
    let version = server.version;
    let mut packets = vec![
        ("PUBLISH of QoS 1", Publish::new("t", "v").qos(1, 0).encode(version)),
        ("PUBLISH of QoS 2", Publish::new("t", "v").qos(2, 0).encode(version)),
        ("SUBSCRIBE", Subscribe::new(0, "f", 0).encode(version)),
        ("UNSUBSCRIBE", Unsubscribe::new(0, "f").encode(version)),
    ];
    let acknowledgements = [
        ("PUBACK", kind::PUBACK),
        ("PUBREC", kind::PUBREC),
        ("PUBREL", kind::PUBREL),
        ("PUBCOMP", kind::PUBCOMP),
    ];
    packets.extend(acknowledgements.map(|(name, kind)| (name, Ack::new(0).encode(kind, version))));
    let case = |(name, bytes)| Case::new(name, bytes, server.thrown_out(0x82));
    server.expect_endings(&packets.into_iter().map(case).collect::<Vec<_>>());
}

/// What the server sends at QoS 1 and 2 has an identifier, never 0, and none that is in use: of messages that are not
/// acknowledged yet, no two have the same.
/// [MQTT5 2.2.1-4] [MQTT311 2.3.1-4]
fn the_server_gives_every_message_an_identifier_of_its_own(server: &Server) {
    let mut reader = server.client("reader");
    reader.subscribe(&Subscribe::new(1, "many", 2));
    let mut publisher = server.client("publisher");
    for number in 1..=100 {
        let message = Publish::new("many", number.to_string()).qos(1 + (number % 2) as u8, number);
        publisher.deliver(&message);
    }
    let identifiers: BTreeSet<u16> = [(); 100].iter().map(|()| reader.message().packet_id).collect();
    assert_eq!(identifiers.len(), 100, "an identifier was given twice: {identifiers:?}");
    assert!(!identifiers.contains(&0));
}

/// PUBACK, PUBREC and PUBCOMP, SUBACK and UNSUBACK have the identifier of what they answer, the lowest and the highest
/// included; PUBREL has that of the PUBLISH that the server has sent.
/// [MQTT5 2.2.1-5, 2.2.1-6] [MQTT311 2.3.1-6, 2.3.1-7]
fn acknowledgements_repeat_the_identifier(server: &Server) {
    let mut client = server.client("numbered");
    for packet_id in [1, 255, 256, 0x7fff, 0xfffe, 0xffff] {
        client.deliver(&Publish::new("nobody", "listens").qos(1, packet_id));
        client.deliver(&Publish::new("nobody", "listens").qos(2, packet_id));
        client.subscribe(&Subscribe::new(packet_id, "something", 2));
        client.unsubscribe(&Unsubscribe::new(packet_id, "something"));
    }
    client.subscribe(&Subscribe::new(3, "two", 2));
    server.publish(&Publish::new("two", "v").qos(2, 9));
    let packet_id = client.message().packet_id;
    client.ack(kind::PUBREC, packet_id);
    client.expect(&Packet::PubRel(Ack::new(packet_id)));
    client.ack(kind::PUBCOMP, packet_id);
    client.ping();
}

/// At QoS 0 no identifier stands between topic and payload, in neither direction: the payload comes as it was sent.
/// [MQTT5 2.2.1-2] [MQTT311 2.3.1-5]
fn at_qos_0_there_is_no_identifier(server: &Server) {
    let mut reader = server.client("reader");
    reader.subscribe(&Subscribe::new(1, "bare", 2));
    server.publish(&Publish::new("bare", "sent at 0"));
    assert_eq!(reader.message(), Publish::new("bare", "sent at 0"));
    reader.subscribe(&Subscribe::new(2, "bare", 0));
    server.publish(&Publish::new("bare", "received at 0").qos(2, 9));
    assert_eq!(reader.message(), Publish::new("bare", "received at 0"));
    reader.ping();
}

/// Where a packet has no properties, a length of zero says so, in what the server sends as in what it is sent: without it
/// a packet is malformed. Only the acknowledgements, DISCONNECT and AUTH may end before it.
/// [MQTT5 2.2.2-1]
fn the_property_length_is_there_even_for_none(server: &Server) {
    let mut client = server.client("none");
    let suback = client.subscribe(&Subscribe::new(1, "none", 1));
    assert_eq!((suback.properties, suback.reasons), (vec![], vec![1]));
    client.deliver(&Publish::new("nobody", "listens").qos(1, 2));
    server.publish(&Publish::new("none", "x"));
    assert_eq!(client.message(), Publish::new("none", "x"), "its property length is 0 and is there");
    for ending in [&[][..], &[0], &[0, 0]] {
        client.send(&RawPacket::new(0x62).u16(9).bytes(ending).finish());
        assert!(matches!(client.receive(), Packet::PubComp(ack) if ack.packet_id == 9));
    }
    let mut other = Subscribe::new(2, "other", 0);
    other.properties = vec![
        Property::SubscriptionIdentifier(Variable(1)),
        Property::UserProperty(Pair("a".into(), "b".into())),
    ];
    client.subscribe(&other);
    let missing = [
        ("SUBSCRIBE", RawPacket::new(0x82).u16(7).finish()),
        ("UNSUBSCRIBE", RawPacket::new(0xa2).u16(7).finish()),
        ("PUBLISH", RawPacket::new(0x30).string("none").finish()),
        ("AUTH", RawPacket::new(0xf0).u8(0x18).finish()),
    ];
    server.expect_endings(&missing.map(|(name, bytes)| Case::new(name, bytes, "DISCONNECT 0x81")));
}
