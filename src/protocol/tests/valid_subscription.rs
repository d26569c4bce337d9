//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.

use super::super::{
    AckProperties, Packet, PacketId, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    TopicFilter, UnsubAck, Unsubscribe, UserProperties,
};
use super::valid::{Case, V5, V31, V311, case, other_form};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = subscribes();
    cases.extend(subacks());
    cases.extend(unsubscribes());
    cases.extend(unsubacks());
    cases
}

fn id() -> PacketId {
    PacketId::try_from(7).expect("not zero")
}

fn topic_filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).expect("a topic filter")
}

fn filter(filter: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        filter: topic_filter(filter),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

fn user_properties() -> UserProperties {
    UserProperties::new([("a", "1"), ("b", "2")]).expect("short pairs")
}

fn subscribe(filters: Vec<SubscribeFilter>) -> Subscribe {
    let user_properties = UserProperties::default();
    Subscribe { packet_id: id(), subscription_identifier: None, user_properties, filters }
}

fn subscribes() -> Vec<Case> {
    let one = || subscribe(vec![filter("a/+", QoS::AtLeastOnce)]);
    let three = || {
        subscribe(vec![
            filter("a/+/#", QoS::AtMostOnce),
            filter("$share/g/b", QoS::AtLeastOnce),
            filter("/", QoS::ExactlyOnce),
        ])
    };
    let options = subscribe(vec![
        SubscribeFilter { no_local: true, ..filter("a", QoS::ExactlyOnce) },
        SubscribeFilter { retain_as_published: true, ..filter("b", QoS::AtMostOnce) },
        SubscribeFilter { retain_handling: RetainHandling::SendIfNew, ..filter("c", QoS::AtMostOnce) },
        SubscribeFilter { retain_handling: RetainHandling::DoNotSend, ..filter("d", QoS::AtMostOnce) },
    ]);
    let properties =
        Subscribe { subscription_identifier: Some(268_435_455), user_properties: user_properties(), ..one() };
    vec![
        case("3.1", V31, "82[0007 <a/+> 01]", one()),
        other_form("3.1 DUP", V31, "8A[0007 <a/+> 01]", one()),
        case("3.1.1", V311, "82[0007 <a/+> 01]", one()),
        case("3.1.1 three", V311, "82[0007 <a/+/#> 00 <$share/g/b> 01 </> 02]", three()),
        case("5", V5, "82[0007 [] <a/+> 01]", one()),
        case("5 three", V5, "82[0007 [] <a/+/#> 00 <$share/g/b> 01 </> 02]", three()),
        case("5 options", V5, "82[0007 [] <a> 06 <b> 08 <c> 10 <d> 20]", options),
        case("5 properties", V5, "82[0007 [0B FFFFFF7F 26<a><1> 26<b><2>] <a/+> 01]", properties.clone()),
        other_form(
            "5 properties, another order",
            V5,
            "82[0007 [26<a><1> 0B FFFFFF7F 26<b><2>] <a/+> 01]",
            properties,
        ),
    ]
}

fn subacks() -> Vec<Case> {
    let suback = |reasons: &[ReasonCode]| {
        Packet::SubAck(SubAck {
            packet_id: id(),
            reasons: reasons.to_vec(),
            properties: AckProperties::default(),
        })
    };
    let granted = [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2];
    let full = Packet::SubAck(SubAck {
        packet_id: id(),
        reasons: vec![ReasonCode::SharedSubscriptionsNotSupported],
        properties: AckProperties { reason_string: Some("no".into()), user_properties: user_properties() },
    });
    vec![
        case("3.1", V31, "90[0007 00 01 02]", suback(&granted)),
        case("3.1.1", V311, "90[0007 00 01 02]", suback(&granted)),
        case("3.1.1 failure", V311, "90[0007 80]", suback(&[ReasonCode::UnspecifiedError])),
        case("5", V5, "90[0007 [] 00 01 02]", suback(&granted)),
        case("5 all", V5, "90[0007 [1F<no> 26<a><1> 26<b><2>] 9E]", full),
    ]
}

fn unsubscribes() -> Vec<Case> {
    let unsubscribe = |user_properties| {
        Packet::Unsubscribe(Unsubscribe {
            packet_id: id(),
            user_properties,
            filters: vec![topic_filter("a/+"), topic_filter("#")],
        })
    };
    vec![
        case("3.1", V31, "A2[0007 <a/+> <#>]", unsubscribe(UserProperties::default())),
        other_form("3.1 DUP", V31, "AA[0007 <a/+> <#>]", unsubscribe(UserProperties::default())),
        case("3.1.1", V311, "A2[0007 <a/+> <#>]", unsubscribe(UserProperties::default())),
        case("5", V5, "A2[0007 [] <a/+> <#>]", unsubscribe(UserProperties::default())),
        case("5 all", V5, "A2[0007 [26<a><1> 26<b><2>] <a/+> <#>]", unsubscribe(user_properties())),
    ]
}

fn unsubacks() -> Vec<Case> {
    let unsuback = |reasons, properties| Packet::UnsubAck(UnsubAck { packet_id: id(), reasons, properties });
    let reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let properties = AckProperties { reason_string: Some("no".into()), user_properties: user_properties() };
    vec![
        case("3.1", V31, "B0 02 0007", unsuback(Vec::new(), AckProperties::default())),
        case("3.1.1", V311, "B0 02 0007", unsuback(Vec::new(), AckProperties::default())),
        case("5", V5, "B0[0007 [] 00 11]", unsuback(reasons.clone(), AckProperties::default())),
        case("5 all", V5, "B0[0007 [1F<no> 26<a><1> 26<b><2>] 00 11]", unsuback(reasons, properties)),
    ]
}
