//! CONNECT, CONNACK, PINGREQ, PINGRESP, DISCONNECT, AUTH.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use super::super::{
    Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, Packet, ProtocolVersion, QoS, ReasonCode, TopicName, UserProperties, Will,
    WillProperties,
};
use super::valid::{Case, V5, V31, V311, case, other_form};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = connects();
    cases.extend(wills());
    cases.extend(connacks());
    cases.extend(pings());
    cases.extend(disconnects());
    cases.extend(auths());
    cases
}

fn connect(version: ProtocolVersion) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        properties: ConnectProperties::default(),
        client_id: "zen".into(),
        will: None,
        username: None,
        password: None,
    }
}

fn user_properties() -> UserProperties {
    UserProperties::new([("a", "1"), ("a", "2")]).expect("short pairs")
}

fn connects() -> Vec<Case> {
    let credentials = |connect: Connect| Connect {
        username: Some("user".into()),
        password: Some("pass".into()),
        ..connect
    };
    let username_only = Connect { username: Some("user".into()), ..connect(V311) };
    let password_only = Connect { password: Some(Bytes::from_static(&[0, 0xFF])), ..connect(V5) };
    let nobody = Connect { client_id: "".into(), ..connect(V311) };
    let stays = Connect { clean_start: false, keep_alive: 0, ..connect(V311) };
    let nobody_stays = Connect { client_id: "".into(), ..stays.clone() };
    let properties = ConnectProperties {
        session_expiry_interval: Some(u32::MAX),
        receive_maximum: NonZeroU16::new(20),
        maximum_packet_size: NonZeroU32::new(65536),
        topic_alias_maximum: Some(10),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        user_properties: user_properties(),
        authentication_method: Some("SCRAM".into()),
        authentication_data: Some("data".into()),
    };
    let with_properties = Connect { properties, ..connect(V5) };
    vec![
        case("3.1", V31, "10[<MQIsdp> 03 02 003C <zen>]", connect(V31)),
        case(
            "3.1 credentials",
            V31,
            "10[<MQIsdp> 03 C2 003C <zen> <user> <pass>]",
            credentials(connect(V31)),
        ),
        other_form("3.1 flags without strings", V31, "10[<MQIsdp> 03 C2 003C <zen>]", connect(V31)),
        case("3.1.1", V311, "10[<MQTT> 04 02 003C <zen>]", connect(V311)),
        case("3.1.1 session kept", V311, "10[<MQTT> 04 00 0000 <zen>]", stays),
        case("3.1.1 no identifier", V311, "10[<MQTT> 04 02 003C <>]", nobody),
        // Refused with a return code of its own, so not here.
        case("3.1.1 no identifier, session kept", V311, "10[<MQTT> 04 00 0000 <>]", nobody_stays),
        case("3.1.1 user name", V311, "10[<MQTT> 04 82 003C <zen> <user>]", username_only),
        case("3.1.1 both", V311, "10[<MQTT> 04 C2 003C <zen> <user> <pass>]", credentials(connect(V311))),
        // Only MQTT 5 asks for the shortest form.
        other_form("3.1.1 long length", V311, "10 8F80 00 <MQTT> 04 02 003C <zen>", connect(V311)),
        case("5", V5, "10[<MQTT> 05 02 003C [] <zen>]", connect(V5)),
        case("5 password alone", V5, "10[<MQTT> 05 42 003C [] <zen> 0002 00FF]", password_only),
        case(
            "5 all properties",
            V5,
            "10[<MQTT> 05 02 003C [11 FFFFFFFF 21 0014 27 00010000 22 000A 19 01 17 00 \
             26<a><1> 26<a><2> 15<SCRAM> 16<data>] <zen>]",
            with_properties.clone(),
        ),
        other_form(
            "5 all properties, another order",
            V5,
            "10[<MQTT> 05 02 003C [26<a><1> 17 00 19 01 22 000A 16<data> 26<a><2> 27 00010000 \
             15<SCRAM> 21 0014 11 FFFFFFFF] <zen>]",
            with_properties,
        ),
    ]
}

