//! PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7.

use barnacle_wire::{Ack, Connect, Packet, Property, Publish, RawPacket, Subscribe, kind};

use crate::server::Server;
use crate::support::*;

tests! {
    acknowledgements_have_reason_codes_of_their_type: V5;
    every_form_of_success_is_success: V5;
    acknowledgements_are_never_too_large_by_their_properties: V5;
    pubrel_with_other_flags_is_refused: BOTH;
    pubrel_for_an_unknown_identifier_is_answered: BOTH;
    answers_for_an_unknown_identifier_are_no_offence: BOTH;
    an_answer_of_the_wrong_kind_ends_the_connection: BOTH;
}

/// Each acknowledgement of the server has a reason code that its type has, here all that this server uses of them; and
/// what a client answers with a code that the type does not have ends the connection.
/// [MQTT5 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1]
fn acknowledgements_have_reason_codes_of_their_type(server: &Server) {
    let version = server.version;
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    let mut publisher = server.client("publisher");
    for (topic, reason) in [("t", 0x00), ("nobody", 0x10)] {
        publisher.publish(&Publish::new(topic, "v").qos(1, 1));
        publisher.expect(&Packet::PubAck(Ack::reason(1, reason)));
        publisher.publish(&Publish::new(topic, "v").qos(2, 1));
        publisher.expect(&Packet::PubRec(Ack::reason(1, reason)));
        publisher.ack(kind::PUBREL, 1);
        publisher.expect(&Packet::PubComp(Ack::new(1)));
    }
    publisher.ack(kind::PUBREL, 2);
    publisher.expect(&Packet::PubComp(Ack::reason(2, 0x92)));
    publisher.ack(kind::PUBREC, 3);
    publisher.expect(&Packet::PubRel(Ack::reason(3, 0x92)));
    for (kind, reasons) in [
        (kind::PUBACK, [0x01, 0x92, 0x81, 0xff]),
        (kind::PUBREC, [0x02, 0x92, 0x82, 0xff]),
        (kind::PUBREL, [0x10, 0x80, 0x91, 0xff]),
        (kind::PUBCOMP, [0x10, 0x80, 0x97, 0xff]),
    ] {
        for reason in reasons {
            refused(server, &Ack::reason(1, reason).encode(kind, version), &[0x81, 0x82]);
        }
    }
}

/// An acknowledgement with reason code and properties says what the short form says: all forms of Success end the
/// exchange alike.
/// [MQTT5 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1]
fn every_form_of_success_is_success(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    let forms = |kind: u8, packet_id: u16| {
        let flags = if kind == kind::PUBREL { 2 } else { 0 };
        let short = RawPacket::new(kind << 4 | flags).u16(packet_id);
        let explained = Ack {
            properties: vec![Property::ReasonString("fine".to_owned()), user_property("a", "b")],
            ..Ack::new(packet_id)
        };
        [
            short.clone().finish(),
            short.clone().u8(0).finish(),
            short.u8(0).u8(0).finish(),
            explained.encode(kind, V5),
        ]
    };
    for form in 0..4 {
        let mut publisher = server.client("publisher");
        publisher.publish(&Publish::new("t", "v").qos(2, 5));
        publisher.expect(&Packet::PubRec(Ack::new(5)));
        publisher.send(&forms(kind::PUBREL, 5)[form]);
        publisher.expect(&Packet::PubComp(Ack::new(5)));
        let message = subscriber.message();
        subscriber.send(&forms(kind::PUBREC, message.packet_id)[form]);
        subscriber.expect(&Packet::PubRel(Ack::new(message.packet_id)));
        subscriber.send(&forms(kind::PUBCOMP, message.packet_id)[form]);
        publisher.deliver(&Publish::new("t", "w").qos(1, 1));
        let message = subscriber.message();
        subscriber.send(&forms(kind::PUBACK, message.packet_id)[form]);
        publisher.disconnect();
        subscriber.disconnect();
        subscriber = server.resume("subscriber");
        nothing_before_marker(server, &mut subscriber, "t");
    }
}

