//! Limits for shared groups in the running broker, killed in between: what was acknowledged is taken, waits or is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use barnacle_storage::{DropReason, Load, Options, Store};
use barnacle_wire::{Ack, Connect, Property, Subscribe, Version, kind};

use super::{message, publish};
use crate::broker::{Broker, Setup, barnacle};
use crate::traffic::{Subscriber, number, numbers};

const FILTER: &str = "$share/crew/jobs";
const TOPIC: &str = "jobs";

fn start(messages: u64, bytes: u64, policy: &str) -> Broker {
    Setup::new()
        .setting("queue.group_max_messages", &messages.to_string())
        .setting("queue.group_max_bytes", &bytes.to_string())
        .setting("queue.group_policy", policy)
        .start()
}

/// A member that is stored, and away.
fn absent(broker: &Broker, version: Version) {
    let mut member = broker.new_session(version, "away");
    member.subscribe(&Subscribe::new(1, FILTER, 2));
    member.disconnect();
}

/// What a broker that was killed has left of the group.
struct Found {
    waiting: Load,
    dropped: u64,
    refused: u64,
}

fn killed(broker: &mut Broker) -> Found {
    broker.kill();
    let (store, _) =
        Store::open(Options::new(broker.data_directory())).expect("a killed broker's store opens");
    let drops = store.group_drops(FILTER).expect("the group is there");
    let found = Found {
        waiting: store.group_backlog(FILTER).expect("the log is whole").expect("the group is there"),
        dropped: drops.get(DropReason::GroupLimit).exactly,
        refused: drops.get(DropReason::GroupRefused).exactly,
    };
    drop(store);
    broker.start_again();
    found
}

/// The member comes back and takes so many messages, and there are no more.
fn take(broker: &Broker, version: Version, count: usize) -> Vec<u64> {
    let mut member = Subscriber::new(broker.resume(version, "away"));
    let taken = numbers(&member.take(count));
    member.client().expect_nothing(Duration::from_millis(150));
    let goodbye = barnacle_wire::Disconnect::default().encode(version);
    member.client().send(&goodbye).expect("DISCONNECT is sent");
    member.client().expect_close();
    taken
}

#[test]
fn each_policy_keeps_to_a_groups_messages_across_kills() {
    for version in [Version::V311, Version::V5] {
        for policy in ["drop-oldest", "drop-newest", "reject"] {
            let mut broker = start(50, 0, policy);
            absent(&broker, version);
            let mut refused = publish(&broker, version, TOPIC, 0..60);
            broker.kill_and_start_again();
            refused += publish(&broker, version, TOPIC, 60..80);
            // Drop-oldest drops with the next batch: the start after a kill is one.
            broker.kill_and_start_again();
            let found = killed(&mut broker);
            let told = policy == "reject" && version == Version::V5;
            assert_eq!((found.waiting.messages, refused), (50, if told { 30 } else { 0 }), "{policy}");
            assert_eq!(found.dropped, if told { 0 } else { 30 }, "{policy}");
            let kept = if policy == "drop-oldest" { 30..80 } else { 0..50 };
            assert_eq!(take(&broker, version, 50), kept.collect::<Vec<_>>(), "{policy}");
            assert_eq!(publish(&broker, version, TOPIC, 80..82), 0);
            assert_eq!(killed(&mut broker).waiting.messages, 2, "{policy}");
        }
    }
}

#[test]
fn each_policy_keeps_to_a_groups_bytes_across_kills() {
    for policy in ["drop-oldest", "drop-newest", "reject"] {
        let mut broker = start(0, 4_000, policy);
        absent(&broker, Version::V5);
        let refused = publish(&broker, Version::V5, TOPIC, 0..100);
        broker.kill_and_start_again();
        let found = killed(&mut broker);
        let each = found.waiting.bytes / found.waiting.messages;
        // Drop-oldest keeps below the limit; the others end with the message that reaches it.
        let kept = if policy == "drop-oldest" { 4_000 / each } else { 4_000_u64.div_ceil(each) };
        assert_eq!((found.waiting.messages, found.dropped + refused), (kept, 100 - kept), "{policy}");
    }
}

