//! Writes and syncs that fail: nothing is acknowledged before it is kept, and nothing that was acknowledged is lost.

use std::sync::mpsc;

use barnacle_storage::*;

use crate::stepped::{Stepped, submit};
use crate::support::*;

fn open(memory: &Memory, durability: Durability) -> Stepped {
    let mut options = Options::in_memory(memory);
    options.durability = durability;
    Stepped::open_with(options)
}

/// A session that subscribes to everything.
fn attach(stepped: &mut Stepped) -> Client {
    let client = stepped.attach("client");
    stepped.subscribe(&client, "#");
    client
}

fn publish_t(stepped: &mut Stepped, payload: &str) -> Lsn {
    stepped.commit(None, vec![publish(&stepped.store, "t", payload)]).lsn
}

/// The power is cut, and nothing comes back that was not synced.
fn cut_power(stepped: Stepped) -> Stepped {
    stepped.memory.crash(Survivors::First(0));
    Stepped::open(&stepped.memory)
}

#[test]
fn whatever_fails_at_whatever_operation_nothing_acknowledged_is_lost() {
    for fault in [Fault::NoSpace, Fault::FailedSync] {
        for operation in 0..14 {
            let mut stepped = open(&Memory::new(), Durability::Fsync);
            let client = attach(&mut stepped);
            stepped.memory.plan(stepped.memory.operations() + operation, fault);
            let first = publish_t(&mut stepped, "1").0;
            for number in 2..=8_u64 {
                let lsn = publish_t(&mut stepped, &number.to_string());
                assert_eq!(lsn.0, first + number - 1, "an LSN is neither skipped nor used twice");
            }
            let all: Vec<String> = (1..=8).map(|number: u64| number.to_string()).collect();
            assert_eq!(stepped.read(&client), all, "{fault:?} at {operation}");
            assert_eq!((stepped.store.health(), stepped.store.is_full()), (Health::Ok, false));
            assert_eq!(stepped.store.statistics().reopenings, 1, "{fault:?} at {operation}");
            let mut resumed = cut_power(stepped);
            let client = attach(&mut resumed);
            assert_eq!(resumed.read(&client), all, "{fault:?} at {operation}, after the power came back");
        }
    }
}

#[test]
fn a_failure_is_told_to_who_watches_and_ends() {
    let mut stepped = open(&Memory::new(), Durability::Fsync);
    let client = attach(&mut stepped);
    let (tell, told) = mpsc::channel();
    let store = stepped.store.clone();
    stepped.store.watch_health(std::sync::Arc::new(move || {
        tell.send((store.is_full(), store.health())).expect("the test waits");
    }));
    stepped.memory.plan(stepped.memory.operations(), Fault::FailedSync);
    publish_t(&mut stepped, "1");
    let (full, health) = told.try_recv().expect("it began");
    assert!(full && matches!(health, Health::Failing { .. }), "{health:?}");
    assert_eq!(told.try_recv().expect("it ended"), (false, Health::Ok));
    assert_eq!(stepped.read(&client), ["1"]);
}

#[test]
fn a_weak_mode_that_has_lost_what_it_acknowledged_says_so() {
    let interval = Durability::Interval(std::time::Duration::from_secs(1));
    let mut stepped = open(&Memory::new(), interval);
    attach(&mut stepped);
    stepped.stepper.sync();
    publish_t(&mut stepped, "1");
    stepped.memory.plan(stepped.memory.operations(), Fault::FailedSync);
    stepped.stepper.sync();
    let Health::Failed { reason } = stepped.store.health() else { panic!("{:?}", stepped.store.health()) };
    assert!(reason.contains("did not come back"), "{reason}");
    let outcome = stepped.outcome(None, vec![publish(&stepped.store, "t", "2")]);
    assert_eq!(outcome.err(), Some(CommitError::Failed(reason)));
    assert!(stepped.store.is_full());
}

#[test]
fn a_weak_mode_goes_on_after_a_write_that_found_no_room() {
    let mut stepped = open(&Memory::new(), Durability::Os);
    let client = attach(&mut stepped);
    publish_t(&mut stepped, "1");
    stepped.memory.plan(stepped.memory.operations(), Fault::NoSpace);
    publish_t(&mut stepped, "2");
    assert_eq!(stepped.read(&client), ["1", "2"]);
    assert_eq!((stepped.store.statistics().reopenings, stepped.store.health()), (1, Health::Ok));
}

