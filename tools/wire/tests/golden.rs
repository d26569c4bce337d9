//! Packets written by hand from the standard's tables, against builders and parser.

use barnacle_wire::frames::FrameBuffer;
use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{
    Ack, ConnAck, Connect, Disconnect, Packet, ParseError, Property, Publish, SubAck, Subscribe, Unsubscribe,
    Version, Will, kind, parse,
};

#[test]
fn connect_of_each_version() {
    assert_eq!(
        Connect::new(Version::V311, "a").encode(),
        [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'a']
    );
    assert_eq!(
        Connect::new(Version::V31, "a").clean_start(false).encode(),
        [0x10, 15, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 0, 0, 60, 0, 1, b'a']
    );
    let will = Will { topic: "w".into(), payload: vec![9], qos: 2, retain: true, properties: vec![] };
    let connect = Connect::persistent(Version::V5, "a").will(will).credentials("u", "p").keep_alive(1);
    assert_eq!(
        connect.encode(),
        [
            0x10,
            32,
            0,
            4,
            b'M',
            b'Q',
            b'T',
            b'T',
            5,
            0b1111_0100,
            0,
            1,
            5,
            0x11,
            0xff,
            0xff,
            0xff,
            0xff,
            0,
            1,
            b'a',
            0,
            0,
            1,
            b'w',
            0,
            1,
            9,
            0,
            1,
            b'u',
            0,
            1,
            b'p'
        ]
    );
}

#[test]
fn what_a_client_sends() {
    let publish = Publish::new("t", "xy").qos(1, 258).dup(true).retain(true);
    assert_eq!(publish.encode(Version::V311), [0x3b, 7, 0, 1, b't', 1, 2, b'x', b'y']);
    assert_eq!(
        publish.property(Property::TopicAlias(3)).encode(Version::V5),
        [0x3b, 11, 0, 1, b't', 1, 2, 3, 0x23, 0, 3, b'x', b'y']
    );
    assert_eq!(Ack::new(1).encode(kind::PUBREL, Version::V5), [0x62, 2, 0, 1]);
    assert_eq!(Ack::reason(1, 0x92).encode(kind::PUBCOMP, Version::V5), [0x70, 3, 0, 1, 0x92]);
    assert_eq!(Ack::reason(1, 0x92).encode(kind::PUBCOMP, Version::V311), [0x70, 2, 0, 1]);
    let subscribe = Subscribe::new(5, "a/#", 1).and("b", 2);
    assert_eq!(subscribe.encode(Version::V311), [0x82, 12, 0, 5, 0, 3, b'a', b'/', b'#', 1, 0, 1, b'b', 2]);
    assert_eq!(
        Subscribe::new(5, "b", 2)
            .property(Property::SubscriptionIdentifier(Variable(200)))
            .encode(Version::V5),
        [0x82, 10, 0, 5, 3, 0x0b, 0xc8, 1, 0, 1, b'b', 2]
    );
    assert_eq!(Unsubscribe::new(6, "b").encode(Version::V5), [0xa2, 6, 0, 6, 0, 0, 1, b'b']);
    assert_eq!(Disconnect::default().encode(Version::V5), [0xe0, 0]);
    let reason = Disconnect { reason: 4, properties: vec![] };
    assert_eq!(reason.encode(Version::V5), [0xe0, 2, 4, 0]);
    assert_eq!(reason.encode(Version::V311), [0xe0, 0]);
}

