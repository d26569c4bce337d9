//! Message Expiry Interval and exchanges (sections 3.3.2.3.3 and 4.3.3): what has begun does not expire.

use super::*;

tests! {
    what_has_begun_does_not_expire: V5;
    what_waits_behind_a_full_window_expires: V5;
    a_message_that_expired_takes_no_place: V5;
}

fn brief(payload: &str, qos: u8) -> Publish {
    Publish::new("t", payload).qos(qos, 1).property(Property::MessageExpiryInterval(2))
}

/// A PUBLISH that was sent is sent again on the next connection though its time has passed since, and PUBREL as well.
/// The interval of what is sent again has grown less.
/// [MQTT5 4.3.3-7, 4.3.2-3, 3.3.2-6]
fn what_has_begun_does_not_expire(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for (payload, qos) in [("one", 1), ("two", 2), ("released", 2)] {
        server.publish(&brief(payload, qos));
    }
    let long = Publish::new("t", "long").qos(1, 1).property(Property::MessageExpiryInterval(1000));
    server.publish(&long);
    let [one, two, released, long] = [(); 4].map(|()| subscriber.message());
    assert!((990..=1000).contains(&expiry(&long).expect("the interval is passed on")));
    subscriber.ack(kind::PUBREC, released.packet_id);
    subscriber.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    subscriber.abort();
    seconds_pass(server, 3);
    let mut subscriber = server.resume("subscriber");
    subscriber.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    subscriber.ack(kind::PUBCOMP, released.packet_id);
    let again = take_all(&mut subscriber, 3);
    for (again, message) in again.iter().zip([one, two]) {
        let same = (again.packet_id, again.dup, text(again)) == (message.packet_id, true, text(&message));
        assert!(same, "{again:?} is not {message:?} again");
        assert!(expiry(again).is_some_and(|left| left <= 1));
    }
    let again = &again[2];
    let left = expiry(again).expect("the interval is passed on");
    assert_eq!(again.packet_id, long.packet_id);
    assert!(again.dup && (900..=997).contains(&left), "{left} s are left of 1000 after 3");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// What has not been sent because the window is full has not begun: it expires while the subscriber is connected.
/// [MQTT5 3.3.2-5]
fn what_waits_behind_a_full_window_expires(server: &Server) {
    let connect = Connect::persistent(V5, "subscriber").property(Property::ReceiveMaximum(1));
    let mut subscriber = server.connect(&connect).0;
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    server.publish(&Publish::new("t", "open").qos(1, 1));
    let open = subscriber.message();
    server.publish(&brief("one", 1));
    server.publish(&brief("two", 2));
    server.publish(&Publish::new("t", "last").qos(1, 1));
    seconds_pass(server, 3);
    finish(&mut subscriber, &open);
    assert_eq!(text(&take(&mut subscriber)), "last");
    nothing_before_marker(server, &mut subscriber, "t");
}

/// What expired while it waited uses up nothing of the window, and later messages come in their order.
/// [MQTT5 3.3.2-5, 3.3.4-9]
fn a_message_that_expired_takes_no_place(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    subscriber.disconnect();
    for number in 0..6 {
        server.publish(&brief("brief", 1 + number % 2));
        server.publish(&Publish::new("t", number.to_string()).qos(1, 1));
    }
    seconds_pass(server, 3);
    let connect = Connect::persistent(V5, "subscriber").property(Property::ReceiveMaximum(2));
    let mut subscriber = server.connect(&connect).0;
    let mut open = [subscriber.message(), subscriber.message()];
    subscriber.ping();
    for number in 0..6 {
        assert_eq!(text(&open[0]), number.to_string());
        finish(&mut subscriber, &open[0]);
        open.rotate_left(1);
        if number < 4 {
            open[1] = subscriber.message();
        }
    }
    nothing_before_marker(server, &mut subscriber, "t");
}
