//! What CONNECT asks for: session, keep-alive, limits (sections 3.1.2.4, 3.1.2.10, 3.1.2.11).

use std::time::Duration;

use barnacle_wire::property::Pair;
use barnacle_wire::{
    Ack, Connect, Packet, Property, Publish, Subscribe, Subscription, Unsubscribe, Version, kind, packets,
};

use crate::server::Server;
use crate::support::works;

tests! {
    a_clean_start_begins_anew: BOTH;
    without_clean_start_the_session_goes_on: BOTH;
    without_clean_start_and_without_a_session_there_is_a_new_one: BOTH;
    retained_messages_outlive_the_session: BOTH;
    silence_of_one_and_a_half_keep_alives_ends_the_connection: BOTH;
    whatever_is_sent_keeps_the_connection_alive: BOTH;
    a_keep_alive_of_zero_is_none: BOTH;
    the_server_says_which_keep_alive_counts: V5, "limits.server_keep_alive_seconds" = "1";
    topic_aliases_stay_within_the_clients_maximum: V5;
    response_information_is_not_sent_unasked: V5;
    without_problem_information_there_are_no_reasons_in_words: V5;
}

/// Clean Start (Clean Session in 3.1.1) throws the session away that was there: Session Present is 0, and neither its
/// subscriptions nor its messages come back.
/// [MQTT5 3.1.2-4, 3.1.4-4, 3.2.2-2] [MQTT311 3.1.2-6, 3.1.4-3, 3.2.2-1]
fn a_clean_start_begins_anew(server: &Server) {
    let (mut client, present) = server.session("forgetful");
    assert!(!present);
    client.subscribe(&Subscribe::new(1, "kept", 1));
    client.disconnect();
    server.publish(&Publish::new("kept", "for the session").qos(1, 1));
    assert!(server.session("forgetful").1, "there was a session to throw away");
    let connect = Connect::persistent(server.version, "forgetful").clean_start(true);
    let (mut client, connack) = server.connect(&connect);
    assert!(!connack.session_present, "Clean Start has no session present");
    server.publish(&Publish::new("kept", "for nobody").qos(1, 1));
    client.ping();
    client.disconnect();
}

/// Without Clean Start a session goes on as it was: Session Present is 1, the subscription stands, and what came
/// meanwhile at QoS 1 and 2 is delivered.
/// [MQTT5 3.1.2-5, 3.1.2-23, 3.1.3-2, 3.2.2-3] [MQTT311 3.1.2-4, 3.1.2-5, 3.1.3-2, 3.2.2-2]
fn without_clean_start_the_session_goes_on(server: &Server) {
    let (mut client, _) = server.session("faithful");
    client.subscribe(&Subscribe::new(1, "kept", 2));
    client.disconnect();
    server.publish(&Publish::new("kept", "one").qos(1, 1));
    server.publish(&Publish::new("kept", "two").qos(2, 1));
    let (mut client, present) = server.session("faithful");
    assert!(present, "the session is there");
    let (one, two) = (client.message(), client.message());
    assert_eq!((one.payload, one.qos), (b"one".into(), 1));
    assert_eq!((two.payload, two.qos), (b"two".into(), 2));
    server.publish(&Publish::new("kept", "three").qos(0, 0));
    assert_eq!(client.message().payload, b"three");
    assert!(!server.session("somebody else").1, "a session belongs to its client identifier");
}

/// Without Clean Start and without a session, one is made: Session Present is 0 the first time and 1 from then on.
/// [MQTT5 3.1.2-6, 3.1.4-5, 3.2.2-3] [MQTT311 3.1.2-4, 3.1.4-4, 3.2.2-3]
fn without_clean_start_and_without_a_session_there_is_a_new_one(server: &Server) {
    for expected in [false, true, true] {
        let (mut client, present) = server.session("new");
        assert_eq!(present, expected);
        client.ping();
        client.abort();
    }
}

/// Retained messages are no part of a session: they stay when their publisher's ends, and when their reader's does.
/// [MQTT5 3.3.1-5] [MQTT311 3.3.1-5]
fn retained_messages_outlive_the_session(server: &Server) {
    server.publish(&Publish::new("state", "kept").qos(1, 1).retain(true));
    for _ in 0..2 {
        let mut reader = server.client("reader");
        reader.subscribe(&Subscribe::new(1, "state", 1));
        let message = reader.message();
        assert_eq!((message.payload, message.retain), (b"kept".into(), true));
        reader.disconnect();
    }
}

/// A client that says nothing for one and a half keep-alives is closed, not before and not much later; MQTT 5 says why
/// (0x8D, Keep Alive timeout). It is as if the network had failed: a will would be published.
/// [MQTT5 3.1.2-22, 3.2.2-22] [MQTT311 3.1.2-24]
fn silence_of_one_and_a_half_keep_alives_ends_the_connection(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("silent").keep_alive(1));
    let told = connack.properties.iter().any(|property| matches!(property, Property::ServerKeepAlive(_)));
    assert!(!told, "without Server Keep Alive, the client's own counts");
    let packets = client.end_between(Duration::from_millis(1400), Duration::from_secs(6));
    match (server.version, &packets[..]) {
        (Version::V5, [Packet::Disconnect(disconnect)]) => assert_eq!(disconnect.reason, 0x8d),
        (Version::V311, []) => {}
        other => panic!("{other:?}"),
    }
}

