//! SUBSCRIBE and SUBACK, sections 3.8 and 3.9.

use barnacle_wire::{Connect, Packet, Property, Publish, RawPacket, SubAck, Subscribe, Version, kind};

use crate::server::Server;
use crate::support::*;

tests! {
    subscribe_with_other_flags_is_refused: BOTH;
    the_filter_of_subscribe_is_utf_8: BOTH;
    subscribe_without_a_filter_is_refused: BOTH;
    filters_with_wildcards_are_granted: BOTH;
    no_local_keeps_a_clients_own_messages_from_it: V5;
    no_local_for_a_shared_subscription_is_refused: V5;
    reserved_subscription_options_are_refused: BOTH;
    a_subscription_identifier_is_one_and_not_0: V5;
    suback_answers_subscribe: BOTH;
    subscribing_again_replaces_the_subscription: BOTH;
    subscribing_again_loses_nothing: BOTH;
    several_filters_are_subscribed_one_after_the_other: BOTH;
    suback_has_a_code_for_each_filter_in_order: BOTH;
    the_lower_qos_of_message_and_subscription_counts: BOTH;
    suback_is_never_too_large_by_its_properties: V5;
    a_suback_that_is_too_large_ends_the_connection: V5;
}

/// A SUBSCRIBE byte by byte, with one filter.
fn raw(version: Version, filter: &[u8], options: u8) -> Vec<u8> {
    let packet = RawPacket::new(kind::SUBSCRIBE << 4 | 2).u16(1);
    let packet = if version == V5 { packet.u8(0) } else { packet };
    packet.binary(filter).u8(options).finish()
}

/// The flags of SUBSCRIBE are 0010; any others are malformed.
/// [MQTT5 3.8.1-1] [MQTT311 3.8.1-1]
fn subscribe_with_other_flags_is_refused(server: &Server) {
    let version = server.version;
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let mut packet = Subscribe::new(1, "t", 1).encode(version);
        packet[0] = kind::SUBSCRIBE << 4 | flags;
        refused(server, &packet, &[0x81]);
    }
}

/// A Topic Filter is UTF-8.
/// [MQTT5 3.8.3-1] [MQTT311 3.8.3-1]
fn the_filter_of_subscribe_is_utf_8(server: &Server) {
    let version = server.version;
    for filter in [&[0xff_u8][..], &[b'a', 0xc3], &[0xed, 0xa0, 0x80], &[0xf0, 0x82, 0x82, 0xac]] {
        refused(server, &raw(version, filter, 1), &[0x81]);
    }
}

/// A SUBSCRIBE without any filter is a protocol error.
/// [MQTT5 3.8.3-2] [MQTT311 3.8.3-3]
fn subscribe_without_a_filter_is_refused(server: &Server) {
    let version = server.version;
    refused(server, &Subscribe { packet_id: 1, ..Subscribe::default() }.encode(version), &[0x82]);
}

/// Wildcards are supported: filters with them are granted, and match.
/// [MQTT5 3.8.4-7] [MQTT311 3.8.3-2]
fn filters_with_wildcards_are_granted(server: &Server) {
    for (filter, topic) in [("#", "a/b"), ("a/#", "a"), ("+", "a"), ("+/b", "a/b"), ("a/+/c/#", "a/b/c")] {
        let mut subscriber = server.client("subscriber");
        assert_eq!(subscriber.subscribe(&Subscribe::new(1, filter, 1)).reasons, [1]);
        server.publish(&Publish::new(topic, "v").qos(1, 1));
        assert_eq!(take(&mut subscriber).topic, topic);
    }
}

