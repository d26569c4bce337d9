//! The fast ways to encode say the same as the slow one.

use std::num::NonZeroU16;

use bytes::BytesMut;

use super::super::{
    Ack, AckKind, AckProperties, ForwardedProperties, OutgoingPublish, Packet, PacketId, PacketType, Publish,
    QoS, ReasonCode, UserProperties, encode, encode_ack,
};
use super::notation::bytes;
use super::valid::{V5, V31, V311, all};

fn outgoing(publish: &Publish) -> OutgoingPublish<'_> {
    OutgoingPublish {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        packet_id: publish.packet_id,
        topic: publish.topic.as_ref().map_or("", |topic| topic.as_str()),
        topic_alias: publish.properties.topic_alias.map(NonZeroU16::get),
        message_expiry_interval: publish.properties.message_expiry_interval,
        subscription_identifiers: &publish.properties.subscription_identifiers,
        forwarded: &publish.properties.forwarded,
        payload: &publish.payload,
    }
}

#[test]
fn outgoing_publish() {
    let mut compared = 0;
    for case in all().into_iter().filter(|case| case.canonical) {
        let Packet::Publish(publish) = &case.packet else { continue };
        let mut encoded = BytesMut::new();
        outgoing(publish).encode(case.version, &mut encoded);
        assert_eq!(encoded, bytes(case.bytes), "{}", case.what);
        assert_eq!(outgoing(publish).encoded_len(case.version), encoded.len(), "{}", case.what);
        compared += 1;
    }
    assert!(compared > 10, "the tables have PUBLISH packets");
}

#[test]
fn outgoing_publish_before_mqtt_5_has_no_properties() {
    let publish = OutgoingPublish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: true,
        packet_id: None,
        topic: "a",
        topic_alias: None,
        message_expiry_interval: Some(1),
        subscription_identifiers: &[1],
        forwarded: b"\x01\x01",
        payload: b"x",
    };
    for version in [V31, V311] {
        let mut encoded = BytesMut::new();
        publish.encode(version, &mut encoded);
        assert_eq!(encoded, bytes("31[<a> 'x']"));
        assert_eq!(publish.encoded_len(version), encoded.len());
    }
}

#[test]
fn lengths_at_every_step_of_the_variable_byte_integer() {
    for length in
        [0, 117, 118, 119, 120, 121, 122, 16_374, 16_377, 16_378, 16_380, 2_097_145, 2_097_146, 2_097_150]
    {
        let payload = vec![b'x'; length];
        let forwarded = vec![0; length / 2];
        for version in [V311, V5] {
            let publish = OutgoingPublish {
                dup: true,
                qos: QoS::AtLeastOnce,
                retain: false,
                packet_id: Some(PacketId::try_from(1).expect("not zero")),
                topic: "a",
                topic_alias: Some(1),
                message_expiry_interval: Some(60),
                subscription_identifiers: &[127, 128, 16_384],
                forwarded: &forwarded,
                payload: &payload,
            };
            let mut encoded = BytesMut::new();
            publish.encode(version, &mut encoded);
            assert_eq!(publish.encoded_len(version), encoded.len(), "{length} bytes in {version}");
        }
    }
}

#[test]
#[should_panic(expected = "QoS and packet identifier go together")]
fn outgoing_publish_needs_its_packet_identifier() {
    let publish = Publish { qos: QoS::AtLeastOnce, ..Publish::default() };
    outgoing(&publish).encode(V5, &mut BytesMut::new());
}

#[test]
fn acknowledgements() {
    let packet_id = PacketId::try_from(0x1234).expect("not zero");
    for kind in [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp] {
        for reason in (0..=u8::MAX).filter_map(|value| ReasonCode::try_from(value).ok()) {
            if !reason.fits(PacketType::from(kind)) {
                continue;
            }
            let ack = Ack { packet_id, reason, properties: AckProperties::default() };
            let packet = match kind {
                AckKind::PubAck => Packet::PubAck(ack),
                AckKind::PubRec => Packet::PubRec(ack),
                AckKind::PubRel => Packet::PubRel(ack),
                AckKind::PubComp => Packet::PubComp(ack),
            };
            for version in [V31, V311, V5] {
                let (mut slow, mut fast) = (BytesMut::new(), BytesMut::new());
                encode(&packet, version, &mut slow).expect("the reason fits");
                encode_ack(kind, packet_id, reason, version, &mut fast);
                assert_eq!(fast, slow, "{kind:?} {reason:?} {version}");
            }
        }
    }
}

#[test]
fn forwarded_properties() {
    let properties = ForwardedProperties {
        payload_format_indicator: Some(true),
        content_type: Some("text".into()),
        response_topic: Some("r/t".into()),
        correlation_data: Some("id".into()),
        user_properties: UserProperties::new([("a", "1"), ("", "ü")]).expect("short pairs"),
    };
    let block = properties.encode().expect("they are valid");
    assert_eq!(block, bytes("01 01 03<text> 08<r/t> 09<id> 26<a><1> 26<><ü>"));
    assert_eq!(ForwardedProperties::decode(&block), Ok(properties));
    let apart = bytes("26<a><1> 09<id> 26<><ü>").freeze();
    let decoded = ForwardedProperties::decode(&apart).expect("the block is valid");
    assert_eq!(decoded.user_properties.iter().collect::<Vec<_>>(), [("a", "1"), ("", "ü")]);
    assert_eq!(format!("{:?}", decoded.user_properties), r#"[("a", "1"), ("", "ü")]"#);
    for invalid in ["02 00000001", "23 0001", "01 02", "03 0005", "08<#>"] {
        assert!(ForwardedProperties::decode(&bytes(invalid).freeze()).is_err(), "{invalid}");
    }
}
