//! Every prefix of every packet, followed by nothing or by noise; and lengths that are not true.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{
    Ack, Auth, Client, Connect, Disconnect, Packet, Property, Publish, RawPacket, Subscribe, Unsubscribe,
    Version, Will, kind, packets,
};

use super::{beside_a_well_behaved_client, expect_end, in_parallel};
use crate::broker::Broker;
use crate::traffic::noise;

/// A CONNECT with everything in it.
fn full_connect(version: Version, client_id: &str) -> Connect {
    let mut will = Will {
        topic: "cut/will".into(),
        payload: b"will".to_vec(),
        qos: 1,
        retain: false,
        properties: vec![],
    };
    let mut connect = Connect::new(version, client_id).credentials("user", "password");
    if version == Version::V5 {
        will.properties = vec![Property::WillDelayInterval(1), Property::ContentType("t".into())];
        connect.properties = vec![
            Property::SessionExpiryInterval(0),
            Property::ReceiveMaximum(9),
            Property::UserProperty(Pair("k".into(), "v".into())),
        ];
    }
    connect.will(will)
}

/// One of each packet that a client sends after CONNECT. What they publish or subscribe to begins with `cut/`.
fn packets_after_connect(version: Version) -> Vec<Vec<u8>> {
    let v5 = version == Version::V5;
    let reason = if v5 { 0x10 } else { 0 };
    let mut publish = Publish::new("cut/topic", "payload");
    let mut subscribe = Subscribe::new(2, "cut/+/x", 1).and("cut/#", 2);
    let mut disconnect = Disconnect::default();
    if v5 {
        publish.properties = vec![
            Property::MessageExpiryInterval(7),
            Property::CorrelationData(vec![1, 2]),
            Property::UserProperty(Pair("k".into(), "v".into())),
        ];
        subscribe.properties = vec![Property::SubscriptionIdentifier(Variable(300))];
        disconnect = Disconnect { reason: 0x04, properties: vec![Property::ReasonString("why".into())] };
    }
    let mut packets = vec![
        publish.encode(version),
        publish.clone().qos(1, 3).encode(version),
        publish.qos(2, 4).retain(true).encode(version),
        subscribe.encode(version),
        Unsubscribe::new(5, "cut/#").encode(version),
        packets::ping(),
        disconnect.encode(version),
    ];
    let acknowledgements = [kind::PUBACK, kind::PUBREC, kind::PUBREL, kind::PUBCOMP];
    packets.extend(acknowledgements.map(|packet_kind| Ack::reason(6, reason).encode(packet_kind, version)));
    if v5 {
        packets.push(
            Auth { reason: 0x18, properties: vec![Property::AuthenticationMethod("m".into())] }.encode(),
        );
    }
    packets
}

/// What a connection sends: whether CONNECT comes first, and then part of a packet.
struct Case {
    version: Version,
    connects: bool,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        let connect = full_connect(version, "cut").encode();
        let mut add = |packet: &[u8], connects| {
            let prefixes = (0..packet.len()).map(|length| packet[..length].to_vec());
            cases.extend(prefixes.map(|bytes| Case { version, connects, bytes }));
        };
        add(&connect, false);
        packets_after_connect(version).iter().for_each(|packet| add(packet, true));
    }
    cases
}

fn send(broker: &Broker, index: usize, case: &Case, noise: &[u8]) {
    let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
    let mut bytes = Vec::new();
    if case.connects {
        bytes = Connect::new(case.version, &format!("cut {index}")).encode();
    }
    bytes.extend(&case.bytes);
    bytes.extend(noise);
    // The broker may have ended the connection before it has read all.
    let _ = stream.write_all(&bytes);
    expect_end(stream);
}

/// A packet cut short by the end of the connection does nothing.
#[test]
fn every_prefix_of_every_packet_then_the_end() {
    beside_a_well_behaved_client(Broker::start(), |broker| {
        let mut witness = broker.client(Version::V5, "witness");
        witness.subscribe(&Subscribe::new(1, "#", 1));
        let cases = cases();
        in_parallel(&cases, |index, case| send(broker, index, case, &[]));
        eprintln!("{} connections", cases.len());
        broker
            .client(Version::V5, "closing")
            .publish(&Publish::new("closing", "v"))
            .expect("PUBLISH is sent");
        loop {
            let message = witness.expect_publish();
            if message.qos == 1 {
                witness.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
            }
            match message.topic.as_str() {
                "closing" => return,
                "well/behaved" => {}
                topic => panic!("part of a packet published something on {topic}"),
            }
        }
    });
}

