//! The client's Receive Maximum (sections 3.3.4 and 4.9). The server's is in `publish::answers`.

use super::*;

tests! {
    the_clients_receive_maximum_is_kept: V5;
    a_full_window_holds_up_nothing_else: V5;
    the_receive_maximum_is_of_the_connection: V5;
    a_receive_maximum_of_0_is_refused: V5;
}

fn connect(maximum: u16) -> Connect {
    Connect::persistent(V5, "subscriber").property(Property::ReceiveMaximum(maximum))
}

/// A stored session for which this many messages wait, of QoS 1 and 2 in turn.
#[track_caller]
fn waiting(server: &Server, count: usize) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2).and("q", 0));
    subscriber.disconnect();
    let mut publisher = server.client("publisher");
    for number in 0..count {
        publisher.deliver(&Publish::new("t", number.to_string()).qos(1 + (number % 2) as u8, 1));
    }
    publisher.disconnect();
}

/// Sees that this message comes next.
#[track_caller]
fn expect_text(subscriber: &mut Peer, wanted: usize) -> Publish {
    let message = subscriber.message();
    assert_eq!(text(&message), wanted.to_string());
    message
}

/// There are never more PUBLISHes of QoS 1 and 2 unanswered than the client said, at 1, at 2 and at 10. A place is free
/// again with PUBACK, with PUBCOMP (not with PUBREC, be it repeated), and with PUBREC that has an error.
/// [MQTT5 3.3.4-9, 4.9.0-1, 4.9.0-2]
fn the_clients_receive_maximum_is_kept(server: &Server) {
    for maximum in [1, 2, 10] {
        waiting(server, 24);
        let mut subscriber = server.connect(&connect(maximum)).0;
        let mut open: Vec<Publish> = Vec::new();
        for number in 0..24 {
            if open.len() == usize::from(maximum) {
                // The window is full: whatever is asked for, no PUBLISH comes.
                subscriber.ping();
                let oldest = open.remove(0);
                match (oldest.qos, number % 3) {
                    (1, 0) => subscriber.send(&Ack::reason(oldest.packet_id, 0x80).encode(kind::PUBACK, V5)),
                    (1, _) => subscriber.ack(kind::PUBACK, oldest.packet_id),
                    (_, 0) => subscriber.send(&Ack::reason(oldest.packet_id, 0x80).encode(kind::PUBREC, V5)),
                    _ => {
                        for _ in 0..2 {
                            subscriber.ack(kind::PUBREC, oldest.packet_id);
                            subscriber.expect(&Packet::PubRel(Ack::new(oldest.packet_id)));
                            subscriber.ping();
                        }
                        subscriber.ack(kind::PUBCOMP, oldest.packet_id);
                    }
                }
            }
            open.push(expect_text(&mut subscriber, number));
        }
        subscriber.abort();
        let fresh = server.client("subscriber");
        fresh.disconnect();
    }
}

/// While the window is full everything else goes on: what the client asks is answered, what it publishes is
/// acknowledged, and QoS 0 messages come.
/// [MQTT5 3.3.4-10, 4.9.0-3]
fn a_full_window_holds_up_nothing_else(server: &Server) {
    waiting(server, 4);
    let mut subscriber = server.connect(&connect(2)).0;
    let open = [expect_text(&mut subscriber, 0), expect_text(&mut subscriber, 1)];
    subscriber.ping();
    subscriber.deliver(&Publish::new("nobody", "v").qos(1, 1));
    subscriber.deliver(&Publish::new("nobody", "v").qos(2, 1));
    assert_eq!(subscriber.subscribe(&Subscribe::new(5, "other", 1)).reasons, [1]);
    assert_eq!(subscriber.unsubscribe(&Unsubscribe::new(6, "other")).reasons, [0]);
    subscriber.ack(kind::PUBREL, 9);
    subscriber.expect(&Packet::PubComp(Ack::reason(9, 0x92)));
    subscriber.ack(kind::PUBREC, open[1].packet_id);
    subscriber.expect(&Packet::PubRel(Ack::new(open[1].packet_id)));
    server.publish(&Publish::new("q", "at QoS 0"));
    assert_eq!(text(&subscriber.message()), "at QoS 0");
    subscriber.ack(kind::PUBACK, open[0].packet_id);
    expect_text(&mut subscriber, 2);
    subscriber.ping();
}

/// The Receive Maximum is of one connection: the next one has its own, to which what is sent again holds too. An
/// exchange that waits for PUBCOMP takes a place of it.
/// [MQTT5 4.9.0-1, 4.9.0-2, 3.3.4-9]
fn the_receive_maximum_is_of_the_connection(server: &Server) {
    waiting(server, 8);
    let mut subscriber = server.connect(&connect(5)).0;
    let open: Vec<Publish> = (0..5).map(|number| expect_text(&mut subscriber, number)).collect();
    subscriber.ack(kind::PUBREC, open[1].packet_id);
    subscriber.expect(&Packet::PubRel(Ack::new(open[1].packet_id)));
    subscriber.abort();
    let mut subscriber = server.connect(&connect(2)).0;
    subscriber.expect(&Packet::PubRel(Ack::new(open[1].packet_id)));
    assert!(expect_text(&mut subscriber, 0).dup);
    subscriber.ping();
    subscriber.ack(kind::PUBCOMP, open[1].packet_id);
    assert!(expect_text(&mut subscriber, 2).dup);
    subscriber.ping();
    subscriber.abort();
    // Without one it is 65,535.
    let mut subscriber = server.resume("subscriber");
    for number in [0, 2, 3, 4, 5, 6, 7] {
        assert_eq!(expect_text(&mut subscriber, number).dup, number < 5);
    }
}

/// A Receive Maximum of 0 would allow nothing: it is a protocol error, and so is one that stands twice.
/// [MQTT5 4.13.1-1, 3.1.4-1]
fn a_receive_maximum_of_0_is_refused(server: &Server) {
    let with = |values: &[u16]| {
        let mut connect = Connect::new(V5, "client");
        connect.properties.extend(values.iter().map(|value| Property::ReceiveMaximum(*value)));
        connect
    };
    works(server, &mut server.connect(&with(&[1])).0);
    for values in [&[0][..], &[5, 5]] {
        let mut client = server.open_with(&with(values).encode());
        assert_eq!(client.connack().reason, 0x82);
        assert_eq!(client.end(), []);
    }
}
