//! Wills: published and removed at once, when they are due, and not twice.

use barnacle_storage::*;

use crate::support::*;

fn will(payload: &str, delay_interval: u32) -> Will {
    Will { message: message("will", payload), delay_interval, message_expiry_interval: None }
}

/// A session that subscribes to all wills, and reads them from its log.
fn watcher(fixture: &Fixture) -> Client {
    let watcher = fixture.attach("watcher");
    fixture.subscribe(&watcher, "will", 2);
    watcher
}

/// What the watcher has got, after a crash.
fn seen_after_a_crash(fixture: Fixture) -> Vec<String> {
    let fixture = fixture.reopen();
    let watcher = fixture.attach("watcher");
    fixture.read(&watcher, Lsn(0))
}

struct Connection {
    fence: (SessionId, Epoch),
}

impl Connection {
    fn open(fixture: &Fixture, attach: Attach) -> Connection {
        Connection { fence: fixture.attached(attach).fence.expect("something is kept") }
    }

    fn close(&self, fixture: &Fixture, session_expiry_interval: u32, will: WillFate) -> Committed {
        let now_millis = fixture.store.clock().now_millis();
        let detach = Operation::Detach(Detach { session_expiry_interval, will, now_millis });
        commit(
            &fixture.store,
            Transaction { source: None, fence: Some(self.fence), operations: vec![detach] },
        )
    }
}

fn with_will(fixture: &Fixture, client_id: &str, will: Will) -> Attach {
    Attach { will: Some(will), now_millis: fixture.store.clock().now_millis(), ..attach(client_id) }
}

fn wills(committed: &Committed) -> Vec<String> {
    committed.wills.iter().map(|will| text(&will.message)).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_will_is_published_and_removed_in_one_commit() {
    let fixture = fixture();
    let watcher = watcher(&fixture);
    let mut mine = will("mine", 0);
    mine.message_expiry_interval = Some(9);
    mine.message.qos = 2;
    let connection = Connection::open(&fixture, with_will(&fixture, "a", mine.clone()));
    let commits = fixture.store.statistics().commits;
    let committed = connection.close(&fixture, HOUR, WillFate::Publish);
    assert_eq!(fixture.store.statistics().commits, commits + 1);
    let [published] = &committed.wills[..] else { panic!("{committed:?}") };
    assert_eq!(published.lsn, committed.head);
    let at = published.message.published_at_millis;
    assert!(at > NOW, "it counts from its publication");
    let expected = Message { published_at_millis: at, expires_at_millis: Some(at + 9_000), ..mine.message };
    assert_eq!(published.message, expected);
    assert_eq!(fixture.pass(&watcher, Lsn(0)).entries[0].message, expected);
    assert_eq!(fixture.store.next_deadline(), Some(at + u64::from(HOUR) * 1000), "only the session expires");
    assert_eq!(seen_after_a_crash(fixture), ["mine"]);
}

#[test]
fn a_will_that_is_forgotten_stays_forgotten() {
    let fixture = fixture();
    watcher(&fixture);
    let connection = Connection::open(&fixture, with_will(&fixture, "a", will("never", 0)));
    assert_eq!(wills(&connection.close(&fixture, HOUR, WillFate::Forget)), none());
    let brief = Attach { session_expiry_interval: 0, ..with_will(&fixture, "b", will("never", 0)) };
    let connection = Connection::open(&fixture, brief);
    assert_eq!(wills(&connection.close(&fixture, 0, WillFate::Forget)), none());
    let fixture = fixture.reopen();
    let all = Operation::PublishDueWills { now_millis: u64::MAX };
    assert_eq!(wills(&fixture.commit(vec![all])), none());
    assert_eq!(seen_after_a_crash(fixture), none());
}

#[test]
fn a_delayed_will_keeps_its_time_across_a_crash() {
    let fixture = fixture();
    watcher(&fixture);
    let connection = Connection::open(&fixture, with_will(&fixture, "a", will("late", 600)));
    let committed = connection.close(&fixture, HOUR, WillFate::Publish);
    assert_eq!(wills(&committed), none());
    let due = fixture.store.next_deadline().expect("a will waits");
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.next_deadline(), Some(due), "its clock goes on");
    let publish = |now_millis| fixture.commit(vec![Operation::PublishDueWills { now_millis }]);
    assert_eq!(wills(&publish(due - 1)), none());
    assert_eq!(wills(&publish(due)), ["late"]);
    assert_eq!(wills(&publish(due)), none());
    assert_eq!(seen_after_a_crash(fixture), ["late"]);
}