fn wills() -> Vec<Case> {
    let will = Will {
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: TopicName::try_from("gone").expect("a topic name"),
        payload: "bye".into(),
        properties: WillProperties::default(),
    };
    let with_will = |version, will: Will| Connect { will: Some(will), ..connect(version) };
    let empty = Will { qos: QoS::ExactlyOnce, retain: false, payload: Bytes::new(), ..will.clone() };
    let forwarded = super::notation::bytes("01 01 03<text> 08<r/t> 09<id> 26<a><1>").freeze();
    let properties = WillProperties {
        delay_interval: 10,
        message_expiry_interval: Some(60),
        forwarded: forwarded.clone(),
    };
    let with_properties = Will { properties, ..will.clone() };
    let forwarded_only = WillProperties { forwarded, ..WillProperties::default() };
    let interleaved = Will { properties: forwarded_only, ..will.clone() };
    vec![
        case("3.1 will", V31, "10[<MQIsdp> 03 2E 003C <zen> <gone> <bye>]", with_will(V31, will.clone())),
        case("3.1.1 will", V311, "10[<MQTT> 04 2E 003C <zen> <gone> <bye>]", with_will(V311, will.clone())),
        case("3.1.1 empty will", V311, "10[<MQTT> 04 16 003C <zen> <gone> <>]", with_will(V311, empty)),
        case("5 will", V5, "10[<MQTT> 05 2E 003C [] <zen> [] <gone> <bye>]", with_will(V5, will)),
        case(
            "5 will with properties",
            V5,
            "10[<MQTT> 05 2E 003C [] <zen> \
             [18 0000000A 02 0000003C 01 01 03<text> 08<r/t> 09<id> 26<a><1>] <gone> <bye>]",
            with_will(V5, with_properties),
        ),
        other_form(
            "5 will, no delay said",
            V5,
            "10[<MQTT> 05 2E 003C [] <zen> [01 01 03<text> 18 00000000 08<r/t> 09<id> 26<a><1>] <gone> <bye>]",
            with_will(V5, interleaved),
        ),
    ]
}

