//! Strategies for any packet that can be encoded.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use proptest::option::of;
use proptest::prelude::*;

use super::super::super::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, ForwardedProperties, MAXIMUM_VARIABLE_INTEGER, Packet, PacketId,
    PacketType, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, SubAck,
    Subscribe, SubscribeFilter, TopicFilter, TopicName, UnsubAck, Unsubscribe, UserProperties, Will,
    WillProperties,
};

const V5: ProtocolVersion = ProtocolVersion::V5;

/// Any packet of a version.
pub(super) fn packet(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let v5 = version == V5;
    let auth = if v5 { auth().boxed() } else { Just(Packet::PingReq).boxed() };
    prop_oneof![
        connect(version),
        connack(version),
        publish(v5),
        ack(v5, PacketType::PubAck, Packet::PubAck),
        ack(v5, PacketType::PubRec, Packet::PubRec),
        ack(v5, PacketType::PubRel, Packet::PubRel),
        ack(v5, PacketType::PubComp, Packet::PubComp),
        subscribe(v5),
        suback(v5),
        unsubscribe(v5),
        unsuback(v5),
        disconnect(v5),
        auth,
        Just(Packet::PingReq),
        Just(Packet::PingResp),
    ]
    .boxed()
}

fn string() -> impl Strategy<Value = ByteString> + Clone {
    "[^\\x00]{0,6}".prop_map(ByteString::from)
}

fn binary(longest: usize) -> impl Strategy<Value = Bytes> + Clone {
    prop::collection::vec(any::<u8>(), 0..=longest).prop_map(Bytes::from)
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[a-z/$ü]{1,12}".prop_map(|name| TopicName::try_from(&*name).expect("nothing that it could not have"))
}

fn topic_filter() -> impl Strategy<Value = TopicFilter> {
    prop::sample::select(&["a", "/", "#", "+/b", "a/+/#", "$SYS/#", "$share/g/a", "$share/g/+/#"])
        .prop_map(|filter| TopicFilter::try_from(filter).expect("valid filters"))
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>().prop_map(PacketId::from)
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn subscription_identifier() -> impl Strategy<Value = u32> {
    prop_oneof![1..300u32, 1..=MAXIMUM_VARIABLE_INTEGER as u32]
}

fn reason(packet_type: PacketType) -> impl Strategy<Value = ReasonCode> + Clone {
    let fitting: Vec<ReasonCode> = (0..=u8::MAX)
        .filter_map(|value| ReasonCode::try_from(value).ok())
        .filter(|reason| reason.fits(packet_type))
        .collect();
    prop::sample::select(fitting)
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    prop::collection::vec((string(), string()), 0..3).prop_map(|pairs| {
        UserProperties::new(pairs.iter().map(|(name, value)| (&**name, &**value))).expect("short pairs")
    })
}

fn forwarded() -> impl Strategy<Value = Bytes> {
    (of(any::<bool>()), of(string()), of(topic()), of(binary(6)), user_properties()).prop_map(
        |(payload_format_indicator, content_type, response_topic, correlation_data, user_properties)| {
            let response_topic = response_topic.map(TopicName::into_byte_string);
            ForwardedProperties {
                payload_format_indicator,
                content_type,
                response_topic,
                correlation_data,
                user_properties,
            }
            .encode()
            .expect("short strings")
        },
    )
}

/// The value in MQTT 5, nothing before.
fn in_v5<T: Default + Clone + std::fmt::Debug + 'static>(
    v5: bool,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if v5 { strategy.boxed() } else { Just(T::default()).boxed() }
}

/// Authentication Data stands only with a method.
fn authentication() -> impl Strategy<Value = (Option<ByteString>, Option<Bytes>)> {
    of((string(), of(binary(6)))).prop_map(|both| match both {
        Some((method, data)) => (Some(method), data),
        None => (None, None),
    })
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let numbers = (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<NonZeroU32>()), of(any::<u16>()));
    let requests = (of(any::<bool>()), of(any::<bool>()));
    (numbers, requests, user_properties(), authentication()).prop_map(
        |(numbers, requests, user_properties, authentication)| ConnectProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: requests.0,
            request_problem_information: requests.1,
            user_properties,
            authentication_method: authentication.0,
            authentication_data: authentication.1,
        },
    )
}

