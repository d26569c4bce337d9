//! The committer: groups, orders, refuses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use barnacle_storage::*;

use crate::support::*;

#[test]
fn many_transactions_share_a_sync_and_are_answered_in_order() {
    const COUNT: usize = 5000;
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let before = fixture.store.statistics();
    let answered = Arc::new(Mutex::new(Vec::new()));
    let (last, done) = mpsc::channel();
    for number in 0..COUNT {
        let (answered, last) = (answered.clone(), last.clone());
        let transaction = Transaction {
            source: None,
            fence: None,
            operations: vec![publish(&fixture.store, "t", &number.to_string())],
        };
        fixture.store.submit(transaction, move |outcome| {
            let Ok(Outcome::Committed(committed)) = outcome else { panic!("{outcome:?}") };
            assert!(committed.lsn <= committed.head);
            answered.lock().expect("not poisoned").push((number, committed.lsn));
            if number == COUNT - 1 {
                last.send(()).expect("the test waits");
            }
        });
    }
    done.recv().expect("answered");
    let answered = answered.lock().expect("not poisoned");
    assert_eq!(answered.len(), COUNT);
    assert!(answered.is_sorted(), "in the order of submission, which is that of the LSNs");
    let after = fixture.store.statistics();
    let (commits, syncs) = (after.commits - before.commits, after.syncs - before.syncs);
    assert!(syncs == commits && commits < COUNT as u64 / 4, "{commits} commits, {syncs} syncs");
    assert_eq!(after.transactions - before.transactions, COUNT as u64);
    assert_eq!((after.messages, after.appends), (COUNT as u64, COUNT as u64));
    assert!(after.blocks < COUNT as u64 / 4);
    let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(fixture.read(&client, Lsn(0)), expected);
    let deadline = Instant::now() + Duration::from_secs(5);
    while fixture.store.pending_bytes() > 0 {
        assert!(Instant::now() < deadline, "what was answered is not pending");
    }
}

#[test]
fn what_nobody_wants_is_not_written() {
    let fixture = fixture();
    let before = fixture.store.statistics();
    let lsn = fixture.publish("t", "nobody");
    let committed = fixture.commit(vec![Operation::TakePosition]);
    assert_eq!((committed.lsn, committed.head), (lsn, lsn), "it has an LSN all the same");
    let after = fixture.store.statistics();
    assert_eq!(
        (after.commits, after.syncs, after.wal_bytes),
        (before.commits, before.syncs, before.wal_bytes)
    );
}

#[test]
fn qos_0_is_appended_to_no_log() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 2);
    let publish = Publish { qos: 0, ..new_publish(&fixture.store, "t", "x") };
    fixture.commit(vec![Operation::Publish(publish)]);
    assert_eq!(fixture.read(&client, Lsn(0)), Vec::<String>::new());
}

#[test]
fn one_transaction_takes_a_range_of_lsns() {
    let fixture = fixture();
    let first = fixture.publish("t", "before");
    let committed = fixture.commit(vec![
        Operation::TakePosition,
        publish(&fixture.store, "t", "1"),
        publish(&fixture.store, "t", "2"),
    ]);
    assert_eq!((committed.lsn, committed.head), (Lsn(first.0 + 1), Lsn(first.0 + 2)));
}

#[test]
fn a_callback_that_panics_stops_nobody() {
    let fixture = fixture();
    fixture.store.submit(Transaction::default(), |_| panic!("as a bug would"));
    fixture.publish("t", "x");
}

#[test]
fn a_closed_store_refuses_and_answers() {
    let fixture = fixture();
    let store = fixture.store.clone();
    let Fixture { store: closing, directory: _directory, .. } = fixture;
    closing.close().expect("closes");
    assert_eq!(outcome(&store, Transaction::default()).err(), Some(CommitError::Closed));
}

#[test]
fn everything_submitted_before_the_store_is_closed_is_committed() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let committed = Arc::new(AtomicUsize::new(0));
    for number in 0..500 {
        let committed = committed.clone();
        let operations = vec![publish(&fixture.store, "t", &number.to_string())];
        fixture.store.submit(Transaction { source: None, fence: None, operations }, move |outcome| {
            assert!(outcome.is_ok());
            committed.fetch_add(1, Ordering::Relaxed);
        });
    }
    let Fixture { store, directory, .. } = fixture;
    store.close().expect("closes");
    assert_eq!(committed.load(Ordering::Relaxed), 500);
    let (store, recovery) = Store::open(Options::new(directory.path())).expect("opens");
    assert!(recovery.clean);
    let fixture = Fixture { directory, store, recovery };
    let client = fixture.attach("a");
    assert_eq!(fixture.read(&client, Lsn(0)).len(), 500);
}

#[test]
#[should_panic(expected = "fence")]
fn an_operation_on_a_session_without_a_fence_is_a_bug() {
    let fixture = fixture();
    fixture.store.submit(Transaction { source: None, fence: None, operations: vec![Operation::End] }, |_| {});
}

#[test]
fn weaker_modes_write_before_they_answer_and_sync_later_or_never() {
    let interval = Durability::Interval(Duration::from_millis(20));
    for durability in [interval, Durability::Os] {
        let fixture = fixture_with(|options| options.durability = durability);
        let client = fixture.attach("a");
        fixture.subscribe(&client, "t", 1);
        fixture.publish("t", "kept");
        if durability == interval {
            let deadline = Instant::now() + Duration::from_secs(10);
            while fixture.store.statistics().syncs == 0 {
                assert!(Instant::now() < deadline, "nothing was synced");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let statistics = fixture.store.statistics();
        assert!(statistics.syncs < statistics.commits, "{statistics:?}");
        let fixture = fixture.reopen();
        assert_eq!(fixture.recovery.lost, None);
        let client = fixture.attach("a");
        assert_eq!(fixture.read(&client, Lsn(0)), ["kept"]);
    }
}

#[test]
fn who_watches_is_woken_by_entries_of_its_logs_alone() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    let (woken, wakes) = mpsc::channel();
    let watch = fixture.store.watch(&a.reader, Arc::new(move || woken.send(()).expect("the test listens")));
    fixture.publish("other", "x");
    fixture.publish("t", "1");
    wakes.recv_timeout(Duration::from_secs(10)).expect("woken by its own log");
    assert!(wakes.try_recv().is_err(), "and by nothing else");
    // From here on it reads the filter's own log.
    fixture.subscribe(&b, "t", 1);
    fixture.publish("t", "2");
    wakes.recv_timeout(Duration::from_secs(10)).expect("woken by a log that it shares");
    drop(watch);
    fixture.publish("t", "3");
    fixture.publish("t", "4");
    assert!(wakes.try_recv().is_err(), "the watch is over");
}

#[test]
fn a_crowd_is_woken_by_another_thread_than_the_committer() {
    let fixture = fixture();
    let (woken, wakes) = mpsc::channel();
    let mut watches = Vec::new();
    for number in 0..200 {
        let client = fixture.attach(&format!("client {number}"));
        fixture.subscribe(&client, "t", 1);
        let woken = woken.clone();
        let wake = move || {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            woken.send((number, thread)).expect("the test listens");
        };
        watches.push(fixture.store.watch(&client.reader, Arc::new(wake)));
    }
    fixture.publish("t", "x");
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let (number, thread) = wakes.recv_timeout(Duration::from_secs(10)).expect("everyone is woken");
        assert_eq!(thread, "notifier");
        seen.push(number);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
}