fn connacks() -> Vec<Case> {
    let connack = |session_present, reason| ConnAck { session_present, reason, ..ConnAck::default() };
    let properties = ConnAckProperties {
        session_expiry_interval: Some(3600),
        receive_maximum: NonZeroU16::new(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: NonZeroU32::new(1024),
        assigned_client_identifier: Some("barnacle-1".into()),
        topic_alias_maximum: Some(16),
        reason_string: Some("welcome".into()),
        user_properties: user_properties(),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(true),
        shared_subscription_available: Some(false),
        server_keep_alive: Some(30),
        response_information: Some("r/".into()),
        server_reference: Some("other:1883".into()),
        authentication_method: Some("SCRAM".into()),
        authentication_data: Some("data".into()),
    };
    let no_qos_above_0 =
        ConnAckProperties { maximum_qos: Some(QoS::AtMostOnce), ..ConnAckProperties::default() };
    vec![
        case("3.1", V31, "20[00 00]", connack(false, ReasonCode::Success)),
        other_form("3.1 unused byte", V31, "20[01 00]", connack(false, ReasonCode::Success)),
        case("3.1.1", V311, "20[00 00]", connack(false, ReasonCode::Success)),
        case("3.1.1 session present", V311, "20[01 00]", connack(true, ReasonCode::Success)),
        case("3.1.1 version", V311, "20[00 01]", connack(false, ReasonCode::UnsupportedProtocolVersion)),
        case("3.1.1 identifier", V311, "20[00 02]", connack(false, ReasonCode::ClientIdentifierNotValid)),
        case("3.1.1 unavailable", V311, "20[00 03]", connack(false, ReasonCode::ServerUnavailable)),
        case("3.1.1 password", V311, "20[00 04]", connack(false, ReasonCode::BadUserNameOrPassword)),
        case("3.1.1 authorized", V311, "20[00 05]", connack(false, ReasonCode::NotAuthorized)),
        case("5", V5, "20[00 00 []]", connack(false, ReasonCode::Success)),
        case("5 session present", V5, "20[01 00 []]", connack(true, ReasonCode::Success)),
        case("5 refused", V5, "20[00 8C []]", connack(false, ReasonCode::BadAuthenticationMethod)),
        case(
            "5 all properties",
            V5,
            "20[01 00 [11 00000E10 21 0064 24 01 25 00 27 00000400 12<barnacle-1> 22 0010 1F<welcome> \
             26<a><1> 26<a><2> 28 01 29 01 2A 00 13 001E 1A<r/> 1C<other:1883> 15<SCRAM> 16<data>]]",
            ConnAck { session_present: true, reason: ReasonCode::Success, properties },
        ),
        case(
            "5 maximum QoS 0",
            V5,
            "20[00 00 [24 00]]",
            ConnAck { session_present: false, reason: ReasonCode::Success, properties: no_qos_above_0 },
        ),
    ]
}

fn pings() -> Vec<Case> {
    let versions = [V31, V311, V5];
    let requests = versions.map(|version| case("PINGREQ", version, "C0 00", Packet::PingReq));
    let responses = versions.map(|version| case("PINGRESP", version, "D0 00", Packet::PingResp));
    requests.into_iter().chain(responses).collect()
}

fn disconnects() -> Vec<Case> {
    let plain = |reason| Packet::Disconnect(Disconnect { reason, ..Disconnect::default() });
    let properties = DisconnectProperties {
        session_expiry_interval: Some(0),
        reason_string: Some("so long".into()),
        user_properties: user_properties(),
        server_reference: Some("there".into()),
    };
    let full = Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties });
    vec![
        case("3.1", V31, "E0 00", plain(ReasonCode::Success)),
        case("3.1.1", V311, "E0 00", plain(ReasonCode::Success)),
        case("5", V5, "E0 00", plain(ReasonCode::Success)),
        other_form("5 reason said", V5, "E0 01 00", plain(ReasonCode::Success)),
        other_form("5 properties said", V5, "E0 02 00 00", plain(ReasonCode::Success)),
        case("5 with will", V5, "E0 01 04", plain(ReasonCode::DisconnectWithWillMessage)),
        other_form(
            "5 with will, no properties",
            V5,
            "E0 02 04 00",
            plain(ReasonCode::DisconnectWithWillMessage),
        ),
        case("5 shutting down", V5, "E0 01 8B", plain(ReasonCode::ServerShuttingDown)),
        case("5 all properties", V5, "E0[00 [11 00000000 1F<so long> 26<a><1> 26<a><2> 1C<there>]]", full),
    ]
}

fn auths() -> Vec<Case> {
    let properties = AuthProperties {
        authentication_method: Some("SCRAM".into()),
        authentication_data: Some("data".into()),
        reason_string: Some("go on".into()),
        user_properties: user_properties(),
    };
    let method_only =
        AuthProperties { authentication_method: Some("SCRAM".into()), ..AuthProperties::default() };
    let auth = |reason, properties| Packet::Auth(Auth { reason, properties });
    vec![
        case("empty", V5, "F0 00", auth(ReasonCode::Success, AuthProperties::default())),
        case("method", V5, "F0[19 [15<SCRAM>]]", auth(ReasonCode::ReAuthenticate, method_only)),
        case(
            "all properties",
            V5,
            "F0[18 [15<SCRAM> 16<data> 1F<go on> 26<a><1> 26<a><2>]]",
            auth(ReasonCode::ContinueAuthentication, properties),
        ),
    ]
}
