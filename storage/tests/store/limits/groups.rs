//! Limits of groups: exact, by messages and by bytes, with each policy, across crashes.

use std::sync::Arc;

use super::*;

const JOBS: &str = "$share/workers/t";

fn group_limits(max_messages: u64, policy: Policy) -> Limits {
    let group = Limit { max_messages: Some(max_messages), max_bytes: None, policy };
    Limits { group, ..Limits::default() }
}

/// A group with a stored member that is away.
fn with_group(limits: Limits) -> Fixture {
    let fixture = fixture_with(|options| options.limits = limits);
    let away = fixture.attach("away");
    fixture.subscribe(&away, JOBS, 1);
    leave(&fixture, &away);
    fixture
}

fn member(fixture: &Fixture, connection: u64) -> GroupMember {
    fixture.store.group_member(JOBS, connection, Arc::new(|| {})).expect("the group is there")
}

fn take(fixture: &Fixture, connection: u64, pulled: &[Pulled]) {
    let taken = pulled.iter().map(|pulled| pulled.span).collect();
    let take = GroupTake { filter: JOBS.into(), member: connection, taken, ..GroupTake::default() };
    fixture.commit(vec![Operation::TakeFromGroup(take)]);
}

fn waiting(fixture: &Fixture) -> u64 {
    fixture.store.group_backlog(JOBS).expect("the log is whole").expect("the group is there").messages
}

/// What the group counts, which is all that is counted.
fn dropped(fixture: &Fixture, reason: DropReason) -> u64 {
    let found = fixture.store.group_drops(JOBS).expect("the group is there").get(reason);
    assert_eq!(found, fixture.store.drops().get(reason));
    assert_eq!(found.shared_at_most, 0);
    found.exactly
}

/// Groups drop with the next batch.
fn next_batch(fixture: &Fixture) {
    fixture.commit(vec![Operation::TakePosition]);
}

#[test]
fn the_oldest_that_nobody_has_taken_go() {
    let fixture = with_group(group_limits(5, Policy::DropOldest));
    let one = member(&fixture, 1);
    publish_numbers(&fixture, "t", 1..=3);
    let held = pull(&fixture, &one, 2);
    publish_numbers(&fixture, "t", 4..=10);
    next_batch(&fixture);
    // 1 and 2 are in a window, and may have been sent.
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (5, 5));
    take(&fixture, 1, &held);
    assert_eq!(waiting(&fixture), 3);
    publish_numbers(&fixture, "t", 11..=13);
    next_batch(&fixture);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (5, 6));
    drop(one);

    let fixture = fixture.reopen_with(|options| options.limits = group_limits(3, Policy::DropOldest));
    assert_eq!(
        (waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)),
        (3, 8),
        "a lower limit at once"
    );
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 2), 9)), numbers(11..=13));
    let fixture = fixture.reopen();
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (3, 8), "and no limit");
    publish_numbers(&fixture, "t", 14..=20);
    assert_eq!(waiting(&fixture), 10);
}

#[test]
fn holes_are_passed_over_when_the_oldest_go() {
    let fixture = with_group(group_limits(4, Policy::DropOldest));
    let (one, two) = (member(&fixture, 1), member(&fixture, 2));
    publish_numbers(&fixture, "t", 1..=4);
    let first = pull(&fixture, &one, 1);
    let second = pull(&fixture, &two, 1);
    take(&fixture, 2, &second);
    one.put_back([first[0].span]);
    // 1, 3 and 4 wait.
    publish_numbers(&fixture, "t", 5..=7);
    next_batch(&fixture);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (4, 2));
    assert_eq!(texts(&pull(&fixture, &two, 9)), numbers(4..=7));
}

#[test]
fn the_newest_are_left_out_exactly() {
    let fixture = with_group(group_limits(5, Policy::DropNewest));
    publish_numbers(&fixture, "t", 1..=9);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (5, 4));
    let one = member(&fixture, 1);
    let held = pull(&fixture, &one, 3);
    publish_numbers(&fixture, "t", 10..=10);
    assert_eq!(dropped(&fixture, DropReason::GroupLimit), 5, "what is not taken for good counts");
    take(&fixture, 1, &held[..2]);
    drop(one);
    let fixture = fixture.reopen_with(|options| options.limits = group_limits(5, Policy::DropNewest));
    publish_numbers(&fixture, "t", 11..=14);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (5, 7));
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 2), 9)), numbers([3, 4, 5, 11, 12]));
}

