//! The flags in the first byte of PUBLISH: DUP and QoS. RETAIN has a file of its own.

use super::*;

tests! {
    dup_says_that_a_message_is_sent_again: BOTH;
    dup_at_qos_0_is_refused: BOTH;
    dup_of_the_publisher_is_not_passed_on: BOTH;
    qos_3_is_refused: BOTH;
}

/// A message whose acknowledgement did not come before the connection ended is sent again when the session is resumed,
/// and DUP says so; the first time it does not.
/// [MQTT5 3.3.1-1, 4.3.2-2, 4.3.3-2] [MQTT311 3.3.1-1]
fn dup_says_that_a_message_is_sent_again(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for qos in [1, 2] {
        server.publish(&Publish::new("t", "v").qos(qos, 1));
        let first = subscriber.message();
        assert_eq!((first.dup, first.qos), (false, qos));
        subscriber.abort();
        subscriber = server.resume("subscriber");
        let again = take(&mut subscriber);
        assert_eq!(again, Publish { dup: true, ..first });
    }
}

/// QoS 0 knows no repetition: a PUBLISH of QoS 0 with DUP is refused, and the broker sends none.
/// [MQTT5 3.3.1-2] [MQTT311 3.3.1-2]
fn dup_at_qos_0_is_refused(server: &Server) {
    let version = server.version;
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    refused(server, &Publish::new("t", "v").dup(true).encode(version), &[0x81, 0x82]);
    server.publish(&Publish::new("t", "w"));
    let message = subscriber.message();
    assert_eq!((text(&message), message.dup), ("w".to_owned(), false));
}

/// What the publisher says about repetition is between it and the broker: subscribers get the message for the first
/// time, with DUP 0.
/// [MQTT5 3.3.1-3] [MQTT311 3.3.1-3]
fn dup_of_the_publisher_is_not_passed_on(server: &Server) {
    let mut live = server.client("live");
    live.subscribe(&Subscribe::new(1, "t", 2));
    let mut stored = server.new_session("stored");
    stored.subscribe(&Subscribe::new(1, "t", 2));
    let mut publisher = server.client("publisher");
    for qos in [1, 2] {
        publisher.deliver(&Publish::new("t", "v").qos(qos, 9).dup(true));
        for subscriber in [&mut live, &mut stored] {
            let message = take(subscriber);
            assert_eq!((message.qos, message.dup), (qos, false));
        }
    }
}

/// There is no QoS 3: a PUBLISH that has it is malformed.
/// [MQTT5 3.3.1-4] [MQTT311 3.3.1-4]
fn qos_3_is_refused(server: &Server) {
    for flags in [0b0110, 0b0111, 0b1110, 0b1111] {
        let mut packet = RawPacket::new(0x30 | flags).string("t").u16(1);
        if server.v5() {
            packet = packet.u8(0);
        }
        refused(server, &packet.finish(), &[0x81]);
    }
}