/// No acknowledgement of the server explains itself by a Reason String or User Properties, so none is too large for
/// their sake: not for a client that takes small packets only, nor for one that takes large ones; after success and
/// after an error.
/// [MQTT5 3.4.2-2, 3.4.2-3, 3.5.2-2, 3.5.2-3, 3.6.2-2, 3.6.2-3, 3.7.2-2, 3.7.2-3]
fn acknowledgements_are_never_too_large_by_their_properties(server: &Server) {
    let version = server.version;
    for maximum in [Some(50), None] {
        let mut connect = Connect::new(version, "small");
        connect.properties.extend(maximum.map(Property::MaximumPacketSize));
        let mut client = server.connect(&connect).0;
        let user = user_property("a long name", &"long ".repeat(100));
        client.publish(&Publish::new("nobody", "v").qos(1, 1).property(user.clone()));
        client.expect(&Packet::PubAck(Ack::reason(1, 0x10)));
        client.publish(&Publish::new("nobody", "v").qos(2, 1).property(user.clone()));
        client.expect(&Packet::PubRec(Ack::reason(1, 0x10)));
        let explained = |packet_id| Ack { properties: vec![user.clone()], ..Ack::new(packet_id) };
        client.send(&explained(1).encode(kind::PUBREL, version));
        client.expect(&Packet::PubComp(Ack::new(1)));
        client.send(&explained(2).encode(kind::PUBREL, version));
        client.expect(&Packet::PubComp(Ack::reason(2, 0x92)));
        client.send(&explained(3).encode(kind::PUBREC, version));
        client.expect(&Packet::PubRel(Ack::reason(3, 0x92)));
        client.disconnect();
    }
}

/// The flags of PUBREL are 0010: with any others it is malformed, and releases nothing.
/// [MQTT5 3.6.1-1] [MQTT311 3.6.1-1]
fn pubrel_with_other_flags_is_refused(server: &Server) {
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        refused(server, &RawPacket::new(kind::PUBREL << 4 | flags).u16(1).finish(), &[0x81]);
    }
}

/// PUBREL for an identifier that is not in use: 5.0 says so in PUBCOMP, with Packet Identifier not found, and goes on;
/// 3.1.1 has PUBCOMP only.
/// [MQTT5 3.7.2-1, 4.3.3-11] [MQTT311 4.3.3-2]
fn pubrel_for_an_unknown_identifier_is_answered(server: &Server) {
    let reason = if server.v5() { 0x92 } else { 0 };
    let mut client = server.client("client");
    for packet_id in [1, 500, 65_535] {
        client.ack(kind::PUBREL, packet_id);
        client.expect(&Packet::PubComp(Ack::reason(packet_id, reason)));
    }
    works(server, &mut client);
}

/// PUBREC for an identifier that is not in use: 5.0 says so in PUBREL, with Packet Identifier not found, and goes on;
/// 3.1.1 has PUBREL only. PUBACK and PUBCOMP for such a one have no answer, and are no offence.
/// [MQTT5 3.6.2-1, 4.3.3-4] [MQTT311 4.3.3-1]
fn answers_for_an_unknown_identifier_are_no_offence(server: &Server) {
    let reason = if server.v5() { 0x92 } else { 0 };
    let mut client = server.client("client");
    for packet_id in [1, 500, 65_535] {
        client.ack(kind::PUBREC, packet_id);
        client.expect(&Packet::PubRel(Ack::reason(packet_id, reason)));
        client.ack(kind::PUBACK, packet_id);
        client.ack(kind::PUBCOMP, packet_id);
    }
    works(server, &mut client);
}

/// An answer of the wrong kind ends the connection: PUBACK for QoS 2, PUBREC and PUBCOMP for QoS 1, PUBCOMP before
/// PUBREL. The exchange goes on as it stood.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn an_answer_of_the_wrong_kind_ends_the_connection(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for (qos, wrong) in [(1, kind::PUBREC), (1, kind::PUBCOMP), (2, kind::PUBACK), (2, kind::PUBCOMP)] {
        server.publish(&Publish::new("t", "v").qos(qos, 1));
        let message = subscriber.message();
        subscriber.ack(wrong, message.packet_id);
        expect_end(server, &mut subscriber, &[0x82]);
        subscriber = server.resume("subscriber");
        assert_eq!(take(&mut subscriber), Publish { dup: true, ..message });
    }
    nothing_before_marker(server, &mut subscriber, "t");
}
