//! How messages travel: properties, aliases, sizes, windows, expiry.

use std::thread;
use std::time::Duration;

use barnacle_wire::property::Pair;
use barnacle_wire::{Ack, Connect, Packet, Property, Publish, Subscribe, Version, kind};

use super::{QUIET, expect_marker, in_each_version, property, publish};
use crate::broker::{Broker, Setup};
use crate::traffic::{Subscriber, texts};

fn topic_alias(message: &Publish) -> Option<u16> {
    property(&message.properties, |property| match property {
        Property::TopicAlias(alias) => Some(*alias),
        _ => None,
    })
}

#[test]
fn properties_are_forwarded_unchanged_and_in_order() {
    let broker = Broker::start();
    let properties = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain".to_owned()),
        Property::ResponseTopic("answers".to_owned()),
        Property::CorrelationData(vec![0, 255, 1]),
        Property::UserProperty(Pair("k".to_owned(), "2".to_owned())),
        Property::UserProperty(Pair("k".to_owned(), "1".to_owned())),
    ];
    let mut live = broker.client(Version::V5, "live");
    live.subscribe(&Subscribe::new(1, "p", 1));
    let mut stored = broker.new_session(Version::V5, "stored");
    stored.subscribe(&Subscribe::new(1, "p", 1));
    stored.disconnect();
    let mut message = Publish::new("p", "v").qos(1, 1);
    message.properties = properties.clone();
    publish(&broker, &message);
    let users = |properties: &[Property]| {
        let user = |property: &&Property| matches!(property, Property::UserProperty(_));
        properties.iter().filter(user).cloned().collect::<Vec<_>>()
    };
    let mut stored = broker.resume(Version::V5, "stored");
    for received in [live.expect_publish().properties, stored.expect_publish().properties] {
        assert_eq!(received.len(), properties.len());
        assert!(properties.iter().all(|property| received.contains(property)), "{received:?}");
        assert_eq!(users(&received), users(&properties), "[MQTT-3.3.2-18]");
    }
}

#[test]
fn topic_aliases_are_taken_from_clients() {
    let broker = Broker::start();
    let mut reader = broker.client(Version::V5, "reader");
    reader.subscribe(&Subscribe::new(1, "alias/#", 1));
    let (mut client, connack) = broker.connect(&Connect::new(Version::V5, "one"));
    let maximum = property(&connack.properties, |property| match property {
        Property::TopicAliasMaximum(maximum) => Some(*maximum),
        _ => None,
    });
    let maximum = maximum.expect("topic aliases are allowed by default");
    let aliased = |topic: &str, payload: &str, alias| {
        Publish::new(topic, payload).qos(1, 1).property(Property::TopicAlias(alias))
    };
    client.deliver(&aliased("alias/a", "1", 1));
    client.deliver(&aliased("alias/b", "2", maximum));
    client.deliver(&aliased("", "3", 1));
    client.deliver(&aliased("", "4", maximum));
    client.deliver(&aliased("alias/c", "5", 1));
    client.deliver(&aliased("", "6", 1));
    let received: Vec<_> = (0..6).map(|_| reader.expect_publish()).collect();
    let topics: Vec<&str> = received.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["alias/a", "alias/b", "alias/a", "alias/b", "alias/c", "alias/c"]);
    assert!(
        received.iter().all(|message| topic_alias(message).is_none()),
        "no alias was asked for [MQTT-3.3.2-9]"
    );

    client.publish(&aliased("alias/a", "7", maximum + 1)).expect("PUBLISH is sent");
    match client.expect_close().as_slice() {
        [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x94, "Topic Alias invalid"),
        other => panic!("{other:?} instead of DISCONNECT"),
    }
}