/// With No Local a client does not get what it has published itself, as judged by its client identifier: live, when it
/// waited, and when it is retained; from others it gets it. Without, it gets its own.
/// [MQTT5 3.8.3-3]
fn no_local_keeps_a_clients_own_messages_from_it(server: &Server) {
    let version = server.version;
    let connect = |stored: bool| {
        if stored { Connect::persistent(version, "client") } else { Connect::new(version, "client") }
    };
    for stored in [false, true] {
        let mut client = server.connect(&connect(stored)).0;
        client.subscribe(&Subscribe::new(1, "n/+", 2 | NO_LOCAL));
        for qos in 0..=2 {
            client.deliver(&Publish::new("n/a", "own").qos(qos, 5));
        }
        nothing_before_marker(server, &mut client, "n/marker");
        client.deliver(&Publish::new("n/kept", "own").qos(1, 5).retain(true));
        client.subscribe(&Subscribe::new(2, "n/+", 2 | NO_LOCAL));
        nothing_before_marker(server, &mut client, "n/marker");
        if stored {
            client.disconnect();
            // Its connection has changed and its identifier has not.
            client = server.resume("client");
            client.deliver(&Publish::new("n/a", "own, later").qos(1, 5));
            nothing_before_marker(server, &mut client, "n/marker");
        }
        server.publish(&Publish::new("n/a", "another's").qos(1, 1));
        assert_eq!(text(&take(&mut client)), "another's");
        client.subscribe(&Subscribe::new(3, "n/+", 1 | NEVER_SEND));
        client.publish(&Publish::new("n/a", "own"));
        assert_eq!(text(&take(&mut client)), "own");
        client.disconnect();
    }
}

/// A shared subscription is never with No Local: to ask for it is a protocol error.
/// [MQTT5 3.8.3-4]
fn no_local_for_a_shared_subscription_is_refused(server: &Server) {
    let version = server.version;
    for options in [NO_LOCAL, 1 | NO_LOCAL, 2 | NO_LOCAL | RETAIN_AS_PUBLISHED] {
        refused(server, &Subscribe::new(1, "$share/g/t", options).encode(version), &[0x82]);
        let second = Subscribe::new(1, "t", 1).and("$share/g/t", options);
        refused(server, &second.encode(version), &[0x82]);
    }
}

/// Reserved bits of the options, QoS 3 and Retain Handling 3 are not for use. In 3.1.1 all bits but the QoS are
/// reserved; there the statement stands in section 3.8.3 without an identifier of its own.
/// [MQTT5 3.8.3-5] [MQTT311 4.8.0-1]
fn reserved_subscription_options_are_refused(server: &Server) {
    let version = server.version;
    let wrong: &[u8] = match version {
        Version::V5 => &[0x40, 0x80, 0xc1, 0x03, 0x30, 0x31],
        _ => &[0x03, 0x04, 0x08, 0x11, 0x21, 0x40, 0x80],
    };
    for options in wrong {
        refused(server, &raw(version, b"t", *options), &[0x81, 0x82]);
        let second = Subscribe::new(1, "a", 1).and("t", *options);
        refused(server, &second.encode(version), &[0x81, 0x82]);
    }
}

/// A Subscription Identifier is not 0, and there is one at most.
/// [MQTT5 4.13.1-1]
fn a_subscription_identifier_is_one_and_not_0(server: &Server) {
    let version = server.version;
    use barnacle_wire::property::Variable;
    let with = |identifiers: &[u32]| {
        let mut subscribe = Subscribe::new(1, "t", 1);
        let properties = identifiers.iter().map(|value| Property::SubscriptionIdentifier(Variable(*value)));
        subscribe.properties.extend(properties);
        subscribe.encode(version)
    };
    refused(server, &with(&[0]), &[0x82]);
    refused(server, &with(&[1, 2]), &[0x82]);
    refused(server, &with(&[3, 3]), &[0x82]);
}

