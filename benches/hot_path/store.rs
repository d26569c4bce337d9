//! A store with sessions and messages in it, for the pieces that need one.

use std::path::Path;
use std::sync::mpsc;

use barnacle_storage::{
    Answer, Attach, AttachedSession, Committed, Epoch, Message, NewSubscription, Operation, Options, Outcome,
    Publish, SessionId, Store, SubscriptionOptions, Transaction,
};
use bytes::{Bytes, BytesMut};

/// Opens the store in `directory`.
pub(crate) fn open(directory: &Path) -> Store {
    Store::open(Options::new(directory)).expect("the store opens").0
}

/// Commits, and waits for it.
pub(crate) fn commit(
    store: &Store,
    fence: Option<(SessionId, Epoch)>,
    operations: Vec<Operation>,
) -> Committed {
    let (answer, answered) = mpsc::channel();
    store.submit(Transaction { source: None, fence, operations }, move |outcome| {
        answer.send(outcome).expect("somebody waits");
    });
    match answered.recv().expect("it is answered") {
        Ok(Outcome::Committed(committed)) => committed,
        other => panic!("{other:?}"),
    }
}

/// The operation that attaches a stored session.
pub(crate) fn attach(client_id: &str) -> Operation {
    Operation::Attach(Attach {
        client_id: client_id.into(),
        clean_start: false,
        session_expiry_interval: u32::MAX,
        protocol_level: 4,
        keep_alive: 0,
        will: None,
        now_millis: 0,
    })
}

/// A stored session, attached, subscribed to `filters` at QoS 1.
pub(crate) fn session(store: &Store, client_id: &str, filters: &[String]) -> AttachedSession {
    let attached = commit(store, None, vec![attach(client_id)]).answers.into_iter().next();
    let Some(Answer::Attached(attached)) = attached else { panic!("{attached:?}") };
    let session = attached.session.expect("it is stored");
    let options =
        SubscriptionOptions { qos: 1, no_local: false, retain_as_published: false, identifier: None };
    let subscription =
        |filter: &String| NewSubscription { filter: filter.as_str().into(), options, retain_handling: 2 };
    if !filters.is_empty() {
        let subscriptions = filters.iter().map(subscription).collect();
        commit(store, Some((session.id, session.epoch)), vec![Operation::Subscribe(subscriptions)]);
    }
    session
}

/// `count` messages of 256 bytes to `topic`, as a connection hands them to the store.
pub(crate) fn publishes(store: &Store, topic: &str, count: usize) -> Vec<Operation> {
    let mut buffer = BytesMut::new();
    let publish = |_| Operation::Publish(Publish::of(&message(topic), store.route(topic), &mut buffer));
    (0..count).map(publish).collect()
}

/// The message that they all are.
pub(crate) fn message(topic: &str) -> Message {
    Message {
        qos: 1,
        retain: false,
        published_at_millis: 1_700_000_000_000,
        expires_at_millis: None,
        publisher: "publisher".into(),
        topic: topic.into(),
        properties: Bytes::new(),
        payload: Bytes::from_static(&[7; 256]),
    }
}
