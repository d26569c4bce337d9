//! CONNECT: its form, and what a server makes of it (sections 3.1.0 to 3.1.4).

use barnacle_wire::{Connect, Packet, Property, Publish, RawPacket, Subscribe, Version, Will, packets};

use crate::server::{Case, Server};
use crate::support::works;

tests! {
    the_first_packet_is_connect: BOTH;
    a_second_connect_ends_the_connection: BOTH;
    another_protocol_name_is_another_protocol: BOTH;
    a_later_protocol_level_is_refused_in_mqtt_5: V5;
    an_earlier_protocol_level_is_refused_with_return_code_1: V311;
    the_reserved_flag_is_zero: BOTH;
    without_a_will_there_is_nothing_of_one: BOTH;
    will_qos_3_is_malformed: BOTH;
    what_the_flags_announce_is_there_and_nothing_else: BOTH;
    a_password_needs_a_user_name: V311;
    a_password_needs_no_user_name: V5;
    the_fields_stand_in_their_order: BOTH;
    the_client_identifier_is_there: BOTH;
    client_identifiers_of_23_letters_and_digits_are_taken: BOTH;
    a_client_without_identifier_gets_one: V5;
    a_client_without_identifier_and_with_clean_session_is_let_in: V311;
    a_client_without_identifier_has_no_session: V311;
    a_later_connection_takes_over: BOTH;
    nothing_is_done_after_a_connect_that_was_refused: BOTH;
    an_unknown_authentication_method_is_refused: V5;
    authentication_data_needs_a_method: V5;
}

/// CONNECT in its parts: protocol name, level and flags, then the rest.
fn connect_with(name: &str, level: u8, flags: u8, version: Version) -> Vec<u8> {
    let rest = RawPacket::new(0x10).string(name).u8(level).u8(flags).u16(60);
    let rest = if version == Version::V5 { rest.u8(0) } else { rest };
    rest.string("client").finish()
}

/// A connection that begins with anything but CONNECT is closed, and there is no answer: before CONNACK a server sends
/// nothing, and the version is not known. With CONNECT first, the same packet is answered.
/// [MQTT5 3.1.0-1, 3.14.0-1, 3.2.0-1] [MQTT311 3.1.0-1, 3.2.0-1]
fn the_first_packet_is_connect(server: &Server) {
    let version = server.version;
    let mut early = vec![
        packets::ping(),
        Publish::new("early", "v").encode(version),
        Subscribe::new(1, "early", 0).encode(version),
        vec![0xe0, 0],
        vec![0x20, 2, 0, 0],
        vec![0xf0, 2, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x16, 0x03, 0x01, 0x00, 0xc8],
    ];
    early.extend((0..=15u8).filter(|kind| *kind != 1).map(|kind| vec![kind << 4, 0]));
    let cases = early.into_iter().map(|bytes| Case::new(format!("{:#04x} first", bytes[0]), bytes, "closed"));
    server.expect_first_endings(&cases.collect::<Vec<_>>());
    let mut client = server.client("first");
    client.ping();
}

/// CONNECT opens a connection once. The second is a protocol error (0x82 in MQTT 5), whatever it says and whomever it
/// names; there is no second CONNACK.
/// [MQTT5 3.1.0-2, 3.2.0-2] [MQTT311 3.1.0-2]
fn a_second_connect_ends_the_connection(server: &Server) {
    let repeated = [server.hello("misused"), server.hello("somebody else"), server.hello("")];
    let ending = server.thrown_out(0x82);
    let cases = repeated.map(|connect| Case::new(format!("{connect:?}"), connect.encode(), &ending));
    server.expect_endings(&cases);
}

/// The protocol name is MQTT, in these letters. What begins otherwise is another protocol, and is closed without CONNACK,
/// since nobody knows what its sender would understand. MQTT 3.1's name goes with its level and no other.
/// [MQTT5 3.1.2-1] [MQTT311 3.1.2-1]
fn another_protocol_name_is_another_protocol(server: &Server) {
    let version = server.version;
    let names = ["", "mqtt", "Mqtt", "MQTT ", "MQT", "MQTTT", "MQIsdp", "AMQP", "\u{feff}MQTT"];
    let case =
        |name| Case::new(format!("{name:?}"), connect_with(name, version.level(), 2, version), "closed");
    server.expect_first_endings(&names.map(case));
    assert_eq!(server.open_with(&connect_with("MQTT", version.level(), 2, version)).connack().reason, 0);
}

