//! Shared groups: what a member holds, what came back, what nobody has taken, and what was sent to one that is gone.

use std::collections::BTreeSet;

use barnacle_wire::{Ack, Client, Connect, Packet, Property, Publish, Subscribe, Version, kind};

use super::{QUIET, connect, end_session, leave, packets, publish};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

const CREW: &str = "$share/crew/jobs/#";
const PAIR: &str = "$share/pair/tasks/#";

fn job(text: &str, qos: u8) -> Publish {
    Publish::new("jobs/x", text).qos(qos, 1)
}

fn with_room(version_5_session: Connect, messages: u16) -> Connect {
    version_5_session.property(Property::ReceiveMaximum(messages))
}

fn member(broker: &Broker, connect: &Connect, filter: &str) -> Client {
    let mut client = broker.connect(connect).0;
    client.subscribe(&Subscribe::new(1, filter, 2));
    client
}

fn busy() -> Connect {
    with_room(Connect::persistent(Version::V5, "crew-busy"), 3)
}

pub(super) fn write_first(broker: &Broker) {
    for (client_id, filter) in [("crew-away", CREW), ("pair-away", PAIR)] {
        member(broker, &Connect::persistent(Version::V311, client_id), filter).disconnect();
    }
}

pub(super) fn write_second(broker: &Broker) -> Vec<Client> {
    // One holds as much as it has room for: received, sent at QoS 1, sent at QoS 2.
    let mut busy = member(broker, &busy(), CREW);
    publish(broker, [job("1", 2), job("2", 1), job("3", 2)]);
    for packet_id in 1..=3 {
        assert_eq!(busy.expect_publish().packet_id, packet_id);
    }
    busy.ack(kind::PUBREC, 1).expect("PUBREC is sent");
    busy.expect(&Packet::PubRel(Ack::new(1)));
    // What another one leaves at the end of its session comes back.
    let mut left = member(broker, &with_room(Connect::persistent(Version::V5, "crew-left"), 2), CREW);
    publish(broker, [job("4", 1), job("5", 1)]);
    left.expect_publish();
    left.expect_publish();
    end_session(left);
    // A session that ends with its connection leaves a message where it is until it has acknowledged it.
    let mut passing = member(broker, &with_room(Connect::new(Version::V5, "crew-passing"), 1), CREW);
    passing.expect_publish();
    publish(broker, [job("6", 1), job("7", 2), job("8", 1)]);
    // What such a session was sent at QoS 2 goes to nobody else [MQTT-4.8.2-5].
    let mut sent = member(broker, &with_room(Connect::new(Version::V5, "pair-passing"), 1), PAIR);
    publish(broker, [Publish::new("tasks/x", "sent").qos(2, 1)]);
    sent.expect_publish();
    publish(broker, [Publish::new("tasks/x", "free").qos(2, 1)]);
    vec![busy, passing, sent]
}

pub(super) fn expect(broker: &Broker) {
    let (mut client, connack) = broker.connect(&busy());
    assert!(connack.session_present);
    let mut held = Vec::new();
    for packet in packets(&mut client, 3) {
        match packet {
            Packet::Publish(again) => held.push((again.packet_id, again.dup, again.qos, again.payload)),
            Packet::PubRel(release) => assert_eq!(release.packet_id, 1),
            other => panic!("{other:?} came to a member"),
        }
    }
    assert_eq!(held, [(2, true, 1, b"2".to_vec()), (3, true, 2, b"3".to_vec())]);

    let mut away = Subscriber::new(broker.resume(Version::V311, "crew-away"));
    let taken = texts(&away.take(5));
    assert_eq!(
        taken.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["4", "5", "6", "7", "8"])
    );
    leave(away);
    client.ack(kind::PUBCOMP, 1).expect("PUBCOMP is sent");
    client.ack(kind::PUBACK, 2).expect("PUBACK is sent");
    client.ack(kind::PUBREC, 3).expect("PUBREC is sent");
    client.expect(&Packet::PubRel(Ack::new(3)));
    client.ack(kind::PUBCOMP, 3).expect("PUBCOMP is sent");
    leave(Subscriber::new(client));

    let mut pair = Subscriber::new(broker.resume(Version::V311, "pair-away"));
    assert_eq!(texts(&pair.take(1)), ["free"]);
    leave(pair);
}

pub(super) fn expect_nothing_more(broker: &Broker) {
    for client_id in ["crew-away", "pair-away"] {
        connect(broker, Version::V311, client_id).expect_nothing(QUIET);
    }
    connect(broker, Version::V5, "crew-busy").expect_nothing(QUIET);
}
