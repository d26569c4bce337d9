//! Session Expiry Interval (sections 3.1.2.11.2 and 3.14.2.2.2): 0, the longest, and changed with DISCONNECT.

use super::*;

tests! {
    an_interval_of_0_ends_the_session_with_its_connection: V5;
    the_longest_interval_never_ends: V5;
    disconnect_may_change_the_interval: V5;
    disconnect_may_not_make_a_session_last: V5;
    each_connection_says_its_interval: V5;
    clean_session_0_lasts: V311;
}

/// Whether the session is there for a client that comes back, and that it ends afterwards.
#[track_caller]
fn present(server: &Server, client_id: &str) -> bool {
    let (client, connack) = server.connect(&expiring(client_id, 0));
    client.disconnect();
    connack.session_present
}

#[track_caller]
fn leave_with(server: &Server, connect: &Connect, session_expiry_interval: u32) {
    let mut client = server.connect(connect).0;
    client.send(&leaving(session_expiry_interval));
    assert_eq!(client.end(), []);
}

/// With 0, and without any, the session is gone when the connection is: nothing is kept for it.
/// [MQTT5 4.1.0-2, 3.1.2-23]
fn an_interval_of_0_ends_the_session_with_its_connection(server: &Server) {
    for connect in [expiring("client", 0), Connect::new(V5, "client").clean_start(false)] {
        let (mut client, connack) = server.connect(&connect);
        assert!(!connack.session_present);
        client.subscribe(&Subscribe::new(1, "t", 1));
        server.publish(&Publish::new("t", "v").qos(1, 1));
        assert_eq!(text(&client.message()), "v");
        client.abort();
        server.publish(&Publish::new("t", "w").qos(1, 1));
        let (mut client, connack) = server.connect(&connect);
        assert!(!connack.session_present);
        works(server, &mut client);
        client.disconnect();
    }
}

/// 0xFFFFFFFF is no time that passes: the session is there after those that had a time have ended.
/// [MQTT5 4.1.0-2, 3.1.2-23]
fn the_longest_interval_never_ends(server: &Server) {
    for (client_id, seconds) in [("for ever", u32::MAX), ("nearly for ever", u32::MAX - 1), ("short", 1)] {
        let (client, connack) = server.connect(&expiring(client_id, seconds));
        let granted = property(&connack.properties, |property| match property {
            Property::SessionExpiryInterval(seconds) => Some(*seconds),
            _ => None,
        });
        assert!(granted.is_none_or(|granted| granted == seconds), "{granted:?} is not {seconds}");
        client.abort();
    }
    seconds_pass(server, 2);
    assert_eq!(["for ever", "nearly for ever", "short"].map(|id| present(server, id)), [true, true, false]);
}

/// The interval of DISCONNECT takes the place of that of CONNECT: shorter, longer, 0, and for ever.
/// [MQTT5 4.1.0-2, 3.1.2-23]
fn disconnect_may_change_the_interval(server: &Server) {
    leave_with(server, &expiring("ended", 1000), 0);
    assert!(!present(server, "ended"));
    leave_with(server, &expiring("shortened", 1000), 1);
    leave_with(server, &expiring("lengthened", 1), 1000);
    leave_with(server, &expiring("for ever", 1), u32::MAX);
    leave_with(server, &expiring("no longer for ever", u32::MAX), 1);
    leave_with(server, &expiring("the same", 1000), 1000);
    seconds_pass(server, 2);
    let there = ["shortened", "lengthened", "for ever", "no longer for ever", "the same"];
    assert_eq!(there.map(|id| present(server, id)), [false, true, true, false, true]);
}

/// A session that was to end with its connection cannot be made to last by DISCONNECT: that is a protocol error, so its
/// will is published, and the session is gone all the same. To say 0 again is no error.
/// [MQTT5 4.13.1-1, 4.1.0-2]
fn disconnect_may_not_make_a_session_last(server: &Server) {
    let mut watcher = server.client("watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    for seconds in [1, 1000, u32::MAX] {
        let mut client = server.connect(&expiring("client", 0).will(will("will", "published"))).0;
        client.send(&leaving(seconds));
        expect_end(server, &mut client, &[0x82]);
        assert_eq!(text(&take(&mut watcher)), "published");
        assert!(!present(server, "client"));
    }
    leave_with(server, &expiring("client", 0).will(will("will", "never")), 0);
    nothing_before_marker(server, &mut watcher, "will");
}

/// The interval is of the connection: a client that comes back says a new one, and that counts.
/// [MQTT5 3.1.2-23, 4.1.0-2]
fn each_connection_says_its_interval(server: &Server) {
    server.connect(&expiring("longer now", 2)).0.disconnect();
    server.connect(&expiring("longer now", 1000)).0.disconnect();
    server.connect(&expiring("shorter now", 1000)).0.disconnect();
    server.connect(&expiring("shorter now", 1)).0.disconnect();
    seconds_pass(server, 3);
    assert_eq!(["longer now", "shorter now"].map(|id| present(server, id)), [true, false]);
    server.connect(&expiring("ends now", 1000)).0.disconnect();
    assert!(present(server, "ends now"));
    assert!(!present(server, "ends now"), "the connection before said 0");
}

/// In 3.1.1 a session with Clean Session 0 has no time: it is there as long as the server keeps it, which is for ever
/// unless it is set up otherwise.
/// [MQTT311 4.1.0-1, 3.1.2-4]
fn clean_session_0_lasts(server: &Server) {
    let mut client = server.new_session("client");
    client.subscribe(&Subscribe::new(1, "t", 1));
    client.disconnect();
    server.publish(&Publish::new("t", "v").qos(1, 1));
    seconds_pass(server, 2);
    let mut client = server.resume("client");
    assert_eq!(text(&take(&mut client)), "v");
}
