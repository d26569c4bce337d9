//! What the store alone can do: ten connections with 100 messages of 256 bytes in flight each, queued for one offline
//! session, and then drained from the disk and from the tail.
//!
//! `cargo run --release -p barnacle-storage --example throughput [directory] [messages]`

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use barnacle_storage::*;
use bytes::{Bytes, BytesMut};

const CONNECTIONS: usize = 10;
const IN_FLIGHT: usize = 100;
const BUDGET: Budget = Budget { messages: 256, bytes: 256 * 1024 };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory =
        arguments.next().map_or_else(|| std::env::temp_dir().join("barnacle-throughput"), PathBuf::from);
    let messages: usize =
        arguments.next().map_or(1_000_000, |count| count.parse().expect("a number of messages"));
    single_writes(&directory);
    without_sync(&directory, messages);
    let _ = std::fs::remove_dir_all(&directory);
    queue_and_drain(&directory, messages);
    let _ = std::fs::remove_dir_all(&directory);
}

fn open(directory: &PathBuf, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = Options::new(directory);
    change(&mut options);
    let (store, recovery) = Store::open(options).expect("opens");
    println!("{recovery}");
    store
}

/// One message after the other, each with its own sync.
fn single_writes(directory: &PathBuf) {
    let _ = std::fs::remove_dir_all(directory);
    let store = open(directory, |_| {});
    let _session = attach(&store, "t");
    let count = 4000;
    let took = write(&store, count, 1, 1);
    println!("{:.0} messages a second written one by one", per_second(count, took));
}

/// What is left when the disk is not waited for.
fn without_sync(directory: &PathBuf, messages: usize) {
    let _ = std::fs::remove_dir_all(directory);
    let store = open(directory, |options| options.durability = Durability::Os);
    let _session = attach(&store, "t");
    let took = write(&store, messages, CONNECTIONS, IN_FLIGHT);
    println!("{:.0} messages a second written without a sync", per_second(messages, took));
}

fn queue_and_drain(directory: &PathBuf, messages: usize) {
    let store = open(directory, |_| {});
    let session = attach(&store, "t");
    for _ in 0..3 {
        let before = store.statistics();
        let took = write(&store, messages, CONNECTIONS, IN_FLIGHT);
        let after = store.statistics();
        let syncs = after.syncs - before.syncs;
        println!(
            "{:.0} messages a second written, {:.0} a sync, {:.2} WAL bytes a message",
            per_second(messages, took),
            messages as f64 / syncs as f64,
            (after.wal_bytes - before.wal_bytes) as f64 / messages as f64
        );
    }
    drain("in the same process", &store, &session.reader, messages * 3);
    // Dropped without being closed: the next opening replays the write-ahead log.
    drop(store);
    let store = open(directory, |_| {});
    let session = attach(&store, "t");
    drain("after a crash", &store, &session.reader, messages * 3);
    store.close().expect("closes");
    drop(open(directory, |_| {}));
}

fn attach(store: &Store, filter: &str) -> AttachedSession {
    let attach = Attach {
        client_id: "reader".into(),
        clean_start: false,
        session_expiry_interval: u32::MAX,
        protocol_level: 5,
        keep_alive: 0,
        will: None,
        now_millis: 0,
    };
    let Answer::Attached(attached) = commit(store, None, Operation::Attach(attach)) else {
        unreachable!("asked for")
    };
    let session = attached.session.expect("stored");
    let options =
        SubscriptionOptions { qos: 1, no_local: false, retain_as_published: false, identifier: None };
    let subscription = NewSubscription { filter: filter.into(), options, retain_handling: 2 };
    commit(store, Some((session.id, session.epoch)), Operation::Subscribe(vec![subscription]));
    session
}

fn commit(store: &Store, fence: Option<(SessionId, Epoch)>, operation: Operation) -> Answer {
    let (answer, answered) = mpsc::channel();
    store.submit(Transaction { source: None, fence, operations: vec![operation] }, move |outcome| {
        answer.send(outcome).expect("somebody waits");
    });
    match answered.recv().expect("answered") {
        Ok(Outcome::Committed(committed)) => committed.answers.into_iter().next().expect("it has an answer"),
        other => panic!("{other:?}"),
    }
}

/// Each connection encodes, routes and submits as soon as one of its messages is answered.
fn write(store: &Store, messages: usize, connections: usize, in_flight: usize) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let window = Arc::new((Mutex::new(0usize), Condvar::new()));
                let mut buffer = BytesMut::new();
                let mut sent = 0;
                while sent < messages / connections {
                    let mut free = {
                        let mut used = window.0.lock().expect("not poisoned");
                        while *used == in_flight {
                            used = window.1.wait(used).expect("not poisoned");
                        }
                        let free = in_flight - *used;
                        *used = in_flight;
                        free
                    };
                    while free > 0 {
                        free -= 1;
                        sent += 1;
                        let window = window.clone();
                        store.submit(transaction(store, &mut buffer), move |outcome| {
                            assert!(outcome.is_ok());
                            *window.0.lock().expect("not poisoned") -= 1;
                            window.1.notify_one();
                        });
                    }
                }
                let mut used = window.0.lock().expect("not poisoned");
                while *used > 0 {
                    used = window.1.wait(used).expect("not poisoned");
                }
            });
        }
    });
    began.elapsed()
}

fn transaction(store: &Store, buffer: &mut BytesMut) -> Transaction {
    let message = Message {
        qos: 1,
        retain: false,
        published_at_millis: 1_700_000_000_000,
        expires_at_millis: None,
        publisher: "publisher".into(),
        topic: "t".into(),
        properties: Bytes::new(),
        payload: Bytes::from_static(&[7; 256]),
    };
    let publish = Publish::of(&message, store.route("t"), buffer);
    Transaction { source: None, fence: None, operations: vec![Operation::Publish(publish)] }
}

fn drain(what: &str, store: &Store, reader: &Reader, expected: usize) {
    let began = Instant::now();
    let (mut position, mut count) = (Lsn(0), 0);
    loop {
        let pass = store.read(reader, position, BUDGET).expect("whole");
        count += pass.entries.len();
        position = pass.through;
        if !pass.more {
            break;
        }
    }
    assert!(count >= expected, "{count}");
    println!("{:.0} messages a second drained {what}", per_second(count, began.elapsed()));
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
