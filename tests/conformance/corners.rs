//! Where statements meet: what clients do that each statement alone says little about.

use std::time::Duration;

use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{Ack, Connect, Disconnect, Packet, Property, Publish, Subscribe, Version, Will, kind};

use crate::server::Server;
use crate::support::*;

tests! {
    a_session_goes_on_in_another_version: BOTH;
    an_identifier_means_something_else_in_the_other_direction: BOTH;
    a_subscribe_does_no_harm_to_the_exchange_whose_identifier_it_has: BOTH;
    a_clean_start_forgets_what_was_received: BOTH;
    an_empty_retained_will_removes_what_was_kept: BOTH;
    a_will_may_be_as_long_as_its_length_can_say: BOTH;
    a_group_leaves_topics_with_a_dollar_alone: BOTH;
    all_may_be_said_at_once: BOTH;
    a_part_of_a_packet_keeps_no_connection_alive: BOTH;
    what_expires_at_once_does_not_wait: V5;
    properties_may_be_empty_or_as_long_as_they_can_be: V5;
    the_largest_subscription_identifier_comes_back: V5;
}

/// A session is its client's, whatever version it speaks: 3.1.1 and 5.0 go on with what the other began. The exchange that is open
/// comes to its end, what waits is delivered, with the properties that the version has, and the subscription stands.
/// [MQTT5 3.1.2-5, 4.1.0-1, 4.4.0-1] [MQTT311 3.1.2-4, 4.1.0-1, 4.4.0-1]
fn a_session_goes_on_in_another_version(server: &Server) {
    let other = server.in_version(if server.v5() { Version::V311 } else { Version::V5 });
    let described = server.in_version(Version::V5);
    let mut client = server.new_session("client");
    client.subscribe(&Subscribe::new(1, "t", 2));
    let content_type = Property::ContentType("text/plain".into());
    for payload in ["released", "sent"] {
        described.publish(&Publish::new("t", payload).qos(2, 1));
    }
    let (released, sent) = (client.message(), client.message());
    client.ack(kind::PUBREC, released.packet_id);
    client.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    client.abort();
    described.publish(&Publish::new("t", "waits").qos(1, 1).property(content_type.clone()));

    let mut client = other.resume("client");
    client.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    client.ack(kind::PUBCOMP, released.packet_id);
    let again = client.message();
    assert_eq!((again.packet_id, again.dup, text(&again)), (sent.packet_id, true, "sent".to_owned()));
    let waits = client.message();
    finish(&mut client, &again);
    finish(&mut client, &waits);
    let properties = if other.v5() { vec![content_type] } else { Vec::new() };
    assert_eq!((text(&waits), waits.properties), ("waits".to_owned(), properties));
    nothing_before_marker(&other, &mut client, "t");
    client.disconnect();
    nothing_before_marker(server, &mut server.resume("client"), "t");
}

/// Server and client give packet identifiers independently: an exchange in one direction has nothing to do with the one of the
/// same identifier in the other, though their packets come in turn.
/// [MQTT5 2.2.1-4, 4.3.3-8, 4.3.3-11] [MQTT311 2.3.1-4, 4.3.3-1, 4.3.3-2]
fn an_identifier_means_something_else_in_the_other_direction(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "out", 2));
    let mut client = server.client("client");
    client.subscribe(&Subscribe::new(1, "in", 2));
    server.publish(&Publish::new("in", "v").qos(2, 1));
    let id = client.message().packet_id;
    let published = Publish::new("out", "v").qos(2, id);
    client.publish(&published);
    client.expect(&Packet::PubRec(Ack::new(id)));
    client.ack(kind::PUBREC, id);
    client.expect(&Packet::PubRel(Ack::new(id)));
    client.publish(&Publish { dup: true, ..published });
    client.expect(&Packet::PubRec(Ack::new(id)));
    client.ack(kind::PUBREL, id);
    client.expect(&Packet::PubComp(Ack::new(id)));
    client.ack(kind::PUBCOMP, id);
    assert_eq!(text(&take(&mut witness)), "v");
    nothing_before_marker(server, &mut witness, "out");
    nothing_before_marker(server, &mut client, "in");
}

/// A client that subscribes with an identifier that an exchange of its own has still is wrong, and may be told so (5.0: 0x91). The
/// exchange is not harmed by it: it comes to its end, and its message is there once.
/// [MQTT5 3.8.4-2, 4.3.3-11] [MQTT311 3.8.4-2, 4.3.3-2]
fn a_subscribe_does_no_harm_to_the_exchange_whose_identifier_it_has(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "t", 2));
    let mut client = server.client("client");
    client.publish(&Publish::new("t", "v").qos(2, 7));
    client.expect(&Packet::PubRec(Ack::new(7)));
    let reasons = client.subscribe(&Subscribe::new(7, "f", 1)).reasons;
    assert!(reasons == [1] || (server.v5() && reasons == [0x91]), "{reasons:02x?}");
    client.publish(&Publish::new("t", "v").qos(2, 7).dup(true));
    client.expect(&Packet::PubRec(Ack::new(7)));
    client.ack(kind::PUBREL, 7);
    client.expect(&Packet::PubComp(Ack::new(7)));
    assert_eq!(text(&take(&mut witness)), "v");
    nothing_before_marker(server, &mut witness, "t");
}

