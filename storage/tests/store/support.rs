//! A store in a temporary directory, and short ways to say what the tests say.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use barnacle_storage::*;
use bytes::{Bytes, BytesMut};
use rocksdb::{ColumnFamilyDescriptor, DB};
use tempfile::TempDir;

pub(crate) const NOW: u64 = 1_000_000;
pub(crate) const HOUR: u32 = 3600;
/// More than any test reads in one pass.
pub(crate) const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };

/// The families of the database.
pub(crate) const FAMILIES: [&str; 8] =
    ["default", "meta", "session", "subscription", "filter", "log", "flow", "retained"];

pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
    pub(crate) recovery: Recovery,
}

/// A session attached.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) reader: Reader,
}

impl From<Attached> for Client {
    fn from(attached: Attached) -> Client {
        let session = attached.session.expect("it is stored");
        Client { id: session.id, epoch: session.epoch, reader: session.reader }
    }
}

pub(crate) fn fixture() -> Fixture {
    fixture_with(|_| {})
}

pub(crate) fn fixture_with(change: impl FnOnce(&mut Options)) -> Fixture {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut options = Options::new(directory.path());
    options.space.ballast_bytes = 0;
    change(&mut options);
    let (store, recovery) = Store::open(options).expect("a new store opens");
    Fixture { directory, store, recovery }
}

impl Fixture {
    /// Drops the store as a crash would, and opens it again.
    pub(crate) fn reopen(self) -> Fixture {
        self.reopen_with(|_| {})
    }

    pub(crate) fn reopen_with(self, change: impl FnOnce(&mut Options)) -> Fixture {
        let Fixture { directory, store, .. } = self;
        drop(store);
        let mut options = Options::new(directory.path());
        options.space.ballast_bytes = 0;
        change(&mut options);
        let (store, recovery) = Store::open(options).expect("the store opens again");
        Fixture { directory, store, recovery }
    }

    pub(crate) fn commit(&self, operations: Vec<Operation>) -> Committed {
        commit(&self.store, Transaction { source: None, fence: None, operations })
    }

    pub(crate) fn commit_as(&self, client: &Client, operations: Vec<Operation>) -> Committed {
        commit(&self.store, Transaction { source: None, fence: Some((client.id, client.epoch)), operations })
    }

    /// Attaches with an expiry of an hour.
    pub(crate) fn attach(&self, client_id: &str) -> Client {
        self.attached(attach(client_id)).into()
    }

    pub(crate) fn attached(&self, attach: Attach) -> Attached {
        let mut answers = self.commit(vec![Operation::Attach(attach)]).answers.into_iter();
        match answers.next() {
            Some(Answer::Attached(attached)) => *attached,
            other => panic!("{other:?} instead of Attached"),
        }
    }

    pub(crate) fn detach(&self, client: &Client) {
        self.commit_as(
            client,
            vec![Operation::Detach(Detach {
                session_expiry_interval: HOUR,
                will: WillFate::Publish,
                now_millis: NOW,
            })],
        );
    }

    pub(crate) fn subscribe(&self, client: &Client, filter: &str, qos: u8) -> Subscribed {
        let committed = self.commit_as(client, vec![Operation::Subscribe(vec![subscription(filter, qos)])]);
        match &committed.answers[..] {
            [Answer::Subscribed(subscribed)] => subscribed[0].clone(),
            other => panic!("{other:?} instead of Subscribed"),
        }
    }

    pub(crate) fn unsubscribe(&self, client: &Client, filter: &str) {
        self.commit_as(client, vec![Operation::Unsubscribe(vec![filter.into()])]);
    }

    /// Publishes with QoS 1, and gives the LSN.
    pub(crate) fn publish(&self, topic: &str, payload: &str) -> Lsn {
        self.commit(vec![publish(&self.store, topic, payload)]).lsn
    }

    pub(crate) fn read(&self, client: &Client, position: Lsn) -> Vec<String> {
        payloads(&self.pass(client, position))
    }

    pub(crate) fn pass(&self, client: &Client, position: Lsn) -> Pass {
        self.store.read(&client.reader, position, ALL).expect("the logs are whole")
    }