/// Each packet of the client counts, not only PINGREQ; acknowledgements too.
/// [MQTT5 3.1.2-22] [MQTT311 3.1.2-24]
fn whatever_is_sent_keeps_the_connection_alive(server: &Server) {
    let (mut client, _) = server.connect(&server.hello("busy").keep_alive(1));
    let version = server.version;
    let packets = [
        Publish::new("nobody", "listens").encode(version),
        Ack::new(9).encode(kind::PUBREL, version),
        packets::ping(),
        Subscribe { packet_id: 1, subscriptions: vec![Subscription::default()], ..Subscribe::new(1, "f", 0) }
            .and("g", 0)
            .encode(version),
    ];
    for packet in &packets[..3] {
        std::thread::sleep(Duration::from_millis(700));
        client.send(packet);
    }
    let answers = (client.receive(), client.receive());
    assert!(matches!(answers, (Packet::PubComp(_), Packet::PingResp)), "{answers:?}");
    client.unsubscribe(&Unsubscribe::new(2, "f"));
    client.end_between(Duration::from_millis(1400), Duration::from_secs(6));
}

/// Keep-alive 0 switches it off: such a client may be silent for as long as it likes, here for longer than another
/// with a keep-alive of a second.
/// [MQTT5 3.1.2-22] [MQTT311 3.1.2-24]
fn a_keep_alive_of_zero_is_none(server: &Server) {
    let (mut patient, _) = server.connect(&server.hello("patient").keep_alive(0));
    let (mut other, _) = server.connect(&server.hello("other").keep_alive(1));
    other.end_between(Duration::from_millis(1400), Duration::from_secs(6));
    patient.ping();
}

/// A server that has a keep-alive of its own says so in CONNACK, and goes by it: a client that asked for more, or for
/// none, is closed after one and a half of the server's. One that asked for as little is told nothing.
/// [MQTT5 3.1.2-22, 3.2.2-22]
fn the_server_says_which_keep_alive_counts(server: &Server) {
    for asked in [60, 0] {
        let (mut client, connack) = server.connect(&server.hello("told").keep_alive(asked));
        assert!(connack.properties.contains(&Property::ServerKeepAlive(1)), "{connack:?}");
        let packets = client.end_between(Duration::from_millis(1400), Duration::from_secs(6));
        assert!(matches!(&packets[..], [Packet::Disconnect(disconnect)] if disconnect.reason == 0x8d));
    }
    let (_, connack) = server.connect(&server.hello("short enough").keep_alive(1));
    assert!(!connack.properties.iter().any(|property| matches!(property, Property::ServerKeepAlive(_))));
}

/// Topic aliases towards a client are within its Topic Alias Maximum, and there are none if it gave none, or 0; each
/// message can still be told by its topic.
/// [MQTT5 3.1.2-26, 3.1.2-27, 3.3.2-8, 3.3.2-11]
fn topic_aliases_stay_within_the_clients_maximum(server: &Server) {
    for maximum in [None, Some(0), Some(2)] {
        let mut connect = server.hello("aliased");
        connect.properties.extend(maximum.map(Property::TopicAliasMaximum));
        let (mut client, _) = server.connect(&connect);
        client.subscribe(&Subscribe::new(1, "alias/#", 0));
        let mut known = std::collections::BTreeMap::new();
        for round in 0..3 {
            for topic in ["alias/a", "alias/b", "alias/c", "alias/d"] {
                server.publish(&Publish::new(topic, topic));
                let message = client.message();
                let alias = message.properties.iter().find_map(|property| match property {
                    Property::TopicAlias(alias) => Some(*alias),
                    _ => None,
                });
                assert!(alias.is_none_or(|alias| alias >= 1 && alias <= maximum.unwrap_or(0)), "{message:?}");
                let named = match (&message.topic[..], alias) {
                    ("", Some(alias)) => known.get(&alias).copied(),
                    (_, alias) => {
                        known.extend(alias.map(|alias| (alias, topic)));
                        Some(&message.topic[..])
                    }
                };
                assert_eq!(named, Some(topic), "in round {round}");
            }
        }
    }
}

/// Response Information is only for those who ask for it: not without the request, not with 0. (With 1 it may be left out,
/// and is.)
/// [MQTT5 3.1.2-28]
fn response_information_is_not_sent_unasked(server: &Server) {
    for asked in [None, Some(0)] {
        let mut connect = server.hello("uninformed");
        connect.properties.extend(asked.map(Property::RequestResponseInformation));
        let (mut client, connack) = server.connect(&connect);
        let informed = |property: &Property| matches!(property, Property::ResponseInformation(_));
        assert!(!connack.properties.iter().any(informed), "{connack:?}");
        works(server, &mut client);
    }
}

/// With Request Problem Information 0 only PUBLISH, CONNACK and DISCONNECT have Reason Strings or User Properties, here
/// in packets that report a problem; those of a message come all the same.
/// [MQTT5 3.1.2-29]
fn without_problem_information_there_are_no_reasons_in_words(server: &Server) {
    let connect = server.hello("unreasoned").property(Property::RequestProblemInformation(0));
    let (mut client, _) = server.connect(&connect);
    client.ack(kind::PUBREL, 77);
    match client.receive() {
        Packet::PubComp(ack) => assert_eq!((ack.reason, ack.properties), (0x92, vec![])),
        other => panic!("{other:?}"),
    }
    let unsuback = client.unsubscribe(&Unsubscribe::new(2, "never/subscribed"));
    assert_eq!((unsuback.reasons, unsuback.properties), (vec![0x11], vec![]));
    let suback = client.subscribe(&Subscribe::new(3, "words", 0));
    assert_eq!(suback.properties, []);
    client.publish(&Publish::new("nobody/listens", "v").qos(1, 4));
    match client.receive() {
        Packet::PubAck(ack) => assert_eq!((ack.reason, ack.properties), (0x10, vec![])),
        other => panic!("{other:?}"),
    }
    let words = Property::UserProperty(Pair("k".into(), "v".into()));
    server.publish(&Publish::new("words", "v").property(words.clone()));
    assert_eq!(client.message().properties, [words]);
}
