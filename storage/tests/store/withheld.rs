//! A part of the disk that gives nothing: what needs it waits, and nothing else does.

mod limits;
mod overdue;
mod slow;
mod taken_over;

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use barnacle_storage::*;
use bytes::BytesMut;

use crate::stepped::{Answered, Stepped, submit};
use crate::support::*;

/// Whatever is waited for has come long before.
const HANG: Duration = Duration::from_secs(60);

fn options(memory: &Memory) -> Options {
    // What was read once is not in memory.
    Options { tail_cache_bytes: 0, ..Options::in_memory(memory) }
}

fn open(memory: &Memory) -> Stepped {
    Stepped::open_with(options(memory))
}

/// A store whose sessions "a" and "b" have got a message each on a topic of their name, opened anew after a crash.
fn with_messages() -> (Stepped, Client, Client) {
    let mut stepped = open(&Memory::new());
    for name in ["a", "b"] {
        let client = stepped.attach(name);
        stepped.subscribe(&client, name);
        stepped.commit(None, vec![publish(&stepped.store, name, "before")]);
    }
    let mut stepped = crash(stepped);
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    (stepped, a, b)
}

fn crash(stepped: Stepped) -> Stepped {
    stepped.memory.crash(Survivors::First(0));
    stepped.memory.give_everything();
    open(&stepped.memory)
}

/// A publish of one source.
fn publish_from(stepped: &Stepped, source: u64, topic: &str, payload: &str) -> Answered {
    let operations = vec![publish(&stepped.store, topic, payload)];
    stepped.submit(Transaction { source: Some(source), fence: None, operations })
}

fn fails(stepped: &Stepped) -> bool {
    assert!(!stepped.store.is_full(), "nobody else's publish is refused or held back");
    matches!(stepped.store.health(), Health::Failing { .. })
}

fn own_log(client: &Client) -> Withheld {
    Withheld::Log(LogId(client.id.0))
}

#[track_caller]
fn committed(answered: &Answered) -> Committed {
    match answered.try_recv() {
        Ok(Ok(Outcome::Committed(committed))) => committed,
        other => panic!("{other:?} instead of Committed"),
    }
}

#[track_caller]
fn waits(answered: &Answered) {
    assert!(matches!(answered.try_recv(), Err(TryRecvError::Empty)), "it is answered");
}

fn will(topic: &str, payload: &str, delay_interval: u32) -> Will {
    Will { message: message(topic, payload), delay_interval, message_expiry_interval: None }
}

fn wills(committed: &Committed) -> Vec<String> {
    committed.wills.iter().map(|will| text(&will.message)).collect()
}

#[test]
fn what_needs_a_part_that_the_disk_does_not_give_waits_and_nothing_else_does() {
    let (mut stepped, a, b) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let late = publish_from(&stepped, 1, "a", "late");
    stepped.stepper.commit();
    waits(&late);
    assert!(fails(&stepped));
    let bytes = stepped.store.pending_bytes();
    assert!(bytes > 0, "what waits counts");

    // Everybody else goes on.
    let other = publish_from(&stepped, 2, "b", "other");
    stepped.stepper.commit();
    committed(&other);
    stepped.subscribe(&b, "more");
    let new = stepped.attach("new");
    stepped.subscribe(&new, "more");
    let outbound = Outbound { position: stepped.store.head(), last_packet_id: 1, open: vec![] };
    stepped.commit(Some(&b), vec![Operation::SaveOutbound(outbound)]);
    stepped.detach(&new, WillFate::Publish);
    // And so does the session whose log it is, but for what is in it.
    stepped.subscribe(&a, "more");
    waits(&late);
    assert!(fails(&stepped));
    assert_eq!(stepped.store.pending_bytes(), bytes);

    stepped.memory.give_everything();
    stepped.stepper.commit();
    committed(&late);
    assert!(!fails(&stepped));
    assert_eq!((stepped.store.pending_bytes(), stepped.store.statistics().damaged_ranges), (0, 0));
    assert!(!stepped.stepper.commit(), "nothing waits any more");
    assert_eq!(stepped.read(&a), ["before", "late"]);
    let mut stepped = crash(stepped);
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    assert_eq!(
        (stepped.read(&a), stepped.read(&b)),
        (vec!["before".into(), "late".into()], vec!["before".into(), "other".into()])
    );
}

