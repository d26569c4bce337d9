//! The limit of everything that waits.

use super::*;

fn total(max_messages: u64, policy: Policy) -> Fixture {
    fixture_with(|options| options.limits = total_limits(max_messages, policy))
}

fn total_limits(max_messages: u64, policy: Policy) -> Limits {
    let total = Limit { max_messages: Some(max_messages), max_bytes: None, policy };
    Limits { total, ..Limits::default() }
}

/// Two sessions without a connection: one alone on `own`, both on `t`.
fn two_sessions(fixture: &Fixture) -> [Client; 2] {
    let clients = ["one", "other"].map(|client_id| fixture.attach(client_id));
    fixture.subscribe(&clients[0], "own", 1);
    for client in &clients {
        fixture.subscribe(client, "t", 1);
        leave(fixture, client);
    }
    clients
}

#[test]
fn nothing_more_is_queued_for_anybody_until_something_is_consumed() {
    let fixture = total(6, Policy::DropNewest);
    two_sessions(&fixture);
    publish_numbers(&fixture, "own", 1..=3);
    publish_numbers(&fixture, "t", 1..=5);
    publish_numbers(&fixture, "own", 4..=5);
    assert_eq!(dropped(&fixture, "one", DropReason::TotalLimit), Dropped::exactly(2));
    assert_eq!(fixture.store.drops().get(DropReason::TotalLimit), Dropped { exactly: 2, shared_at_most: 2 });
    let fixture = fixture.reopen_with(|options| options.limits = total_limits(6, Policy::DropNewest));
    publish_numbers(&fixture, "own", 6..=6);
    assert_eq!(dropped(&fixture, "one", DropReason::TotalLimit), Dropped::exactly(3), "it knows what waits");
    let one = fixture.attach("one");
    assert_eq!(read_all(&fixture, &one, Lsn(0)), numbers([1, 2, 3, 1, 2, 3]));
    save_position(&fixture, &one, fixture.store.head());
    fixture.store.trim();
    publish_numbers(&fixture, "own", 7..=9);
    let other = fixture.attach("other");
    assert_eq!(read_all(&fixture, &other, Lsn(0)), numbers(1..=3));
    assert!(backlog(&fixture, "one").own.messages >= 2);
}

#[test]
fn a_publish_is_refused_when_it_can_be() {
    let fixture = total(2, Policy::Reject);
    two_sessions(&fixture);
    publish_numbers(&fixture, "t", 1..=2);
    let refusable = |topic: &str| Publish { refusable: true, ..new_publish(&fixture.store, topic, "x") };
    for (topic, refused) in [("t", true), ("nobody", false)] {
        let committed = fixture.commit(vec![Operation::Publish(refusable(topic))]);
        assert_eq!(!committed.refused.is_empty(), refused, "{topic}");
    }
    let one = fixture.attach("one");
    fixture.commit_as(&one, vec![Operation::End]);
    let other = fixture.attach("other");
    fixture.commit_as(&other, vec![Operation::End]);
    two_sessions(&fixture);
    let committed = fixture.commit(vec![Operation::Publish(refusable("t"))]);
    assert!(committed.refused.is_empty(), "what waited has gone with its sessions");
}

#[test]
fn the_oldest_of_everybody_go() {
    let fixture = total(10, Policy::DropOldest);
    two_sessions(&fixture);
    publish_numbers(&fixture, "own", 1..=8);
    publish_numbers(&fixture, "t", 1..=8);
    for _ in 0..2 {
        fixture.store.trim();
        fixture.commit(vec![Operation::TakePosition]);
    }
    assert_eq!(dropped(&fixture, "one", DropReason::TotalLimit), Dropped::exactly(6));
    assert!(dropped(&fixture, "other", DropReason::TotalLimit).is_zero());
    let [one, other] = ["one", "other"].map(|client_id| fixture.attach(client_id));
    assert_eq!(read_all(&fixture, &one, Lsn(0)), numbers((7..=8).chain(1..=8)));
    assert_eq!(read_all(&fixture, &other, Lsn(0)), numbers(1..=8));

    // Those with a connection are told.
    publish_numbers(&fixture, "t", 9..=20);
    fixture.store.trim();
    assert!(one.reader.take_over_limit());
    let excess = fixture.store.excess(&one.reader, Lsn(0)).expect("whole").expect("there is too much");
    assert_eq!(excess.reason, DropReason::TotalLimit);
    assert_eq!(excess.dropped.own.messages, 2);
    assert_eq!(read_all(&fixture, &one, excess.through), numbers(11..=20));
}
