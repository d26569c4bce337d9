//! Members and a broker that is killed: every acknowledged job is done, and at QoS 2 by one member only.

use std::collections::HashMap;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Connect, Packet, Property, Publish, Subscribe, Version, kind};

use super::{FILTER, acknowledge, drain, number, passing_worker, publish, session, work, worker};
use crate::broker::Broker;

#[test]
fn what_was_not_acknowledged_is_done_after_a_kill() {
    let mut broker = Broker::start();
    let mut one = worker(&broker, Version::V5, "one", 1);
    let mut passing = passing_worker(&broker, Version::V311, "passing", 1);
    publish(&broker, 1..=40, 1);
    let begun: Vec<u16> = (0..5).map(|_| number(&one.expect_publish())).collect();
    let lost: Vec<u16> = (0..5).map(|_| number(&passing.expect_publish())).collect();
    broker.kill_and_start_again();
    let mut one = session(&broker, Version::V5, "one");
    let again: Vec<Publish> = (0..5).map(|_| one.expect_publish()).collect();
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), begun);
    assert!(again.iter().all(|job| job.dup));
    again.iter().for_each(|job| acknowledge(&mut one, job));
    let rest = drain(&mut one);
    let mut all = [begun, rest].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
    assert!(lost.iter().all(|number| all.contains(number)), "the session that is gone leaves its jobs");
}

/// At QoS 2 a job may be sent to one member only, whatever dies: a passing member's are lost with it, a stored one's not.
#[test]
fn at_qos_2_no_job_is_done_twice_across_a_kill() {
    let mut broker = Broker::start();
    let mut one = worker(&broker, Version::V5, "one", 2);
    // What was on its way to the passing one when the broker died may be lost with it, and no more.
    let sent_at_most = 10;
    let narrow = Connect::new(Version::V5, "passing").property(Property::ReceiveMaximum(10));
    let mut passing = broker.connect(&narrow).0;
    passing.subscribe(&Subscribe::new(1, FILTER, 2));
    publish(&broker, 1..=30, 2);
    let mut seen: HashMap<u16, u32> = HashMap::new();
    let sent_to_passing: Vec<u16> = (0..3).map(|_| number(&passing.expect_publish())).collect();
    for number in work(&mut one, 3) {
        *seen.entry(number).or_default() += 1;
    }
    // One is received and not complete.
    publish(&broker, 31..=40, 2);
    let open = one.expect_publish();
    one.ack(kind::PUBREC, open.packet_id).expect("PUBREC is sent");
    *seen.entry(number(&open)).or_default() += 1;
    // Others may come before its PUBREL; they come again.
    while !matches!(one.read(PATIENCE), Ok(Packet::PubRel(release)) if release.packet_id == open.packet_id) {}
    broker.kill_and_start_again();
    let mut one = session(&broker, Version::V5, "one");
    for number in drain(&mut one) {
        *seen.entry(number).or_default() += 1;
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    assert!(sent_to_passing.iter().all(|number| !seen.contains_key(number)), "[MQTT-4.8.2-5]");
    let missing: Vec<u16> = (1..=40).filter(|number| !seen.contains_key(number)).collect();
    assert!(missing.len() <= sent_at_most, "{missing:?} are nowhere");
}