/// The identifiers that were received and not released are of the session: with Clean Start a PUBLISH with one of them is another
/// message, whatever its DUP says, and there is nothing to be released before.
/// [MQTT5 3.1.2-4, 4.3.3-12] [MQTT311 3.1.2-6, 4.3.3-2]
fn a_clean_start_forgets_what_was_received(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "t", 1));
    let mut client = server.new_session("client");
    for id in [7, 8] {
        client.publish(&Publish::new("t", "before").qos(2, id));
        client.expect(&Packet::PubRec(Ack::new(id)));
        assert_eq!(text(&take(&mut witness)), "before");
    }
    client.abort();
    let mut client = server.client("client");
    client.publish(&Publish::new("t", "after").qos(2, 7).dup(true));
    client.expect(&Packet::PubRec(Ack::new(7)));
    assert_eq!(text(&take(&mut witness)), "after");
    client.ack(kind::PUBREL, 8);
    let unknown = if server.v5() { Ack::reason(8, 0x92) } else { Ack::new(8) };
    client.expect(&Packet::PubComp(unknown));
    client.ack(kind::PUBREL, 7);
    client.expect(&Packet::PubComp(Ack::new(7)));
}

/// A will is published as if its client did it then: with Will Retain and without a payload it removes what was kept for its topic.
/// [MQTT5 3.1.2-15, 3.3.1-6, 3.3.1-7] [MQTT311 3.1.2-17, 3.3.1-10, 3.3.1-11]
fn an_empty_retained_will_removes_what_was_kept(server: &Server) {
    server.publish(&Publish::new("here", "alive").qos(1, 1).retain(true));
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "here", 1));
    assert_eq!(text(&take(&mut witness)), "alive");
    let gone = Will { retain: true, ..will("here", "") };
    server.connect(&server.hello("mortal").will(gone)).0.abort();
    let message = take(&mut witness);
    assert_eq!((message.payload.len(), message.retain), (0, false));
    let mut later = server.client("later");
    later.subscribe(&Subscribe::new(1, "here", 1));
    nothing_before_marker(server, &mut later, "here");
}

/// The payload of a will has from 0 to 65,535 bytes, and any of them.
/// [MQTT5 3.1.2-8, 3.1.2-9] [MQTT311 3.1.2-8, 3.1.2-9]
fn a_will_may_be_as_long_as_its_length_can_say(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "will", 1));
    for length in [0, 1, 65_535] {
        let payload: Vec<u8> = (0..length).map(|at: u32| at.to_be_bytes()[3]).collect();
        let long = Will { payload: payload.clone(), ..will("will", "") };
        server.connect(&server.hello("mortal").will(long)).0.abort();
        assert!(take(&mut witness).payload == payload, "the will of {length} bytes came otherwise");
    }
}

/// A wildcard at the beginning does not stand for a level with `$`: of a shared filter it is what follows the group that begins.
/// [MQTT5 4.7.2-1, 4.8.2-2] [MQTT311 4.7.2-1]
fn a_group_leaves_topics_with_a_dollar_alone(server: &Server) {
    let mut named = server.client("named");
    named.subscribe(&Subscribe::new(1, "$share/g/$own/#", 1));
    for filter in ["#", "+/t"] {
        let mut member = server.client("member");
        member.subscribe(&Subscribe::new(1, &format!("$share/g/{filter}"), 1));
        server.publish(&Publish::new("$own/t", "with a dollar").qos(1, 1));
        nothing_before_marker(server, &mut member, "any/t");
        assert_eq!(text(&take(&mut named)), "with a dollar");
        member.disconnect();
    }
}