/// A member takes and acknowledges while others publish and the broker is killed: each message is taken, waits or is counted.
#[test]
fn what_is_committed_for_a_group_is_taken_kept_or_counted_whenever_the_broker_dies() {
    for policy in ["drop-oldest", "drop-newest"] {
        let mut broker = start(40, 0, policy);
        absent(&broker, Version::V5);
        let (mut published, mut taken) = (0, BTreeSet::new());
        for round in 0..4 {
            publish(&broker, Version::V5, TOPIC, published..published + 30);
            let connect = Connect::persistent(Version::V5, "away").property(Property::ReceiveMaximum(8));
            let mut member = Subscriber::new(broker.connect(&connect).0);
            taken.extend(member.take(6 + round).iter().map(number));
            publish(&broker, Version::V5, TOPIC, published + 30..published + 60);
            published += 60;
            broker.kill_and_start_again();
        }
        let dropped = killed(&mut broker).dropped;
        let mut member = Subscriber::new(broker.resume(Version::V5, "away"));
        while let Ok(message) = member.next(Duration::from_millis(300)) {
            taken.insert(number(&message));
        }
        assert!(dropped > 0, "{policy}: nothing came to be beyond the limit");
        assert_eq!(taken.len() as u64 + dropped, published, "{policy}");
    }
}

/// [MQTT-4.8.2-6]: what a member refuses goes to nobody, and is counted, stored or not.
#[test]
fn what_members_refuse_is_counted_across_kills() {
    for (stored, answer) in
        [(true, kind::PUBACK), (true, kind::PUBREC), (false, kind::PUBACK), (false, kind::PUBREC)]
    {
        let mut broker = Broker::start();
        absent(&broker, Version::V5);
        let mut member = match stored {
            true => broker.resume(Version::V5, "away"),
            false => {
                let mut passing = broker.client(Version::V5, "passing");
                passing.subscribe(&Subscribe::new(1, FILTER, 2));
                passing
            }
        };
        let mut publisher = broker.client(Version::V5, "publisher");
        let qos = if answer == kind::PUBACK { 1 } else { 2 };
        publisher.deliver(&message(TOPIC, 1).qos(qos, 1));
        let job = member.expect_publish();
        assert_eq!(job.qos, qos);
        member
            .send(&Ack::reason(job.packet_id, 0x83).encode(answer, Version::V5))
            .expect("a refusal is sent");
        // Its end is kept before the connection is closed, and the refusal with it.
        member.disconnect();
        let found = killed(&mut broker);
        assert_eq!((found.refused, found.waiting.messages), (1, 0), "stored: {stored}, QoS {qos}");
        assert_eq!(killed(&mut broker).refused, 1);
        assert!(take(&broker, Version::V5, 0).is_empty());
    }
}

#[test]
fn inspect_shows_groups() {
    let mut broker = start(3, 0, "drop-newest");
    absent(&broker, Version::V311);
    publish(&broker, Version::V5, TOPIC, 0..5);
    assert!(broker.terminate().success());
    let inspect = |arguments: &[&str]| {
        let mut command = barnacle();
        let output = command.arg("inspect").arg(broker.data_directory()).args(arguments).output();
        String::from_utf8(output.expect("the binary was built").stdout).expect("UTF-8")
    };
    let inspection: serde_json::Value = serde_json::from_str(&inspect(&["--json"])).expect("JSON");
    let group = &inspection["groups"][0];
    assert_eq!((&group["filter"], &group["waiting_messages"]), (&FILTER.into(), &3.into()), "{group}");
    assert_eq!(group["members"], serde_json::json!(["away"]));
    let dropped = serde_json::json!([{ "reason": "group_limit", "exactly": 2, "shared_at_most": 0 }]);
    assert_eq!(group["dropped"], dropped);
    let text = inspect(&[]);
    assert!(text.lines().any(|line| line.starts_with(FILTER) && line.ends_with('2')), "{text}");
}