/// A level above 5 is refused with CONNACK 0x84 (Unsupported Protocol Version), and closed, whatever follows it: a client
/// of a later version understands that.
/// [MQTT5 3.1.2-2, 3.2.2-7, 3.2.2-8]
fn a_later_protocol_level_is_refused_in_mqtt_5(server: &Server) {
    let levels = [6, 7, 0x45, 0x7f, 0x85, 0xff];
    let case = |level| {
        Case::new(format!("level {level}"), connect_with("MQTT", level, 2, Version::V5), "CONNACK 0x84")
    };
    server.expect_first_endings(&levels.map(case));
    assert_eq!(server.open_with(&connect_with("MQTT", 5, 2, Version::V5)).connack().reason, 0);
}

/// A level that is not known is refused with CONNACK return code 1 (unacceptable protocol level), and closed.
/// [MQTT311 3.1.2-2, 3.2.2-4, 3.2.2-5]
fn an_earlier_protocol_level_is_refused_with_return_code_1(server: &Server) {
    let case = |level| {
        Case::new(format!("level {level}"), connect_with("MQTT", level, 2, Version::V311), "CONNACK 0x01")
    };
    server.expect_first_endings(&[0, 1, 2, 0x84].map(case));
    assert_eq!(server.open_with(&connect_with("MQTT", 4, 2, Version::V311)).connack().reason, 0);
}

/// Bit 0 of the connect flags is reserved: set, CONNECT is malformed. Without it, it is not.
/// [MQTT5 3.1.2-3, 3.1.4-1] [MQTT311 3.1.2-3, 3.1.4-1]
fn the_reserved_flag_is_zero(server: &Server) {
    let version = server.version;
    let connect = |flags| connect_with("MQTT", version.level(), flags, version);
    let cases =
        [1, 3].map(|flags| Case::new(format!("flags {flags}"), connect(flags), server.not_let_in(0x81)));
    server.expect_first_endings(&cases);
    for flags in [0, 2] {
        assert_eq!(server.open_with(&connect(flags)).connack().reason, 0, "flags {flags}");
    }
}

/// Without the Will Flag, Will QoS and Will Retain are zero: anything else contradicts itself, a protocol error in MQTT 5.
/// [MQTT5 3.1.2-11, 3.1.2-13] [MQTT311 3.1.2-11, 3.1.2-13, 3.1.2-15]
fn without_a_will_there_is_nothing_of_one(server: &Server) {
    let version = server.version;
    let connect = |flags| connect_with("MQTT", version.level(), flags, version);
    let flags = [0b0000_1010, 0b0001_0010, 0b0010_0010, 0b0011_0010, 0b0010_1010];
    let cases =
        flags.map(|flags| Case::new(format!("{flags:#010b}"), connect(flags), server.not_let_in(0x82)));
    server.expect_first_endings(&cases);
    assert_eq!(server.open_with(&connect(0b0000_0010)).connack().reason, 0);
}

/// A will has QoS 0, 1 or 2. Three is malformed, with a will and without one.
/// [MQTT5 3.1.2-12] [MQTT311 3.1.2-14]
fn will_qos_3_is_malformed(server: &Server) {
    let will = |qos| Will { topic: "w".into(), payload: b"w".to_vec(), qos, ..Will::default() };
    let version = server.version;
    let with = server.hello("will").will(will(3)).encode();
    let without = connect_with("MQTT", version.level(), 0b0001_1010, version);
    let ending = server.not_let_in(0x81);
    server.expect_first_endings(&[
        Case::new("with a will", with, &ending),
        Case::new("without a will", without, &ending),
    ]);
    for qos in 0..=2 {
        server.connect(&server.hello("will").will(will(qos)));
    }
}

/// User name, password and will are in the payload if their flags are set and only then: a field too many or one too few
/// makes CONNECT malformed.
/// [MQTT5 3.1.2-9, 3.1.2-11, 3.1.2-16, 3.1.2-17, 3.1.2-18, 3.1.2-19]
/// [MQTT311 3.1.2-9, 3.1.2-11, 3.1.2-18, 3.1.2-19, 3.1.2-20, 3.1.2-21]
fn what_the_flags_announce_is_there_and_nothing_else(server: &Server) {
    let version = server.version;
    let properties: &[u8] = if server.v5() { &[0] } else { &[] };
    let connect = |flags: u8, fields: &[&str]| {
        let mut packet = RawPacket::new(0x10).string("MQTT").u8(version.level()).u8(flags | 2).u16(60);
        packet = packet.bytes(properties).string("flags");
        if flags & 4 != 0 {
            packet = packet.bytes(properties);
        }
        fields.iter().fold(packet, |packet, field| packet.string(field)).finish()
    };
    let (username, password, will) = (0x80, 0x40, 0x04);
    let good: [(u8, &[&str]); 5] = [
        (0, &[]),
        (username, &["name"]),
        (username | password, &["name", "password"]),
        (will, &["topic", "payload"]),
        (will | username | password, &["topic", "payload", "name", "password"]),
    ];
    let mut cases = Vec::new();
    for (flags, fields) in good {
        assert_eq!(server.open_with(&connect(flags, fields)).connack().reason, 0, "{flags:#x} {fields:?}");
        let more = [fields, &["one more"]].concat();
        let ending = server.not_let_in(0x81);
        cases.push(Case::new(format!("{flags:#x} {more:?}"), connect(flags, &more), &ending));
        if let Some((_, fewer)) = fields.split_last() {
            cases.push(Case::new(format!("{flags:#x} {fewer:?}"), connect(flags, fewer), &ending));
        }
    }
    server.expect_first_endings(&cases);
}

