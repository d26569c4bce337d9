//! QoS 0 and QoS 1, sections 4.3.1 and 4.3.2.

use super::*;

tests! {
    qos_0_is_sent_once_and_never_again: BOTH;
    packet_identifiers_in_use_are_not_given_again: BOTH;
    qos_1_is_unacknowledged_until_puback: BOTH;
    puback_has_the_identifier_of_its_publish: BOTH;
    an_identifier_is_free_after_puback: BOTH;
}

/// QoS 0 goes out with QoS 0 and DUP 0, without a packet identifier, and is not sent again on the next connection.
/// [MQTT5 4.3.1-1] [MQTT311 4.3.1-1]
fn qos_0_is_sent_once_and_never_again(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2).and("marker", 1));
    for _ in 0..3 {
        server.publish(&Publish::new("t", "v"));
        let message = subscriber.message();
        assert_eq!((message.qos, message.dup, message.packet_id), (0, false, 0));
    }
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    nothing_before_marker(server, &mut subscriber, "marker");
}

/// Each message of QoS 1 or 2 goes out with a packet identifier that no unfinished exchange has, whatever exchanges are
/// finished in between and in which order; both kinds share the identifiers.
/// [MQTT5 4.3.2-1, 4.3.3-1] [MQTT311 4.3.2-1, 4.3.3-1]
fn packet_identifiers_in_use_are_not_given_again(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    let mut publisher = server.client("publisher");
    let mut open: Vec<Publish> = Vec::new();
    for number in 0..300_usize {
        publisher.deliver(&Publish::new("t", number.to_string()).qos(1 + (number % 2) as u8, 1));
        let message = subscriber.message();
        assert!(!message.dup && message.packet_id != 0);
        assert!(open.iter().all(|before| before.packet_id != message.packet_id), "{message:?}");
        open.push(message);
        if open.len() == 40 {
            // Some remain open throughout.
            for at in [39, 20, 21, 7] {
                let done = open.remove(at);
                finish(&mut subscriber, &done);
            }
        }
    }
}

/// A message of QoS 1 counts as unacknowledged until its PUBACK: it is sent again on each new connection, unchanged but
/// for DUP, and not after its PUBACK, with any success.
/// [MQTT5 4.3.2-2, 4.3.2-3] [MQTT311 4.3.2-1]
fn qos_1_is_unacknowledged_until_puback(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    let first = subscriber.message();
    assert_eq!((first.qos, first.dup), (1, false));
    for _ in 0..3 {
        subscriber.abort();
        subscriber = server.resume("subscriber");
        assert_eq!(subscriber.message(), Publish { dup: true, ..first.clone() });
    }
    subscriber.ack(kind::PUBACK, first.packet_id);
    subscriber.disconnect();
    let mut subscriber = server.resume("subscriber");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// PUBACK has the packet identifier of the PUBLISH that it answers, and they come in the order of the PUBLISHes.
/// [MQTT5 4.3.2-4] [MQTT311 4.3.2-2]
fn puback_has_the_identifier_of_its_publish(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 0));
    let mut publisher = server.client("publisher");
    let identifiers = [9, 1, 65_535, 256, 255, 3];
    let message = |id: &u16| Publish::new("t", id.to_string()).qos(1, *id).encode(server.version);
    publisher.send(&identifiers.iter().flat_map(message).collect::<Vec<u8>>());
    identifiers.iter().for_each(|id| publisher.expect(&Packet::PubAck(Ack::new(*id))));
    assert_eq!(take_texts(&mut subscriber, 6), identifiers.map(|id| id.to_string()));
}

/// After PUBACK a PUBLISH with the same identifier is another message, and is delivered, whatever its DUP says: the
/// publisher may not have seen the PUBACK, and at QoS 1 twice is no harm.
/// [MQTT5 4.3.2-5] [MQTT311 4.3.2-2]
fn an_identifier_is_free_after_puback(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    let mut publisher = server.new_session("publisher");
    for (number, dup) in [false, true, true, false].into_iter().enumerate() {
        publisher.deliver(&Publish::new("t", number.to_string()).qos(1, 5).dup(dup));
        assert_eq!(text(&take(&mut subscriber)), number.to_string());
    }
    publisher.abort();
    let mut publisher = server.resume("publisher");
    publisher.deliver(&Publish::new("t", "3").qos(1, 5).dup(true));
    assert_eq!(text(&take(&mut subscriber)), "3");
}
