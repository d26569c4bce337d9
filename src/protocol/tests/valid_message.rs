//! PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP.

use std::num::NonZeroU16;

use smallvec::smallvec;

use super::super::{
    Ack, AckProperties, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName,
    UserProperties,
};
use super::notation::bytes;
use super::valid::{Case, V5, V31, V311, case, other_form};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = publishes();
    cases.extend(publishes_with_properties());
    cases.extend(acks());
    cases
}

fn id(value: u16) -> PacketId {
    PacketId::try_from(value).expect("not zero")
}

fn topic(name: &str) -> Option<TopicName> {
    Some(TopicName::try_from(name).expect("a topic name"))
}

fn at_most_once() -> Publish {
    Publish { topic: topic("a/b"), payload: "hello".into(), ..Publish::default() }
}

fn publishes() -> Vec<Case> {
    let at_least_once = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), ..at_most_once() };
    let again = Publish { dup: true, ..at_least_once.clone() };
    let exactly_once = Publish { qos: QoS::ExactlyOnce, packet_id: Some(id(u16::MAX)), ..again.clone() };
    let all_flags = Publish { retain: true, ..exactly_once.clone() };
    let cleared = Publish { retain: true, payload: "".into(), ..at_most_once() };
    let odd_topic = Publish { topic: topic("/ü/ \u{FEFF}/$"), ..at_most_once() };
    vec![
        case("3.1", V31, "30[<a/b> 'hello']", at_most_once()),
        case("3.1 QoS 1", V31, "32[<a/b> 000A 'hello']", at_least_once.clone()),
        case("3.1.1", V311, "30[<a/b> 'hello']", at_most_once()),
        case("3.1.1 QoS 1", V311, "32[<a/b> 000A 'hello']", at_least_once.clone()),
        case("3.1.1 QoS 1 DUP", V311, "3A[<a/b> 000A 'hello']", again),
        case("3.1.1 QoS 2 DUP", V311, "3C[<a/b> FFFF 'hello']", exactly_once.clone()),
        case("3.1.1 all flags", V311, "3D[<a/b> FFFF 'hello']", all_flags.clone()),
        case("3.1.1 empty retained", V311, "31[<a/b>]", cleared.clone()),
        case("3.1.1 odd topic", V311, "30[</ü/ \u{FEFF}/$> 'hello']", odd_topic),
        other_form("3.1.1 long length", V311, "30 8A 00 <a/b> 'hello'", at_most_once()),
        case("5", V5, "30[<a/b> [] 'hello']", at_most_once()),
        case("5 QoS 1", V5, "32[<a/b> 000A [] 'hello']", at_least_once),
        case("5 QoS 2 DUP", V5, "3C[<a/b> FFFF [] 'hello']", exactly_once),
        case("5 all flags", V5, "3D[<a/b> FFFF [] 'hello']", all_flags),
        case("5 empty retained", V5, "31[<a/b> []]", cleared),
    ]
}

fn publishes_with_properties() -> Vec<Case> {
    let with = |properties| Publish { properties, ..at_most_once() };
    let forwarded =
        |notation| PublishProperties { forwarded: bytes(notation).freeze(), ..PublishProperties::default() };
    let alias = PublishProperties { topic_alias: NonZeroU16::new(7), ..PublishProperties::default() };
    let alias_only = Publish { topic: None, ..with(alias.clone()) };
    let all = PublishProperties {
        message_expiry_interval: Some(u32::MAX),
        topic_alias: NonZeroU16::new(u16::MAX),
        subscription_identifiers: smallvec![1, 128, 268_435_455],
        ..forwarded("01 00 03<text> 08<r/t> 09 0003 000102 26<a><1> 26<><>")
    };
    vec![
        case("5 alias set", V5, "30[<a/b> [23 0007] 'hello']", with(alias)),
        case("5 alias used", V5, "30[<> [23 0007] 'hello']", alias_only),
        case(
            "5 all properties",
            V5,
            "30[<a/b> [02 FFFFFFFF 23 FFFF 0B 01 0B 8001 0B FFFFFF7F 01 00 03<text> 08<r/t> 09 0003 000102 \
             26<a><1> 26<><>] 'hello']",
            with(all.clone()),
        ),
        other_form(
            "5 all properties, forwarded ones apart",
            V5,
            "30[<a/b> [01 00 02 FFFFFFFF 03<text> 08<r/t> 0B 01 0B 8001 09 0003 000102 23 FFFF 26<a><1> \
             26<><> 0B FFFFFF7F] 'hello']",
            with(all),
        ),
        case(
            "5 forwarded as they come",
            V5,
            "30[<a/b> [26<b><2> 09<id> 26<a><1> 01 01] 'hello']",
            with(forwarded("26<b><2> 09<id> 26<a><1> 01 01")),
        ),
        other_form(
            "5 forwarded in front",
            V5,
            "30[<a/b> [26<b><2> 23 0007] 'hello']",
            with(PublishProperties { topic_alias: NonZeroU16::new(7), ..forwarded("26<b><2>") }),
        ),
        case("5 empty content type", V5, "30[<a/b> [03<>] 'hello']", with(forwarded("03<>"))),
        case(
            "5 properties of 130 bytes",
            V5,
            "30[<a/b> [03<0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\
             56789012345678901234567890123456789012345>] 'hello']",
            with(forwarded(
                "03<0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\
                 56789012345678901234567890123456789012345>",
            )),
        ),
    ]
}

