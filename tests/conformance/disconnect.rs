//! DISCONNECT, from either side (section 3.14).

use barnacle_wire::property::Pair;
use barnacle_wire::{
    Ack, Connect, Disconnect, Packet, Property, Publish, RawPacket, Subscribe, Version, Will, kind,
};

use crate::server::{Case, Server};
use crate::support::works;

tests! {
    a_client_that_says_good_bye_is_closed: BOTH;
    the_flags_of_disconnect_are_reserved: BOTH;
    nothing_is_done_after_disconnect: BOTH;
    every_reason_of_a_client_is_taken: V5;
    a_reason_that_does_not_exist_is_a_protocol_error: V5;
    the_server_says_why_and_closes: V5;
    nothing_comes_after_the_servers_disconnect: V5;
    no_disconnect_comes_before_connack: V5;
    a_disconnect_fits_a_small_client: V5;
    the_session_expiry_may_be_changed: V5;
    a_session_without_expiry_cannot_get_one: V5;
}

/// After DISCONNECT the server closes, without a word; the next connection of the client is let in.
/// [MQTT5 3.14.4-3] [MQTT311 3.14.4-3]
fn a_client_that_says_good_bye_is_closed(server: &Server) {
    for _ in 0..3 {
        let mut client = server.client("leaving");
        client.ping();
        client.disconnect();
    }
    // A good-bye that has no will to take back; with one, see `will`.
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "#", 0));
    server.client("leaving").disconnect();
    server.publish(&Publish::new("marker", "v"));
    assert_eq!(witness.message(), Publish::new("marker", "v"));
}

/// The flags of DISCONNECT are zero; anything else is malformed, and no good-bye: the will is published.
/// [MQTT5 3.14.1-1] [MQTT311 3.14.1-1]
fn the_flags_of_disconnect_are_reserved(server: &Server) {
    let case =
        |flags: u8| Case::new(format!("flags {flags}"), vec![0xe0 | flags, 0], server.thrown_out(0x81));
    server.expect_endings(&(1..=15).map(case).collect::<Vec<_>>());
    server.expect_endings(&[Case::new("flags 0", vec![0xe0, 0], "closed")]);
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "w", 0));
    let will = Will { topic: "w".into(), payload: b"no good-bye".to_vec(), ..Will::default() };
    let (mut client, _) = server.connect(&server.hello("flags").will(will));
    client.send(&[0xe1, 0]);
    assert_eq!(client.ending(), server.thrown_out(0x81));
    assert_eq!(witness.message(), Publish::new("w", "no good-bye"));
}

/// A client sends nothing after DISCONNECT. If it does, nothing is done of it and nothing answered.
/// [MQTT5 3.14.4-3] [MQTT311 3.14.4-3]
fn nothing_is_done_after_disconnect(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "late/#", 1));
    let mut client = server.client("leaving");
    let version = server.version;
    client.send(
        &[
            Publish::new("late/before", "v").encode(version),
            Disconnect::default().encode(version),
            Publish::new("late/after", "v").encode(version),
            Publish::new("late/after", "v").qos(1, 1).encode(version),
            vec![0xc0, 0],
        ]
        .concat(),
    );
    assert_eq!(client.ending(), "closed");
    server.publish(&Publish::new("late/marker", "v"));
    assert_eq!([witness.message().topic, witness.message().topic], ["late/before", "late/marker"]);
}

/// The reasons that a client may give are taken, short and with properties: the connection is closed without an answer.
/// [MQTT5 3.14.2-1]
fn every_reason_of_a_client_is_taken(server: &Server) {
    let reasons = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    let mut cases = Vec::new();
    for reason in reasons {
        let properties =
            vec![Property::ReasonString("why".into()), Property::UserProperty(Pair("k".into(), "v".into()))];
        let long = Disconnect { reason, properties }.encode(Version::V5);
        for bytes in [RawPacket::new(0xe0).u8(reason).finish(), long] {
            cases.push(Case::new(format!("reason {reason:#04x}"), bytes, "closed"));
        }
    }
    cases.push(Case::new("no reason", vec![0xe0, 0], "closed"));
    server.expect_endings(&cases);
    works(server, &mut server.client("misused"));
}

/// A reason code that DISCONNECT does not have is a protocol error.
/// [MQTT5 3.14.2-1]
fn a_reason_that_does_not_exist_is_a_protocol_error(server: &Server) {
    let reasons = [0x01, 0x02, 0x03, 0x05, 0x10, 0x11, 0x18, 0x19, 0x7f, 0x84, 0x85, 0x91, 0x92, 0xa3, 0xff];
    let case = |reason| {
        let bytes = RawPacket::new(0xe0).u8(reason).finish();
        Case::new(format!("reason {reason:#04x}"), bytes, "DISCONNECT 0x82")
    };
    server.expect_endings(&reasons.map(case));
}