#[test]
fn bytes_are_limited_too() {
    for policy in [Policy::DropOldest, Policy::DropNewest] {
        let body = new_publish(&fixture().store, "t", "12345678").body.len() as u64;
        let group = Limit { max_messages: None, max_bytes: Some(4 * body), policy };
        let limits = Limits { group, ..Limits::default() };
        let fixture = with_group(limits);
        for _ in 0..10 {
            fixture.publish("t", "12345678");
        }
        next_batch(&fixture);
        assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (4, 6), "{policy:?}");
        let fixture = fixture.reopen_with(|options| options.limits = limits);
        assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (4, 6), "{policy:?}");
    }
}

#[test]
fn who_publishes_to_a_full_group_is_refused_if_it_can_be_told() {
    let fixture = with_group(group_limits(3, Policy::Reject));
    let publish = |refusable| Publish { refusable, ..new_publish(&fixture.store, "t", "x") };
    let refused = |publish| fixture.commit(vec![Operation::Publish(publish)]).refused.len();
    assert_eq!((0..3).map(|_| refused(publish(true))).sum::<usize>(), 0);
    assert_eq!(refused(publish(true)), 1);
    assert_eq!(dropped(&fixture, DropReason::GroupLimit), 0, "who was refused knows");
    assert_eq!(refused(publish(false)), 0);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (3, 1));
    let one = member(&fixture, 1);
    take(&fixture, 1, &pull(&fixture, &one, 1));
    assert_eq!(refused(publish(true)), 0);
}

/// Nobody else's messages are concerned.
#[test]
fn a_full_group_is_left_out_of_what_others_get() {
    let fixture = with_group(group_limits(2, Policy::DropNewest));
    let client = fixture.attach("one");
    fixture.subscribe(&client, "t", 1);
    let start = fixture.store.head();
    publish_numbers(&fixture, "t", 1..=5);
    assert_eq!(read_all(&fixture, &client, start), numbers(1..=5));
    assert_eq!(waiting(&fixture), 2);
}

/// What comes back counts again, from its place or appended again.
#[test]
fn what_comes_back_waits_again() {
    let fixture = with_group(group_limits(4, Policy::DropNewest));
    publish_numbers(&fixture, "t", 1..=4);
    let client = fixture.attach("one");
    fixture.subscribe(&client, JOBS, 1);
    let one = member(&fixture, 1);
    let pulled = pull(&fixture, &one, 2);
    let open = pulled.iter().zip(1..).map(|(pulled, id)| exchange(id, &pulled.entry)).collect();
    let outbound = Outbound { position: fixture.store.head(), last_packet_id: 2, open };
    let taken = pulled.iter().map(|pulled| pulled.span).collect();
    let take = GroupTake { filter: JOBS.into(), member: 1, taken, ..GroupTake::default() };
    fixture.commit_as(&client, vec![Operation::SaveOutbound(outbound), Operation::TakeFromGroup(take)]);
    drop(one);
    assert_eq!(waiting(&fixture), 2);
    let held = Operation::Hold {
        packet_id: 1,
        lsn: pulled[0].entry.lsn,
        body: new_publish(&fixture.store, "t", "1").body,
    };
    fixture.commit_as(&client, vec![held]);
    fixture.commit_as(&client, vec![Operation::End]);
    assert_eq!(waiting(&fixture), 4);
    publish_numbers(&fixture, "t", 5..=5);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::GroupLimit)), (4, 1));
    let mut all = texts(&pull(&fixture, &member(&fixture, 2), 9));
    all.sort();
    assert_eq!(all, numbers(1..=4));
}