#[test]
fn a_will_that_fell_due_while_the_store_was_closed_is_published_when_it_opens() {
    let fixture = fixture();
    watcher(&fixture);
    let long_ago = Attach { now_millis: NOW, ..with_will(&fixture, "a", will("overdue", 600)) };
    let connection = Connection::open(&fixture, long_ago);
    let detach = Detach { session_expiry_interval: u32::MAX, will: WillFate::Publish, now_millis: NOW };
    let operations = vec![Operation::Detach(detach)];
    commit(&fixture.store, Transaction { source: None, fence: Some(connection.fence), operations });
    let fixture = fixture.reopen();
    let watcher = fixture.attach("watcher");
    assert_eq!(fixture.store.next_deadline(), None);
    assert_eq!(fixture.read(&watcher, Lsn(0)), ["overdue"]);
    assert_eq!(seen_after_a_crash(fixture), ["overdue"]);
}

#[test]
fn a_return_that_resumes_the_session_cancels_its_will_if_it_comes_in_time() {
    let fixture = fixture();
    watcher(&fixture);
    for (client_id, in_time) in [("in time", true), ("too late", false)] {
        let connection = Connection::open(&fixture, with_will(&fixture, client_id, will(client_id, 600)));
        connection.close(&fixture, HOUR, WillFate::Publish);
        let due = fixture.store.next_deadline().expect("a will waits");
        let back = Attach { now_millis: due - u64::from(in_time), ..attach(client_id) };
        let committed = fixture.commit(vec![Operation::Attach(back)]);
        assert!(matches!(&committed.answers[0], Answer::Attached(attached) if attached.present));
        assert_eq!(wills(&committed).is_empty(), in_time);
    }
    let all = Operation::PublishDueWills { now_millis: u64::MAX };
    assert_eq!(wills(&fixture.commit(vec![all])), none());
    assert_eq!(seen_after_a_crash(fixture), ["too late"]);
}

#[test]
fn a_will_is_published_when_its_session_ends_before_it_is_due() {
    let fixture = fixture();
    watcher(&fixture);
    let connection = Connection::open(&fixture, with_will(&fixture, "expires", will("expires", 2 * HOUR)));
    connection.close(&fixture, HOUR, WillFate::Publish);
    let expiry = fixture.store.next_deadline().expect("the session expires");
    let committed = fixture.commit(vec![Operation::ExpireSessions { now_millis: expiry }]);
    assert_eq!(wills(&committed), ["expires"]);

    let connection = Connection::open(&fixture, with_will(&fixture, "cleaned", will("cleaned", HOUR)));
    connection.close(&fixture, 2 * HOUR, WillFate::Publish);
    let clean = Attach { clean_start: true, ..with_will(&fixture, "cleaned", will("next", 0)) };
    assert_eq!(wills(&fixture.commit(vec![Operation::Attach(clean)])), ["cleaned"]);

    let connection = Connection::open(&fixture, with_will(&fixture, "leaves", will("leaves", HOUR)));
    let committed = connection.close(&fixture, 0, WillFate::Publish);
    assert_eq!(wills(&committed), ["leaves"], "DISCONNECT may end the session");
    assert_eq!(seen_after_a_crash(fixture), ["expires", "cleaned", "leaves"]);
}

#[test]
fn the_will_of_a_session_that_ends_with_its_connection_is_kept() {
    let fixture = fixture();
    watcher(&fixture);
    let brief = |client_id: &str| Attach {
        session_expiry_interval: 0,
        keep_alive: 10,
        ..with_will(&fixture, client_id, will(client_id, 600))
    };
    let attached = fixture.attached(brief("a"));
    assert!(!attached.present && attached.session.is_none() && attached.fence.is_some());
    let attached = fixture.attached(Attach { will: None, ..brief("without a will") });
    assert!(attached.session.is_none() && attached.fence.is_none());
    fixture.attached(brief("b"));

    // The broker dies, and one client comes back: its session had ended.
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.counts().sessions, 3);
    let back = Attach { now_millis: fixture.store.clock().now_millis(), ..attach("a") };
    let committed = fixture.commit(vec![Operation::Attach(back)]);
    assert!(matches!(&committed.answers[0], Answer::Attached(attached) if !attached.present));
    assert_eq!(wills(&committed), ["a"]);
    // The other does not. A delay does not outlast the session.
    let due = fixture.store.next_deadline().expect("a will is due");
    let from_now = due.saturating_sub(fixture.store.clock().now_millis());
    assert!((10_000..=15_000).contains(&from_now), "{from_now}");
    let committed = fixture.commit(vec![Operation::ExpireSessions { now_millis: due }]);
    assert_eq!(wills(&committed), ["b"]);
    assert_eq!(seen_after_a_crash(fixture), ["a", "b"]);
}

