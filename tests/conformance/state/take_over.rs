//! A second connection with the client identifier of the first (section 3.1.4), and what it does to session and will.

use super::*;

tests! {
    the_first_connection_is_closed: BOTH;
    the_session_goes_on_with_the_second: BOTH;
    the_will_of_the_first_is_published: BOTH;
    a_will_that_was_to_wait_is_not_published_if_the_session_goes_on: V5;
    a_session_that_ends_with_its_connection_does_not_go_on: V5;
    a_clean_start_ends_the_session_of_the_first: BOTH;
}

/// The first connection is closed, in 5.0 with Session taken over; the second works. A third does the same to it.
/// [MQTT5 3.1.4-3, 4.13.2-1] [MQTT311 3.1.4-2]
fn the_first_connection_is_closed(server: &Server) {
    for lasting in [false, true] {
        let connect = |round: usize| match lasting {
            true if round == 0 => server.new_session("client"),
            true => server.resume("client"),
            false => server.client("client"),
        };
        let mut first = connect(0);
        works(server, &mut first);
        for round in 1..=2 {
            let mut second = connect(round);
            expect_end(server, &mut first, &[0x8e]);
            works(server, &mut second);
            first = second;
        }
        first.disconnect();
        end_session(server, "client");
    }
}

/// Without Clean Start the second connection goes on with what the first one had: subscriptions, what was begun, what
/// was received. What the first has sent before is all there.
/// [MQTT5 3.1.4-3, 3.1.2-5, 4.4.0-1] [MQTT311 3.1.4-2, 3.1.2-4]
fn the_session_goes_on_with_the_second(server: &Server) {
    let mut first = server.new_session("client");
    first.subscribe(&Subscribe::new(1, "t", 2));
    server.publish(&Publish::new("t", "begun").qos(2, 1));
    let begun = first.message();
    first.publish(&Publish::new("u", "once").qos(2, 7));
    assert!(matches!(first.receive(), Packet::PubRec(ack) if ack.packet_id == 7));
    let mut second = server.resume("client");
    expect_end(server, &mut first, &[0x8e]);
    assert_eq!(take(&mut second), Publish { dup: true, ..begun });
    second.publish(&Publish::new("u", "once").qos(2, 7).dup(true));
    second.expect(&Packet::PubRec(Ack::new(7)));
    second.ack(kind::PUBREL, 7);
    second.expect(&Packet::PubComp(Ack::new(7)));
    nothing_before_marker(server, &mut second, "t");
}

/// The first connection did not say good-bye, so its will is published, once: also if the second one is of the same
/// session, and whether or not that has a will of its own, which stays. Without a will nothing is published.
/// [MQTT5 3.1.4-3, 3.1.2-8, 3.1.2-10] [MQTT311 3.1.4-2, 3.1.2-8, 3.1.2-10]
fn the_will_of_the_first_is_published(server: &Server) {
    let mut watcher = server.client("watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    for lasting in [false, true] {
        let connect = || match lasting {
            true => Connect::persistent(server.version, "client"),
            false => server.hello("client"),
        };
        let first = server.connect(&connect().will(will("will", "the first one's"))).0;
        let second = server.connect(&connect()).0;
        assert_eq!(text(&take(&mut watcher)), "the first one's");
        let third = server.connect(&connect().will(will("will", "the third one's"))).0;
        let fourth = server.connect(&connect().will(will("will", "the fourth one's"))).0;
        assert_eq!(text(&take(&mut watcher)), "the third one's");
        fourth.disconnect();
        nothing_before_marker(server, &mut watcher, "will");
        drop((first, second, third));
        end_session(server, "client");
    }
}

/// A will with a delay is taken back by a connection that resumes the session before it is due; the will of the second
/// connection takes its place. If the second connection ends the session, the will is due with it.
/// [MQTT5 3.1.3-9, 3.1.2-8]
fn a_will_that_was_to_wait_is_not_published_if_the_session_goes_on(server: &Server) {
    let mut watcher = server.client("watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    let delayed = |payload: &str, seconds| {
        let mut will = will("will", payload);
        will.properties.push(Property::WillDelayInterval(seconds));
        expiring("client", 1000).will(will)
    };
    let mut first = server.connect(&delayed("the first one's", 1)).0;
    let (second, connack) = server.connect(&delayed("the second one's", 1000));
    assert!(connack.session_present);
    expect_end(server, &mut first, &[0x8e]);
    seconds_pass(server, 2);
    nothing_before_marker(server, &mut watcher, "will");
    let third = server.connect(&Connect::new(V5, "client")).0;
    assert_eq!(text(&take(&mut watcher)), "the second one's");
    third.disconnect();
    nothing_before_marker(server, &mut watcher, "will");
    drop(second);
}

/// A session with Session Expiry Interval 0 ends when its connection is taken over, so there is none to go on with,
/// though the second connection would: Session Present is 0. A will is due at that moment, whatever its delay.
/// [MQTT5 3.1.4-3, 3.2.2-2, 3.1.3-9, 4.1.0-2]
fn a_session_that_ends_with_its_connection_does_not_go_on(server: &Server) {
    let mut watcher = server.client("watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    let mut will = will("will", "the first one's");
    will.properties.push(Property::WillDelayInterval(1000));
    let mut first = server.connect(&expiring("client", 0).will(will)).0;
    first.subscribe(&Subscribe::new(1, "t", 1));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    assert_eq!(text(&first.message()), "v");
    let (mut second, connack) = server.connect(&expiring("client", 1000));
    assert!(!connack.session_present);
    expect_end(server, &mut first, &[0x8e]);
    assert_eq!(text(&take(&mut watcher)), "the first one's");
    second.subscribe(&Subscribe::new(1, "marker", 1));
    server.publish(&Publish::new("t", "not subscribed").qos(1, 1));
    nothing_before_marker(server, &mut second, "marker");
}

/// With Clean Start (3.1.1: Clean Session) the second connection begins anew: nothing of the first one's session is
/// there, then or after.
/// [MQTT5 3.1.2-4, 3.1.4-3] [MQTT311 3.1.2-6, 3.1.4-2]
fn a_clean_start_ends_the_session_of_the_first(server: &Server) {
    let mut first = server.new_session("client");
    first.subscribe(&Subscribe::new(1, "t", 2));
    server.publish(&Publish::new("t", "begun").qos(2, 1));
    first.message();
    let (mut second, connack) = server.connect(&server.hello("client"));
    assert!(!connack.session_present);
    expect_end(server, &mut first, &[0x8e]);
    server.publish(&Publish::new("t", "not subscribed").qos(1, 1));
    works(server, &mut second);
    second.disconnect();
    let mut third = server.new_session("client");
    works(server, &mut third);
}
