//! A filter that one session alone holds: its counts are exact.

use super::*;

#[test]
fn each_policy_keeps_to_its_messages_across_kills() {
    for policy in ["drop-oldest", "drop-newest", "reject"] {
        let limit = SessionLimit::messages(50, policy);
        let mut broker = limit.start();
        absent(&broker, "absent", "t");
        let mut refused = 0;
        for round in 0..3 {
            refused += publish(&broker, Version::V5, "t", round * 40..(round + 1) * 40);
            limit.killed(&mut broker, "absent");
        }
        let taken = take(&broker, "absent", 50);
        match policy {
            "drop-oldest" => expect_sequence(&taken, 70..120),
            _ => expect_sequence(&taken, 0..50),
        }
        let found = limit.killed(&mut broker, "absent");
        let dropped = if policy == "reject" { 0 } else { 70 };
        assert_eq!(found.dropped(DropReason::SessionLimit), Dropped::exactly(dropped), "{policy}");
        assert_eq!(refused, if policy == "reject" { 70 } else { 0 }, "{policy}");
        // What was taken has made room.
        assert_eq!(publish(&broker, Version::V5, "t", 120..130), 0, "{policy}");
        expect_sequence(&take(&broker, "absent", 10), 120..130);
    }
}

#[test]
fn each_policy_keeps_to_its_bytes_across_kills() {
    const BYTES: u64 = 5_000;
    for policy in ["drop-oldest", "drop-newest", "reject"] {
        let limit = SessionLimit::bytes(BYTES, policy);
        let mut broker = limit.start();
        absent(&broker, "absent", "t");
        let mut refused = 0;
        for round in 0..3 {
            refused += publish(&broker, Version::V5, "t", round * 40..(round + 1) * 40);
            limit.killed(&mut broker, "absent");
        }
        let waiting = limit.killed(&mut broker, "absent").backlog.own;
        let each = waiting.bytes / waiting.messages;
        let kept = if policy == "drop-oldest" { BYTES / each } else { BYTES.div_ceil(each) };
        let taken = take(&broker, "absent", usize::try_from(kept).expect("few"));
        match policy {
            "drop-oldest" => expect_sequence(&taken, 120 - kept..120),
            _ => expect_sequence(&taken, 0..kept),
        }
        let found = limit.killed(&mut broker, "absent");
        let dropped = if policy == "reject" { 0 } else { 120 - kept };
        assert_eq!(found.dropped(DropReason::SessionLimit), Dropped::exactly(dropped), "{policy}");
        assert_eq!(refused, if policy == "reject" { 120 - kept } else { 0 }, "{policy}");
    }
}

/// Killed between the drop and its acknowledgement, again and again: whatever was committed either waits or is counted,
/// and whatever was acknowledged was committed.
#[test]
fn what_is_committed_is_kept_or_counted_whenever_the_broker_dies() {
    let limit = SessionLimit::messages(100, "drop-newest");
    let mut broker = limit.start();
    absent(&broker, "absent", "t");
    let mut acknowledged = 0;
    for round in 0..12 {
        let mut publisher = broker.client(Version::V311, "publisher");
        let burst: Vec<u8> = (0..60)
            .flat_map(|number| message("t", number).qos(1, 1 + number as u16).encode(Version::V311))
            .collect();
        publisher.send(&burst).expect("the broker reads");
        for _ in 0..round * 5 {
            assert!(matches!(publisher.read(PATIENCE), Ok(Packet::PubAck(_))));
            acknowledged += 1;
        }
        let found = limit.killed(&mut broker, "absent");
        let dropped = found.dropped(DropReason::SessionLimit);
        assert_eq!(dropped.shared_at_most, 0);
        assert_eq!(found.backlog.own.messages + dropped.exactly, found.head.0, "round {round}");
        assert!(found.backlog.own.messages <= 100);
        assert!(found.head.0 >= acknowledged, "{} of {acknowledged} acknowledged were kept", found.head.0);
    }
    let found = limit.killed(&mut broker, "absent");
    assert!(found.dropped(DropReason::SessionLimit).exactly > 100, "kills came after the limit, too");
}

/// A client that is connected and acknowledges nothing: what it has been sent stays, of the rest the oldest go.
#[test]
fn a_stuck_client_keeps_its_exchanges_and_the_newest() {
    const WINDOW: u16 = 5;
    let limit = SessionLimit::messages(20, "drop-oldest");
    let mut broker = limit.start();
    absent(&broker, "stuck", "t");
    let connect = Connect::persistent(Version::V5, "stuck").property(Property::ReceiveMaximum(WINDOW));
    let (mut stuck, _) = broker.connect(&connect);
    publish(&broker, Version::V5, "t", 0..5);
    let sent: Vec<Publish> = (0..WINDOW).map(|_| stuck.expect_publish()).collect();
    publish(&broker, Version::V5, "t", 5..300);
    // Killed with the exchanges open: they come again as they were, and then the newest.
    limit.killed(&mut broker, "stuck");
    let (mut again, _) = broker.connect(&connect);
    for before in &sent {
        let resent = again.expect_publish();
        assert!(resent.dup);
        assert_eq!((resent.packet_id, &resent.payload), (before.packet_id, &before.payload));
        again.ack(kind::PUBACK, resent.packet_id).expect("PUBACK is sent");
    }
    let mut subscriber = Subscriber::new(again);
    let mut rest = Vec::new();
    while rest.last() != Some(&299) {
        rest.extend(numbers(&subscriber.take(1)));
    }
    assert!(rest.is_sorted() && rest[0] >= 5);
    leave(&broker, "stuck", subscriber);
    let found = limit.killed(&mut broker, "stuck");
    let dropped = found.dropped(DropReason::SessionLimit);
    assert_eq!(dropped, Dropped::exactly(300 - 5 - rest.len() as u64));
    assert!(dropped.exactly > 0);
}