/// In MQTT 3.1.1 there is no password without a user name; MQTT 5 allows it, see below.
/// [MQTT311 3.1.2-22]
fn a_password_needs_a_user_name(server: &Server) {
    let mut connect = server.hello("password");
    connect.password = Some(b"alone".to_vec());
    server.expect_first_endings(&[Case::new("a password alone", connect.encode(), "closed")]);
    server.connect(&server.hello("password").credentials("name", "password"));
}

/// In MQTT 5 a password may stand alone; it is binary data, and need not be UTF-8.
/// [MQTT5 3.1.2-16, 3.1.2-19]
fn a_password_needs_no_user_name(server: &Server) {
    let mut connect = server.hello("password");
    connect.password = Some(vec![0xff, 0x00, 0x80]);
    let (mut client, _) = server.connect(&connect);
    works(server, &mut client);
}

/// The fields of the payload come in one order: client identifier, will, user name, password. The will that is published
/// is the one of the second and third field, the session that of the first.
/// [MQTT5 3.1.3-1] [MQTT311 3.1.3-1]
fn the_fields_stand_in_their_order(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "the/topic", 0));
    let will = Will { topic: "the/topic".into(), payload: b"the payload".to_vec(), ..Will::default() };
    let connect = server.hello("the identifier").will(will).credentials("the name", "the password");
    let (client, _) = server.connect(&connect);
    client.abort();
    assert_eq!(witness.message(), Publish::new("the/topic", "the payload"));
}

/// A CONNECT that ends before the client identifier is malformed: it is there, if empty.
/// [MQTT5 3.1.3-3] [MQTT311 3.1.3-3]
fn the_client_identifier_is_there(server: &Server) {
    let begin = RawPacket::new(0x10).string("MQTT").u8(server.version.level()).u8(2).u16(60);
    let begin = if server.v5() { begin.u8(0) } else { begin };
    let case = Case::new("no identifier", begin.clone().finish(), server.not_let_in(0x81));
    server.expect_first_endings(&[case]);
    assert_eq!(server.open_with(&begin.string("").finish()).connack().reason, 0);
}

/// Identifiers of 1 to 23 letters and digits are taken, each of the sixty-two among them. Barnacle takes longer ones and
/// other characters as well.
/// [MQTT5 3.1.3-5] [MQTT311 3.1.3-5]
fn client_identifiers_of_23_letters_and_digits_are_taken(server: &Server) {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut identifiers: Vec<String> = (0..alphabet.len()).map(|at| alphabet[at..=at].to_owned()).collect();
    identifiers.extend((1..=23).map(|length| alphabet[30..30 + length].to_owned()));
    identifiers.extend(["x".repeat(24), "x".repeat(65_535), "mit Leerzeichen/und # + $".to_owned()]);
    for identifier in identifiers {
        works(server, &mut server.client(&identifier));
    }
}

/// A client without an identifier is given one, unlike any other, and told so in CONNACK; everything goes on as if it
/// had brought it: with it, the session is there again. A client that brings its own is told nothing.
/// [MQTT5 3.1.3-6, 3.1.3-7, 3.2.2-16]
fn a_client_without_identifier_gets_one(server: &Server) {
    let assigned = |connect: &Connect| {
        let (client, connack) = server.connect(connect);
        let found = connack.properties.iter().find_map(|property| match property {
            Property::AssignedClientIdentifier(identifier) => Some(identifier.clone()),
            _ => None,
        });
        (client, found)
    };
    let (mut first, one) = assigned(&Connect::persistent(Version::V5, ""));
    let (mut second, two) = assigned(&server.hello(""));
    let one = one.expect("an identifier is assigned");
    assert_ne!(Some(&one), two.as_ref());
    assert!(!one.is_empty() && two.is_some_and(|two| !two.is_empty()));
    first.ping();
    second.ping();
    first.abort();
    assert!(server.session(&one).1, "the session of {one} is there");
    assert_eq!(assigned(&server.hello("its own")).1, None);
}

