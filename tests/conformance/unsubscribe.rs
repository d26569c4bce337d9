//! UNSUBSCRIBE and UNSUBACK, sections 3.10 and 3.11.

use barnacle_wire::{
    Ack, Connect, Packet, Property, Publish, RawPacket, SubAck, Subscribe, Unsubscribe, Version, kind,
};

use crate::server::Server;
use crate::support::*;

tests! {
    unsubscribe_with_other_flags_is_refused: BOTH;
    the_filter_of_unsubscribe_is_utf_8: BOTH;
    unsubscribe_without_a_filter_is_refused: BOTH;
    filters_are_compared_character_by_character: BOTH;
    nothing_is_added_after_unsubscribe: BOTH;
    what_has_begun_is_completed_after_unsubscribe: BOTH;
    unsuback_answers_unsubscribe: BOTH;
    several_filters_are_unsubscribed_one_after_the_other: BOTH;
    unsuback_is_never_too_large_by_its_properties: V5;
}

fn unsubscribe(packet_id: u16, filters: &[&str]) -> Unsubscribe {
    let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
    Unsubscribe { packet_id, properties: Vec::new(), filters }
}

/// What UNSUBACK says: 5.0 has a reason code for each filter, 3.1.1 none.
fn unsuback(version: Version, packet_id: u16, reasons: &[u8]) -> SubAck {
    let reasons = if version == V5 { reasons.to_vec() } else { Vec::new() };
    SubAck { packet_id, reasons, ..SubAck::default() }
}

/// The flags of UNSUBSCRIBE are 0010; any others are malformed.
/// [MQTT5 3.10.1-1] [MQTT311 3.10.1-1]
fn unsubscribe_with_other_flags_is_refused(server: &Server) {
    let version = server.version;
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let mut packet = Unsubscribe::new(1, "t").encode(version);
        packet[0] = kind::UNSUBSCRIBE << 4 | flags;
        refused(server, &packet, &[0x81]);
    }
}

/// A Topic Filter is UTF-8.
/// [MQTT5 3.10.3-1] [MQTT311 3.10.3-1]
fn the_filter_of_unsubscribe_is_utf_8(server: &Server) {
    for filter in [&[0xff_u8][..], &[b'a', 0xc3], &[0xed, 0xa0, 0x80]] {
        let packet = RawPacket::new(kind::UNSUBSCRIBE << 4 | 2).u16(1);
        let packet = if server.v5() { packet.u8(0) } else { packet };
        refused(server, &packet.binary(filter).finish(), &[0x81]);
    }
}

/// An UNSUBSCRIBE without any filter is a protocol error.
/// [MQTT5 3.10.3-2] [MQTT311 3.10.3-2]
fn unsubscribe_without_a_filter_is_refused(server: &Server) {
    let version = server.version;
    refused(server, &unsubscribe(1, &[]).encode(version), &[0x82]);
}

/// A subscription is deleted by its own filter, character by character: one that only matches the same topics, or
/// looks alike, leaves it as it is.
/// [MQTT5 3.10.4-1] [MQTT311 3.10.4-1]
fn filters_are_compared_character_by_character(server: &Server) {
    let version = server.version;
    for mut client in [server.client("live"), server.new_session("stored")] {
        let held = ["a/b", "a/+", "$share/g/a/b"];
        client.subscribe(&Subscribe::new(1, held[0], 1).and(held[1], 1).and(held[2], 1));
        let others = ["a/#", "+/b", "#", "a/b/", "/a/b", "A/b", "a/B", "a", "$share/h/a/b", "$share/g/a/+"];
        for other in others {
            assert_eq!(
                client.unsubscribe(&unsubscribe(2, &[other])),
                unsuback(version, 2, &[0x11]),
                "{other}"
            );
        }
        for filter in held {
            assert_eq!(
                client.unsubscribe(&unsubscribe(3, &[filter])),
                unsuback(version, 3, &[0]),
                "{filter}"
            );
        }
        client.subscribe(&Subscribe::new(4, "marker", 1));
        server.publish(&Publish::new("a/b", "v").qos(1, 1));
        nothing_before_marker(server, &mut client, "marker");
        client.disconnect();
    }
}

/// After UNSUBACK no message that matches is added for the client, at any QoS; its other subscriptions go on.
/// [MQTT5 3.10.4-2] [MQTT311 3.10.4-2]
fn nothing_is_added_after_unsubscribe(server: &Server) {
    for stored in [false, true] {
        let mut client = match stored {
            true => server.new_session("stored"),
            false => server.client("live"),
        };
        client.subscribe(&Subscribe::new(1, "u/a", 2).and("u/b", 1));
        server.publish(&Publish::new("u/a", "before").qos(1, 1));
        assert_eq!(text(&take(&mut client)), "before");
        client.unsubscribe(&unsubscribe(2, &["u/a"]));
        for qos in 0..=2 {
            server.publish(&Publish::new("u/a", "after").qos(qos, 1));
        }
        nothing_before_marker(server, &mut client, "u/b");
        if stored {
            client.disconnect();
            server.publish(&Publish::new("u/a", "while away").qos(1, 1));
            client = server.resume("stored");
            nothing_before_marker(server, &mut client, "u/b");
        }
        client.disconnect();
    }
}

