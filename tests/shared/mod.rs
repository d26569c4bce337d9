//! Shared subscriptions, `$share/{group}/{filter}`: one member gets each message, in every version, and what a member
//! did not finish is finished by another, or by nobody, as section 4.8.2 has it.

mod crash;
mod members;

use std::time::Duration;

use barnacle_wire::client::PATIENCE;
use barnacle_wire::{Client, Connect, Packet, Publish, Subscribe, Version, kind};

use crate::broker::Broker;

const FILTER: &str = "$share/workers/jobs/#";
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// Long enough for a message that should not come to have come.
const QUIET: Duration = Duration::from_millis(150);

fn session(broker: &Broker, version: Version, name: &str) -> Client {
    broker.connect(&Connect::persistent(version, name)).0
}

fn worker(broker: &Broker, version: Version, name: &str, qos: u8) -> Client {
    let mut client = session(broker, version, name);
    assert_eq!(client.subscribe(&Subscribe::new(1, FILTER, qos)).reasons, [qos]);
    client
}

/// A worker whose session ends with its connection.
fn passing_worker(broker: &Broker, version: Version, name: &str, qos: u8) -> Client {
    let mut client = broker.client(version, name);
    assert_eq!(client.subscribe(&Subscribe::new(1, FILTER, qos)).reasons, [qos]);
    client
}

/// Publishes numbered jobs, each acknowledged.
fn publish(broker: &Broker, numbers: std::ops::RangeInclusive<u16>, qos: u8) {
    let mut client = broker.client(Version::V5, "publisher");
    for number in numbers {
        let job = Publish::new("jobs/x", number.to_string());
        match qos {
            0 => client.publish(&job).expect("PUBLISH is sent"),
            1 => {
                client.publish(&job.qos(1, number)).expect("PUBLISH is sent");
                assert!(matches!(client.read(PATIENCE), Ok(Packet::PubAck(ack)) if ack.reason < 0x80));
            }
            _ => {
                client.publish(&job.qos(2, number)).expect("PUBLISH is sent");
                assert!(matches!(client.read(PATIENCE), Ok(Packet::PubRec(ack)) if ack.reason < 0x80));
                client.ack(kind::PUBREL, number).expect("PUBREL is sent");
                assert!(matches!(client.read(PATIENCE), Ok(Packet::PubComp(_))));
            }
        }
    }
    client.disconnect();
}

fn number(publish: &Publish) -> u16 {
    std::str::from_utf8(&publish.payload).expect("text").parse().expect("a number")
}

/// Takes `count` messages, and goes through their exchanges.
#[track_caller]
fn work(client: &mut Client, count: usize) -> Vec<u16> {
    let (mut numbers, mut releases) = (Vec::new(), 0);
    while numbers.len() < count || releases > 0 {
        match client.read(PATIENCE) {
            Ok(Packet::Publish(job)) => {
                acknowledge(client, &job);
                releases += usize::from(job.qos == 2);
                numbers.push(number(&job));
            }
            Ok(Packet::PubRel(release)) => {
                client.ack(kind::PUBCOMP, release.packet_id).expect("PUBCOMP is sent");
                releases -= 1;
            }
            other => panic!("{other:?} after {numbers:?} of {count} jobs"),
        }
    }
    numbers
}

/// The first answer to a job: PUBACK or PUBREC.
fn acknowledge(client: &mut Client, job: &Publish) {
    match job.qos {
        0 => {}
        1 => client.ack(kind::PUBACK, job.packet_id).expect("PUBACK is sent"),
        _ => client.ack(kind::PUBREC, job.packet_id).expect("PUBREC is sent"),
    }
}

/// Goes through what comes until nothing does.
fn drain(client: &mut Client) -> Vec<u16> {
    let mut numbers = Vec::new();
    loop {
        match client.read(QUIET) {
            Ok(Packet::Publish(job)) => {
                acknowledge(client, &job);
                numbers.push(number(&job));
            }
            Ok(Packet::PubRel(release)) => {
                client.ack(kind::PUBCOMP, release.packet_id).expect("PUBCOMP is sent");
            }
            _ => return numbers,
        }
    }
}
