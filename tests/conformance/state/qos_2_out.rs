//! QoS 2 to a client, section 4.3.3, interrupted wherever it can be.

use super::*;

tests! {
    qos_2_is_unacknowledged_until_pubrec: BOTH;
    pubrel_is_unacknowledged_until_pubcomp: BOTH;
    a_repeated_pubrec_is_answered_again: BOTH;
    exchanges_are_interrupted_in_every_state_at_once: BOTH;
    an_error_in_pubrec_ends_the_exchange: V5;
}

#[track_caller]
fn subscriber(server: &Server, payloads: &[&str]) -> Peer {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for payload in payloads {
        server.publish(&Publish::new("t", *payload).qos(2, 1));
    }
    subscriber
}

/// PUBLISH goes out with DUP 0, and counts as unacknowledged until PUBREC: on each new connection it comes again,
/// unchanged but for DUP.
/// [MQTT5 4.3.3-2, 4.3.3-3] [MQTT311 4.3.3-1]
fn qos_2_is_unacknowledged_until_pubrec(server: &Server) {
    let mut subscriber = subscriber(server, &["v"]);
    let first = subscriber.message();
    assert_eq!((first.qos, first.dup), (2, false));
    for _ in 0..3 {
        subscriber.abort();
        subscriber = server.resume("subscriber");
        assert_eq!(subscriber.message(), Publish { dup: true, ..first.clone() });
    }
    finish(&mut subscriber, &first);
    nothing_before_marker(server, &mut subscriber, "t");
}

/// PUBREC is answered with PUBREL of the same identifier, which counts as unacknowledged until PUBCOMP: on each new
/// connection PUBREL comes again, and PUBLISH does not. After PUBCOMP neither comes.
/// [MQTT5 4.3.3-4, 4.3.3-5, 4.3.3-6] [MQTT311 4.3.3-1]
fn pubrel_is_unacknowledged_until_pubcomp(server: &Server) {
    let mut subscriber = subscriber(server, &["v"]);
    let first = subscriber.message();
    let release = Packet::PubRel(Ack::new(first.packet_id));
    subscriber.ack(kind::PUBREC, first.packet_id);
    subscriber.expect(&release);
    for _ in 0..3 {
        subscriber.abort();
        subscriber = server.resume("subscriber");
        subscriber.expect(&release);
        subscriber.ping();
    }
    subscriber.ack(kind::PUBCOMP, first.packet_id);
    subscriber.disconnect();
    let mut subscriber = server.resume("subscriber");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// A PUBREC that comes again before PUBCOMP is answered with PUBREL again, on this connection and on the next; one that
/// comes after PUBCOMP finds no exchange (5.0: PUBREL with 0x92; 3.1.1 has no word for it).
/// [MQTT5 4.3.3-4, 3.6.2-1] [MQTT311 4.3.3-1]
fn a_repeated_pubrec_is_answered_again(server: &Server) {
    let mut subscriber = subscriber(server, &["v"]);
    let first = subscriber.message();
    for _ in 0..3 {
        subscriber.ack(kind::PUBREC, first.packet_id);
        subscriber.expect(&Packet::PubRel(Ack::new(first.packet_id)));
    }
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    subscriber.expect(&Packet::PubRel(Ack::new(first.packet_id)));
    subscriber.ack(kind::PUBREC, first.packet_id);
    subscriber.expect(&Packet::PubRel(Ack::new(first.packet_id)));
    subscriber.ack(kind::PUBCOMP, first.packet_id);
    subscriber.ack(kind::PUBREC, first.packet_id);
    let reason = if server.v5() { 0x92 } else { 0 };
    subscriber.expect(&Packet::PubRel(Ack::reason(first.packet_id, reason)));
    nothing_before_marker(server, &mut subscriber, "t");
}

/// Six exchanges, two each that are sent, received and completed when the connection ends, interleaved. The next one
/// begins with the PUBRELs in the order of their PUBRECs, then the PUBLISHes in the order sent, all under their
/// identifiers; what was completed is not heard of. It ends again before anything is answered, and the third connection
/// begins alike.
/// [MQTT5 4.4.0-1, 4.3.3-5, 4.3.3-6, 4.6.0-1, 4.6.0-4] [MQTT311 4.4.0-1, 4.3.3-1, 4.6.0-1, 4.6.0-4]
fn exchanges_are_interrupted_in_every_state_at_once(server: &Server) {
    let mut subscriber = subscriber(server, &["sent", "received", "completed", "later", "earlier", "done"]);
    let open: Vec<Publish> = (0..6).map(|_| subscriber.message()).collect();
    let [sent, received, completed, later, earlier, done] = &open[..] else { panic!("six were read") };
    // Received in another order than sent.
    for message in [earlier, done, completed, received] {
        subscriber.ack(kind::PUBREC, message.packet_id);
        subscriber.expect(&Packet::PubRel(Ack::new(message.packet_id)));
    }
    for message in [completed, done] {
        subscriber.ack(kind::PUBCOMP, message.packet_id);
    }
    subscriber.ping();
    for _ in 0..2 {
        subscriber.abort();
        subscriber = server.resume("subscriber");
        for message in [earlier, received] {
            subscriber.expect(&Packet::PubRel(Ack::new(message.packet_id)));
        }
        for message in [sent, later] {
            assert_eq!(subscriber.message(), Publish { dup: true, ..message.clone() });
        }
    }
    for message in [received, earlier] {
        subscriber.ack(kind::PUBCOMP, message.packet_id);
    }
    for message in [later, sent] {
        finish(&mut subscriber, message);
    }
    nothing_before_marker(server, &mut subscriber, "t");
}

/// PUBREC with an error ends the exchange: no PUBREL, and nothing is sent again. PUBACK with an error ends its exchange
/// alike.
/// [MQTT5 4.3.3-4, 4.4.0-2]
fn an_error_in_pubrec_ends_the_exchange(server: &Server) {
    let mut subscriber = subscriber(server, &["refused", "accepted"]);
    server.publish(&Publish::new("t", "refused too").qos(1, 1));
    let [refused, accepted, too] = [(); 3].map(|()| subscriber.message());
    for (kind, message) in [(kind::PUBREC, &refused), (kind::PUBACK, &too)] {
        subscriber.send(&Ack::reason(message.packet_id, 0x83).encode(kind, V5));
    }
    subscriber.ping();
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    assert_eq!(take(&mut subscriber), Publish { dup: true, ..accepted });
    nothing_before_marker(server, &mut subscriber, "t");
}
