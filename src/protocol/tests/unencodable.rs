//! Packets that the encoder refuses, because the decoder would.

use bytes::{Bytes, BytesMut};

use super::super::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, EncodeError, ForwardedProperties, Packet, PacketId, PacketType, PropertyId, ProtocolVersion,
    Publish, PublishProperties, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    TopicFilter, TopicName, Unsubscribe, UserProperties, Will, WillProperties, encode,
};
use super::valid::{V5, V31, V311};

fn check(packet: &Packet, version: ProtocolVersion, error: EncodeError) {
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(encode(packet, version, &mut out), Err(error), "{packet:?}");
    assert_eq!(&out[..], b"before", "nothing is written of what is refused");
}

fn id() -> PacketId {
    PacketId::try_from(1).expect("not zero")
}

#[test]
fn connect() {
    let valid = Connect {
        version: V5,
        clean_start: true,
        keep_alive: 0,
        properties: ConnectProperties::default(),
        client_id: "zen".into(),
        will: None,
        username: None,
        password: None,
    };
    let check = |connect: Connect, error| check(&Packet::Connect(Box::new(connect)), V5, error);
    let password = Some(Bytes::from_static(b"pass"));
    check(Connect { version: V311, password, ..valid.clone() }, EncodeError::PasswordAlone);
    check(Connect { version: V31, client_id: "".into(), ..valid.clone() }, EncodeError::NoClientIdentifier);
    let long = "x".repeat(65536);
    check(
        Connect { client_id: long.clone().into(), ..valid.clone() },
        EncodeError::TooLong("client identifier"),
    );
    check(
        Connect { client_id: "a\0".into(), ..valid.clone() },
        EncodeError::NullCharacter("client identifier"),
    );
    check(Connect { password: Some(long.into()), ..valid.clone() }, EncodeError::TooLong("password"));
    let properties = ConnectProperties { authentication_data: Some("x".into()), ..Default::default() };
    check(Connect { properties, ..valid.clone() }, EncodeError::AuthenticationDataAlone);
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: TopicName::try_from("a").expect("a topic name"),
        payload: Bytes::new(),
        properties: WillProperties { forwarded: Bytes::from_static(b"\x01"), ..WillProperties::default() },
    };
    check(Connect { will: Some(will), ..valid }, EncodeError::Forwarded);
}

#[test]
fn connection() {
    let connack = |connack| Packet::ConnAck(Box::new(connack));
    let present = ConnAck { session_present: true, reason: ReasonCode::NotAuthorized, ..ConnAck::default() };
    check(&connack(present), V5, EncodeError::SessionPresentInRefusal);
    let reason = ReasonCode::GrantedQoS1;
    let unknown = ConnAck { reason, ..ConnAck::default() };
    check(&connack(unknown), V5, EncodeError::ReasonCode(PacketType::ConnAck, reason));
    let properties = ConnAckProperties { maximum_qos: Some(QoS::ExactlyOnce), ..Default::default() };
    let everything = ConnAck { properties, ..ConnAck::default() };
    check(&connack(everything), V5, EncodeError::PropertyValue(PropertyId::MaximumQoS));
    let properties = ConnAckProperties { authentication_data: Some("x".into()), ..Default::default() };
    check(&connack(ConnAck { properties, ..ConnAck::default() }), V5, EncodeError::AuthenticationDataAlone);

    let reason = ReasonCode::GrantedQoS2;
    let disconnect = Packet::Disconnect(Disconnect { reason, ..Disconnect::default() });
    check(&disconnect, V5, EncodeError::ReasonCode(PacketType::Disconnect, reason));

    let auth = |reason, properties| Packet::Auth(Auth { reason, properties });
    let go_on = || auth(ReasonCode::ContinueAuthentication, AuthProperties::default());
    check(&go_on(), V311, EncodeError::NotInVersion(PacketType::Auth, V311));
    check(&go_on(), V5, EncodeError::NoAuthenticationMethod);
    let reason = ReasonCode::NotAuthorized;
    check(&auth(reason, AuthProperties::default()), V5, EncodeError::ReasonCode(PacketType::Auth, reason));
}

