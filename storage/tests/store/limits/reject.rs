//! Reject: a publish to a session that is full is refused as a whole.

use super::*;

fn refusable(fixture: &Fixture, topic: &str, payload: &str) -> Publish {
    Publish { refusable: true, ..new_publish(&fixture.store, topic, payload) }
}

fn refused(fixture: &Fixture, publish: Publish) -> bool {
    match &fixture.commit(vec![Operation::Publish(publish)]).refused[..] {
        [] => false,
        [0] => true,
        other => panic!("of one publish, {other:?} were refused"),
    }
}

#[test]
fn it_goes_to_nobody_and_is_not_retained() {
    let fixture = limited(3, Policy::Reject);
    let (full, other) = (fixture.attach("full"), fixture.attach("other"));
    fixture.subscribe(&full, "t/+", 1);
    fixture.subscribe(&other, "t/#", 1);
    for number in 1..=3 {
        assert!(!refused(&fixture, refusable(&fixture, "t/a", &number.to_string())));
    }
    save_position(&fixture, &other, fixture.store.head());
    let publish = Publish { retained: RetainedChange::Set, ..refusable(&fixture, "t/a", "4") };
    assert!(refused(&fixture, publish));
    assert!(!refused(&fixture, refusable(&fixture, "t/b/c", "5")), "it is nothing to the one that is full");
    assert_eq!(read_all(&fixture, &other, Lsn(0)), numbers([1, 2, 3, 5]));
    let scan = RetainedScan { through: fixture.store.head(), after_topic: String::new() };
    let page = fixture.store.read_retained("#", &scan, ALL).expect("whole");
    assert!(page.messages.is_empty() && page.done);
    assert!(fixture.store.drops().is_empty(), "who was refused knows");
    assert_eq!(fixture.store.statistics().refused, 1);

    save_position(&fixture, &full, fixture.store.head());
    assert!(!refused(&fixture, refusable(&fixture, "t/a", "6")));
}

#[test]
fn each_publish_of_a_transaction_is_judged_at_its_place() {
    let fixture = limited(3, Policy::Reject);
    let full = fixture.attach("full");
    fixture.subscribe(&full, "t", 1);
    let publishes = ["t", "u", "t", "t", "t", "u", "t"].map(|topic| refusable(&fixture, topic, topic));
    let committed = fixture.commit(publishes.into_iter().map(Operation::Publish).collect());
    assert_eq!(committed.refused, [4, 6]);
    assert_eq!(read_all(&fixture, &full, Lsn(0)).len(), 3);
}

#[test]
fn whoever_cannot_be_told_is_left_out_and_counted() {
    for shares in [false, true] {
        let fixture = limited(3, Policy::Reject);
        let full = fixture.attach("full");
        fixture.subscribe(&full, "t", 1);
        let other = fixture.attach("other");
        if shares {
            fixture.subscribe(&other, "t", 1);
        }
        for number in 1..=5 {
            let lsn = fixture.publish("t", &number.to_string());
            save_position(&fixture, &other, lsn);
        }
        assert!(refused(&fixture, refusable(&fixture, "t", "6")));
        let fixture = reopen(fixture, 3, Policy::Reject);
        assert!(refused(&fixture, refusable(&fixture, "t", "6")));
        let full = fixture.attach("full");
        assert_eq!(read_all(&fixture, &full, Lsn(0)), numbers(1..=3));
        save_position(&fixture, &full, fixture.store.head());
        let expected = if shares { shared(2) } else { Dropped::exactly(2) };
        assert_eq!(dropped(&fixture, "full", DropReason::SessionLimit), expected);
        if shares {
            let other = fixture.attach("other");
            assert_eq!(read_all(&fixture, &other, Lsn(0)), numbers(1..=5));
        }
    }
}

#[test]
fn the_identifier_of_a_refused_publish_is_free_whatever_the_connection_still_thinks() {
    let fixture = limited(1, Policy::Reject);
    let (full, publisher) = (fixture.attach("full"), fixture.attach("publisher"));
    fixture.subscribe(&full, "t", 1);
    let exactly_once = |packet_id, topic: &str| {
        Operation::Publish(Publish { qos: 2, packet_id: Some(packet_id), ..refusable(&fixture, topic, "x") })
    };
    let inbound = |packet_ids: &[u16]| Operation::SaveInbound(packet_ids.iter().copied().collect());
    let stored = |fixture: &Fixture| {
        let attached = fixture.attached(attach("publisher"));
        attached.session.expect("it is stored").inbound.iter().collect::<Vec<u16>>()
    };
    let committed = fixture.commit_as(&publisher, vec![exactly_once(4, "t"), inbound(&[4])]);
    assert!(committed.refused.is_empty());
    // The connection hears of the refusal only after it has sent the next.
    let committed = fixture.commit_as(&publisher, vec![exactly_once(5, "t"), inbound(&[4, 5])]);
    assert_eq!(committed.refused, [0]);
    fixture.commit_as(&publisher, vec![exactly_once(6, "u"), inbound(&[4, 5, 6])]);
    let fixture = reopen(fixture, 1, Policy::Reject);
    assert_eq!(stored(&fixture), [4, 6]);

    // Used again, and taken: it is kept.
    let publisher = fixture.attach("publisher");
    let exactly_once = |packet_id, topic: &str| {
        Operation::Publish(Publish { qos: 2, packet_id: Some(packet_id), ..refusable(&fixture, topic, "x") })
    };
    fixture.commit_as(&publisher, vec![exactly_once(5, "t"), inbound(&[4, 5, 6])]);
    fixture.commit_as(&publisher, vec![exactly_once(5, "u"), inbound(&[4, 5, 6])]);
    assert_eq!(stored(&fixture), [4, 5, 6]);
}