/// What was taken and never sent goes back, of QoS 2 too.
#[test]
fn what_a_stored_session_was_never_sent_goes_back() {
    let fixture = with_group(group_limits(4, Policy::DropNewest));
    publish_numbers(&fixture, "t", 1..=3);
    let client = fixture.attach("one");
    fixture.subscribe(&client, JOBS, 2);
    let one = member(&fixture, 1);
    let pulled = pull(&fixture, &one, 2);
    let open = pulled.iter().zip(1..).map(|(pulled, id)| Exchange { qos: 2, ..exchange(id, &pulled.entry) });
    let outbound = Outbound { position: fixture.store.head(), last_packet_id: 2, open: open.collect() };
    let taken = pulled.iter().map(|pulled| pulled.span).collect();
    let take = GroupTake { filter: JOBS.into(), member: 1, taken, ..GroupTake::default() };
    fixture
        .commit_as(&client, vec![Operation::SaveOutbound(outbound.clone()), Operation::TakeFromGroup(take)]);
    drop(one);
    // The second was held back when the connection ended.
    let lsn = pulled[1].entry.lsn;
    let open = outbound.open[..1].to_vec();
    let operations = vec![
        Operation::ReturnToGroup { log: pulled_log(&outbound), unsent: vec![lsn] },
        Operation::SaveOutbound(Outbound { open, ..outbound }),
        Operation::End,
    ];
    fixture.commit_as(&client, operations);
    assert_eq!(dropped(&fixture, DropReason::GroupDiscarded), 1);
    let fixture = fixture.reopen();
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 2), 9)), numbers([2, 3]));
}

fn pulled_log(outbound: &Outbound) -> LogId {
    outbound.open[0].log
}

/// [MQTT-4.8.2-6]
#[test]
fn what_members_refuse_is_counted() {
    let fixture = with_group(Limits::default());
    publish_numbers(&fixture, "t", 1..=2);
    let one = member(&fixture, 1);
    let pulled = pull(&fixture, &one, 2);
    take(&fixture, 1, &pulled);
    let client = fixture.attach("other");
    let log = one.log();
    fixture.commit(vec![Operation::CountRefused(vec![log, log, LogId(client.id.0)])]);
    drop(one);
    let fixture = fixture.reopen();
    assert_eq!(dropped(&fixture, DropReason::GroupRefused), 2);
    assert_eq!(pull(&fixture, &member(&fixture, 2), 9), []);
}

/// With the last member goes what waited: counted, and off what waits in total.
#[test]
fn what_waits_when_a_group_ends_is_counted() {
    let total = Limit { max_messages: Some(6), max_bytes: None, policy: Policy::DropNewest };
    let fixture = with_group(Limits { total, ..Limits::default() });
    publish_numbers(&fixture, "t", 1..=5);
    let away = fixture.attach("away");
    fixture.unsubscribe(&away, JOBS);
    assert_eq!(fixture.store.drops().get(DropReason::Unsubscribed), Dropped::exactly(5));
    fixture.subscribe(&away, "t", 1);
    publish_numbers(&fixture, "t", 1..=6);
    assert_eq!(fixture.store.drops().get(DropReason::TotalLimit), Dropped::default());
}

/// The limit of all that waits concerns groups as well.
#[test]
fn groups_drop_their_oldest_when_too_much_waits_in_total() {
    let total = Limit { max_messages: Some(4), max_bytes: None, policy: Policy::DropOldest };
    let fixture = with_group(Limits { total, ..Limits::default() });
    publish_numbers(&fixture, "t", 1..=10);
    fixture.store.trim();
    next_batch(&fixture);
    assert_eq!((waiting(&fixture), dropped(&fixture, DropReason::TotalLimit)), (4, 6));
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 1), 9)), numbers(7..=10));
}

/// Whenever the store dies: what was acknowledged waits, or is taken, or is counted; never twice, never not at all.
#[test]
fn what_is_committed_waits_or_is_counted_across_crashes() {
    for policy in [Policy::DropOldest, Policy::DropNewest] {
        let mut fixture = with_group(group_limits(7, policy));
        let (mut published, mut done) = (0, 0);
        for round in 0..12_u64 {
            for _ in 0..(3 + round * 5 % 11) {
                published += 1;
                fixture.publish("t", &published.to_string());
            }
            let one = member(&fixture, round);
            let pulled = pull(&fixture, &one, 2 + (round % 3) as usize);
            let finished = &pulled[..pulled.len() / 2];
            take(&fixture, round, finished);
            done += finished.len() as u64;
            drop(one);
            fixture = fixture.reopen_with(|options| options.limits = group_limits(7, policy));
            let found = waiting(&fixture) + dropped(&fixture, DropReason::GroupLimit) + done;
            assert_eq!(found, published, "{policy:?}, round {round}");
            assert!(waiting(&fixture) <= 7);
        }
    }
}