fn acks() -> Vec<Case> {
    let ack = |value, reason| Ack { packet_id: id(value), reason, properties: AckProperties::default() };
    let success = || ack(7, ReasonCode::Success);
    let not_found = || ack(7, ReasonCode::PacketIdentifierNotFound);
    let properties = || AckProperties {
        reason_string: Some("full".into()),
        user_properties: UserProperties::new([("a", "1")]).expect("a short pair"),
    };
    let full = |reason| Ack { properties: properties(), ..ack(0x1234, reason) };
    let mut cases = Vec::new();
    for version in [V31, V311] {
        cases.push(case("PUBACK", version, "40 02 0007", Packet::PubAck(success())));
        cases.push(case("PUBREC", version, "50 02 0007", Packet::PubRec(success())));
        cases.push(case("PUBREL", version, "62 02 0007", Packet::PubRel(success())));
        cases.push(case("PUBCOMP", version, "70 02 0007", Packet::PubComp(success())));
    }
    cases.push(other_form("3.1 PUBREL DUP", V31, "6A 02 0007", Packet::PubRel(success())));
    cases.extend([
        case("5 PUBACK", V5, "40 02 0007", Packet::PubAck(success())),
        other_form("5 PUBACK reason said", V5, "40 03 0007 00", Packet::PubAck(success())),
        other_form("5 PUBACK properties said", V5, "40 04 0007 00 00", Packet::PubAck(success())),
        case(
            "5 PUBACK nobody",
            V5,
            "40 03 0007 10",
            Packet::PubAck(ack(7, ReasonCode::NoMatchingSubscribers)),
        ),
        case("5 PUBREC", V5, "50 02 0007", Packet::PubRec(success())),
        case("5 PUBREL", V5, "62 02 0007", Packet::PubRel(success())),
        case("5 PUBREL not found", V5, "62 03 0007 92", Packet::PubRel(not_found())),
        case("5 PUBCOMP", V5, "70 02 0007", Packet::PubComp(success())),
        case("5 PUBCOMP not found", V5, "70 03 0007 92", Packet::PubComp(not_found())),
        other_form("5 PUBCOMP long", V5, "70 04 0007 92 00", Packet::PubComp(not_found())),
        case(
            "5 PUBACK all",
            V5,
            "40[1234 97 [1F<full> 26<a><1>]]",
            Packet::PubAck(full(ReasonCode::QuotaExceeded)),
        ),
        case(
            "5 PUBREC all",
            V5,
            "50[1234 97 [1F<full> 26<a><1>]]",
            Packet::PubRec(full(ReasonCode::QuotaExceeded)),
        ),
        case(
            "5 PUBREL all",
            V5,
            "62[1234 00 [1F<full> 26<a><1>]]",
            Packet::PubRel(full(ReasonCode::Success)),
        ),
        other_form(
            "5 PUBCOMP all, another order",
            V5,
            "70[1234 00 [26<a><1> 1F<full>]]",
            Packet::PubComp(full(ReasonCode::Success)),
        ),
    ]);
    cases
}