/// When a will is due of a client that was connected when the broker died, in seconds from the next start.
#[test]
fn wills_of_interrupted_connections_are_due_as_keep_alive_grace_and_delay_have_it() {
    struct Case {
        keep_alive: u16,
        delay: u32,
        session_expiry_interval: u32,
        due: u64,
    }
    let case = |keep_alive, delay, session_expiry_interval, due| Case {
        keep_alive,
        delay,
        session_expiry_interval,
        due,
    };
    let table = [
        case(10, 0, HOUR, 15),
        case(10, 20, HOUR, 35),
        case(100, 0, HOUR, 60),
        case(100, 20, u32::MAX, 80),
        case(0, 0, HOUR, 60),
        case(0, 20, HOUR, 80),
        // The session ends before.
        case(10, 20, 5, 5),
        case(0, 20, 30, 30),
        // It ends with its connection.
        case(10, 20, 0, 15),
        case(0, 20, 0, 60),
    ];
    for how in [WillFate::Publish, WillFate::Keep] {
        for Case { keep_alive, delay, session_expiry_interval, due } in &table {
            let fixture = fixture();
            let connection = Connection::open(
                &fixture,
                Attach {
                    keep_alive: *keep_alive,
                    session_expiry_interval: *session_expiry_interval,
                    ..with_will(&fixture, "a", will("due", *delay))
                },
            );
            // Nothing counts from an earlier time.
            let before = fixture.store.clock().now_millis() - 10;
            if how == WillFate::Keep {
                // An orderly end of the broker, as if its connection had broken with the next start.
                assert_eq!(wills(&connection.close(&fixture, *session_expiry_interval, how)), none());
                let all = Operation::PublishDueWills { now_millis: u64::MAX };
                assert_eq!(wills(&fixture.commit(vec![all])), none());
            }
            let fixture = fixture.reopen();
            let after = fixture.store.clock().now_millis();
            let deadline = fixture.store.next_deadline().expect("a will is due");
            let expected = before + due * 1000..=after + due * 1000;
            let given = format!("{how:?}, {keep_alive} {delay} {session_expiry_interval}");
            assert!(expected.contains(&deadline), "{given}: {deadline} is not in {expected:?}");
            // A second crash changes nothing.
            let fixture = fixture.reopen();
            assert_eq!(fixture.store.next_deadline(), Some(deadline), "{given}");
            let now_millis = deadline;
            let operations =
                vec![Operation::PublishDueWills { now_millis }, Operation::ExpireSessions { now_millis }];
            assert_eq!(wills(&fixture.commit(operations)), ["due"], "{given}");
        }
    }
}

#[test]
fn a_shorter_grace_is_kept_to() {
    let fixture = fixture();
    let keep_alive = 10;
    Connection::open(&fixture, Attach { keep_alive, ..with_will(&fixture, "a", will("due", 0)) });
    let fixture = fixture.reopen_with(|options| options.will_grace = std::time::Duration::from_secs(2));
    let from_now = fixture.store.next_deadline().map(|due| due - fixture.store.clock().now_millis().min(due));
    assert!(from_now.is_some_and(|millis| millis <= 2_000), "{from_now:?}");
}

#[test]
fn the_will_of_a_connection_that_was_fenced_off_is_published_unless_it_waits() {
    let fixture = fixture();
    watcher(&fixture);
    for (client_id, delay) in [("at once", 0), ("delayed", 10)] {
        fixture.attached(with_will(&fixture, client_id, will(client_id, delay)));
        // Attached again without a word of the connection before.
        fixture.attached(Attach { now_millis: fixture.store.clock().now_millis(), ..attach(client_id) });
    }
    assert_eq!(seen_after_a_crash(fixture), ["at once"]);
}

#[test]
fn a_will_is_retained_or_clears_what_is_retained() {
    let fixture = fixture();
    let retained = |fixture: &Fixture| {
        let scan = RetainedScan { through: fixture.store.head(), after_topic: String::new() };
        let page = fixture.store.read_retained("will", &scan, ALL).expect("whole");
        page.messages.iter().map(|(_, message)| text(message)).collect::<Vec<_>>()
    };
    for (payload, expected) in [("offline", vec!["offline".to_owned()]), ("", none())] {
        let mut will = will(payload, 0);
        will.message.retain = true;
        will.message.qos = 0;
        let connection = Connection::open(&fixture, with_will(&fixture, "a", will));
        connection.close(&fixture, HOUR, WillFate::Publish);
        assert_eq!(retained(&fixture), expected);
    }
}

#[test]
fn a_transaction_tells_its_own_publishes_from_wills() {
    let fixture = fixture();
    let connection = Connection::open(&fixture, with_will(&fixture, "a", will("will", 0)));
    let now_millis = fixture.store.clock().now_millis();
    let detach = Detach { session_expiry_interval: HOUR, will: WillFate::Publish, now_millis };
    let operations = vec![Operation::Detach(detach), publish(&fixture.store, "t", "own")];
    let before = fixture.store.head();
    let committed =
        commit(&fixture.store, Transaction { source: None, fence: Some(connection.fence), operations });
    assert_eq!((committed.wills[0].lsn, committed.lsn), (Lsn(before.0 + 1), Lsn(before.0 + 2)));
}
