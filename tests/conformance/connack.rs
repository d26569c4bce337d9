//! CONNACK: the first packet of a server, once, and what it says (section 3.2).

use std::io::Read;

use barnacle_wire::{Connect, Packet, Property, Publish, RawPacket, Subscribe, Version, Will, packets};

use crate::server::{Case, Server};

tests! {
    connack_is_the_first_packet: BOTH;
    there_is_one_connack: BOTH;
    the_acknowledge_flags_are_reserved: BOTH;
    a_refusal_has_no_session_and_ends_the_connection: BOTH;
    what_has_no_return_code_is_closed_without_connack: V311;
    every_qos_is_there: V5;
    retained_messages_are_there: V5;
    what_is_not_limited_is_not_mentioned: V5;
    a_packet_larger_than_the_servers_maximum_is_refused: V5, "limits.max_packet_size_bytes" = "1024";
    a_packet_larger_than_the_servers_maximum_is_closed: V311, "limits.max_packet_size_bytes" = "1024";
    an_alias_above_the_servers_maximum_is_refused: V5, "limits.topic_alias_maximum" = "3";
    without_topic_alias_maximum_no_alias_is_taken: V5, "limits.topic_alias_maximum" = "0";
    a_connack_that_does_not_fit_is_not_sent: V5;
    a_small_connack_fits_a_small_client: V5;
}