#[test]
fn topic_aliases_are_given_to_clients_that_allow_them() {
    let broker = Broker::start();
    let connect = Connect::new(Version::V5, "reader").property(Property::TopicAliasMaximum(2));
    let mut reader = broker.connect(&connect).0;
    reader.subscribe(&Subscribe::new(1, "alias/#", 1));
    let mut names = [None, None];
    let mut used = 0;
    for (round, topic) in
        ["alias/a", "alias/b", "alias/c", "alias/a", "alias/b", "alias/a"].into_iter().enumerate()
    {
        publish(&broker, &Publish::new(topic, round.to_string()).qos(1, 1));
        let message = reader.expect_publish();
        let Some(alias) = topic_alias(&message) else {
            assert_eq!(message.topic, topic);
            continue;
        };
        assert!((1..=2).contains(&alias), "alias {alias} is above the maximum [MQTT-3.1.2-26]");
        let name = &mut names[usize::from(alias) - 1];
        if message.topic.is_empty() {
            used += 1;
        } else {
            *name = Some(message.topic.clone());
        }
        assert_eq!(name.as_deref(), Some(topic));
    }
    assert!(used > 0, "no alias was ever used");
}

#[test]
fn what_is_larger_than_the_client_takes_is_left_out() {
    let broker = Broker::start();
    let connect = |id: &str| Connect::persistent(Version::V5, id).property(Property::MaximumPacketSize(100));
    let mut live = broker.connect(&connect("live")).0;
    live.subscribe(&Subscribe::new(1, "size", 1));
    let mut stored = broker.connect(&connect("stored")).0;
    stored.subscribe(&Subscribe::new(1, "size", 1));
    stored.disconnect();
    publish(&broker, &Publish::new("size", vec![b'x'; 101]).qos(1, 1));
    publish(&broker, &Publish::new("size", vec![b'x'; 50]).qos(1, 1));
    let mut stored = broker.connect(&connect("stored")).0;
    for client in [&mut live, &mut stored] {
        let message = client.expect_publish();
        assert_eq!(message.payload.len(), 50, "[MQTT-3.1.2-25]");
        expect_marker(&broker, client, "size");
        client.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
    }
}

#[test]
fn a_packet_above_the_servers_maximum_ends_the_connection() {
    let broker = Setup::new().setting("limits.max_packet_size_bytes", "2000").start();
    let (mut client, connack) = broker.connect(&Connect::new(Version::V5, "one"));
    assert!(connack.properties.contains(&Property::MaximumPacketSize(2000)));
    client.publish(&Publish::new("t", vec![0; 1900]).qos(1, 1)).expect("PUBLISH is sent");
    client.expect(&Packet::PubAck(Ack::reason(1, 0x10)));
    client.publish(&Publish::new("t", vec![0; 2000]).qos(1, 2)).expect("PUBLISH is sent");
    match client.expect_close().as_slice() {
        [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x95, "Packet too large"),
        other => panic!("{other:?} instead of DISCONNECT"),
    }
}

#[test]
fn an_expired_message_is_not_delivered_and_the_rest_says_what_is_left() {
    let broker = Broker::start();
    broker.new_session(Version::V5, "reader").subscribe(&Subscribe::new(1, "e", 1));
    // Its connection ended without DISCONNECT, which is all the same to what waits.
    let expiring = |payload: &str, seconds| {
        Publish::new("e", payload).qos(1, 1).property(Property::MessageExpiryInterval(seconds))
    };
    publish(&broker, &expiring("gone", 1));
    publish(&broker, &expiring("there", 100));
    publish(&broker, &Publish::new("e", "forever").qos(1, 1));
    thread::sleep(Duration::from_millis(2200));
    let mut reader = broker.resume(Version::V5, "reader");
    let messages = [reader.expect_publish(), reader.expect_publish()];
    assert_eq!(texts(&messages), ["there", "forever"], "[MQTT-3.3.2-5]");
    let left = |message: &Publish| {
        property(&message.properties, |property| match property {
            Property::MessageExpiryInterval(seconds) => Some(*seconds),
            _ => None,
        })
    };
    let seconds = left(&messages[0]).expect("the interval is forwarded");
    assert!((90..100).contains(&seconds), "{seconds} s left of 100 after 2 s [MQTT-3.3.2-6]");
    assert_eq!(left(&messages[1]), None);
}