fn will(v5: bool) -> impl Strategy<Value = Will> {
    let properties = (any::<u32>(), of(any::<u32>()), forwarded()).prop_map(
        |(delay_interval, message_expiry_interval, forwarded)| WillProperties {
            delay_interval,
            message_expiry_interval,
            forwarded,
        },
    );
    (qos(), any::<bool>(), topic(), binary(9), in_v5(v5, properties)).prop_map(
        |(qos, retain, topic, payload, properties)| Will { qos, retain, topic, payload, properties },
    )
}

/// CONNECT of a version.
pub(super) fn connect(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let v5 = version == V5;
    let properties = in_v5(v5, connect_properties());
    let fields = (any::<bool>(), any::<u16>(), properties, string(), of(will(v5)));
    (fields, of(string()), of(binary(6))).prop_map(move |(fields, username, password)| {
        let (clean_start, keep_alive, properties, client_id, will) = fields;
        let client_id =
            if version == ProtocolVersion::V31 { format!("x{client_id}").into() } else { client_id };
        let password = password.filter(|_| v5 || username.is_some());
        Packet::Connect(Box::new(Connect {
            version,
            clean_start,
            keep_alive,
            properties,
            client_id,
            will,
            username,
            password,
        }))
    })
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<NonZeroU32>()), of(any::<u16>()));
    let more = (of(any::<u16>()), of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]));
    let flags = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let strings = (of(string()), of(string()), of(string()), of(string()));
    (numbers, more, flags, strings, user_properties(), authentication()).prop_map(
        |(numbers, more, flags, strings, user_properties, authentication)| ConnAckProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_qos: more.1,
            retain_available: flags.0,
            maximum_packet_size: numbers.2,
            assigned_client_identifier: strings.0,
            topic_alias_maximum: numbers.3,
            reason_string: strings.1,
            user_properties,
            wildcard_subscription_available: flags.1,
            subscription_identifiers_available: flags.2,
            shared_subscription_available: flags.3,
            server_keep_alive: more.0,
            response_information: strings.2,
            server_reference: strings.3,
            authentication_method: authentication.0,
            authentication_data: authentication.1,
        },
    )
}

fn connack(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let v5 = version == V5;
    let reason = if v5 {
        reason(PacketType::ConnAck).boxed()
    } else {
        (0..=5u8).prop_map(|code| ReasonCode::of_connect_return_code(code).expect("0 to 5")).boxed()
    };
    (any::<bool>(), reason, in_v5(v5, connack_properties())).prop_map(move |(present, reason, properties)| {
        let has_flag = version != ProtocolVersion::V31 && reason == ReasonCode::Success;
        Packet::ConnAck(Box::new(ConnAck { session_present: present && has_flag, reason, properties }))
    })
}

fn publish(v5: bool) -> impl Strategy<Value = Packet> {
    let identifiers = prop::collection::vec(subscription_identifier(), 0..4);
    let properties = (of(any::<u32>()), of(any::<NonZeroU16>()), identifiers, forwarded()).prop_map(
        |(message_expiry_interval, topic_alias, identifiers, forwarded)| PublishProperties {
            message_expiry_interval,
            topic_alias,
            subscription_identifiers: identifiers.into(),
            forwarded,
        },
    );
    let flags = (any::<bool>(), qos(), any::<bool>());
    (flags, topic(), any::<bool>(), packet_id(), in_v5(v5, properties), binary(200)).prop_map(
        |((dup, qos, retain), topic, named, packet_id, properties, payload)| {
            let acknowledged = qos != QoS::AtMostOnce;
            Packet::Publish(Publish {
                dup: dup && acknowledged,
                qos,
                retain,
                topic: (named || properties.topic_alias.is_none()).then_some(topic),
                packet_id: acknowledged.then_some(packet_id),
                properties,
                payload,
            })
        },
    )
}