#[test]
fn what_one_source_submits_behind_stays_behind() {
    let (mut stepped, a, b) = with_messages();
    stepped.memory.withhold(own_log(&a));
    // A transaction of a session without a source stands in the line of its attachment.
    let fence = Some((b.id, b.epoch));
    let of_b = |stepped: &Stepped, topic: &str, payload: &str| {
        let operations = vec![publish(&stepped.store, topic, payload)];
        stepped.submit(Transaction { source: None, fence, operations })
    };
    let (first, behind) = (publish_from(&stepped, 1, "a", "1"), publish_from(&stepped, 1, "b", "2"));
    let (of_b, behind_it) = (of_b(&stepped, "a", "3"), of_b(&stepped, "b", "4"));
    let other = publish_from(&stepped, 2, "b", "other");
    stepped.stepper.commit();
    let other = committed(&other);
    let much_later = publish_from(&stepped, 1, "b", "5");
    let another = publish_from(&stepped, 2, "b", "another");
    stepped.stepper.commit();
    let another = committed(&another);
    [&first, &behind, &of_b, &behind_it, &much_later].into_iter().for_each(waits);

    stepped.memory.give_everything();
    let newest = publish_from(&stepped, 1, "b", "6");
    stepped.stepper.commit();
    let lsns = [first, behind, of_b, behind_it, much_later, newest].map(|answered| committed(&answered).lsn);
    assert!(lsns.is_sorted() && other.lsn < another.lsn && another.lsn < lsns[0], "{lsns:?}");
    assert_eq!(stepped.read(&a), ["before", "1", "3"]);
    assert_eq!(stepped.read(&b), ["before", "other", "another", "2", "4", "5", "6"]);
}

/// A filter that another session holds as well has a log of its own from then on.
#[test]
fn what_is_led_elsewhere_meanwhile_waits_no_longer() {
    let (mut stepped, a, b) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let late = publish_from(&stepped, 1, "a", "late");
    stepped.stepper.commit();
    waits(&late);
    stepped.subscribe(&b, "a");
    stepped.stepper.commit();
    committed(&late);
    assert!(!fails(&stepped));
    assert_eq!(stepped.store.pending_bytes(), 0);
    stepped.memory.give_everything();
    assert_eq!(stepped.read(&a), ["before", "late"]);
    assert_eq!(stepped.read(&b), ["before", "late"]);
}

#[test]
fn a_take_over_overtakes_what_the_old_connection_has_aside() {
    let (mut stepped, a, b) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let operations = vec![publish(&stepped.store, "a", "never acknowledged")];
    let transaction = Transaction { source: Some(7), fence: Some((b.id, b.epoch)), operations };
    let old = stepped.submit(transaction);
    stepped.stepper.commit();
    waits(&old);
    let new = stepped.attach("b");
    assert!(new.epoch > b.epoch);
    let operations = vec![publish(&stepped.store, "b", "new")];
    let transaction = Transaction { source: Some(8), fence: Some((new.id, new.epoch)), operations };
    let taken = stepped.submit(transaction);
    stepped.stepper.commit();
    committed(&taken);
    assert!(matches!(old.try_recv(), Ok(Ok(Outcome::Fenced))), "it needs nothing any more");
    assert!(!fails(&stepped));
    stepped.memory.give_everything();
    assert_eq!(
        (stepped.read(&a), stepped.read(&new)),
        (vec!["before".into()], vec!["before".into(), "new".into()])
    );
}

#[test]
fn what_is_aside_when_the_store_is_closed_is_tried_once_more_and_else_refused() {
    for given in [true, false] {
        let (mut stepped, a, _) = with_messages();
        stepped.memory.withhold(own_log(&a));
        let (late, behind) =
            (publish_from(&stepped, 1, "a", "late"), publish_from(&stepped, 1, "b", "behind"));
        stepped.stepper.commit();
        waits(&late);
        if given {
            stepped.memory.give_everything();
        }
        let other = publish_from(&stepped, 2, "b", "other");
        let Stepped { memory, store, stepper } = stepped;
        drop(stepper);
        let closed = store.close();
        committed(&other);
        if given {
            assert_eq!(closed, Ok(()));
            committed(&late);
            committed(&behind);
        } else {
            let Err(CloseError::Failed(reason)) = closed else { panic!("{closed:?}") };
            for refused in [late, behind] {
                assert_eq!(
                    refused.try_recv().expect("answered").err(),
                    Some(CommitError::Failed(reason.clone()))
                );
            }
        }
        memory.give_everything();
        let mut stepped = open(&memory);
        let a = stepped.attach("a");
        assert_eq!(stepped.read(&a), if given { vec!["before", "late"] } else { vec!["before"] });
    }
}

