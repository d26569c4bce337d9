//! A connection whose session cannot be read for a while.

use std::net::SocketAddr;
use std::time::Duration;

use barnacle_storage::{
    Answer, Attach, Epoch, Health, Limit, LogId, Memory, Message, NewSubscription, Operation, Options,
    Outcome, Policy, Publish, SessionId, Store, SubscriptionOptions, Transaction, Withheld,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::{Surroundings, serve};
use crate::broker::{Broker, CatchUpRates};
use crate::session::tests::limits;
use crate::session::{Limits, Methods};
use crate::shutdown::ShutdownTrigger;

/// CONNECT of a 3.1.1 client with a stored session, and its CONNACK.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01c";
/// Whatever is waited for has come long before.
const HANG: Duration = Duration::from_secs(60);
/// SUBSCRIBE to `#` at QoS 1.
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01#\x01";

fn open(memory: &Memory) -> Store {
    Store::open(Options::in_memory(memory)).expect("the disk is whole").0
}

/// A client of a broker over the store, which runs while its trigger is there.
async fn connect(store: &Store, session_present: u8) -> (DuplexStream, ShutdownTrigger) {
    let (running, surroundings) = broker(store, 256);
    let mut client = dial(&surroundings).await;
    expect(&mut client, &[0x20, 2, session_present, 0]).await;
    (client, running)
}

fn broker(store: &Store, window: u16) -> (ShutdownTrigger, Surroundings) {
    let limits = Limits { window, ..limits() };
    let broker = Broker::new(store.clone(), limits, 1 << 20, CatchUpRates::default(), Methods::default());
    let connect_timeout = HANG;
    let (running, shutdown) = crate::shutdown::channel();
    (running, Surroundings { broker, connect_timeout, shutdown })
}

/// A connection whose CONNECT is sent.
async fn dial(surroundings: &Surroundings) -> DuplexStream {
    dial_with(surroundings, CONNECT).await
}

async fn dial_with(surroundings: &Surroundings, connect: &[u8]) -> DuplexStream {
    let (mut client, server) = tokio::io::duplex(4096);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    tokio::spawn(serve(server, peer, Instant::now(), surroundings.clone()));
    client.write_all(connect).await.expect("sent");
    client
}

async fn expect(client: &mut DuplexStream, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    let read = tokio::time::timeout(HANG, client.read_exact(&mut found));
    read.await.expect("it comes").expect("the connection lives");
    assert_eq!(found, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_does_not_give_is_read_again_until_it_does() {
    let memory = Memory::new();
    let store = open(&memory);
    let (mut client, _running) = connect(&store, 0).await;
    client.write_all(SUBSCRIBE).await.expect("sent");
    expect(&mut client, &[0x90, 3, 0, 1, 1]).await;
    // Two messages to itself that it does not acknowledge: one retained.
    client.write_all(b"\x33\x07\x00\x01t\x00\x01hi").await.expect("sent");
    expect(&mut client, &[0x40, 2, 0, 1]).await;
    drop(client);
    drop(store);
    memory.crash(barnacle_storage::Survivors::All);

    // In memory is nothing of it any more: it is read from the disk, which gives nothing for a while.
    let store = open(&memory);
    memory.fail_reads(4);
    let (mut client, _running) = connect(&store, 1).await;
    expect(&mut client, b"\x3a\x07\x00\x01t\x00\x01hi").await;
    assert_eq!(memory.failing_reads(), 0, "it came when the disk gave it");
    assert!(store.statistics().failed_reads > 0);
    client.write_all(&[0x40, 2, 0, 1]).await.expect("sent");

    // A scan of the retained messages.
    memory.fail_reads(3);
    client.write_all(SUBSCRIBE).await.expect("sent");
    expect(&mut client, &[0x90, 3, 0, 1, 1]).await;
    expect(&mut client, b"\x33\x07\x00\x01t\x00\x02hi").await;
    assert_eq!(memory.failing_reads(), 0);
}

/// What waits for a disk that gives nothing still hears that it is to end: by the next connection of its client, by its client,
/// and by a broker that stops. What may have been sent stays to be sent again, with DUP and its packet identifier.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_disk_that_gives_nothing_can_be_taken_over_closed_and_stopped() {
    let memory = Memory::new();
    let store = open(&memory);
    let (running, surroundings) = broker(&store, 1);
    let mut client = dial(&surroundings).await;
    expect(&mut client, &[0x20, 2, 0, 0]).await;
    client.write_all(SUBSCRIBE).await.expect("sent");
    expect(&mut client, &[0x90, 3, 0, 1, 1]).await;
    // Two messages to itself, of which the window has room for one: two PUBACKs and a PUBLISH, in whichever order.
    client.write_all(b"\x32\x07\x00\x01t\x00\x01hi\x32\x07\x00\x01t\x00\x02ho").await.expect("sent");
    let mut answers = [0; 4 + 4 + 9];
    tokio::time::timeout(HANG, client.read_exact(&mut answers)).await.expect("they come").expect("it lives");
    memory.crash(barnacle_storage::Survivors::All);
    drop((client, running, surroundings, store));

    let store = open(&memory);
    let (running, surroundings) = broker(&store, 256);
    memory.fail_reads(u64::MAX);
    // The first is taken over, the second is closed by its client, the third by the broker.
    let mut first = waiting(&surroundings, &memory).await;
    let second = waiting(&surroundings, &memory).await;
    ends(&mut first).await;
    drop(second);
    connected(&surroundings, 0).await;
    let mut third = waiting(&surroundings, &memory).await;
    running.trigger();
    ends(&mut third).await;
    connected(&surroundings, 0).await;
    drop(surroundings);

    memory.fail_reads(0);
    let (mut client, _running) = connect(&store, 1).await;
    expect(&mut client, b"\x3a\x07\x00\x01t\x00\x01hi\x3a\x07\x00\x01t\x00\x02ho").await;
}

/// A publish waits for a part of the disk that gives nothing. Whoever has nothing to do with it is let in, subscribes, publishes and is
/// delivered to as ever, and the publisher's connection lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_the_disk_does_not_give_holds_up_nobody_who_does_not_need_it() {
    let memory = Memory::new();
    let store = without_far(&memory, |store| {
        let near = attach(store, "c");
        subscribe(store, near, "near");
        (0..3).for_each(|_| publish(store, "near"));
    });
    let (_running, surroundings) = broker(&store, 1);
    let mut publisher = dial_with(&surroundings, b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01p").await;
    expect(&mut publisher, &[0x20, 2, 0, 0]).await;
    publisher.write_all(b"\x32\x09\x00\x03far\x00\x01hi").await.expect("sent");
    is_failing(&store, true).await;

    let mut client = dial(&surroundings).await;
    expect(&mut client, &[0x20, 2, 1, 0]).await;
    for packet_id in 1..=3 {
        // A window of one: each comes when the one before is acknowledged.
        let mut delivery = [0; 12];
        let read = tokio::time::timeout(HANG, client.read_exact(&mut delivery));
        read.await.expect("it comes").expect("the connection lives");
        delivery[0] &= !0x08;
        assert_eq!(
            delivery,
            *b"\x32\x0a\x00\x04near\x00_hi"
                .map(|byte| if byte == b'_' { packet_id } else { byte })
                .as_slice()
        );
        client.write_all(&[0x40, 2, 0, packet_id]).await.expect("sent");
    }
    client.write_all(b"\x82\x09\x00\x01\x00\x04else\x01").await.expect("sent");
    expect(&mut client, &[0x90, 3, 0, 1, 1]).await;
    let mut other = dial_with(&surroundings, b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01o").await;
    expect(&mut other, &[0x20, 2, 0, 0]).await;
    other.write_all(b"\x32\x0a\x00\x04else\x00\x07hi").await.expect("sent");
    expect(&mut other, &[0x40, 2, 0, 7]).await;
    expect(&mut client, b"\x32\x0a\x00\x04else\x00\x04hi").await;
    // Nothing has come but the answer to what it asks for now.
    publisher.write_all(&[0xc0, 0]).await.expect("sent");
    expect(&mut publisher, &[0xd0, 0]).await;
    assert!(matches!(store.health(), Health::Failing { .. }), "it fails all the time");

    memory.give_everything();
    expect(&mut publisher, &[0x40, 2, 0, 1]).await;
    assert_eq!(store.statistics().damaged_ranges, 0);
}

/// A client whose publish waits for a part of the disk that gives nothing comes back, as clients do that get no answer: on a lost
/// connection, while the old one is there, and after a good-bye. It is let in, finds its session with what it was sent, and is told
/// of its publish when the disk gives the part.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_does_not_wait_for_what_the_disk_does_not_give() {
    const PUBLISH: &[u8] = b"\x32\x09\x00\x03far\x00\x01hi";
    const DISCONNECT: &[u8] = &[0xe0, 0];
    let memory = Memory::new();
    let store = without_far(&memory, |store| {
        let watcher = attach(store, "w");
        subscribe(store, watcher, "will");
        let client = attach(store, "c");
        subscribe(store, client, "near");
        publish(store, "near");
    });
    let (_running, surroundings) = broker(&store, 256);
    // With a will that is due as soon as its connection has ended without a good-bye.
    let connect = b"\x10\x17\x00\x04MQTT\x04\x0c\x00\x00\x00\x01c\x00\x04will\x00\x02hi";
    let mut client = dial_with(&surroundings, connect).await;
    expect(&mut client, &[0x20, 2, 1, 0]).await;
    // It may have been sent before the crash.
    expect(&mut client, b"\x3a\x0a\x00\x04near\x00\x01hi").await;
    for last_words in [&b""[..], DISCONNECT, DISCONNECT] {
        client.write_all(PUBLISH).await.expect("sent");
        is_failing(&store, true).await;
        client.write_all(last_words).await.expect("sent");
        let mut next = dial_with(&surroundings, connect).await;
        expect(&mut next, &[0x20, 2, 1, 0]).await;
        expect(&mut next, b"\x3a\x0a\x00\x04near\x00\x01hi").await;
        client = next;
    }
    // Nobody has lost more than an exchange that had not been answered.
    client.write_all(&[0x40, 2, 0, 1]).await.expect("sent");
    client.write_all(PUBLISH).await.expect("sent");
    is_failing(&store, true).await;
    memory.give_everything();
    expect(&mut client, &[0x40, 2, 0, 1]).await;
    let waits =
        |client_id: &str| store.backlog(client_id).expect("whole").expect("it is stored").own.messages;
    assert_eq!((waits("far"), store.statistics().damaged_ranges), (2, 0), "once, however often it was sent");
    assert_eq!(
        waits("w"),
        1,
        "a will of the connection that was taken over, and none of those that said good-bye"
    );
}

/// A session that ends with its connection ends with it, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_stored_leaves_its_groups_while_its_publish_waits_for_the_disk() {
    let memory = Memory::new();
    let store = without_far(&memory, |_| {});
    let (_running, surroundings) = broker(&store, 256);
    let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";
    let mut old = dial_with(&surroundings, connect).await;
    expect(&mut old, &[0x20, 2, 0, 0]).await;
    old.write_all(b"\x82\x0f\x00\x01\x00\x0a$share/g/t\x01").await.expect("sent");
    expect(&mut old, &[0x90, 3, 0, 1, 1]).await;
    assert!(store.group_log("$share/g/t").is_some());
    old.write_all(b"\x32\x09\x00\x03far\x00\x01hi").await.expect("sent");
    is_failing(&store, true).await;
    let mut new = dial_with(&surroundings, connect).await;
    expect(&mut new, &[0x20, 2, 0, 0]).await;
    ends(&mut old).await;
    assert!(store.group_log("$share/g/t").is_none(), "its last member is gone");
    is_failing(&store, false).await;
}

/// A store, opened after a crash, of which the disk does not give the log for "far". It has a message; `fill` adds more.
fn without_far(memory: &Memory, fill: impl FnOnce(&Store)) -> Store {
    let store = open(memory);
    let far = attach(&store, "far");
    subscribe(&store, far, "far");
    publish(&store, "far");
    fill(&store);
    memory.crash(barnacle_storage::Survivors::All);
    drop(store);

    let store = open(memory);
    let (far, _) = far.expect("it is stored");
    memory.withhold(Withheld::Log(LogId(far.0)));
    store
}

async fn is_failing(store: &Store, failing: bool) {
    tokio::time::timeout(HANG, async {
        while matches!(store.health(), Health::Failing { .. }) != failing {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it says how it is");
}

/// A connection that is let in and waits for the disk.
async fn waiting(surroundings: &Surroundings, memory: &Memory) -> DuplexStream {
    let before = memory.failing_reads();
    let client = dial(surroundings).await;
    tokio::time::timeout(HANG, async {
        while memory.failing_reads() == before {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it reads");
    client
}

/// The broker ends the connection, whatever it says before.
async fn ends(client: &mut DuplexStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(HANG, client.read_to_end(&mut rest));
    end.await.expect("it is heard").expect("it ends in order");
}

/// Waits until so many clients are connected.
async fn connected(surroundings: &Surroundings, clients: usize) {
    tokio::time::timeout(HANG, async {
        while surroundings.broker.registry.len() != clients {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is heard");
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let (_running, surroundings) = broker(&open(&Memory::new()), 256);
    let (_client, server) = tokio::io::duplex(64);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let task = serve(server, peer, Instant::now(), surroundings);
    // Beside its session, room to read into, and what its kind of transport has.
    assert!(size_of_val(&task) < 3 << 10, "{} bytes", size_of_val(&task));
}

/// Found by the simulator (seed 1507, with limits): what may have been sent was read up to a part that the session passes over, and
/// never beyond, when nothing else was before it. CONNACK never came.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_is_taken_back_across_what_was_left_out_for_a_limit() {
    let memory = Memory::new();
    let open = |memory: &Memory| {
        let session = Limit { max_messages: Some(1), policy: Policy::DropNewest, ..Limit::default() };
        let limits = barnacle_storage::Limits { session, ..Default::default() };
        Store::open(Options { limits, ..Options::in_memory(memory) }).expect("the disk is whole").0
    };
    let store = open(&memory);
    let other = attach(&store, "other");
    let fence = attach(&store, "c");
    subscribe(&store, other, "shared");
    subscribe(&store, fence, "own");
    publish(&store, "own");
    // It has as much as it may have: of the log that it shares from here on it gets nothing.
    publish(&store, "nobody");
    subscribe(&store, fence, "shared");
    publish(&store, "shared");
    memory.crash(barnacle_storage::Survivors::All);
    drop(store);

    let store = open(&memory);
    let (mut client, _running) = connect(&store, 1).await;
    expect(&mut client, b"\x3a\x09\x00\x03own\x00\x01hi").await;
}

fn commit(store: &Store, fence: Option<(SessionId, Epoch)>, operation: Operation) -> Vec<Answer> {
    let (answer, answered) = std::sync::mpsc::channel();
    let operations = vec![operation];
    store.submit(Transaction { source: None, fence, operations }, move |outcome| {
        answer.send(outcome).expect("it waits")
    });
    match answered.recv() {
        Ok(Ok(Outcome::Committed(committed))) => committed.answers,
        other => panic!("{other:?} instead of Committed"),
    }
}

fn attach(store: &Store, client_id: &'static str) -> Option<(SessionId, Epoch)> {
    let attach = Operation::Attach(Attach {
        client_id: client_id.into(),
        clean_start: false,
        session_expiry_interval: u32::MAX,
        protocol_level: 4,
        keep_alive: 0,
        will: None,
        now_millis: 0,
    });
    match commit(store, None, attach).pop() {
        Some(Answer::Attached(attached)) => attached.fence,
        other => panic!("{other:?} instead of Attached"),
    }
}

fn subscribe(store: &Store, fence: Option<(SessionId, Epoch)>, filter: &'static str) {
    let options =
        SubscriptionOptions { qos: 1, no_local: false, retain_as_published: false, identifier: None };
    let wanted = NewSubscription { filter: filter.into(), options, retain_handling: 2 };
    commit(store, fence, Operation::Subscribe(vec![wanted]));
}

fn publish(store: &Store, topic: &'static str) {
    let message = Message {
        qos: 1,
        retain: false,
        published_at_millis: 0,
        expires_at_millis: None,
        publisher: "publisher".into(),
        topic: topic.into(),
        properties: Default::default(),
        payload: "hi".into(),
    };
    let publish = Publish::of(&message, store.route(topic), &mut Default::default());
    commit(store, None, Operation::Publish(publish));
}