/// A client without an identifier that wants no session is let in, beside others like it.
/// [MQTT311 3.1.3-6]
fn a_client_without_identifier_and_with_clean_session_is_let_in(server: &Server) {
    let (mut first, mut second) = (server.client(""), server.client(""));
    first.ping();
    works(server, &mut second);
    works(server, &mut first);
}

/// A client without an identifier that wants its session kept is refused with return code 2 (identifier rejected), and
/// closed. MQTT 5 has no such rule: there the identifier is assigned and told.
/// [MQTT311 3.1.3-7, 3.1.3-8, 3.1.3-9, 3.2.2-4, 3.2.2-5]
fn a_client_without_identifier_has_no_session(server: &Server) {
    let connect = Connect::persistent(Version::V311, "").encode();
    server.expect_first_endings(&[Case::new("no identifier, Clean Session 0", connect, "CONNACK 0x02")]);
}

/// There is one connection to an identifier: a later one takes over, and the earlier is closed, in MQTT 5 with DISCONNECT
/// 0x8E (Session taken over). Another identifier is another client, and stays.
/// [MQTT5 3.1.4-3, 3.1.3-2] [MQTT311 3.1.4-2, 3.1.3-2]
fn a_later_connection_takes_over(server: &Server) {
    for persistent in [false, true] {
        let connect = |id: &str| match persistent {
            true => server.session(id).0,
            false => server.client(id),
        };
        let (mut earlier, mut other) = (connect("one"), connect("one more"));
        earlier.ping();
        let mut later = connect("one");
        assert_eq!(earlier.ending(), server.thrown_out(0x8e));
        later.ping();
        other.ping();
    }
}

/// Of what a client sends behind a CONNECT that is refused, nothing is done: no message is published or retained.
/// [MQTT5 3.1.4-6] [MQTT311 3.1.4-5]
fn nothing_is_done_after_a_connect_that_was_refused(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "refused/#", 1));
    let version = server.version;
    let (level, expected) = if server.v5() { (6, 0x84) } else { (2, 1) };
    let mut bytes = connect_with("MQTT", level, 2, version);
    for qos in 0..=2 {
        bytes.extend(Publish::new("refused/v", "v").qos(qos, 5).retain(true).encode(version));
    }
    let mut refused = server.open_with(&bytes);
    assert_eq!(refused.ending(), format!("CONNACK {expected:#04x}"));
    server.publish(&Publish::new("refused/marker", "marker").qos(1, 1));
    assert_eq!(witness.message().topic, "refused/marker");
    witness.subscribe(&Subscribe::new(2, "refused/#", 1));
    witness.ping();
}

/// Barnacle has no authentication method built in: whatever method a CONNECT names is refused with CONNACK 0x8C (Bad
/// authentication method), and the connection is closed. Without one, no AUTH is sent, and none is in CONNACK.
/// [MQTT5 3.1.4-2, 4.12.0-1, 4.12.0-4, 4.12.0-6]
fn an_unknown_authentication_method_is_refused(server: &Server) {
    let method = || Property::AuthenticationMethod("SCRAM-SHA-1".into());
    let alone = server.hello("auth").property(method());
    let with_data = alone.clone().property(Property::AuthenticationData(vec![1, 2, 3]));
    let cases = [alone, with_data].map(|connect| Case::new("a method", connect.encode(), "CONNACK 0x8c"));
    server.expect_first_endings(&cases);
    let (mut client, connack) = server.connect(&server.hello("auth"));
    let named = |property: &Property| {
        matches!(property, Property::AuthenticationMethod(_) | Property::AuthenticationData(_))
    };
    assert!(!connack.properties.iter().any(named), "{connack:?}");
    client.ping();
}

/// Authentication Data without an Authentication Method is a protocol error.
/// [MQTT5 3.1.4-1]
fn authentication_data_needs_a_method(server: &Server) {
    let connect = server.hello("auth").property(Property::AuthenticationData(vec![1]));
    server.expect_first_endings(&[Case::new("data alone", connect.encode(), "CONNACK 0x82")]);
    let mut late = server.client("auth");
    late.send(&[0xf0, 0]);
    let ending = late.receive();
    assert!(matches!(ending, Packet::Disconnect(disconnect) if disconnect.reason == 0x82));
}
