//! Will Delay Interval against Session Expiry Interval (section 3.1.3.2.2): whichever is sooner.

use super::*;

tests! {
    a_will_without_delay_is_published_at_once: BOTH;
    a_will_waits_for_its_delay_and_no_longer: V5;
    a_will_waits_no_longer_than_its_session: V5;
    a_return_takes_a_waiting_will_back: V5;
    a_good_bye_takes_the_will_back: BOTH;
    a_good_bye_may_ask_for_the_will: V5;
}

#[track_caller]
fn watcher(server: &Server) -> Peer {
    let mut watcher = server.client("watcher");
    watcher.subscribe(&Subscribe::new(1, "will", 1));
    watcher
}

fn delayed(client_id: &str, delay: u32, session_expiry_interval: u32) -> Connect {
    let mut will = will("will", client_id);
    will.properties.push(Property::WillDelayInterval(delay));
    expiring(client_id, session_expiry_interval).will(will)
}

/// Without a delay, or with 0, the will is published as soon as the connection ends without DISCONNECT, though the
/// session goes on: by a broken connection, and by a protocol error.
/// [MQTT5 3.1.2-8, 3.1.3-9] [MQTT311 3.1.2-8]
fn a_will_without_delay_is_published_at_once(server: &Server) {
    let mut watcher = watcher(server);
    for lasting in [false, true] {
        let connect = |payload: &str| {
            let connect = match lasting {
                true => Connect::persistent(server.version, "client"),
                false => server.hello("client"),
            };
            let mut will = will("will", payload);
            if server.v5() && lasting {
                will.properties.push(Property::WillDelayInterval(0));
            }
            connect.will(will)
        };
        server.connect(&connect("broken")).0.abort();
        assert_eq!(text(&take(&mut watcher)), "broken");
        let mut offender = server.connect(&connect("offended")).0;
        offender.send(&[0, 0]);
        offender.end();
        assert_eq!(text(&take(&mut watcher)), "offended");
        nothing_before_marker(server, &mut watcher, "will");
    }
}

/// A will with a delay is published when that has passed, not sooner: of two, the one with the shorter delay comes first
/// though its connection ended last.
/// [MQTT5 3.1.3-9]
fn a_will_waits_for_its_delay_and_no_longer(server: &Server) {
    let mut watcher = watcher(server);
    server.connect(&delayed("four seconds", 4, 1000)).0.abort();
    server.connect(&delayed("two seconds", 2, 1000)).0.abort();
    server.publish(&Publish::new("will", "before").qos(1, 1));
    assert_eq!(take_texts(&mut watcher, 3), ["before", "two seconds", "four seconds"]);
    nothing_before_marker(server, &mut watcher, "will");
}

/// A will is published when its session ends, if that is before its delay has passed: by Session Expiry Interval 0, by a
/// short one, by one that DISCONNECT shortens, and by Clean Start.
/// [MQTT5 3.1.3-9]
fn a_will_waits_no_longer_than_its_session(server: &Server) {
    let mut watcher = watcher(server);
    server.connect(&delayed("not stored", 1000, 0)).0.abort();
    assert_eq!(text(&take(&mut watcher)), "not stored");
    server.connect(&delayed("cleaned", 1000, 1000)).0.abort();
    nothing_before_marker(server, &mut watcher, "will");
    server.client("cleaned").disconnect();
    assert_eq!(text(&take(&mut watcher)), "cleaned");
    server.connect(&delayed("short", 1000, 2)).0.abort();
    server.publish(&Publish::new("will", "before").qos(1, 1));
    assert_eq!(take_texts(&mut watcher, 2), ["before", "short"]);
    let mut shortened = server.connect(&delayed("shortened", 1000, 1000)).0;
    let properties = vec![Property::SessionExpiryInterval(0)];
    shortened.send(&barnacle_wire::Disconnect { reason: 0x04, properties }.encode(V5));
    assert_eq!(shortened.end(), []);
    assert_eq!(text(&take(&mut watcher)), "shortened");
    nothing_before_marker(server, &mut watcher, "will");
}

/// A client that comes back to its session in time takes its waiting will back: it is never published.
/// [MQTT5 3.1.3-9]
fn a_return_takes_a_waiting_will_back(server: &Server) {
    let mut watcher = watcher(server);
    server.connect(&delayed("client", 2, 1000)).0.abort();
    let returned = server.resume("client");
    seconds_pass(server, 3);
    nothing_before_marker(server, &mut watcher, "will");
    returned.disconnect();
    nothing_before_marker(server, &mut watcher, "will");
}

/// DISCONNECT (5.0: with reason 0) takes the will back for good, whether the session goes on or ends.
/// [MQTT5 3.14.4-3, 3.1.2-10] [MQTT311 3.14.4-3, 3.1.2-10]
fn a_good_bye_takes_the_will_back(server: &Server) {
    let mut watcher = watcher(server);
    for connect in [server.hello("client"), Connect::persistent(server.version, "client")] {
        server.connect(&connect.will(will("will", "never"))).0.disconnect();
        nothing_before_marker(server, &mut watcher, "will");
    }
    end_session(server, "client");
    nothing_before_marker(server, &mut watcher, "will");
}

/// Any other reason in DISCONNECT leaves the will to be published: at once or after its delay.
/// [MQTT5 3.1.2-8, 3.1.3-9]
fn a_good_bye_may_ask_for_the_will(server: &Server) {
    let mut watcher = watcher(server);
    for reason in [0x04, 0x80, 0x83] {
        let mut leaving = server.connect(&delayed("asked for", 0, 1000)).0;
        leaving.send(&barnacle_wire::Disconnect { reason, properties: Vec::new() }.encode(V5));
        assert_eq!(leaving.end(), []);
        assert_eq!(text(&take(&mut watcher)), "asked for");
    }
    let mut leaving = server.connect(&delayed("later", 2, 1000)).0;
    leaving.send(&barnacle_wire::Disconnect { reason: 0x04, properties: Vec::new() }.encode(V5));
    assert_eq!(leaving.end(), []);
    server.publish(&Publish::new("will", "before").qos(1, 1));
    assert_eq!(take_texts(&mut watcher, 2), ["before", "later"]);
}
