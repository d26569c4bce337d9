//! The properties of PUBLISH.

use barnacle_wire::Properties;

use super::*;

tests! {
    properties_are_passed_on_as_they_are: V5;
    user_properties_keep_their_order: V5;
    response_topic_and_content_type_are_checked: V5;
    a_message_that_has_waited_too_long_is_not_sent: V5;
    a_client_sends_no_subscription_identifier: V5;
}

/// Sends a message to a live, a stored and an absent subscriber, and returns the properties that each gets.
fn passed_on(server: &Server, round: usize, sent: &[Property]) -> Vec<Properties> {
    let mut live = server.client("live");
    live.subscribe(&Subscribe::new(1, "t", 2 | NEVER_SEND));
    let [stored_id, away_id] = ["stored", "away"].map(|name| format!("{name} {round}"));
    let mut stored = server.new_session(&stored_id);
    stored.subscribe(&Subscribe::new(1, "t", 2 | NEVER_SEND));
    let mut away = server.new_session(&away_id);
    away.subscribe(&Subscribe::new(1, "t", 2 | NEVER_SEND));
    away.disconnect();
    for qos in [1, 2] {
        let mut message = Publish::new("t", "v").qos(qos, 1).retain(true);
        message.properties = sent.to_vec();
        server.publish(&message);
    }
    let mut away = server.resume(&away_id);
    let mut later = server.client("later");
    later.subscribe(&Subscribe::new(1, "t", 2));
    let mut passed: Vec<_> = [&mut live, &mut stored, &mut away].map(|client| take_all(client, 2)).concat();
    passed.push(take(&mut later));
    passed.into_iter().map(|message| message.properties).collect()
}

/// Every subscriber gets these properties as they were published: live, after waiting, and of a retained message.
/// [MQTT5 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-20]
fn properties_are_passed_on_as_they_are(server: &Server) {
    let some = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain; charset=utf-8".to_owned()),
        Property::ResponseTopic("answers/é/\u{feff}".to_owned()),
        Property::CorrelationData((0..=255).collect()),
    ];
    let others = vec![
        Property::PayloadFormatIndicator(0),
        Property::ContentType(String::new()),
        Property::ResponseTopic("a".to_owned()),
        Property::CorrelationData(Vec::new()),
    ];
    for (round, sent) in [some, others].into_iter().enumerate() {
        for received in passed_on(server, round, &sent) {
            assert_eq!(received.len(), sent.len(), "{received:?}");
            assert!(sent.iter().all(|property| received.contains(property)), "{received:?}");
        }
    }
}

/// Every User Property arrives, those with the same name too, in the order in which they were sent, whatever stood
/// between them.
/// [MQTT5 3.3.2-17, 3.3.2-18]
fn user_properties_keep_their_order(server: &Server) {
    let sent = vec![
        user_property("b", "1"),
        Property::ContentType("x".to_owned()),
        user_property("a", "2"),
        user_property("b", "1"),
        Property::PayloadFormatIndicator(0),
        user_property("", ""),
        user_property("b", "0"),
    ];
    let of_users = |properties: &[Property]| {
        let is_users = |property: &&Property| matches!(property, Property::UserProperty(_));
        properties.iter().filter(is_users).cloned().collect::<Vec<_>>()
    };
    for received in passed_on(server, 0, &sent) {
        assert_eq!(of_users(&received), of_users(&sent));
    }
}

/// Response Topic and Content Type are strings, so UTF-8; a Response Topic is a topic name, so without wildcards.
/// [MQTT5 3.3.2-13, 3.3.2-14, 3.3.2-19]
fn response_topic_and_content_type_are_checked(server: &Server) {
    let with = |identifier: u8, value: &[u8]| {
        let block = RawPacket::new(0).u8(identifier).binary(value).finish();
        RawPacket::new(0x32).string("t").u16(1).variable(block.len() as u32 - 2).bytes(&block[2..]).finish()
    };
    const CONTENT_TYPE: u8 = 0x03;
    const RESPONSE_TOPIC: u8 = 0x08;
    for identifier in [CONTENT_TYPE, RESPONSE_TOPIC] {
        for value in [&[0xff_u8][..], &[0xed, 0xa0, 0x80], &[b'a', 0]] {
            refused(server, &with(identifier, value), &[0x81]);
        }
    }
    for value in ["a/#", "+/a"] {
        refused(server, &with(RESPONSE_TOPIC, value.as_bytes()), &[0x82, 0x90]);
    }
}

/// A message whose time has passed before it was sent to a subscriber is sent to it no more; one that waited says what
/// is left of its time, and one that has no time is not given one.
/// [MQTT5 3.3.2-5, 3.3.2-6]
fn a_message_that_has_waited_too_long_is_not_sent(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    subscriber.disconnect();
    for qos in [1, 2] {
        let message = |payload: &str| Publish::new("t", payload).qos(qos, 1);
        server.publish(&message("short").property(Property::MessageExpiryInterval(1)));
        server.publish(&message("long").property(Property::MessageExpiryInterval(1000)));
        server.publish(&message("for ever"));
    }
    seconds_pass(server, 2);
    let mut subscriber = server.resume("subscriber");
    for (qos, pair) in (1..).zip(take_all(&mut subscriber, 4).chunks(2)) {
        let [long, for_ever] = pair else { unreachable!("four are two pairs") };
        assert_eq!((text(long).as_str(), long.qos), ("long", qos));
        let left = expiry(long).expect("the interval is passed on");
        assert!((900..=998).contains(&left), "{left} s are left of 1000 after 2");
        assert_eq!((text(for_ever).as_str(), expiry(for_ever)), ("for ever", None));
    }
    nothing_before_marker(server, &mut subscriber, "t");
}

/// Subscription Identifiers come from the server alone: a client that sends one is told so.
/// [MQTT5 3.3.4-6]
fn a_client_sends_no_subscription_identifier(server: &Server) {
    let version = server.version;
    for qos in 0..=2 {
        let message = Publish::new("t", "v").qos(qos, 1);
        let message = message.property(Property::SubscriptionIdentifier(Variable(7)));
        refused(server, &message.encode(version), &[0x82]);
    }
}