#[test]
fn the_clients_receive_maximum_is_honoured() {
    let broker = Broker::start();
    let connect =
        |maximum| Connect::persistent(Version::V5, "reader").property(Property::ReceiveMaximum(maximum));
    let mut reader = broker.connect(&connect(5)).0;
    reader.subscribe(&Subscribe::new(1, "rm", 2));
    for number in 0..9 {
        publish(&broker, &Publish::new("rm", number.to_string()).qos(1 + number % 2, 1));
    }
    let open: Vec<_> = (0..5).map(|_| reader.expect_publish()).collect();
    reader.expect_nothing(QUIET);
    reader.ack(kind::PUBACK, open[0].packet_id).expect("PUBACK is sent");
    assert_eq!(reader.expect_publish().payload, b"5");
    reader.ack(kind::PUBREC, open[1].packet_id).expect("PUBREC is sent");
    reader.expect(&Packet::PubRel(Ack::new(open[1].packet_id)));
    reader.expect_nothing(QUIET);
    reader.ack(kind::PUBCOMP, open[1].packet_id).expect("PUBCOMP is sent");
    assert_eq!(reader.expect_publish().payload, b"6");
    reader.disconnect();

    // A smaller one at return holds for what is sent again too.
    let mut reader = broker.connect(&connect(2)).0;
    let again = [reader.expect_publish(), reader.expect_publish()];
    assert_eq!(texts(&again), ["2", "3"]);
    assert!(again.iter().all(|message| message.dup));
    reader.expect_nothing(QUIET);
    reader.ack(kind::PUBACK, again[0].packet_id).expect("PUBACK is sent");
    let mut reader = Subscriber::new(reader);
    // The PUBREC of "3" is still owed: its QoS 2 exchange takes a place of the two.
    let next = reader.take(1);
    assert_eq!(texts(&next), ["4"]);
    reader.client().ack(kind::PUBREC, again[1].packet_id).expect("PUBREC is sent");
    assert_eq!(texts(&reader.take(4)), ["5", "6", "7", "8"]);
}

#[test]
fn the_servers_receive_maximum_is_enforced() {
    let broker = Setup::new().setting("limits.receive_maximum", "3").start();
    let (mut client, connack) = broker.connect(&Connect::new(Version::V5, "one"));
    assert_eq!(connack.receive_maximum(), 3);
    for packet_id in 1..=3 {
        client.publish(&Publish::new("t", "v").qos(2, packet_id)).expect("PUBLISH is sent");
        client.expect(&Packet::PubRec(Ack::reason(packet_id, 0x10)));
    }
    client.publish(&Publish::new("t", "v").qos(2, 4)).expect("PUBLISH is sent");
    match client.expect_close().as_slice() {
        [.., Packet::Disconnect(disconnect)] => {
            assert_eq!(disconnect.reason, 0x93, "Receive Maximum exceeded")
        }
        other => panic!("{other:?} instead of DISCONNECT"),
    }
}

#[test]
fn unacknowledged_messages_come_again_in_order_with_dup() {
    in_each_version(|broker, version| {
        let mut reader = broker.new_session(version, "reader");
        reader.subscribe(&Subscribe::new(1, "d", 1));
        for number in 0..4 {
            publish(broker, &Publish::new("d", number.to_string()).qos(1, 1));
        }
        let first: Vec<_> = (0..4).map(|_| reader.expect_publish()).collect();
        assert!(first.iter().all(|message| !message.dup), "[MQTT-3.3.1-1]");
        reader.ack(kind::PUBACK, first[1].packet_id).expect("PUBACK is sent");
        reader.disconnect();
        let mut reader = broker.resume(version, "reader");
        for before in [&first[0], &first[2], &first[3]] {
            let again = reader.expect_publish();
            assert!(again.dup);
            assert_eq!((again.packet_id, again.payload), (before.packet_id, before.payload.clone()));
        }
        reader.expect_nothing(QUIET);
    });
}