#[test]
fn every_prefix_of_every_packet_then_noise() {
    beside_a_well_behaved_client(Broker::start(), |broker| {
        in_parallel(&cases(), |index, case| send(broker, index, case, &noise(index as u64, 100)));
    });
}

/// A length that is larger than what is allowed is refused at once; one that is allowed reserves nothing.
#[test]
fn lengths_that_are_not_true() {
    const CONNECTIONS: usize = 200;
    let lengths: [&[u8]; 5] = [
        &[0xFF, 0xFF, 0xFF, 0x7F],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x80, 0x80, 0x80, 0x80, 0x00],
        &[0x81, 0x80, 0x80, 0x80, 0x80],
    ];
    beside_a_well_behaved_client(Broker::start(), |broker| {
        for length in lengths {
            for first in [kind::CONNECT << 4, kind::PUBLISH << 4] {
                let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
                let packet = RawPacket::new(first).string("MQTT").finish_with_length_bytes(length);
                stream.write_all(&packet).expect("the broker reads");
                expect_end(stream);
            }
            let mut client = broker.client(Version::V5, "one");
            client
                .send(&RawPacket::new(0x30).string("t").finish_with_length_bytes(length))
                .expect("PUBLISH is sent");
            match client.expect_close().as_slice() {
                [Packet::Disconnect(disconnect)] => {
                    let wanted = if length.len() == 4 { 0x95 } else { 0x81 };
                    assert_eq!(
                        disconnect.reason, wanted,
                        "{length:x?}: 0x95 Packet too large, 0x81 Malformed"
                    );
                }
                other => panic!("{other:?} instead of DISCONNECT"),
            }
        }
        // Promised a megabyte each, sent a little, and left hanging: for all of them together nothing is reserved.
        let open: Vec<Client> = (0..CONNECTIONS)
            .map(|index| {
                let mut client = broker.client(Version::V311, &format!("hanging {index}"));
                let header = RawPacket::new(0x30).string("t").bytes(&[0; 1000]).finish_with_length(1_048_000);
                client.send(&header).expect("part of a PUBLISH is sent");
                client
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let resident = broker.resident_bytes();
        drop(open);
        assert!(
            resident < 2 * super::GROWTH_BYTES + (100 << 20),
            "{resident} bytes for {CONNECTIONS} promises of a megabyte"
        );
    });
}

/// Lengths inside a packet that reach behind its end.
#[test]
fn fields_that_reach_behind_their_packet() {
    beside_a_well_behaved_client(Broker::start(), |broker| {
        let mut packets = vec![
            RawPacket::new(0x30).u16(0xFFFF).bytes(b"topic").finish(),
            RawPacket::new(0x32).u16(0xFFFF).finish(),
            RawPacket::new(0x82).u16(1).u8(0).u16(0xFFFF).bytes(b"filter").finish(),
            RawPacket::new(0xA2).u16(1).u8(0).u16(0xFFFF).bytes(b"filter").finish(),
            RawPacket::new(0xE0).u8(0).bytes(&[0xFF, 0xFF, 0xFF, 0x7F]).finish(),
        ];
        // Property lengths, and lengths of each property that has one.
        packets.push(RawPacket::new(0x30).string("t").bytes(&[0xFF, 0xFF, 0xFF, 0x7F]).finish());
        for identifier in [0x03, 0x08, 0x09, 0x26] {
            packets.push(RawPacket::new(0x30).string("t").u8(3).u8(identifier).u16(0xFFFF).finish());
        }
        for packet in packets {
            let mut client = broker.client(Version::V5, "one");
            client.send(&packet).expect("the packet is sent");
            match client.expect_close().as_slice() {
                [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x81, "{packet:x?}"),
                other => panic!("{other:?} to {packet:x?}"),
            }
        }
    });
}
