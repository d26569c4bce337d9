//! Sending again (section 4.4), and taking charge of what is received (4.5).

use super::*;

tests! {
    nothing_is_sent_again_while_the_connection_stands: BOTH;
    what_is_answered_with_an_error_is_not_sent_again: V5;
    a_message_is_kept_for_every_session_that_subscribes: BOTH;
    nothing_is_sent_again_to_a_new_session: BOTH;
}

/// Only a new connection is a reason to send anything again. While one stands, what is unacknowledged stays so: two
/// seconds later nothing has come, PUBLISH or PUBREL.
/// [MQTT5 4.4.0-1] [MQTT311 4.4.0-1]
fn nothing_is_sent_again_while_the_connection_stands(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for qos in [1, 2, 2] {
        server.publish(&Publish::new("t", qos.to_string()).qos(qos, 1));
    }
    let [one, two, three] = [(); 3].map(|()| subscriber.message());
    subscriber.ack(kind::PUBREC, three.packet_id);
    subscriber.expect(&Packet::PubRel(Ack::new(three.packet_id)));
    seconds_pass(server, 2);
    nothing_before_marker(server, &mut subscriber, "t");
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    subscriber.expect(&Packet::PubRel(Ack::new(three.packet_id)));
    for message in [one, two] {
        assert_eq!(subscriber.message(), Publish { dup: true, ..message });
    }
}

/// A message that the client refused, with a reason of 0x80 or more in PUBACK or PUBREC, was acknowledged by that.
/// [MQTT5 4.4.0-2]
fn what_is_answered_with_an_error_is_not_sent_again(server: &Server) {
    for (kind, qos) in [(kind::PUBACK, 1), (kind::PUBREC, 2)] {
        for reason in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
            let client_id = format!("subscriber {qos} {reason}");
            let mut subscriber = server.new_session(&client_id);
            subscriber.subscribe(&Subscribe::new(1, "t", 2));
            server.publish(&Publish::new("t", "v").qos(qos, 1));
            let message = subscriber.message();
            subscriber.send(&Ack::reason(message.packet_id, reason).encode(kind, V5));
            subscriber.ping();
            subscriber.abort();
            let mut subscriber = server.resume(&client_id);
            nothing_before_marker(server, &mut subscriber, "t");
            subscriber.unsubscribe(&Unsubscribe::new(2, "t"));
            subscriber.disconnect();
        }
    }
}

/// A message that was acknowledged has become part of the state of every session that subscribes: those that are
/// connected, those that are away, and those that subscribe to it several times or through others' filters.
/// [MQTT5 4.5.0-1] [MQTT311 4.5.0-1, 3.1.2-5]
fn a_message_is_kept_for_every_session_that_subscribes(server: &Server) {
    let filters: [&[&str]; 4] = [&["k/a"], &["k/+"], &["k/#", "k/a"], &["#"]];
    for (number, filters) in filters.iter().enumerate() {
        for stays in [true, false] {
            let mut subscriber = server.new_session(&format!("{number} {stays}"));
            for filter in *filters {
                subscriber.subscribe(&Subscribe::new(1, filter, 2));
            }
            subscriber.disconnect();
        }
    }
    let mut staying: Vec<Peer> = (0..4).map(|number| server.resume(&format!("{number} true"))).collect();
    for qos in [1, 2] {
        server.publish(&Publish::new("k/a", qos.to_string()).qos(qos, 1));
    }
    let away = (0..4).map(|number| server.resume(&format!("{number} false")));
    for mut subscriber in away.collect::<Vec<_>>().into_iter().chain(staying.drain(..)) {
        assert_eq!(take_texts(&mut subscriber, 2), ["1", "2"]);
    }
}

/// With Clean Start (3.1.1: Clean Session) nothing of before is sent again.
/// [MQTT5 4.4.0-1] [MQTT311 4.4.0-1]
fn nothing_is_sent_again_to_a_new_session(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for qos in [1, 2, 2] {
        server.publish(&Publish::new("t", qos.to_string()).qos(qos, 1));
    }
    let three = [(); 3].map(|()| subscriber.message())[2].packet_id;
    subscriber.ack(kind::PUBREC, three);
    subscriber.expect(&Packet::PubRel(Ack::new(three)));
    subscriber.abort();
    let (mut fresh, connack) = server.connect(&server.hello("subscriber"));
    assert!(!connack.session_present);
    fresh.subscribe(&Subscribe::new(1, "t", 2));
    nothing_before_marker(server, &mut fresh, "t");
}
