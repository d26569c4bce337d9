//! Deadlines that need a part of the disk that gives nothing: they wait, and others are met.

use barnacle_storage::*;

use super::{crash, fails, open, options, own_log, will, wills, with_messages};
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

#[test]
fn a_store_opens_with_a_will_overdue_for_a_log_that_is_withheld() {
    let (mut stepped, a, _) = with_messages();
    let attach = Attach { will: Some(will("a", "overdue", 60)), ..attach("with a will") };
    let client = stepped.attached(attach).into();
    stepped.detach(&client, WillFate::Publish);
    let Stepped { memory, store, stepper } = stepped;
    memory.crash(Survivors::First(0));
    drop((store, stepper));
    memory.withhold(own_log(&a));
    let now_millis = NOW + 120_000;
    let (store, stepper, _) =
        Store::open_stepped(options(&memory), now_millis).expect("it opens all the same");
    let mut stepped = Stepped { memory, store, stepper };
    assert_eq!(stepped.store.next_deadline(), Some(now_millis + 1000));
    stepped.memory.give_everything();
    let operations = vec![Operation::PublishDueWills { now_millis: now_millis + 1000 }];
    assert_eq!(wills(&stepped.commit(None, operations)), ["overdue"]);
    let a = stepped.attach("a");
    assert_eq!(stepped.read(&a), ["before", "overdue"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}
