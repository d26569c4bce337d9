//! QoS 2 from a client, section 4.3.3, interrupted wherever it can be.

use super::*;

tests! {
    pubrec_and_pubcomp_have_the_identifier: BOTH;
    a_publish_that_comes_again_is_no_new_message: BOTH;
    an_exchange_may_be_interrupted_anywhere: BOTH;
    exchanges_may_be_finished_in_any_order: BOTH;
    an_identifier_is_free_after_pubcomp: BOTH;
    a_client_need_not_wait_for_answers: BOTH;
    an_exchange_goes_on_though_its_message_expired: V5;
    an_identifier_is_free_after_an_error: V5, "queue.session_max_messages" = "1", "queue.session_policy" = "reject";
}

fn message(payload: &str, packet_id: u16) -> Publish {
    Publish::new("t", payload).qos(2, packet_id)
}

/// A subscriber that gets its messages at QoS 1, so that each PUBLISH that it gets is a delivery.
#[track_caller]
fn subscriber(server: &Server) -> Peer {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    subscriber
}

#[track_caller]
fn release(publisher: &mut Peer, packet_id: u16) {
    publisher.ack(kind::PUBREL, packet_id);
    publisher.expect(&Packet::PubComp(Ack::new(packet_id)));
}

/// PUBREC answers PUBLISH and PUBCOMP answers PUBREL, with their packet identifier.
/// [MQTT5 4.3.3-8, 4.3.3-11] [MQTT311 4.3.3-2]
fn pubrec_and_pubcomp_have_the_identifier(server: &Server) {
    let mut subscriber = subscriber(server);
    let mut publisher = server.client("publisher");
    for packet_id in [9, 1, 65_535, 256] {
        publisher.publish(&message("v", packet_id));
        publisher.expect(&Packet::PubRec(Ack::new(packet_id)));
        release(&mut publisher, packet_id);
        assert_eq!(text(&take(&mut subscriber)), "v");
    }
}

/// Until PUBREL, a PUBLISH with the same identifier is answered with PUBREC again and delivers nothing, as often as it
/// comes, with DUP or without; on the same connection and on the next.
/// [MQTT5 4.3.3-10] [MQTT311 4.3.3-2]
fn a_publish_that_comes_again_is_no_new_message(server: &Server) {
    let mut subscriber = subscriber(server);
    let mut publisher = server.new_session("publisher");
    publisher.publish(&message("once", 5));
    publisher.expect(&Packet::PubRec(Ack::new(5)));
    for _ in 0..3 {
        for dup in [true, false] {
            publisher.publish(&message("once", 5).dup(dup));
            publisher.expect(&Packet::PubRec(Ack::new(5)));
        }
        publisher.abort();
        publisher = server.resume("publisher");
    }
    publisher.publish(&message("once", 5).dup(true));
    publisher.expect(&Packet::PubRec(Ack::new(5)));
    release(&mut publisher, 5);
    assert_eq!(text(&take(&mut subscriber)), "once");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// Where a connection may end in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Right behind PUBLISH: nobody has seen PUBREC.
    Publish,
    /// PUBREC has come.
    PubRec,
    /// Right behind PUBREL: nobody has seen PUBCOMP.
    PubRel,
}

/// Wherever the connection ends, once or twice in a row, the client goes on from what it knows: it sends PUBLISH again with DUP while it has
/// not seen PUBREC, and PUBREL after that. The message is delivered once, and the exchange comes to its end. A PUBREL
/// that comes again after PUBCOMP has been sent finds no exchange: 5.0 says so in PUBCOMP (0x92), 3.1.1 cannot.
/// [MQTT5 4.3.3-10, 4.3.3-11, 4.4.0-1] [MQTT311 4.3.3-2, 4.4.0-1]
fn an_exchange_may_be_interrupted_anywhere(server: &Server) {
    let mut subscriber = subscriber(server);
    let ends = [End::Publish, End::PubRec, End::PubRel];
    for (round, (first, second)) in
        ends.iter().flat_map(|first| ends.iter().map(move |second| (*first, *second))).enumerate()
    {
        let client_id = format!("publisher {round}");
        let payload = format!("{first:?} {second:?}");
        let mut publisher = server.new_session(&client_id);
        let mut received = false;
        let mut last_was_release = false;
        for (attempt, end) in [first, second].into_iter().enumerate() {
            if !received {
                publisher.publish(&message(&payload, 7).dup(attempt > 0));
                if end > End::Publish {
                    publisher.expect(&Packet::PubRec(Ack::new(7)));
                    received = true;
                }
            }
            if received && end == End::PubRel {
                publisher.ack(kind::PUBREL, 7);
                last_was_release = true;
            }
            publisher.abort();
            publisher = server.resume(&client_id);
        }
        if !received {
            publisher.publish(&message(&payload, 7).dup(true));
            publisher.expect(&Packet::PubRec(Ack::new(7)));
        }
        publisher.ack(kind::PUBREL, 7);
        match publisher.receive() {
            Packet::PubComp(ack) if ack == Ack::new(7) => {}
            // A PUBREL sent before was heard: the exchange had ended.
            Packet::PubComp(ack) if last_was_release && ack == Ack::reason(7, 0x92) => {}
            other => panic!("{other:?} after {payload}"),
        }
        publisher.disconnect();
        assert_eq!(text(&take(&mut subscriber)), payload);
    }
    nothing_before_marker(server, &mut subscriber, "t");
}