#[test]
fn a_disk_that_gives_nothing_is_no_damage_and_is_told_of() {
    let mut stepped = open(&Memory::new(), Durability::Fsync);
    let client = attach(&mut stepped);
    publish_t(&mut stepped, "1");
    let mut stepped = cut_power(stepped);
    let client = Client { reader: attach(&mut stepped).reader, ..client };
    stepped.memory.fail_reads(2);
    for failed in 1..=2 {
        let error = stepped.store.read(&client.reader, Lsn(0), ALL).expect_err("the disk gives nothing");
        assert!(error.passing().is_some_and(|reason| reason.contains("input/output")), "{error}");
        assert_eq!(stepped.store.statistics().failed_reads, failed);
        assert!(matches!(stepped.store.health(), Health::Unreadable { .. }), "{:?}", stepped.store.health());
        assert!(!stepped.store.is_full(), "publishes are taken");
    }
    assert_eq!(stepped.read(&client), ["1"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}

#[test]
fn a_message_without_room_leaves_no_older_one_retained() {
    let fixture = fixture();
    let retained = |through| {
        let scan = RetainedScan { through, after_topic: String::new() };
        fixture.store.read_retained("#", &scan, ALL).expect("the records are whole").messages.len()
    };
    let forget = || {
        let publish = new_publish(&fixture.store, "t", "new");
        vec![Operation::Publish(Publish { qos: 0, retained: RetainedChange::Forget, ..publish })]
    };
    let kept = fixture.commit(vec![retain(&fixture.store, "t", "old")]).lsn;
    assert_eq!(retained(kept), 1);
    let forgotten = fixture.commit(forget()).lsn;
    assert_eq!(retained(forgotten), 0);
    let before = fixture.store.statistics().commits;
    fixture.commit(forget());
    assert_eq!(fixture.store.statistics().commits, before, "nothing is written where there was none");
}

/// A store with threads on a disk in memory that has been crashed with everything synced: nothing is in memory of what its logs have.
fn after_a_crash(memory: &Memory, fill: impl FnOnce(&Fixture)) -> Fixture {
    let fixture = fixture_with(|options| options.memory = Some(memory.clone()));
    fill(&fixture);
    memory.crash(Survivors::All);
    fixture.reopen_with(|options| options.memory = Some(memory.clone()))
}

/// Commits while the disk gives nothing for a while: the commit waits, and says so.
fn commit_waiting(memory: &Memory, fixture: &Fixture, transaction: Transaction) {
    memory.fail_reads(u64::MAX);
    let answered = submit(&fixture.store, transaction);
    until("it does not say so", || matches!(fixture.store.health(), Health::Failing { .. }));
    assert!(answered.try_recv().is_err(), "it is not done");
    memory.fail_reads(0);
    assert!(matches!(answered.recv(), Ok(Ok(Outcome::Committed(_)))));
    assert_eq!(fixture.store.statistics().damaged_ranges, 0, "what was not given is no damage");
}

#[test]
fn a_log_whose_end_the_disk_does_not_give_is_waited_for() {
    let memory = Memory::new();
    let fixture = after_a_crash(&memory, |fixture| {
        let client = fixture.attach("a");
        fixture.subscribe(&client, "#", 1);
        for number in 0..5 {
            fixture.publish("t", &number.to_string());
        }
    });
    let client = fixture.attach("a");
    let last = publish(&fixture.store, "t", "5");
    commit_waiting(&memory, &fixture, Transaction { source: None, fence: None, operations: vec![last] });
    let pass = fixture.pass(&client, Lsn(0));
    assert_eq!((payloads(&pass).concat().as_str(), pass.damaged.len()), ("012345", 0));
}

#[test]
fn an_exchange_whose_message_the_disk_does_not_give_outlives_its_log_all_the_same() {
    let memory = Memory::new();
    let mut begun = None;
    let fixture = after_a_crash(&memory, |fixture| {
        let (a, b) = (fixture.attach("a"), fixture.attach("b"));
        [&a, &b].into_iter().for_each(|client| drop(fixture.subscribe(client, "both", 1)));
        fixture.publish("both", "begun");
        let entry = fixture.pass(&a, Lsn(0)).entries.remove(0);
        let exchange = exchange(1, &entry);
        begun = Some((a.id, exchange.clone()));
        fixture.save(&a, Outbound { position: entry.lsn, last_packet_id: 1, open: vec![exchange] });
        fixture.unsubscribe(&b, "both");
    });
    let (session, exchange) = begun.expect("it has begun");
    let a = fixture.attach("a");
    let operations = vec![Operation::Unsubscribe(vec!["both".into()])];
    commit_waiting(&memory, &fixture, Transaction { source: None, fence: Some((a.id, a.epoch)), operations });
    let found = fixture.store.read_exchange(session, &exchange).expect("readable").expect("it is kept");
    assert_eq!(text(&found), "begun");
}