/// When the server ends a connection it says why, with a reason of DISCONNECT's own, no Session Expiry Interval, and
/// closes: here what is malformed, what is misused, what is taken over.
/// [MQTT5 3.14.2-1, 3.14.2-2, 3.14.4-2, 4.13.1-1, 4.13.2-1]
fn the_server_says_why_and_closes(server: &Server) {
    let connect = Connect::persistent(Version::V5, "ended");
    let wrong: [(&str, &[u8], u8); 3] = [
        ("a reserved type", &[0x00, 0], 0x81),
        ("PINGRESP from a client", &[0xd0, 0], 0x82),
        ("a wildcard in a topic name", b"\x30\x06\0\x03a/#\0", 0x90),
    ];
    for (what, bytes, reason) in wrong {
        let (mut client, _) = server.connect(&connect);
        client.ping();
        client.send(bytes);
        let packets = client.end();
        let [Packet::Disconnect(disconnect)] = &packets[..] else { panic!("{what}: {packets:?}") };
        assert_eq!(disconnect.reason, reason, "{what}");
        let expiry = |property: &Property| matches!(property, Property::SessionExpiryInterval(_));
        assert!(!disconnect.properties.iter().any(expiry), "{what}: {disconnect:?}");
    }
    let (mut earlier, _) = server.connect(&connect);
    let (mut later, _) = server.connect(&connect);
    assert_eq!(earlier.ending(), "DISCONNECT 0x8e");
    later.ping();
}

/// Behind DISCONNECT nothing more comes, though messages wait for the client and PINGREQs for their answer.
/// [MQTT5 3.14.4-1, 3.14.4-2]
fn nothing_comes_after_the_servers_disconnect(server: &Server) {
    let (mut client, _) = server.session("flooded");
    client.subscribe(&Subscribe::new(1, "flood", 1));
    let mut publisher = server.client("publisher");
    for number in 1..=200 {
        publisher.publish(&Publish::new("flood", "v").qos(1, number));
    }
    client.send(&[[0xc0, 0, 0xc0, 0].as_slice(), &[0x00, 0], &[0xc0, 0]].concat());
    let packets = client.end();
    let place = packets.iter().position(|packet| matches!(packet, Packet::Disconnect(_)));
    assert_eq!(place, Some(packets.len() - 1), "DISCONNECT is the last packet");
    let answers = packets.iter().filter(|packet| **packet == Packet::PingResp).count();
    assert_eq!(answers, 2, "what came before the malformed packet is answered, nothing behind it");
    // An answer for which nothing has to be kept first is ready in the same moment.
    for violation in [&[0x00, 0][..], &[0x10, 0], &[0xd0, 0]] {
        let mut client = server.client("hasty");
        client.send(&[&Ack::new(9).encode(kind::PUBREL, Version::V5), violation].concat());
        let packets = client.end();
        assert!(matches!(packets.last(), Some(Packet::Disconnect(_))), "{packets:?}");
    }
}

/// A server has no DISCONNECT for a client that it has not let in: what goes wrong before is said in CONNACK or not at all.
/// [MQTT5 3.14.0-1]
fn no_disconnect_comes_before_connack(server: &Server) {
    let connect = server.hello("early");
    let mut flagged = connect.encode();
    flagged[9] |= 1;
    let method = connect.clone().property(Property::AuthenticationMethod("none".into()));
    server.expect_first_endings(&[
        Case::new("no CONNECT", vec![0xc0, 0], "closed"),
        Case::new("no packet", vec![0x00, 0], "closed"),
        Case::new("the reserved flag", flagged, "CONNACK 0x81"),
        Case::new("a method", method.encode(), "CONNACK 0x8c"),
        Case::new("a fifth byte of length", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x01], "closed"),
    ]);
}

/// A Reason String or User Property that would make DISCONNECT larger than the client takes is left out. With a maximum of
/// what CONNACK needs, DISCONNECT comes, and is no larger.
/// [MQTT5 3.14.2-3, 3.14.2-4]
fn a_disconnect_fits_a_small_client(server: &Server) {
    const MAXIMUM: u32 = 20;
    let (mut client, _) =
        server.connect(&server.hello("small").property(Property::MaximumPacketSize(MAXIMUM)));
    client.ping();
    client.send(&[0xd0, 0]);
    let packets = client.end();
    let [Packet::Disconnect(disconnect)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(disconnect.reason, 0x82);
    assert!(disconnect.encode(Version::V5).len() <= MAXIMUM as usize);
}

/// DISCONNECT may set another Session Expiry Interval: with 0 the session ends with the connection, with more it stays.
/// [MQTT5 3.14.2-2, 3.1.2-23]
fn the_session_expiry_may_be_changed(server: &Server) {
    let leave = |interval| {
        let (mut client, present) = server.session("changing");
        let properties = vec![Property::SessionExpiryInterval(interval)];
        client.send(&Disconnect { reason: 0, properties }.encode(Version::V5));
        assert_eq!(client.ending(), "closed");
        present
    };
    assert!(!leave(1000));
    assert!(leave(0), "1,000 s: the session is there");
    assert!(!leave(5), "0: the session has ended");
}

/// A client whose session has Session Expiry Interval 0 cannot change that with DISCONNECT: a protocol error. To set 0
/// again is none.
/// [MQTT5 3.14.2-2]
fn a_session_without_expiry_cannot_get_one(server: &Server) {
    let leave = |interval| {
        let properties = vec![Property::SessionExpiryInterval(interval)];
        Disconnect { reason: 0, properties }.encode(Version::V5)
    };
    server.expect_endings(&[
        Case::new("one second", leave(1), "DISCONNECT 0x82"),
        Case::new("for ever", leave(u32::MAX), "DISCONNECT 0x82"),
        Case::new("none", leave(0), "closed"),
    ]);
}