#[test]
fn message() {
    let topic = || Some(TopicName::try_from("a").expect("a topic name"));
    let publish = |publish| Packet::Publish(publish);
    check(&publish(Publish::default()), V5, EncodeError::NoTopic);
    check(&publish(Publish { dup: true, topic: topic(), ..Publish::default() }), V5, EncodeError::DupAtQoS0);
    let without = Publish { qos: QoS::AtLeastOnce, topic: topic(), ..Publish::default() };
    check(&publish(without), V5, EncodeError::PacketId);
    let with = Publish { packet_id: Some(id()), topic: topic(), ..Publish::default() };
    check(&publish(with), V5, EncodeError::PacketId);
    let alias = PublishProperties { topic_alias: 1.try_into().ok(), ..PublishProperties::default() };
    check(&publish(Publish { properties: alias, ..Publish::default() }), V311, EncodeError::NoTopic);
    for identifier in [0, 268_435_456] {
        let properties =
            PublishProperties { subscription_identifiers: [identifier; 2].into(), ..Default::default() };
        let error = EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier);
        check(&publish(Publish { topic: topic(), properties, ..Publish::default() }), V5, error);
    }
    let properties = PublishProperties { forwarded: Bytes::from_static(b"\x23\0\x01"), ..Default::default() };
    check(&publish(Publish { topic: topic(), properties, ..Publish::default() }), V5, EncodeError::Forwarded);

    let reason = ReasonCode::ProtocolError;
    let ack = Packet::PubAck(Ack { packet_id: id(), reason, properties: AckProperties::default() });
    check(&ack, V5, EncodeError::ReasonCode(PacketType::PubAck, reason));
    let reason_string = Some("\0".into());
    let properties = AckProperties { reason_string, ..AckProperties::default() };
    let ack = Packet::PubRel(Ack { packet_id: id(), reason: ReasonCode::Success, properties });
    check(&ack, V5, EncodeError::NullCharacter("reason string"));

    let properties = ForwardedProperties { response_topic: Some("a/#".into()), ..Default::default() };
    assert_eq!(properties.encode(), Err(EncodeError::ResponseTopic));
    let long = "x".repeat(65536);
    assert!(UserProperties::new([("a", &*long)]).is_err());
    assert!(UserProperties::new([("a\0", "b")]).is_err());
}

#[test]
fn subscription() {
    let filter = |no_local| SubscribeFilter {
        filter: TopicFilter::try_from("$share/g/a").expect("a topic filter"),
        qos: QoS::AtMostOnce,
        no_local,
        retain_as_published: false,
        retain_handling: RetainHandling::default(),
    };
    let subscribe = |subscription_identifier, filters| {
        let user_properties = UserProperties::default();
        Packet::Subscribe(Subscribe { packet_id: id(), subscription_identifier, user_properties, filters })
    };
    check(&subscribe(None, Vec::new()), V5, EncodeError::NoFilter);
    check(&subscribe(None, vec![filter(true)]), V5, EncodeError::NoLocalOfShared);
    let error = EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier);
    check(&subscribe(Some(0), vec![filter(false)]), V5, error.clone());
    check(&subscribe(Some(268_435_456), vec![filter(false)]), V5, error);

    let user_properties = UserProperties::default();
    let unsubscribe = Unsubscribe { packet_id: id(), user_properties, filters: Vec::new() };
    check(&Packet::Unsubscribe(unsubscribe), V311, EncodeError::NoFilter);

    let suback =
        |reasons| Packet::SubAck(SubAck { packet_id: id(), reasons, properties: AckProperties::default() });
    check(&suback(Vec::new()), V311, EncodeError::NoReasonCode);
    let reason = ReasonCode::NoMatchingSubscribers;
    check(&suback(vec![reason]), V5, EncodeError::ReasonCode(PacketType::SubAck, reason));
}