/// A client need not wait for CONNACK, nor for anything else: what it says in one go is done in its order, to the DISCONNECT at its
/// end, which takes the will back.
/// [MQTT5 3.2.0-1, 3.3.4-1, 3.14.4-3, 4.6.0-2] [MQTT311 3.2.0-1, 3.3.4-1, 3.14.4-3, 4.6.0-2]
fn all_may_be_said_at_once(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "t/+", 2));
    let version = server.version;
    let said = [
        server.hello("hasty").will(will("t/will", "not published")).encode(),
        Publish::new("t/0", "first").encode(version),
        Publish::new("t/1", "second").qos(1, 1).encode(version),
        Publish::new("t/2", "third").qos(2, 2).encode(version),
        Ack::new(2).encode(kind::PUBREL, version),
        Disconnect::default().encode(version),
    ];
    let mut hasty = server.open_with(&said.concat());
    assert_eq!(hasty.connack().reason, 0);
    // DISCONNECT is the end of the connection, answered or not: what is still on its way need not come.
    let answers = hasty.end();
    let in_order = [Packet::PubAck(Ack::new(1)), Packet::PubRec(Ack::new(2)), Packet::PubComp(Ack::new(2))];
    assert!(in_order.starts_with(&answers), "{answers:?}");
    assert_eq!(take_texts(&mut witness, 3), ["first", "second", "third"]);
    nothing_before_marker(server, &mut witness, "t/marker");
}

/// The keep-alive is about packets: a client that sends a byte of one now and then and never comes to its end is closed as one
/// that is silent.
/// [MQTT5 3.1.2-22] [MQTT311 3.1.2-24]
fn a_part_of_a_packet_keeps_no_connection_alive(server: &Server) {
    let (mut slow, _) = server.connect(&server.hello("slow").keep_alive(1));
    slow.send(&[0x30, 100, 0, 90]);
    slow.wait_no_longer_than(Duration::from_millis(300));
    for _ in 0..20 {
        slow.send(b"t");
        if slow.ending() == server.thrown_out(0x8d) {
            return;
        }
    }
    panic!("it is there after four keep-alives");
}

/// A Message Expiry Interval of 0 is over at once: such a message waits for nobody.
/// [MQTT5 3.3.2-5]
fn what_expires_at_once_does_not_wait(server: &Server) {
    let mut away = server.new_session("away");
    away.subscribe(&Subscribe::new(1, "t", 2));
    away.disconnect();
    let hasty = Publish::new("t", "now or never").property(Property::MessageExpiryInterval(0));
    for qos in 0..=2 {
        server.publish(&hasty.clone().qos(qos, 1));
    }
    server.publish(&hasty.qos(1, 1).retain(true));
    nothing_before_marker(server, &mut server.resume("away"), "t");
    let mut later = server.client("later");
    later.subscribe(&Subscribe::new(1, "t", 1));
    nothing_before_marker(server, &mut later, "t");
}

/// Names and values of User Properties may be empty, and what is counted in two bytes may have 65,535. A payload that is said to be
/// text and is none is passed on as it came: a server may look into it, and this one does not.
/// [MQTT5 3.3.2-4, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20]
fn properties_may_be_empty_or_as_long_as_they_can_be(server: &Server) {
    let user = |name: &str, value: &str| Property::UserProperty(Pair(name.to_owned(), value.to_owned()));
    let mut message = Publish::new("t", [0xff, 0xfe]).qos(1, 1).retain(true);
    message.properties = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType(String::new()),
        Property::CorrelationData(Vec::new()),
        user("", ""),
        user(&"n".repeat(65_535), &"v".repeat(65_535)),
        user("", ""),
    ];
    let mut live = server.client("live");
    live.subscribe(&Subscribe::new(1, "t", 1));
    for correlation in [0, 65_535] {
        message.properties[2] = Property::CorrelationData(vec![0; correlation]);
        server.publish(&message);
        let mut later = server.client("later");
        later.subscribe(&Subscribe::new(1, "t", 1));
        for subscriber in [&mut live, &mut later] {
            let came = take(subscriber);
            assert!(
                same_properties(&came, &message),
                "they came otherwise: {} of them",
                came.properties.len()
            );
            assert_eq!(came.payload, message.payload);
        }
        later.disconnect();
    }
}

/// User Properties have an order; the others have none.
fn same_properties(one: &Publish, other: &Publish) -> bool {
    let is_user = |property: &&Property| matches!(property, Property::UserProperty(_));
    let users = |message: &Publish| message.properties.iter().filter(is_user).cloned().collect::<Vec<_>>();
    one.properties.len() == other.properties.len()
        && other.properties.iter().all(|property| one.properties.contains(property))
        && users(one) == users(other)
}

/// Subscription Identifiers go up to 268,435,455, which takes four bytes.
/// [MQTT5 3.3.4-3, 1.5.5-1]
fn the_largest_subscription_identifier_comes_back(server: &Server) {
    let mut subscriber = server.connect(&Connect::new(V5, "subscriber")).0;
    for identifier in [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
        let with = Property::SubscriptionIdentifier(Variable(identifier));
        subscriber.subscribe(&Subscribe::new(1, "t", 1).property(with));
        server.publish(&Publish::new("t", "v").qos(1, 1));
        assert_eq!(identifiers(&take(&mut subscriber)), [identifier]);
    }
}