/// The first packet of the server is CONNACK, also where messages wait for the session, and where the client has sent
/// much before it was let in.
/// [MQTT5 3.2.0-1, 3.1.4-5] [MQTT311 3.2.0-1, 3.1.4-4]
fn connack_is_the_first_packet(server: &Server) {
    let (mut client, _) = server.session("waiting");
    client.subscribe(&Subscribe::new(1, "waiting", 1));
    client.disconnect();
    for number in 0..5 {
        server.publish(&Publish::new("waiting", number.to_string()).qos(1, 1));
    }
    let connect = Connect::persistent(server.version, "waiting").encode();
    let ping = packets::ping();
    let mut client = server.open_with(&[connect, ping.clone(), ping].concat());
    let connack = client.connack();
    assert_eq!((connack.reason, connack.session_present), (0, true));
    let (mut pings, mut messages) = (0, 0);
    while pings + messages < 7 {
        match client.receive() {
            Packet::PingResp => pings += 1,
            Packet::Publish(_) => messages += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((pings, messages), (2, 5));
}

/// There is one CONNACK on a connection: a CONNECT that comes later is not answered with another.
/// [MQTT5 3.2.0-2, 3.1.0-2] [MQTT311 3.1.0-2, 3.2.0-1]
fn there_is_one_connack(server: &Server) {
    let connect = server.hello("once").encode();
    let mut client = server.open_with(&[connect.clone(), connect].concat());
    assert_eq!(client.connack().reason, 0);
    assert_eq!(client.ending(), server.thrown_out(0x82));
    server.client("once").ping();
}

/// The bits 7 to 1 of the acknowledge flags are zero; bit 0 is Session Present: 0 for a new session, 1 for one that is
/// there. Byte for byte.
/// [MQTT5 3.2.2-1, 3.2.2-2, 3.2.2-3] [MQTT311 3.2.2-1, 3.2.2-2, 3.2.2-3]
fn the_acknowledge_flags_are_reserved(server: &Server) {
    for expected in [0, 1] {
        let connect = Connect::persistent(server.version, "flags").encode();
        let mut stream = std::net::TcpStream::connect(server.address).expect("the server listens");
        stream.set_read_timeout(Some(server.patience)).expect("a socket takes the option");
        std::io::Write::write_all(&mut stream, &connect).expect("CONNECT is sent");
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).expect("CONNACK comes");
        let [first, _, flags, reason] = connack;
        assert_eq!((first, flags, reason), (0x20, expected, 0));
    }
}

/// A CONNACK that refuses has Session Present 0, even where a session is there, and the connection is closed after it.
/// [MQTT5 3.2.2-6, 3.2.2-7, 3.2.2-8, 4.13.2-1] [MQTT311 3.2.2-4, 3.2.2-5]
fn a_refusal_has_no_session_and_ends_the_connection(server: &Server) {
    let (client, _) = server.session("refused");
    client.disconnect();
    let connect = Connect::persistent(server.version, "refused");
    let mut bytes = connect.encode();
    // The protocol level stands behind fixed header and name.
    let (level, reason) = if server.v5() { (9, "CONNACK 0x84") } else { (2, "CONNACK 0x01") };
    bytes[8] = level;
    server.expect_first_endings(&[Case::new("a protocol level", bytes, reason)]);
    if server.v5() {
        let method = connect.property(Property::AuthenticationMethod("none".into()));
        server.expect_first_endings(&[Case::new("a method", method.encode(), "CONNACK 0x8c")]);
    }
    assert!(server.session("refused").1, "a refusal leaves the session alone");
}

/// What is malformed has no return code in MQTT 3.1.1: the connection is closed without CONNACK. (MQTT 5 has 0x81.)
/// [MQTT311 3.2.2-6, 3.1.4-1]
fn what_has_no_return_code_is_closed_without_connack(server: &Server) {
    let connect = |flags| RawPacket::new(0x10).string("MQTT").u8(4).u8(flags).u16(9).string("c");
    server.expect_first_endings(&[
        Case::new("the reserved flag", connect(3).finish(), "closed"),
        Case::new("a byte too many", connect(2).u8(0).finish(), "closed"),
        Case::new("user name missing", connect(0x82).finish(), "closed"),
    ]);
    assert_eq!(server.open_with(&connect(2).finish()).connack().reason, 0);
}

/// Barnacle takes QoS 0, 1 and 2, from clients, to them and in wills: so CONNACK has no Maximum QoS, and nothing is
/// refused because of its QoS.
/// [MQTT5 3.2.2-9, 3.2.2-10, 3.2.2-12]
fn every_qos_is_there(server: &Server) {
    let will = Will { topic: "w".into(), qos: 2, ..Will::default() };
    let (mut client, connack) = server.connect(&server.hello("exact").will(will));
    assert!(!connack.properties.iter().any(|property| matches!(property, Property::MaximumQos(_))));
    for qos in 0..=2 {
        let suback = client.subscribe(&Subscribe::new(1, "q", qos));
        assert_eq!(suback.reasons, [qos]);
        server.publish(&Publish::new("q", "v").qos(qos, 7));
        let message = client.message();
        assert_eq!((message.qos, &message.payload[..]), (qos, &b"v"[..]));
        if qos == 1 {
            client.ack(barnacle_wire::kind::PUBACK, message.packet_id);
        }
    }
}

/// Barnacle keeps retained messages: so CONNACK does not say otherwise, and a retained will is taken, and retained.
/// [MQTT5 3.2.2-13]
fn retained_messages_are_there(server: &Server) {
    let will = Will { topic: "w".into(), payload: b"v".to_vec(), retain: true, ..Will::default() };
    let (client, connack) = server.connect(&server.hello("mortal").will(will));
    assert!(!connack.properties.contains(&Property::RetainAvailable(0)), "{connack:?}");
    let mut live = server.client("live");
    live.subscribe(&Subscribe::new(1, "w", 0));
    client.abort();
    assert!(!live.message().retain);
    let mut later = server.client("later");
    later.subscribe(&Subscribe::new(1, "w", 0));
    assert!(later.message().retain);
}

/// CONNACK has no property twice or that does not belong to it (the test's parser sees to that), and says nothing that
/// would take away what is there: wildcards, subscription identifiers, shared subscriptions.
/// [MQTT5 3.2.2-1, 3.2.2-8]
fn what_is_not_limited_is_not_mentioned(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("unlimited"));
    for missing in [
        Property::WildcardSubscriptionAvailable(0),
        Property::SubscriptionIdentifierAvailable(0),
        Property::SharedSubscriptionAvailable(0),
    ] {
        assert!(!connack.properties.contains(&missing), "{connack:?}");
    }
    let known = |property: &Property| !matches!(property.identifier(), 0x01..=0x0b | 0x17..=0x19 | 0x23);
    assert!(connack.properties.iter().all(known), "{connack:?}");
    let subscribe = Subscribe::new(1, "a/+/#", 0).and("$share/group/x", 1);
    let identifier = Property::SubscriptionIdentifier(barnacle_wire::property::Variable(5));
    assert_eq!(client.subscribe(&subscribe.property(identifier.clone())).reasons, [0, 1]);
    server.publish(&Publish::new("a/b/c", "v"));
    let identified = Publish::new("a/b/c", "v").property(identifier);
    assert_eq!(client.message(), identified);
}

fn publish_of(size: usize, version: Version) -> Vec<u8> {
    let around = Publish::new("large", vec![b'x'; 200]).encode(version).len() - 200;
    let packet = Publish::new("large", vec![b'x'; size - around]).encode(version);
    assert_eq!(packet.len(), size);
    packet
}

/// CONNACK tells the Maximum Packet Size. A packet of that size is taken; one of a byte more is refused with 0x95 (Packet
/// too large), on its header alone.
/// [MQTT5 3.2.2-15]
fn a_packet_larger_than_the_servers_maximum_is_refused(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("large"));
    assert!(connack.properties.contains(&Property::MaximumPacketSize(1024)), "{connack:?}");
    client.send(&publish_of(1024, Version::V5));
    client.ping();
    server.expect_endings(&[
        Case::new("1,025 bytes", publish_of(1025, Version::V5), "DISCONNECT 0x95"),
        Case::new("256 MiB by its header", vec![0x30, 0xff, 0xff, 0xff, 0x7f], "DISCONNECT 0x95"),
    ]);
    let connect = server.hello(&"x".repeat(1100)).encode();
    server.open_with(&connect).end();
}