/// A store with threads: nothing has to come for it to be tried again.
#[test]
fn it_is_tried_again_by_itself_and_a_store_that_is_dropped_leaves_nobody_waiting() {
    let (stepped, _, _) = with_messages();
    let Stepped { memory, store, stepper } = stepped;
    drop((store, stepper));
    let (store, _) = Store::open(options(&memory)).expect("the disk is whole");
    let log = store.route("a");
    let a = outcome(
        &store,
        Transaction { operations: vec![Operation::Attach(attach("a"))], ..Default::default() },
    );
    let Ok(Outcome::Committed(Committed { mut answers, .. })) = a else { panic!("{a:?}") };
    let Some(Answer::Attached(attached)) = answers.pop() else { panic!("an Attach is answered") };
    let session = attached.session.expect("it is stored");
    assert!(!log.is_empty());
    memory.withhold(Withheld::Log(LogId(session.id.0)));
    let late = |payload: &str| {
        let operations = vec![publish(&store, "a", payload)];
        submit(&store, Transaction { source: Some(1), fence: None, operations })
    };
    let first = late("1");
    until("it does not say so", || matches!(store.health(), Health::Failing { .. }));
    commit(&store, Transaction { operations: vec![publish(&store, "b", "other")], ..Default::default() });
    waits(&first);
    memory.give_everything();
    let answered = first.recv_timeout(HANG).expect("it is tried again");
    assert!(matches!(answered, Ok(Outcome::Committed(_))), "{answered:?}");
    until("it goes on failing", || store.health() == Health::Ok);
    let pass = store.read(&session.reader, Lsn(0), ALL).expect("the logs are whole");
    assert_eq!(payloads(&pass), ["before", "1"]);

    let fixture_of_b = Transaction { operations: vec![Operation::Attach(attach("b"))], ..Default::default() };
    drop(commit(&store, fixture_of_b));
    drop(store);
    let (store, _) = Store::open(options(&memory)).expect("the disk is whole");
    memory.withhold(Withheld::Log(LogId(session.id.0)));
    let operations = vec![publish(&store, "a", "2")];
    let never = submit(&store, Transaction { source: Some(1), fence: None, operations });
    until("it does not say so", || matches!(store.health(), Health::Failing { .. }));
    drop(store);
    let answered = never.recv_timeout(HANG).expect("it is refused");
    assert!(answered.is_err(), "{answered:?}");
}

/// Wills of connections that end: with their session, by a take-over and by a Clean Start.
#[test]
fn whoever_publishes_a_will_for_a_log_that_is_withheld_waits() {
    for case in ["end", "take-over", "clean start"] {
        let (mut stepped, a, b) = with_messages();
        let attach = Attach { will: Some(will("a", "will", 0)), ..attach("mortal") };
        let attached = stepped.attached(attach.clone());
        stepped.memory.withhold(own_log(&a));
        let transaction = match case {
            "end" => {
                let detach = Detach { session_expiry_interval: 0, will: WillFate::Publish, now_millis: NOW };
                let operations = vec![Operation::Detach(detach)];
                Transaction { source: Some(1), fence: attached.fence, operations }
            }
            "take-over" => {
                let operations = vec![Operation::Attach(Attach { will: None, ..attach })];
                Transaction { operations, ..Transaction::default() }
            }
            _ => {
                let operations = vec![Operation::Attach(Attach { will: None, clean_start: true, ..attach })];
                Transaction { operations, ..Transaction::default() }
            }
        };
        let ends = stepped.submit(transaction);
        let other = publish_from(&stepped, 2, "b", "other");
        stepped.stepper.commit();
        committed(&other);
        waits(&ends);
        stepped.memory.give_everything();
        stepped.stepper.commit();
        assert_eq!(wills(&committed(&ends)), ["will"], "{case}");
        assert_eq!(stepped.read(&a), ["before", "will"], "{case}");
        assert_eq!(stepped.read(&b), ["before", "other"], "{case}");
    }
}

