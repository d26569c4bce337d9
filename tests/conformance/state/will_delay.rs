//! Will Delay Interval against Session Expiry Interval (section 3.1.3.2.2): whichever is sooner. All else of wills is in `will`.

use super::*;

tests! {
    a_will_waits_for_its_delay_and_no_longer: V5;
    a_will_waits_no_longer_than_its_session: V5;
    a_return_takes_a_waiting_will_back: V5;
    a_good_bye_that_asks_for_the_will_has_it_wait: V5;
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

/// A will with a delay is published when that has passed, not sooner: of two, the one with the shorter delay comes first
/// though its connection ended last.
/// [MQTT5 3.1.2-8, 3.1.3-9]
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
/// [MQTT5 3.1.2-8, 3.1.3-9]
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
/// [MQTT5 3.1.2-8, 3.1.3-9]
fn a_return_takes_a_waiting_will_back(server: &Server) {
    let mut watcher = watcher(server);
    server.connect(&delayed("client", 2, 1000)).0.abort();
    let returned = server.resume("client");
    seconds_pass(server, 3);
    nothing_before_marker(server, &mut watcher, "will");
    returned.disconnect();
    nothing_before_marker(server, &mut watcher, "will");
}

/// A DISCONNECT that asks for the will, with reason 0x04, has it published after its delay.
/// [MQTT5 3.1.2-8, 3.1.3-9]
fn a_good_bye_that_asks_for_the_will_has_it_wait(server: &Server) {
    let mut watcher = watcher(server);
    let mut leaving = server.connect(&delayed("later", 2, 1000)).0;
    leaving.send(&barnacle_wire::Disconnect { reason: 0x04, properties: Vec::new() }.encode(V5));
    assert_eq!(leaving.end(), []);
    server.publish(&Publish::new("will", "before").qos(1, 1));
    assert_eq!(take_texts(&mut watcher, 2), ["before", "later"]);
}
