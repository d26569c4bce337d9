//! A planted store of schema 0 is migrated, also when every operation on the way is the last.

use std::panic::AssertUnwindSafe;

use super::*;
use crate::engine::memory::{Crashed, Fault, Memory, Survivors};
use crate::engine::{self, Opened};
use crate::floors::Floors;
use crate::{
    Answer, Attach, AttachedSession, NewSubscription, OpenError, Operation, Options, Outcome, Stepper, Store,
    SubscriptionOptions, Transaction,
};

const NOW: u64 = 1_000_000;
/// All three sessions are its members.
const GROUP: &str = "$share/all/x";
const IDENTIFIERS: [u16; 5] = [1, 2, 3, 700, 65_535];

/// Where a store is.
trait Place {
    fn options(&self) -> Options;
}

impl Place for Memory {
    fn options(&self) -> Options {
        Options { memory: Some(self.clone()), ..Options::new("") }
    }
}

fn options(place: &impl Place) -> Options {
    place.options()
}

fn open(place: &impl Place) -> Result<(Store, Stepper), OpenError> {
    Store::open_stepped(options(place), NOW).map(|(store, stepper, _)| (store, stepper))
}

fn commit(store: &Store, stepper: &mut Stepper, transaction: Transaction) -> Vec<Answer> {
    let (answer, answered) = std::sync::mpsc::channel();
    store.submit(transaction, move |outcome| answer.send(outcome).expect("the test waits"));
    while stepper.commit() {}
    match answered.recv().expect("answered") {
        Ok(Outcome::Committed(committed)) => committed.answers,
        other => panic!("{other:?} instead of Committed"),
    }
}

fn attach(store: &Store, stepper: &mut Stepper, client_id: &str) -> AttachedSession {
    let attach = Attach {
        client_id: client_id.into(),
        clean_start: false,
        session_expiry_interval: u32::MAX,
        protocol_level: 5,
        keep_alive: 60,
        will: None,
        now_millis: NOW,
    };
    let operations = vec![Operation::Attach(attach)];
    match commit(store, stepper, Transaction { source: None, fence: None, operations }).into_iter().next() {
        Some(Answer::Attached(attached)) => attached.session.expect("it is stored"),
        other => panic!("{other:?} instead of Attached"),
    }
}

/// A disk with a store of schema 0: three sessions, and packet identifiers in the old form.
fn planted() -> Memory {
    let disk = Memory::new();
    plant(&disk, &IDENTIFIERS);
    disk
}

fn plant(place: &impl Place, identifiers: &[u16]) {
    let (store, mut stepper) = open(place).expect("opens");
    let mut sessions = Vec::new();
    for client_id in ["a", "b", "c"] {
        let session = attach(&store, &mut stepper, client_id);
        sessions.push(session.id);
        let options =
            SubscriptionOptions { qos: 1, no_local: false, retain_as_published: false, identifier: None };
        let of = |filter: String| NewSubscription { filter: filter.into(), options, retain_handling: 2 };
        let operations = vec![
            Operation::Subscribe(vec![of(format!("{client_id}/#")), of(GROUP.to_owned())]),
            Operation::SaveInbound(identifiers.iter().copied().collect()),
        ];
        commit(
            &store,
            &mut stepper,
            Transaction { source: None, fence: Some((session.id, session.epoch)), operations },
        );
    }
    store.close().expect("closes");
    drop(stepper);
    let Opened { engine, .. } = engine::open(&options(place), &Floors::default()).expect("opens");
    let mut batch = WriteBatch::default();
    batch.put(keys::META, keys::SCHEMA, record::encode_schema(0));
    for session in sessions {
        let key = keys::flow(session, Flow::Inbound);
        batch.put(keys::FLOW, &key, record::encode_inbound_of_schema_0(identifiers));
    }
    let row = engine.view().get(keys::FILTER, GROUP.as_bytes()).expect("read").expect("there");
    let group = record::decode_group(&row).expect("whole");
    batch.put(keys::FILTER, GROUP.as_bytes(), record::encode_group_of_schema_1(&group));
    engine.write(&batch, true).expect("written");
}

fn expect_everything(place: &impl Place) {
    expect_all_of(place, &IDENTIFIERS);
}

fn expect_all_of(place: &impl Place, identifiers: &[u16]) {
    let (store, mut stepper) = open(place).expect("it is migrated");
    assert_eq!(store.counts().sessions, 3);
    for client_id in ["a", "b", "c"] {
        let session = attach(&store, &mut stepper, client_id);
        assert_eq!(session.inbound.iter().collect::<Vec<_>>(), identifiers);
        assert_eq!(session.subscriptions.len(), 2);
    }
}

fn schema(place: &impl Place) -> u32 {
    let Opened { engine, .. } = engine::open(&options(place), &Floors::default()).expect("opens");
    let row = engine.view().get(keys::META, keys::SCHEMA).expect("read").expect("there");
    record::decode_schema(&row).expect("whole")
}

#[test]
fn an_older_store_is_migrated_and_has_everything() {
    let disk = planted();
    assert_eq!(schema(&disk.fork()), 0);
    expect_everything(&disk);
    assert_eq!(schema(&disk.fork()), SCHEMA);
    expect_everything(&disk.fork());
}

#[test]
fn a_crash_at_any_operation_of_a_migration_loses_nothing() {
    let planted = planted();
    let counted = planted.fork();
    drop(open(&counted).expect("opens"));
    let operations = counted.operations();
    let mut old = 0;
    for operation in 1..=operations {
        for survivors in [Survivors::All, Survivors::Finished, Survivors::First(0)] {
            let disk = planted.fork();
            disk.plan(operation, Fault::Crash(survivors));
            let crashed = std::panic::catch_unwind(AssertUnwindSafe(|| drop(open(&disk))));
            assert!(crashed.is_err_and(|payload| Crashed::is(&*payload)), "at operation {operation}");
            disk.forget_plans();
            let found = schema(&disk.fork());
            assert!(found <= SCHEMA, "{found}");
            old += usize::from(found == 0);
            expect_everything(&disk);
        }
    }
    assert!(old > 0, "some crashes came before the migration");
}

#[test]
fn a_damaged_record_of_an_older_store_is_named_and_the_store_stays_as_it_was() {
    let disk = planted();
    let Opened { engine, .. } = engine::open(&options(&disk), &Floors::default()).expect("opens");
    let mut batch = WriteBatch::default();
    // The first one's.
    let key = keys::flow(crate::SessionId(1), Flow::Inbound);
    batch.put(keys::FLOW, &key, vec![1, 2, 3]);
    engine.write(&batch, true).expect("written");
    drop(engine);
    let refused = open(&disk).map(drop);
    assert!(
        matches!(&refused, Err(OpenError::Damaged { damaged, .. }) if damaged.family == "flow"),
        "{refused:?}"
    );
    assert_eq!(schema(&disk.fork()), 0);
}
