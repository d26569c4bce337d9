//! Limits on what waits, and the counts of what is dropped: each policy, by messages and by bytes, in own and in shared
//! logs, across crashes.

mod groups;
mod history;
mod newest;
mod oldest;
mod reject;
mod total;

use barnacle_storage::*;

use crate::support::*;

/// A store whose sessions have a limit.
fn limited(max_messages: u64, policy: Policy) -> Fixture {
    fixture_with(|options| options.limits = session_limits(max_messages, policy))
}

fn session_limits(max_messages: u64, policy: Policy) -> Limits {
    let session = Limit { max_messages: Some(max_messages), max_bytes: None, policy };
    Limits { session, ..Limits::default() }
}

/// Opens it again as after a crash, with the same limit.
fn reopen(fixture: Fixture, max_messages: u64, policy: Policy) -> Fixture {
    fixture.reopen_with(|options| options.limits = session_limits(max_messages, policy))
}

fn dropped(fixture: &Fixture, client_id: &str, reason: DropReason) -> Dropped {
    fixture.store.session_drops(client_id).expect("the session is stored").get(reason)
}

fn shared(at_most: u64) -> Dropped {
    Dropped { exactly: 0, shared_at_most: at_most }
}

fn backlog(fixture: &Fixture, client_id: &str) -> Backlog {
    fixture.store.backlog(client_id).expect("the logs are whole").expect("the session is stored")
}

/// Publishes `first..=last`, each in a transaction of its own.
fn publish_numbers(fixture: &Fixture, topic: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        fixture.publish(topic, &number.to_string());
    }
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

/// Reads everything, pass by pass, as a connection does.
fn read_all(fixture: &Fixture, client: &Client, mut position: Lsn) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        let pass = fixture.pass(client, position);
        read.extend(payloads(&pass));
        position = pass.through;
        if !pass.more {
            return read;
        }
    }
}

/// Detaches for ever: a store that is opened again goes by the clock.
fn leave(fixture: &Fixture, client: &Client) {
    let will = WillFate::Forget;
    let detach = Detach { session_expiry_interval: u32::MAX, will, now_millis: NOW };
    fixture.commit_as(client, vec![Operation::Detach(detach)]);
}

fn save_position(fixture: &Fixture, client: &Client, position: Lsn) {
    fixture.save(client, Outbound { position, ..Outbound::default() });
}

#[test]
fn counts_are_kept_with_the_transaction_that_drops() {
    let fixture = fixture();
    let client = fixture.attach("a");
    let expired =
        |messages| Operation::CountDrops { reason: DropReason::Expired, dropped: Dropped::exactly(messages) };
    fixture.commit_as(&client, vec![Operation::SaveOutbound(Outbound::default()), expired(3)]);
    fixture.commit_as(&client, vec![expired(2)]);
    fixture.store.note_drops(DropReason::Mailbox, 9);
    assert_eq!(fixture.store.drops().get(DropReason::Mailbox), Dropped::exactly(9));
    fixture.commit_as(&client, vec![expired(0)]);
    let fixture = fixture.reopen();
    assert_eq!(dropped(&fixture, "a", DropReason::Expired), Dropped::exactly(5));
    assert_eq!(fixture.store.drops().get(DropReason::Expired), Dropped::exactly(5));
    assert!(fixture.store.session_drops("b").is_none());

    let client = fixture.attach("a");
    fixture.commit_as(&client, vec![Operation::End]);
    assert!(fixture.store.session_drops("a").is_none());
    let again = fixture.attach("a");
    assert!(fixture.store.session_drops("a").is_some_and(|drops| drops.is_empty()), "a new session");
    fixture.commit_as(&again, vec![expired(1)]);
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.drops().get(DropReason::Expired), Dropped::exactly(6), "the total stays");
}

#[test]
fn a_count_of_a_fenced_off_connection_falls_away() {
    let fixture = fixture();
    let older = fixture.attach("a");
    let _newer = fixture.attach("a");
    let count = Operation::CountDrops { reason: DropReason::TooLarge, dropped: Dropped::exactly(1) };
    let fence = Some((older.id, older.epoch));
    let fenced = outcome(&fixture.store, Transaction { source: None, fence, operations: vec![count] });
    assert!(matches!(fenced, Ok(Outcome::Fenced)));
    assert!(fixture.store.drops().is_empty());
}

#[test]
fn an_unsubscribe_counts_what_waited_in_a_shared_log() {
    let fixture = fixture();
    let (one, other) = (fixture.attach("one"), fixture.attach("other"));
    for client in [&one, &other] {
        fixture.subscribe(client, "t", 1);
    }
    publish_numbers(&fixture, "t", 1..=3);
    save_position(&fixture, &one, fixture.store.head());
    publish_numbers(&fixture, "t", 4..=5);
    for client in [&one, &other] {
        fixture.unsubscribe(client, "t");
    }
    let fixture = fixture.reopen();
    assert_eq!(dropped(&fixture, "one", DropReason::Unsubscribed), shared(2));
    assert_eq!(dropped(&fixture, "other", DropReason::Unsubscribed), shared(5));
}

#[test]
fn the_expiry_of_a_session_counts_what_waited_for_it() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    publish_numbers(&fixture, "t", 1..=4);
    fixture.detach(&client);
    let end = NOW + u64::from(HOUR) * 1000;
    fixture.commit(vec![Operation::ExpireSessions { now_millis: end }]);
    assert_eq!(fixture.store.drops().get(DropReason::Expired), Dropped::exactly(4));
}

#[test]
fn a_backlog_is_a_difference_in_memory_and_on_the_disk() {
    let fixture = fixture();
    let (client, other) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&client, "own/#", 1);
    fixture.subscribe(&client, "t", 1);
    fixture.subscribe(&other, "t", 1);
    publish_numbers(&fixture, "own/x", 1..=5);
    let middle = fixture.publish("own/x", "6");
    publish_numbers(&fixture, "own/x", 7..=10);
    publish_numbers(&fixture, "t", 1..=3);
    save_position(&fixture, &client, middle);
    let found = backlog(&fixture, "a");
    assert_eq!((found.own.messages, found.shared_at_most.messages), (4, 3));
    assert_eq!(found.at_most(), Load { messages: 7, bytes: found.own.bytes + found.shared_at_most.bytes });
    let fixture = fixture.reopen();
    assert_eq!(backlog(&fixture, "a"), found);
    assert_eq!(fixture.store.backlog("nobody"), Ok(None));
}
