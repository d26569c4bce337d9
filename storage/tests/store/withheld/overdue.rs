//! Deadlines that need a part of the disk that gives nothing: they wait, and others are met.

use barnacle_storage::*;

use super::{committed, crash, fails, open, options, own_log, slow, will, wills, with_messages};
use crate::stepped::Stepped;
use crate::support::*;

#[test]
fn a_will_for_a_log_that_is_withheld_waits_and_others_are_published() {
    let memory = Memory::new();
    let mut stepped = open(&memory);
    let due = NOW + 60_000;
    for name in ["a", "b"] {
        let client = stepped.attach(name);
        stepped.subscribe(&client, name);
        stepped.commit(None, vec![publish(&stepped.store, name, "before")]);
        let will = Some(will(name, &format!("will for {name}"), 60));
        let attach = Attach { will, ..attach(&format!("will of {name}")) };
        let client = stepped.attached(attach).into();
        stepped.detach(&client, WillFate::Publish);
    }
    let mut stepped = crash(stepped);
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    stepped.memory.withhold(own_log(&a));
    let publish = |stepped: &mut Stepped, now_millis| {
        let operations =
            vec![Operation::PublishDueWills { now_millis }, Operation::ExpireSessions { now_millis }];
        stepped.commit(None, operations)
    };
    assert_eq!(stepped.store.next_deadline(), Some(due));
    assert_eq!(wills(&publish(&mut stepped, due)), ["will for b"]);
    assert!(!fails(&stepped), "nobody waits but the will");
    assert_eq!(stepped.store.next_deadline(), Some(due + 1000), "it is tried again, and not all the time");
    assert_eq!(publish(&mut stepped, due + 999).wills, []);
    assert_eq!(publish(&mut stepped, due + 1000).wills, []);
    assert_eq!(stepped.store.next_deadline(), Some(due + 2000));
    stepped.memory.give_everything();
    assert_eq!(wills(&publish(&mut stepped, due + 2000)), ["will for a"]);
    assert_eq!(publish(&mut stepped, due + 3000).wills, []);
    assert_eq!(stepped.read(&a), ["before", "will for a"]);
    assert_eq!(stepped.read(&b), ["before", "will for b"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}

/// The store, opened two minutes after a crash while the client's log is withheld, and when that is.
fn crash_and_open_late(stepped: Stepped, client: &Client) -> (Stepped, u64) {
    let Stepped { memory, store, stepper } = stepped;
    memory.crash(Survivors::First(0));
    drop((store, stepper));
    memory.withhold(own_log(client));
    let now_millis = NOW + 120_000;
    let (store, stepper, _) =
        Store::open_stepped(options(&memory), now_millis).expect("it opens all the same");
    (Stepped { memory, store, stepper }, now_millis)
}

#[test]
fn a_store_opens_with_a_will_overdue_for_a_log_that_is_withheld() {
    let (mut stepped, a, _) = with_messages();
    let attach = Attach { will: Some(will("a", "overdue", 60)), ..attach("with a will") };
    let client = stepped.attached(attach).into();
    stepped.detach(&client, WillFate::Publish);
    let (mut stepped, now_millis) = crash_and_open_late(stepped, &a);
    assert_eq!(stepped.store.next_deadline(), Some(now_millis + 1000));
    stepped.memory.give_everything();
    let operations = vec![Operation::PublishDueWills { now_millis: now_millis + 1000 }];
    assert_eq!(wills(&stepped.commit(None, operations)), ["overdue"]);
    let a = stepped.attach("a");
    assert_eq!(stepped.read(&a), ["before", "overdue"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}

/// More sessions than one transaction looks after, each with a will for the log of "a" that is due in a minute, and one with a will
/// for that of "b" behind them.
fn with_many_wills() -> (Stepped, Client) {
    let (mut stepped, a, _) = with_messages();
    let wills = std::iter::repeat_n(will("a", "will for a", 60), MANY).chain([will("b", "will for b", 61)]);
    for (number, will) in wills.enumerate() {
        let attach = Attach { will: Some(will), ..attach(&format!("mortal {number}")) };
        let client = stepped.attached(attach).into();
        stepped.detach(&client, WillFate::Publish);
    }
    (stepped, a)
}

const MANY: usize = 1_200;

/// Publishes the wills that wait, and sees that none is missing.
fn publish_many_wills(mut stepped: Stepped, now_millis: u64) {
    stepped.memory.give_everything();
    let mut publish = || wills(&stepped.commit(None, vec![Operation::PublishDueWills { now_millis }])).len();
    assert_eq!([publish(), publish(), publish()], [1_000, MANY - 1_000, 0]);
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    assert_eq!((stepped.read(&a).len(), stepped.read(&b).len()), (1 + MANY, 2));
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}

/// Those who take the place of others that are held back need what is withheld as well.
#[test]
fn more_wills_for_a_log_that_is_withheld_than_one_transaction_publishes_hold_up_nobody() {
    let (stepped, a) = with_many_wills();
    let stepped = crash(stepped);
    stepped.memory.withhold(own_log(&a));
    let now_millis = NOW + 61_000;
    let operations = vec![Operation::PublishDueWills { now_millis }];
    let answered = stepped.submit(Transaction { operations, ..Transaction::default() });
    let Stepped { memory, store, mut stepper } = stepped;
    let turn = std::thread::spawn(move || {
        stepper.commit();
        stepper
    });
    until("it does nothing", || turn.is_finished() || store.statistics().failed_reads > 100);
    let is_done = turn.is_finished();
    memory.give_everything();
    let stepper = turn.join().expect("no panic");
    assert!(is_done, "everybody waits for what only wills need");
    assert_eq!(wills(&committed(&answered)), ["will for b"]);
    assert_eq!(store.statistics().failed_reads, 1, "what is known to be withheld is not asked for again");
    publish_many_wills(Stepped { memory, store, stepper }, now_millis + 1000);
}

#[test]
fn a_store_opens_with_more_wills_overdue_than_one_transaction_publishes() {
    let (stepped, a) = with_many_wills();
    let (stepped, now_millis) = crash_and_open_late(stepped, &a);
    publish_many_wills(stepped, now_millis + 1000);
}

#[test]
fn a_disk_that_takes_long_to_say_nothing_is_seldom_asked_for_what_a_will_needs() {
    let (mut stepped, a, _) = with_messages();
    let attach = Attach { will: Some(will("a", "will", HOUR / 2)), ..attach("mortal") };
    let client = stepped.attached(attach).into();
    stepped.detach(&client, WillFate::Publish);
    let mut stepped = slow::crash_and_open(stepped);
    stepped.memory.withhold(own_log(&a));
    let due = stepped.store.next_deadline().expect("the will");
    stepped.commit(None, vec![Operation::PublishDueWills { now_millis: due }]);
    let again = stepped.store.next_deadline().expect("the will");
    assert!(again >= due + 11_000, "{} ms after an attempt of a second", again - due);
}