/// SUBACK answers SUBSCRIBE, and has its packet identifier.
/// [MQTT5 3.8.4-1, 3.8.4-2] [MQTT311 3.8.4-1, 3.8.4-2]
fn suback_answers_subscribe(server: &Server) {
    let version = server.version;
    let mut client = server.client("client");
    for packet_id in [1, 2, 255, 256, 65_535] {
        client.send(&Subscribe::new(packet_id, "t", 0).encode(version));
        assert_eq!(client.receive(), Packet::SubAck(suback(packet_id, &[0])));
    }
    // Many at once, answered one by one.
    let many: Vec<u8> =
        (1..=50).flat_map(|packet_id| Subscribe::new(packet_id, "u", 1).encode(version)).collect();
    client.send(&many);
    for packet_id in 1..=50 {
        assert_eq!(client.receive(), Packet::SubAck(suback(packet_id, &[1])));
    }
    nothing_before_marker(server, &mut client, "u");
}

fn suback(packet_id: u16, reasons: &[u8]) -> SubAck {
    SubAck { packet_id, reasons: reasons.to_vec(), ..SubAck::default() }
}

/// Subscribing again to the same filter replaces the subscription: there is one, with the options asked for last, and
/// a message comes once.
/// [MQTT5 3.8.4-3] [MQTT311 3.8.4-3]
fn subscribing_again_replaces_the_subscription(server: &Server) {
    for (stored, mut subscriber) in
        [server.client("live"), server.new_session("stored")].into_iter().enumerate()
    {
        let topic = |name: &str| format!("s{stored}/{name}");
        for qos in [2, 0, 1, 1, 2] {
            assert_eq!(subscriber.subscribe(&Subscribe::new(1, &topic("+"), qos)).reasons, [qos]);
            server.publish(&Publish::new(&topic("a"), "v").qos(2, 1));
            assert_eq!(take(&mut subscriber).qos, qos);
            if qos > 0 {
                nothing_before_marker(server, &mut subscriber, &topic("marker"));
            }
        }
        if server.v5() {
            let options = [1 | RETAIN_AS_PUBLISHED, 1, 1 | NO_LOCAL | RETAIN_AS_PUBLISHED];
            for options in options {
                subscriber.subscribe(&Subscribe::new(1, &topic("+"), options | NEVER_SEND));
                server.publish(&Publish::new(&topic("a"), "v").qos(1, 1).retain(true));
                let message = take(&mut subscriber);
                assert_eq!(message.retain, options & RETAIN_AS_PUBLISHED != 0);
            }
        }
    }
}