/// The later of two CONNECTs finds what the earlier has made, though it needs nothing of the disk and the earlier does.
#[test]
fn connects_of_one_client_keep_their_order() {
    let (mut stepped, a, _) = with_messages();
    let attach = Attach { will: Some(will("a", "will", 60)), ..attach("mortal") };
    let first = stepped.attached(attach.clone());
    stepped.memory.withhold(own_log(&a));
    let connects = [true, false].map(|clean_start| {
        let operations = vec![Operation::Attach(Attach { clean_start, will: None, ..attach.clone() })];
        stepped.submit(Transaction { operations, ..Transaction::default() })
    });
    stepped.stepper.commit();
    connects.iter().for_each(waits);
    stepped.memory.give_everything();
    stepped.stepper.commit();
    let [clean, resumed] = connects.map(|answered| match committed(&answered).answers.swap_remove(0) {
        Answer::Attached(attached) => attached,
        other => panic!("{other:?} instead of Attached"),
    });
    assert!(!clean.present && resumed.present);
    let session = |attached: &Attached| attached.fence.expect("it is stored").0;
    assert!(session(&clean) == session(&resumed) && session(&clean) != session(&first));
}

const JOBS: &str = "$share/workers/jobs";

/// A session that ends gives back what it had taken, from the copy that it has.
#[test]
fn what_goes_back_to_a_group_waits_for_its_copy_and_is_not_lost() {
    let mut stepped = open(&Memory::new());
    let (one, two) = (stepped.attach("one"), stepped.attach("two"));
    for client in [&one, &two] {
        stepped.subscribe(client, JOBS);
    }
    stepped.commit(None, vec![publish(&stepped.store, "jobs", "work")]);
    let pull = |stepped: &Stepped, connection| {
        let member =
            stepped.store.group_member(JOBS, connection, Arc::new(|| {})).expect("there is the group");
        let pulled = stepped.store.pull(&member, ALL).expect("the log is whole");
        // Its reservation goes with the member.
        std::mem::forget(member);
        pulled
    };
    let pulled = pull(&stepped, 1);
    let open = vec![exchange(1, &pulled[0].entry)];
    let taken = pulled.iter().map(|pulled| pulled.span).collect();
    let take = GroupTake { filter: JOBS.into(), member: 1, taken, ..GroupTake::default() };
    let outbound = Outbound { position: stepped.store.head(), last_packet_id: 1, open };
    let body = encode_message(&pulled[0].entry.message, &mut BytesMut::new());
    let hold = Operation::Hold { packet_id: 1, lsn: pulled[0].entry.lsn, body };
    stepped.commit(Some(&one), vec![Operation::SaveOutbound(outbound), hold, Operation::TakeFromGroup(take)]);

    stepped.memory.withhold(Withheld::Held(one.id, 1));
    let fence = Some((one.id, one.epoch));
    let ends = stepped.submit(Transaction { source: Some(1), fence, operations: vec![Operation::End] });
    let other = publish_from(&stepped, 2, "jobs", "more");
    stepped.stepper.commit();
    committed(&other);
    waits(&ends);
    stepped.memory.give_everything();
    stepped.stepper.commit();
    committed(&ends);
    let mut stepped = crash(stepped);
    stepped.attach("two");
    assert_eq!(texts(&pull(&stepped, 2)), ["more", "work"]);
}

/// Runs one turn of the committer on a thread of its own, with a disk that does not give something for much longer than
/// anything is insisted on; in between, others can look into the store.
fn turn_meanwhile(stepped: Stepped) -> Stepped {
    let Stepped { memory, store, mut stepper } = stepped;
    let turns = std::thread::spawn(move || {
        stepper.commit();
        stepper
    });
    let before = store.statistics().failed_reads;
    until("it does not insist", || store.statistics().failed_reads > before + 200 || turns.is_finished());
    assert!(!turns.is_finished(), "it waits");
    assert!(store.counts().sessions > 0, "the catalog is free meanwhile");
    memory.give_everything();
    let stepper = turns.join().expect("no panic");
    let stepped = Stepped { memory, store, stepper };
    assert!(!fails(&stepped));
    assert_eq!(stepped.store.statistics().damaged_ranges, 0, "what was not given is no damage");
    stepped
}