#[test]
fn what_a_server_sends() {
    let cases: Vec<(Version, Vec<u8>, Packet)> = vec![
        (
            Version::V311,
            vec![0x20, 2, 1, 0],
            Packet::ConnAck(ConnAck { session_present: true, reason: 0, properties: vec![] }),
        ),
        (
            Version::V5,
            vec![0x20, 6, 0, 0, 3, 0x21, 0, 10],
            Packet::ConnAck(ConnAck { properties: vec![Property::ReceiveMaximum(10)], ..ConnAck::default() }),
        ),
        (
            Version::V5,
            vec![0x32, 16, 0, 1, b't', 0, 9, 9, 0x26, 0, 1, b'k', 0, 1, b'v', 0x0b, 1, b'!'],
            Packet::Publish(
                Publish::new("t", "!")
                    .qos(1, 9)
                    .property(Property::UserProperty(Pair("k".into(), "v".into())))
                    .property(Property::SubscriptionIdentifier(Variable(1))),
            ),
        ),
        (Version::V5, vec![0x40, 3, 0, 1, 0x10], Packet::PubAck(Ack::reason(1, 0x10))),
        (Version::V311, vec![0x62, 2, 0, 1], Packet::PubRel(Ack::new(1))),
        (
            Version::V311,
            vec![0x90, 4, 0, 1, 2, 0x80],
            Packet::SubAck(SubAck { packet_id: 1, reasons: vec![2, 0x80], properties: vec![] }),
        ),
        (
            Version::V311,
            vec![0xb0, 2, 0, 1],
            Packet::UnsubAck(SubAck { packet_id: 1, reasons: vec![], properties: vec![] }),
        ),
        (Version::V311, vec![0xd0, 0], Packet::PingResp),
        (
            Version::V5,
            vec![0xe0, 1, 0x8e],
            Packet::Disconnect(Disconnect { reason: 0x8e, properties: vec![] }),
        ),
    ];
    for (version, bytes, packet) in cases {
        assert_eq!(parse(version, &bytes), Ok(Some((packet.clone(), bytes.len()))), "{bytes:x?}");
        for end in 0..bytes.len() {
            assert_eq!(parse(version, &bytes[..end]), Ok(None), "{packet:?} cut to {end} bytes");
        }
    }
}

#[test]
fn what_a_server_must_not_send() {
    let cases: &[(Version, &[u8], ParseError)] = &[
        (Version::V311, &[0x20, 3, 1, 0, 0], ParseError::Trailing(1)),
        (Version::V311, &[0x20, 2, 2, 0], ParseError::Value("reserved CONNACK flags are set")),
        (Version::V311, &[0x40, 2, 0, 0], ParseError::Value("packet identifier 0")),
        (Version::V311, &[0x60, 2, 0, 1], ParseError::FirstByte(0x60)),
        (Version::V311, &[0xe0, 0], ParseError::FirstByte(0xe0)),
        (Version::V311, &[0x40, 0x82, 0, 0, 1], ParseError::Variable),
        (Version::V311, &[0x38, 3, 0, 1, b't'], ParseError::FirstByte(0x38)),
        (Version::V5, &[0x40, 6, 0, 1, 0, 2, 0x7f, 0], ParseError::UnknownProperty(0x7f)),
        (Version::V5, &[0x20, 9, 0, 0, 6, 0x21, 0, 1, 0x21, 0, 1], ParseError::RepeatedProperty(0x21)),
        (Version::V5, &[0x30, 4, 0, 1, 0xff, 0], ParseError::Text),
        (Version::V5, &[0x30, 4, 0, 1, b't', 1], ParseError::Truncated),
    ];
    for (version, bytes, error) in cases {
        assert_eq!(parse(*version, bytes), Err(error.clone()), "{bytes:x?}");
    }
}

#[test]
fn frames_come_whole_however_they_are_cut() {
    let publish =
        Publish::new("topic", vec![7; 300]).qos(1, 77).property(Property::ContentType("c".repeat(200)));
    let mut stream = Vec::new();
    for _ in 0..50 {
        stream.extend(publish.encode(Version::V5));
        stream.extend(Ack::reason(3, 0x10).encode(kind::PUBACK, Version::V5));
    }
    for step in [1, 7, 64, 1000] {
        let mut buffer = FrameBuffer::new(64);
        let (mut publishes, mut acks, mut sent) = (0, 0, 0);
        while sent < stream.len() {
            let space = buffer.space();
            let count = step.min(space.len()).min(stream.len() - sent);
            space[..count].copy_from_slice(&stream[sent..sent + count]);
            buffer.filled(count);
            sent += count;
            while let Some(frame) = buffer.next_frame().expect("well-formed") {
                if frame.kind() == kind::PUBACK {
                    assert_eq!(frame.ack(), Ok((3, 0x10)));
                    acks += 1;
                } else {
                    let view = frame.publish(Version::V5).expect("well-formed");
                    assert_eq!((view.topic, view.packet_id, view.qos), (&b"topic"[..], 77, 1));
                    assert_eq!(view.payload, [7; 300]);
                    publishes += 1;
                }
            }
        }
        assert_eq!((publishes, acks), (50, 50), "in steps of {step}");
    }
}
