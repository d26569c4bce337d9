//! Expiry: in bounded steps, across clocks that jump, and of retained messages.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barnacle_storage::*;
use bytes::BytesMut;

use crate::support::*;

const HOUR_MILLIS: u64 = HOUR as u64 * 1000;

#[test]
fn many_sessions_expire_in_bounded_steps() {
    let fixture = fixture_with(|options| options.durability = Durability::Os);
    let will = Will { message: message("will", "gone"), delay_interval: 1, message_expiry_interval: None };
    let now_millis = fixture.store.clock().now_millis();
    for number in 0..2_500 {
        let attach = Attach { will: Some(will.clone()), now_millis, ..attach(&format!("client {number}")) };
        let fence = fixture.attached(attach).fence;
        let detach = Detach { session_expiry_interval: HOUR, will: WillFate::Publish, now_millis };
        commit(
            &fixture.store,
            Transaction { source: None, fence, operations: vec![Operation::Detach(detach)] },
        );
    }
    let due = now_millis + 1_000;
    let mut steps = Vec::new();
    while fixture.store.next_deadline().is_some_and(|deadline| deadline <= due) {
        steps.push(fixture.commit(vec![Operation::PublishDueWills { now_millis: due }]).wills.len());
    }
    assert_eq!(steps, [1_000, 1_000, 500]);
    let end = now_millis + HOUR_MILLIS;
    steps.clear();
    while fixture.store.next_deadline().is_some_and(|deadline| deadline <= end) {
        let answers = fixture.commit(vec![Operation::ExpireSessions { now_millis: end }]).answers;
        let Answer::Ended(ended) = &answers[0] else { panic!("{answers:?}") };
        steps.push(ended.len());
    }
    assert_eq!(steps, [1_000, 1_000, 500]);
    assert_eq!(fixture.store.counts().sessions, 0);
}

#[test]
fn all_that_expired_while_the_store_was_closed_has_ended_when_it_is_open() {
    let fixture = fixture_with(|options| options.durability = Durability::Os);
    for number in 0..1_200 {
        let client = fixture.attach(&format!("client {number}"));
        // Long ago.
        fixture.detach(&client);
    }
    let fixture = fixture.reopen();
    assert_eq!((fixture.recovery.ended.len(), fixture.store.counts().sessions), (1_200, 0));
}

/// A wall clock that the test sets, in milliseconds since the Unix epoch.
static WALL: AtomicU64 = AtomicU64::new(400_000 * HOUR_MILLIS);

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(WALL.load(Relaxed))
}

fn reopen(fixture: Fixture) -> Fixture {
    fixture.reopen_with(|options| options.wall_clock = wall)
}

/// The sessions that are left.
fn left(fixture: &Fixture) -> usize {
    fixture.store.counts().sessions
}

fn attach_and_detach(fixture: &Fixture, client_id: &str, session_expiry_interval: u32) {
    let now_millis = fixture.store.clock().now_millis();
    let fence = fixture.attached(Attach { now_millis, ..attach(client_id) }).fence;
    let detach = Detach { session_expiry_interval, will: WillFate::Publish, now_millis };
    commit(&fixture.store, Transaction { source: None, fence, operations: vec![Operation::Detach(detach)] });
}