fn ack_properties() -> impl Strategy<Value = AckProperties> {
    (of(string()), user_properties())
        .prop_map(|(reason_string, user_properties)| AckProperties { reason_string, user_properties })
}

fn ack(v5: bool, packet_type: PacketType, packet: fn(Ack) -> Packet) -> impl Strategy<Value = Packet> {
    (packet_id(), in_v5(v5, reason(packet_type)), in_v5(v5, ack_properties()))
        .prop_map(move |(packet_id, reason, properties)| packet(Ack { packet_id, reason, properties }))
}

fn subscribe_filter(v5: bool) -> impl Strategy<Value = SubscribeFilter> {
    let handling = prop::sample::select(&[
        RetainHandling::SendAtSubscribe,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    let options = in_v5(v5, (any::<bool>(), any::<bool>(), handling));
    (topic_filter(), qos(), options).prop_map(|(filter, qos, options)| {
        let no_local = options.0 && filter.shared().is_none();
        SubscribeFilter { filter, qos, no_local, retain_as_published: options.1, retain_handling: options.2 }
    })
}

fn subscribe(v5: bool) -> impl Strategy<Value = Packet> {
    let properties = in_v5(v5, (of(subscription_identifier()), user_properties()));
    let filters = prop::collection::vec(subscribe_filter(v5), 1..4);
    (packet_id(), properties, filters).prop_map(|(packet_id, properties, filters)| {
        let (subscription_identifier, user_properties) = properties;
        Packet::Subscribe(Subscribe { packet_id, subscription_identifier, user_properties, filters })
    })
}

fn suback(v5: bool) -> impl Strategy<Value = Packet> {
    let reason = if v5 {
        reason(PacketType::SubAck).boxed()
    } else {
        let three = qos().prop_map(ReasonCode::granted);
        prop_oneof![three, Just(ReasonCode::UnspecifiedError)].boxed()
    };
    (packet_id(), prop::collection::vec(reason, 1..4), in_v5(v5, ack_properties())).prop_map(
        |(packet_id, reasons, properties)| Packet::SubAck(SubAck { packet_id, reasons, properties }),
    )
}

fn unsubscribe(v5: bool) -> impl Strategy<Value = Packet> {
    let filters = prop::collection::vec(topic_filter(), 1..4);
    (packet_id(), in_v5(v5, user_properties()), filters).prop_map(|(packet_id, user_properties, filters)| {
        Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
    })
}

fn unsuback(v5: bool) -> impl Strategy<Value = Packet> {
    let reasons = in_v5(v5, prop::collection::vec(reason(PacketType::UnsubAck), 1..4));
    (packet_id(), reasons, in_v5(v5, ack_properties())).prop_map(|(packet_id, reasons, properties)| {
        Packet::UnsubAck(UnsubAck { packet_id, reasons, properties })
    })
}

fn disconnect(v5: bool) -> impl Strategy<Value = Packet> {
    let properties = (of(any::<u32>()), of(string()), user_properties(), of(string())).prop_map(
        |(session_expiry_interval, reason_string, user_properties, server_reference)| DisconnectProperties {
            session_expiry_interval,
            reason_string,
            user_properties,
            server_reference,
        },
    );
    (in_v5(v5, reason(PacketType::Disconnect)), in_v5(v5, properties))
        .prop_map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties }))
}

fn auth() -> impl Strategy<Value = Packet> {
    let properties = (string(), of(binary(6)), of(string()), user_properties()).prop_map(
        |(method, authentication_data, reason_string, user_properties)| AuthProperties {
            authentication_method: Some(method),
            authentication_data,
            reason_string,
            user_properties,
        },
    );
    prop_oneof![
        1 => Just(Packet::Auth(Auth::default())),
        9 => (reason(PacketType::Auth), properties)
            .prop_map(|(reason, properties)| Packet::Auth(Auth { reason, properties })),
    ]
}