/// The same in MQTT 3.1.1, which has no way to tell the maximum: the connection is closed.
/// [MQTT311 4.8.0-1]
fn a_packet_larger_than_the_servers_maximum_is_closed(server: &Server) {
    let mut client = server.client("large");
    client.send(&publish_of(1024, Version::V311));
    client.ping();
    server.expect_endings(&[
        Case::new("1,025 bytes", publish_of(1025, Version::V311), "closed"),
        Case::new("256 MiB by its header", vec![0x30, 0xff, 0xff, 0xff, 0x7f], "closed"),
    ]);
}

fn aliased(topic: &str, alias: u16) -> Publish {
    Publish::new(topic, "by alias").property(Property::TopicAlias(alias))
}

/// CONNACK tells the Topic Alias Maximum. Each alias up to it is taken; 0 and one above are refused with 0x94 (Topic Alias
/// invalid), and one that stands for nothing yet is a protocol error.
/// [MQTT5 3.2.2-17, 3.3.2-8, 3.3.2-9, 3.3.2-12]
fn an_alias_above_the_servers_maximum_is_refused(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("aliased"));
    assert!(connack.properties.contains(&Property::TopicAliasMaximum(3)), "{connack:?}");
    let mut reader = server.client("reader");
    reader.subscribe(&Subscribe::new(1, "alias/#", 0));
    for alias in 1..=3 {
        let topic = format!("alias/{alias}");
        client.publish(&aliased(&topic, alias));
        client.publish(&aliased("", alias));
        assert_eq!([reader.message().topic, reader.message().topic], [topic.clone(), topic]);
    }
    let case = |topic, alias, ending| {
        Case::new(format!("{topic:?} {alias}"), aliased(topic, alias).encode(Version::V5), ending)
    };
    server.expect_endings(&[
        case("t", 0, "DISCONNECT 0x94"),
        case("t", 4, "DISCONNECT 0x94"),
        case("t", 65_535, "DISCONNECT 0x94"),
        case("", 1, "DISCONNECT 0x82"),
    ]);
}

/// Where CONNACK has Topic Alias Maximum 0, or none, no alias is taken at all.
/// [MQTT5 3.2.2-18, 3.3.2-9]
fn without_topic_alias_maximum_no_alias_is_taken(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("aliased"));
    let maximum = connack.properties.iter().find_map(|property| match property {
        Property::TopicAliasMaximum(maximum) => Some(*maximum),
        _ => None,
    });
    assert_eq!(maximum.unwrap_or(0), 0);
    client.publish(&Publish::new("without", "alias"));
    client.ping();
    let bytes = aliased("t", 1).encode(Version::V5);
    server.expect_endings(&[Case::new("alias 1", bytes, "DISCONNECT 0x94")]);
}

/// A client may say that it takes so little that even CONNACK is too large. Then it is not sent, and since nothing else may
/// come first, the connection ends, with CONNACK 0x83 (Implementation specific error) if that fits.
/// [MQTT5 3.1.2-24, 3.2.2-8]
fn a_connack_that_does_not_fit_is_not_sent(server: &Server) {
    let connect = |maximum| server.hello("tiny").property(Property::MaximumPacketSize(maximum)).encode();
    server.expect_first_endings(&[
        Case::new("4 bytes at most", connect(4), "closed"),
        Case::new("5 bytes at most", connect(5), "CONNACK 0x83"),
        Case::new("10 bytes at most", connect(10), "CONNACK 0x83"),
    ]);
    // A refusal has five bytes, whatever its reason.
    let refused = |maximum| {
        let connect = server.hello("tiny").property(Property::MaximumPacketSize(maximum));
        connect.property(Property::AuthenticationMethod("none".to_owned())).encode()
    };
    server.expect_first_endings(&[
        Case::new("a refusal with 4 bytes at most", refused(4), "closed"),
        Case::new("a refusal with 5 bytes at most", refused(5), "CONNACK 0x8c"),
    ]);
}

/// Reason String and User Properties are left out where they would make CONNACK larger than the client takes. With a
/// maximum that the bare CONNACK just fits, it comes, and is no larger.
/// [MQTT5 3.2.2-19, 3.2.2-20]
fn a_small_connack_fits_a_small_client(server: &Server) {
    let (_, connack) = server.connect(&server.hello("any"));
    let words =
        |property: &&Property| matches!(property, Property::ReasonString(_) | Property::UserProperty(_));
    let mut bare = connack.properties.clone();
    bare.retain(|property| !words(&property));
    let mut block = Vec::new();
    barnacle_wire::property::put_properties(&mut block, &bare);
    let size = u32::try_from(4 + block.len()).expect("CONNACK is small");
    let connect = server.hello("small").property(Property::MaximumPacketSize(size));
    let (mut client, connack) = server.connect(&connect);
    assert_eq!(connack.properties.iter().filter(words).count(), 0);
    client.subscribe(&Subscribe::new(1, "s", 0));
    client.publish(&Publish::new("s", ""));
    assert_eq!(client.message(), Publish::new("s", ""));
}