/// An exchange that has begun goes on to its end after UNSUBSCRIBE, QoS 1 and each half of QoS 2, on this connection
/// and on the next.
/// [MQTT5 3.10.4-3] [MQTT311 3.10.4-3]
fn what_has_begun_is_completed_after_unsubscribe(server: &Server) {
    let version = server.version;
    let mut client = server.new_session("client");
    client.subscribe(&Subscribe::new(1, "u", 2).and("marker", 1));
    for qos in [1, 2, 2] {
        server.publish(&Publish::new("u", qos.to_string()).qos(qos, 1));
    }
    let [first, second, third] = [(); 3].map(|()| client.message());
    client.ack(kind::PUBREC, third.packet_id);
    client.expect(&Packet::PubRel(Ack::new(third.packet_id)));
    assert_eq!(client.unsubscribe(&unsubscribe(2, &["u"])), unsuback(version, 2, &[0]));
    client.abort();
    let mut client = server.resume("client");
    client.expect(&Packet::PubRel(Ack::new(third.packet_id)));
    client.ack(kind::PUBCOMP, third.packet_id);
    assert_eq!(take(&mut client), Publish { dup: true, ..first });
    assert_eq!(client.message(), Publish { dup: true, ..second.clone() });
    client.ack(kind::PUBREC, second.packet_id);
    client.expect(&Packet::PubRel(Ack::new(second.packet_id)));
    client.ack(kind::PUBCOMP, second.packet_id);
    nothing_before_marker(server, &mut client, "marker");
}

/// UNSUBACK answers UNSUBSCRIBE with its packet identifier, also when there was nothing to delete.
/// [MQTT5 3.10.4-4, 3.10.4-5] [MQTT311 3.10.4-4, 3.10.4-5]
fn unsuback_answers_unsubscribe(server: &Server) {
    let version = server.version;
    let mut client = server.client("client");
    for packet_id in [1, 255, 256, 65_535] {
        client.subscribe(&Subscribe::new(packet_id, "u", 0));
        for reason in [0x00, 0x11] {
            client.send(&unsubscribe(packet_id, &["u"]).encode(version));
            assert_eq!(client.receive(), Packet::UnsubAck(unsuback(version, packet_id, &[reason])));
        }
    }
    works(server, &mut client);
}

/// An UNSUBSCRIBE with several filters is as several, one after the other, with one UNSUBACK. In 5.0 that has a reason
/// code for each filter, in their order: deleted, or there was none; the second of the same two finds none.
/// [MQTT5 3.10.4-6, 3.11.3-1, 3.11.3-2] [MQTT311 3.10.4-6]
fn several_filters_are_unsubscribed_one_after_the_other(server: &Server) {
    let version = server.version;
    let mut client = server.client("client");
    client.subscribe(&Subscribe::new(1, "u/a", 1).and("u/b", 1).and("u/c", 1).and("u/d", 1));
    let filters = ["u/b", "u/none", "u/d", "u/b", "u/+"];
    client.send(&unsubscribe(7, &filters).encode(version));
    let answer = unsuback(version, 7, &[0x00, 0x11, 0x00, 0x11, 0x11]);
    assert_eq!(client.receive(), Packet::UnsubAck(answer));
    for topic in ["u/b", "u/d", "u/a"] {
        server.publish(&Publish::new(topic, "v").qos(1, 1));
    }
    assert_eq!(take(&mut client).topic, "u/a");
    nothing_before_marker(server, &mut client, "u/c");
}

/// UNSUBACK explains nothing by Reason String or User Properties, so it is never too large for their sake.
/// [MQTT5 3.11.2-1, 3.11.2-2]
fn unsuback_is_never_too_large_by_its_properties(server: &Server) {
    let version = server.version;
    for maximum in [Some(30), None] {
        let mut connect = Connect::new(version, "small");
        connect.properties.extend(maximum.map(Property::MaximumPacketSize));
        let mut client = server.connect(&connect).0;
        let mut unsubscribe = unsubscribe(1, &["t", "u"]);
        unsubscribe.properties.push(user_property("a long name", &"long ".repeat(100)));
        assert_eq!(client.unsubscribe(&unsubscribe), unsuback(version, 1, &[0x11, 0x11]));
        client.disconnect();
    }
}
