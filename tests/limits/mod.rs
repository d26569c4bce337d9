//! Limits on what waits, in the running broker: each policy, by messages and by bytes, killed in between. What is
//! counted is read from the data directory of the broker that was killed.

mod groups;
mod own_log;
mod passed_over;
mod rejected;
mod shared;

use barnacle_storage::{Backlog, DropReason, Dropped, Limit, Limits, Lsn, Options, Policy, Store};
use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Ack, Client, Connect, Packet, Property, Publish, Subscribe, Version, kind};

use crate::broker::{Broker, Setup};
use crate::traffic::{Subscriber, expect_sequence, numbers};

/// Payload of every message in these tests, in bytes.
const PAYLOAD_BYTES: usize = 64;

/// A limit for each session, as the settings and as the store have it.
#[derive(Clone, Copy)]
struct SessionLimit {
    messages: u64,
    bytes: u64,
    policy: &'static str,
}

impl SessionLimit {
    fn messages(messages: u64, policy: &'static str) -> Self {
        Self { messages, bytes: 0, policy }
    }

    fn bytes(bytes: u64, policy: &'static str) -> Self {
        Self { messages: 0, bytes, policy }
    }

    fn start(self) -> Broker {
        Setup::new()
            .setting("queue.session_max_messages", &self.messages.to_string())
            .setting("queue.session_max_bytes", &self.bytes.to_string())
            .setting("queue.session_policy", self.policy)
            .start()
    }

    fn in_store(self) -> Limits {
        let any = |number: u64| (number > 0).then_some(number);
        let policy = match self.policy {
            "drop-oldest" => Policy::DropOldest,
            "drop-newest" => Policy::DropNewest,
            _ => Policy::Reject,
        };
        let session = Limit { max_messages: any(self.messages), max_bytes: any(self.bytes), policy };
        Limits { session, ..Limits::default() }
    }

    /// Kills the broker, looks into its data, and starts it again.
    fn killed(self, broker: &mut Broker, client_id: &str) -> Found {
        broker.kill();
        let mut options = Options::new(broker.data_directory());
        options.limits = self.in_store();
        let (store, recovery) = Store::open(options).expect("a killed broker's store opens");
        let drops = store.session_drops(client_id).expect("the session is stored");
        let found = Found {
            backlog: store.backlog(client_id).expect("the logs are whole").expect("the session is stored"),
            dropped: DropReason::ALL.map(|reason| drops.get(reason)),
            head: recovery.head,
        };
        drop(store);
        broker.start_again();
        found
    }
}

/// What a killed broker has left of a session.
struct Found {
    backlog: Backlog,
    dropped: [Dropped; DropReason::ALL.len()],
    /// The last LSN: as many publishes were committed.
    head: Lsn,
}

impl Found {
    fn dropped(&self, reason: DropReason) -> Dropped {
        self.dropped[reason as usize]
    }
}

/// A stored session with one filter, without a connection.
fn absent(broker: &Broker, client_id: &str, filter: &str) {
    let mut client = broker.new_session(Version::V5, client_id);
    client.subscribe(&Subscribe::new(1, filter, 1));
    client.disconnect();
}

fn message(topic: &str, number: u64) -> Publish {
    Publish::new(topic, format!("{number:0PAYLOAD_BYTES$}")).qos(1, 1)
}

/// Publishes numbered messages, each to its acknowledgement; how many were refused.
fn publish(broker: &Broker, version: Version, topic: &str, range: std::ops::Range<u64>) -> u64 {
    let mut publisher = broker.client(version, "publisher");
    let mut refused = 0;
    for number in range {
        publisher.publish(&message(topic, number)).expect("PUBLISH is sent");
        match publisher.read(PATIENCE) {
            Ok(Packet::PubAck(ack)) if ack.reason < 0x80 => {}
            Ok(Packet::PubAck(ack)) if ack.reason == 0x97 => refused += 1,
            other => panic!("PUBACK was expected, and {other:?} came"),
        }
    }
    publisher.disconnect();
    refused
}

/// The session comes back and takes so many messages, and there are no more.
fn take(broker: &Broker, client_id: &str, count: usize) -> Vec<u64> {
    let mut subscriber = Subscriber::new(broker.resume(Version::V5, client_id));
    let taken = numbers(&subscriber.take(count));
    subscriber.client().expect_nothing(std::time::Duration::from_millis(150));
    leave(broker, client_id, subscriber);
    taken
}

/// Ends a connection, and sees that its last state is kept: the next is let in only behind it.
fn leave(broker: &Broker, client_id: &str, mut subscriber: Subscriber) {
    let goodbye = barnacle_wire::Disconnect::default().encode(Version::V5);
    subscriber.client().send(&goodbye).expect("DISCONNECT is sent");
    subscriber.client().expect_close();
    broker.resume(Version::V5, client_id).disconnect();
}