#[test]
fn a_wall_clock_that_jumps_expires_neither_all_nor_nothing() {
    let fixture = fixture_with(|options| options.wall_clock = wall);
    attach_and_detach(&fixture, "a", HOUR);
    let began = fixture.store.clock().now_millis();

    // Forward, while the store is open, with nothing else going on before a crash.
    WALL.fetch_add(10 * HOUR_MILLIS, Relaxed);
    assert!(fixture.store.clock().now_millis() < began + HOUR_MILLIS);
    let commits = fixture.store.statistics().commits;
    while fixture.store.statistics().commits == commits {
        // As the store does by itself now and then.
        fixture.store.trim();
    }
    let fixture = reopen(fixture);
    assert_eq!(left(&fixture), 1, "no time has passed");

    // Back by more than it had come forward, while the store is closed.
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    WALL.fetch_sub(20 * HOUR_MILLIS, Relaxed);
    let mut options = Options::new(directory.path());
    options.wall_clock = wall;
    let (store, recovery) = Store::open(options).expect("opens");
    assert!(store.clock().now_millis() >= began, "it never goes back");
    let fixture = Fixture { directory, store, recovery };
    attach_and_detach(&fixture, "b", HOUR);
    assert_eq!(left(&fixture), 2);

    // From there on, time passes as it should.
    WALL.fetch_add(HOUR_MILLIS / 2, Relaxed);
    let note = fixture.store.statistics().commits;
    while fixture.store.statistics().commits == note {
        fixture.store.trim();
    }
    let fixture = reopen(fixture);
    assert_eq!(left(&fixture), 2, "the store was open: that was a jump");
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    WALL.fetch_add(HOUR_MILLIS + 1_000, Relaxed);
    let mut options = Options::new(directory.path());
    options.wall_clock = wall;
    let (store, recovery) = Store::open(options).expect("opens");
    let mut ended: Vec<_> = recovery.ended.iter().map(|ended| ended.client_id.to_string()).collect();
    ended.sort();
    assert_eq!((ended, store.counts().sessions), (vec!["a".to_owned(), "b".to_owned()], 0));
}

/// A retained message that expires so many milliseconds from now, by the store's clock.
fn expiring(store: &Store, topic: &str, payload: &str, millis: u64) -> Operation {
    let expires_at_millis = Some(store.clock().now_millis() + millis);
    let message = Message { expires_at_millis, retain: true, ..message(topic, payload) };
    Operation::Publish(Publish::of(&message, store.route(topic), &mut BytesMut::new()))
}

fn retained(fixture: &Fixture, filter: &str) -> Vec<String> {
    let mut scan = RetainedScan { through: fixture.store.head(), after_topic: String::new() };
    let mut found = Vec::new();
    loop {
        let page = fixture.store.read_retained(filter, &scan, ALL).expect("whole");
        found.extend(page.messages.iter().map(|(_, message)| text(message)));
        if page.done {
            return found;
        }
        scan.after_topic = page.after_topic;
    }
}

#[test]
fn retained_messages_that_have_expired_are_removed() {
    let fixture = fixture_with(|options| options.durability = Durability::Os);
    let topics = 1_000;
    let mut operations: Vec<_> =
        (0..topics).map(|number| expiring(&fixture.store, &format!("r/{number}"), "old", 0)).collect();
    operations.push(retain(&fixture.store, "r/stays", "for ever"));
    operations.push(expiring(&fixture.store, "r/later", "for an hour", HOUR_MILLIS));
    fixture.commit(operations);
    // What has expired before is found, turn by turn, also after a crash.
    let fixture = fixture.reopen();
    let mut turns = 0;
    while fixture.store.statistics().expired_retained < topics {
        fixture.store.trim();
        fixture.commit(vec![]);
        turns += 1;
        assert!(turns < 1_000, "they are not found");
    }
    assert_eq!(retained(&fixture, "r/#"), ["for an hour", "for ever"]);
    let fixture = fixture.reopen();
    assert_eq!(retained(&fixture, "r/#"), ["for an hour", "for ever"]);
}

/// The sweep looks, a new message comes, and only then the committer removes what was found.
#[test]
fn a_topic_that_has_a_new_message_by_then_keeps_it() {
    let fixture = fixture_with(|options| options.durability = Durability::Os);
    for _ in 0..200 {
        fixture.commit(vec![expiring(&fixture.store, "r", "old", 0)]);
        std::thread::scope(|scope| {
            scope.spawn(|| fixture.store.trim());
            fixture.commit(vec![retain(&fixture.store, "r", "new")]);
        });
        fixture.commit(vec![]);
        assert_eq!(retained(&fixture, "r"), ["new"]);
    }
}