/// Exchanges are independent: released in another order than begun, and with repetitions in between, each message is
/// delivered once, in the order published.
/// [MQTT5 4.3.3-10, 4.3.3-11] [MQTT311 4.3.3-2]
fn exchanges_may_be_finished_in_any_order(server: &Server) {
    let mut subscriber = subscriber(server);
    let mut publisher = server.new_session("publisher");
    for packet_id in 1..=5 {
        publisher.publish(&message(&packet_id.to_string(), packet_id));
        publisher.expect(&Packet::PubRec(Ack::new(packet_id)));
    }
    for packet_id in [3, 5, 1] {
        release(&mut publisher, packet_id);
    }
    publisher.abort();
    let mut publisher = server.resume("publisher");
    for packet_id in [4, 2] {
        publisher.publish(&message(&packet_id.to_string(), packet_id).dup(true));
        publisher.expect(&Packet::PubRec(Ack::new(packet_id)));
    }
    for packet_id in [4, 2] {
        release(&mut publisher, packet_id);
    }
    assert_eq!(take_texts(&mut subscriber, 5), ["1", "2", "3", "4", "5"]);
    nothing_before_marker(server, &mut subscriber, "t");
}

/// After PUBCOMP a PUBLISH with the same identifier is another message, DUP or not.
/// [MQTT5 4.3.3-12] [MQTT311 4.3.3-2]
fn an_identifier_is_free_after_pubcomp(server: &Server) {
    let mut subscriber = subscriber(server);
    let mut publisher = server.client("publisher");
    for (number, dup) in [false, true, false].into_iter().enumerate() {
        publisher.deliver(&message(&number.to_string(), 5).dup(dup));
        assert_eq!(text(&take(&mut subscriber)), number.to_string());
    }
}

/// A client that sends PUBLISH, PUBREL and the next PUBLISH of the same identifier without waiting gets its answers in
/// their order, and each message is delivered once.
/// [MQTT5 4.3.3-8, 4.3.3-11, 4.3.3-12] [MQTT311 4.3.3-2]
fn a_client_need_not_wait_for_answers(server: &Server) {
    let mut subscriber = subscriber(server);
    let mut publisher = server.client("publisher");
    let mut bytes = Vec::new();
    for number in 0..20 {
        let publish = message(&number.to_string(), 5).encode(server.version);
        bytes.extend([publish.clone(), publish].concat());
        bytes.extend(Ack::new(5).encode(kind::PUBREL, server.version));
    }
    publisher.send(&bytes);
    for _ in 0..20 {
        publisher.expect(&Packet::PubRec(Ack::new(5)));
        publisher.expect(&Packet::PubRec(Ack::new(5)));
        publisher.expect(&Packet::PubComp(Ack::new(5)));
    }
    let wanted: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(take_texts(&mut subscriber, 20), wanted);
    nothing_before_marker(server, &mut subscriber, "t");
}

/// The exchange has nothing to do with the time that its message has: after that has passed, a PUBLISH that comes again
/// is one that comes again, and PUBREL is answered with PUBCOMP.
/// [MQTT5 4.3.3-13]
fn an_exchange_goes_on_though_its_message_expired(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    subscriber.disconnect();
    let mut publisher = server.new_session("publisher");
    let brief = message("brief", 5).property(Property::MessageExpiryInterval(1));
    publisher.publish(&brief);
    publisher.expect(&Packet::PubRec(Ack::new(5)));
    seconds_pass(server, 2);
    publisher.publish(&brief.clone().dup(true));
    publisher.expect(&Packet::PubRec(Ack::new(5)));
    publisher.abort();
    let mut publisher = server.resume("publisher");
    publisher.publish(&brief.dup(true));
    publisher.expect(&Packet::PubRec(Ack::new(5)));
    release(&mut publisher, 5);
    let mut subscriber = server.resume("subscriber");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// PUBREC with an error ends the exchange: the next PUBLISH with the identifier is another message, whatever its DUP
/// says, and nothing remains to be released. The broker is set up to refuse what a full queue has no room for (0x97).
/// [MQTT5 4.3.3-9, 3.5.2-1, 3.4.2-1]
fn an_identifier_is_free_after_an_error(server: &Server) {
    let mut full = server.new_session("full");
    full.subscribe(&Subscribe::new(1, "full", 1));
    full.disconnect();
    let mut subscriber = subscriber(server);
    let mut publisher = server.client("publisher");
    publisher.deliver(&Publish::new("full", "fills").qos(1, 1));
    publisher.publish(&Publish::new("full", "v").qos(1, 5));
    publisher.expect(&Packet::PubAck(Ack::reason(5, 0x97)));
    for dup in [false, true] {
        publisher.publish(&Publish::new("full", "v").qos(2, 5).dup(dup));
        publisher.expect(&Packet::PubRec(Ack::reason(5, 0x97)));
    }
    publisher.ack(kind::PUBREL, 5);
    publisher.expect(&Packet::PubComp(Ack::reason(5, 0x92)));
    publisher.deliver(&message("another", 5).dup(true));
    assert_eq!(text(&take(&mut subscriber)), "another");
    let mut full = server.resume("full");
    assert_eq!(text(&take(&mut full)), "fills");
    nothing_before_marker(server, &mut full, "full");
}