    pub(crate) fn save(&self, client: &Client, outbound: Outbound) {
        self.commit_as(client, vec![Operation::SaveOutbound(outbound)]);
    }
}

pub(crate) fn commit(store: &Store, transaction: Transaction) -> Committed {
    match outcome(store, transaction) {
        Ok(Outcome::Committed(committed)) => committed,
        other => panic!("{other:?} instead of Committed"),
    }
}

pub(crate) fn outcome(store: &Store, transaction: Transaction) -> Result<Outcome, CommitError> {
    let (answer, answered) = mpsc::channel();
    store.submit(transaction, move |outcome| answer.send(outcome).expect("the test waits"));
    answered.recv().expect("every transaction is answered")
}

pub(crate) fn attach(client_id: &str) -> Attach {
    Attach {
        client_id: client_id.into(),
        clean_start: false,
        session_expiry_interval: HOUR,
        protocol_level: 5,
        keep_alive: 0,
        will: None,
        now_millis: NOW,
    }
}

pub(crate) fn subscription(filter: &str, qos: u8) -> NewSubscription {
    NewSubscription {
        filter: filter.into(),
        options: SubscriptionOptions { qos, no_local: false, retain_as_published: false, identifier: None },
        retain_handling: 2,
    }
}

pub(crate) fn message(topic: &str, payload: &str) -> Message {
    Message {
        qos: 1,
        retain: false,
        published_at_millis: NOW,
        expires_at_millis: None,
        publisher: "publisher".into(),
        topic: topic.into(),
        properties: Bytes::from_static(&[1, 1]),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

pub(crate) fn publish(store: &Store, topic: &str, payload: &str) -> Operation {
    Operation::Publish(new_publish(store, topic, payload))
}

pub(crate) fn new_publish(store: &Store, topic: &str, payload: &str) -> Publish {
    Publish::of(&message(topic, payload), store.route(topic), &mut BytesMut::new())
}

pub(crate) fn retain(store: &Store, topic: &str, payload: &str) -> Operation {
    let retained = if payload.is_empty() { RetainedChange::Clear } else { RetainedChange::Set };
    Operation::Publish(Publish { retained, ..new_publish(store, topic, payload) })
}

pub(crate) fn exchange(packet_id: u16, entry: &Entry) -> Exchange {
    Exchange {
        packet_id,
        lsn: entry.lsn,
        log: entry.log,
        qos: 1,
        received: false,
        retain: false,
        subscription_identifiers: vec![],
    }
}

/// Awaits a condition that another thread brings about.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    // Whatever is waited for has come long before.
    let patience = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::yield_now();
    }
}

pub(crate) fn payloads(pass: &Pass) -> Vec<String> {
    pass.entries.iter().map(|entry| text(&entry.message)).collect()
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).expect("payloads in tests are text")
}

/// All files below a directory, in bytes.
pub(crate) fn disk_bytes(directory: &std::path::Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).expect("the directory is there").flatten() {
        // RocksDB removes files while we look.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.len() };
    }
    bytes
}

/// The database behind the store's back.
pub(crate) fn raw(directory: &std::path::Path, families: &[&str]) -> DB {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families =
        families.iter().map(|name| ColumnFamilyDescriptor::new(*name, rocksdb::Options::default()));
    DB::open_cf_descriptors(&options, directory.join("rocksdb"), families).expect("the database opens")
}

/// What a member of a group pulls: as often as something comes, once for each stretch of what is free.
pub(crate) fn pull(fixture: &Fixture, member: &GroupMember, messages: usize) -> Vec<Pulled> {
    let mut pulled = Vec::new();
    while pulled.len() < messages {
        let budget = Budget { messages: messages - pulled.len(), bytes: usize::MAX };
        let more = fixture.store.pull(member, budget).expect("the log is whole");
        if more.is_empty() {
            break;
        }
        pulled.extend(more);
    }
    pulled
}

pub(crate) fn texts(pulled: &[Pulled]) -> Vec<String> {
    pulled.iter().map(|pulled| text(&pulled.entry.message)).collect()
}