/// Who subscribes in the same batch gets the message as well, into a log that nothing had asked for.
#[test]
fn an_end_that_could_not_be_foreseen_is_waited_for_and_never_given_up() {
    let (stepped, a, _) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let operations = vec![Operation::Subscribe(vec![subscription("new", 1)])];
    let fence = Some((a.id, a.epoch));
    let subscribes = stepped.submit(Transaction { source: Some(1), fence, operations });
    let messages = ["1", "2"].map(|payload| publish_from(&stepped, 2, "new", payload));
    let stepped = turn_meanwhile(stepped);
    committed(&subscribes);
    messages.iter().for_each(|message| drop(committed(message)));
    assert_eq!(stepped.read(&a), ["before", "1", "2"]);
    let mut stepped = crash(stepped);
    stepped.commit(None, vec![publish(&stepped.store, "new", "3")]);
    let a = stepped.attach("a");
    assert_eq!(stepped.read(&a), ["before", "1", "2", "3"]);
    let backlog = stepped.store.backlog("a").expect("readable").expect("there is the session");
    assert_eq!(backlog.own.messages, 4, "its ordinals go on");
}

/// An exchange begins with a message that was read before its log was left.
#[test]
fn a_message_of_a_log_that_was_left_is_waited_for_and_never_given_up() {
    let mut stepped = open(&Memory::new());
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    for client in [&a, &b] {
        stepped.subscribe(client, "both");
    }
    stepped.commit(None, vec![publish(&stepped.store, "both", "begun")]);
    let entry = stepped.store.read(&a.reader, Lsn(0), ALL).expect("whole").entries.remove(0);
    stepped.commit(Some(&a), vec![Operation::Unsubscribe(vec!["both".into()])]);
    stepped.memory.withhold(Withheld::Log(entry.log));
    let exchange = exchange(1, &entry);
    let outbound = Outbound { position: entry.lsn, last_packet_id: 1, open: vec![exchange.clone()] };
    let fence = Some((a.id, a.epoch));
    let operations = vec![Operation::SaveOutbound(outbound)];
    let saves = stepped.submit(Transaction { source: Some(1), fence, operations });
    let mut stepped = turn_meanwhile(stepped);
    committed(&saves);
    stepped.commit(Some(&b), vec![Operation::Unsubscribe(vec!["both".into()])]);
    let stepped = crash(stepped);
    let found = stepped.store.read_exchange(a.id, &exchange).expect("readable").expect("it is kept");
    assert_eq!(text(&found), "begun");
}

/// A limit that cannot count what an unreadable log has had is no reason to give the log up.
#[test]
fn a_store_with_limits_opens_and_gives_nothing_up_while_a_log_is_withheld() {
    let (stepped, a, _) = with_messages();
    let Stepped { memory, store, stepper } = stepped;
    memory.crash(Survivors::First(0));
    drop((store, stepper));
    memory.withhold(own_log(&a));
    let limit = Limit { max_messages: Some(10), policy: Policy::DropNewest, ..Limit::default() };
    let limits = Limits { session: limit, total: limit, ..Limits::default() };
    let options = Options { limits, ..options(&memory) };
    let (store, stepper, _) = Store::open_stepped(options, NOW).expect("it opens all the same");
    let mut stepped = Stepped { memory, store, stepper };
    let late = publish_from(&stepped, 1, "a", "late");
    stepped.stepper.commit();
    waits(&late);
    stepped.memory.give_everything();
    stepped.stepper.commit();
    committed(&late);
    let a = stepped.attach("a");
    assert_eq!(stepped.read(&a), ["before", "late"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}

/// Sources that do not wait for answers do not fill the memory.
#[test]
fn when_too_much_waits_publishes_are_refused_until_it_does_not() {
    let (mut stepped, a, _) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let large = "x".repeat(1 << 20);
    let late: Vec<Answered> = (0..64).map(|source| publish_from(&stepped, source, "a", &large)).collect();
    while !stepped.store.is_full() {
        assert!(stepped.stepper.commit(), "nothing is left to be set aside");
    }
    late.iter().for_each(waits);
    stepped.memory.give_everything();
    while stepped.store.is_full() {
        assert!(stepped.stepper.commit());
    }
    late.iter().for_each(|late| drop(committed(late)));
    assert!(!fails(&stepped));
}