/// Subscribing again brings what is retained again, and loses nothing: not what waits because the window is full, and
/// not what comes meanwhile.
/// [MQTT5 3.8.4-4] [MQTT311 3.8.4-3]
fn subscribing_again_loses_nothing(server: &Server) {
    let version = server.version;
    server.publish(&Publish::new("s/kept", "kept").qos(1, 1).retain(true));
    let mut connect = Connect::persistent(version, "subscriber");
    if server.v5() {
        connect.properties.push(Property::ReceiveMaximum(1));
    }
    let mut subscriber = server.connect(&connect).0;
    subscriber.subscribe(&Subscribe::new(1, "s/+", 1));
    assert!(take(&mut subscriber).retain);
    let mut publisher = server.client("publisher");
    let mut wanted = Vec::new();
    for round in 0..5 {
        for number in 0..4 {
            let payload = format!("{round} {number}");
            publisher.deliver(&Publish::new("s/a", payload.clone()).qos(1, 1));
            wanted.push(payload);
        }
        subscriber.send(&Subscribe::new(2, "s/+", 1).encode(version));
    }
    let (mut came, mut kept, mut subacks) = (Vec::new(), 0, 0);
    while came.len() < wanted.len() || kept < 1 || subacks < 5 {
        match subscriber.receive() {
            Packet::SubAck(_) => subacks += 1,
            Packet::Publish(message) => {
                finish(&mut subscriber, &message);
                if message.retain { kept += 1 } else { came.push(text(&message)) }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, wanted);
}

/// A SUBSCRIBE with several filters is as several SUBSCRIBEs one after the other, but for its one SUBACK: of the same
/// filter twice, the last counts.
/// [MQTT5 3.8.4-5] [MQTT311 3.8.4-4]
fn several_filters_are_subscribed_one_after_the_other(server: &Server) {
    let version = server.version;
    server.publish(&Publish::new("f/kept", "kept").qos(1, 1).retain(true));
    let mut client = server.client("client");
    let subscribe = Subscribe::new(9, "f/a", 2).and("f/+", 1).and("f/a", 0).and("f/b/#", 2);
    client.send(&subscribe.encode(version));
    assert_eq!(client.receive(), Packet::SubAck(suback(9, &[2, 1, 0, 2])));
    assert_eq!(text(&take(&mut client)), "kept");
    for (topic, qos) in [("f/a", 1), ("f/c", 1), ("f/b", 2), ("f/b/c", 2)] {
        server.publish(&Publish::new(topic, "v").qos(2, 1));
        let message = take(&mut client);
        assert_eq!((message.topic.as_str(), message.qos), (topic, qos));
    }
    nothing_before_marker(server, &mut client, "f/c");
}

/// SUBACK has a reason code for each filter, in their order, which is the QoS granted: here always the one asked for.
/// [MQTT5 3.8.4-6, 3.8.4-7, 3.9.3-1, 3.9.3-2] [MQTT311 3.8.4-5, 3.9.3-1, 3.9.3-2]
fn suback_has_a_code_for_each_filter_in_order(server: &Server) {
    let version = server.version;
    let mut client = server.client("client");
    for count in [1, 2, 3, 100, 1000] {
        let asked: Vec<u8> = (0..count).map(|number| (number * 7 % 3) as u8).collect();
        let mut subscribe = Subscribe { packet_id: 3, ..Subscribe::default() };
        for (number, qos) in asked.iter().enumerate() {
            subscribe = subscribe.and(&format!("f/{number}"), *qos);
        }
        client.send(&subscribe.encode(version));
        assert_eq!(client.receive(), Packet::SubAck(suback(3, &asked)));
    }
}

/// A message is delivered with its own QoS, or with the one granted if that is lower.
/// [MQTT5 3.8.4-8] [MQTT311 3.8.4-6]
fn the_lower_qos_of_message_and_subscription_counts(server: &Server) {
    for granted in 0..=2 {
        let filter = format!("q/{granted}");
        let live = server.client("live");
        let stored = server.new_session(&format!("stored {granted}"));
        for mut subscriber in [live, stored] {
            subscriber.subscribe(&Subscribe::new(1, &filter, granted));
            for published in 0..=2 {
                server.publish(&Publish::new(&filter, "v").qos(published, 1));
                assert_eq!(take(&mut subscriber).qos, published.min(granted));
            }
        }
    }
}

/// SUBACK explains nothing by Reason String or User Properties, so it is never too large for their sake.
/// [MQTT5 3.9.2-1, 3.9.2-2]
fn suback_is_never_too_large_by_its_properties(server: &Server) {
    let version = server.version;
    for maximum in [Some(30), None] {
        let mut connect = Connect::new(version, "small");
        connect.properties.extend(maximum.map(Property::MaximumPacketSize));
        let mut client = server.connect(&connect).0;
        let mut subscribe = Subscribe::new(1, "t", 1).and("u", 2);
        subscribe.properties.push(user_property("a long name", &"long ".repeat(100)));
        let granted = client.subscribe(&subscribe);
        assert_eq!(granted, suback(1, &[1, 2]));
        client.disconnect();
    }
}

/// A SUBACK that is larger than the client takes cannot be sent, and cannot be left out either: the connection ends.
/// [MQTT5 3.8.4-1, 3.1.2-24]
fn a_suback_that_is_too_large_ends_the_connection(server: &Server) {
    let version = server.version;
    let connect = Connect::new(version, "small").property(Property::MaximumPacketSize(50));
    let mut client = server.connect(&connect).0;
    let mut subscribe = Subscribe { packet_id: 1, ..Subscribe::default() };
    for number in 0..60 {
        subscribe = subscribe.and(&format!("{number}"), 1);
    }
    client.send(&subscribe.encode(version));
    expect_end(server, &mut client, &[0x95]);
}
