//! The will: kept with the session, published when the connection ends otherwise than it should (section 3.1.2.5,
//! 3.1.3.2).

use std::time::Duration;

use barnacle_wire::property::Pair;
use barnacle_wire::{Connect, Disconnect, Property, Publish, Subscribe, Version, Will};

use crate::server::{Peer, Server};
use crate::support::expect_end;

tests! {
    a_will_is_published_when_the_connection_breaks: BOTH;
    a_will_is_published_when_the_client_is_silent: BOTH;
    a_will_is_published_when_the_client_is_thrown_out: BOTH;
    a_will_is_published_once: BOTH;
    a_good_bye_takes_the_will_back: BOTH;
    a_good_bye_may_ask_for_the_will: V5;
    without_the_will_flag_nothing_is_published: BOTH;
    a_will_is_retained_if_it_says_so: BOTH;
    a_will_has_its_own_qos: BOTH;
    a_will_keeps_its_properties: V5;
}

fn will(payload: &str) -> Will {
    Will { topic: "will/topic".into(), payload: payload.into(), qos: 1, ..Will::default() }
}

fn witness(server: &Server) -> Peer {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "will/#", 2));
    witness
}

/// Sees that the will comes next at the witness.
#[track_caller]
fn expect_will(witness: &mut Peer, payload: &str) -> Publish {
    let message = witness.message();
    assert_eq!((&message.topic[..], &message.payload[..]), ("will/topic", payload.as_bytes()));
    witness.ack(barnacle_wire::kind::PUBACK, message.packet_id);
    message
}

/// Sees that nothing was published up to now: a marker comes next.
#[track_caller]
fn expect_none(server: &Server, witness: &mut Peer) {
    server.publish(&Publish::new("will/marker", "marker").qos(0, 0));
    assert_eq!(witness.message().payload, b"marker", "the will came and should not have");
}

/// The will is kept when the client connects, not published then, and published at once when the connection ends without a
/// DISCONNECT; of sessions that end with it as well as of those that stay, and there with a Will Delay Interval of 0 as well
/// as without any.
/// [MQTT5 3.1.2-7, 3.1.2-8, 3.1.3-9] [MQTT311 3.1.2-8]
fn a_will_is_published_when_the_connection_breaks(server: &Server) {
    let mut witness = witness(server);
    for connect in [server.hello("mortal"), Connect::persistent(server.version, "mortal")] {
        for delay in [None, Some(0)] {
            let delay = delay.filter(|_| server.version == Version::V5);
            let properties = delay.map(Property::WillDelayInterval).into_iter().collect();
            let will = Will { properties, ..will("broken") };
            let (client, _) = server.connect(&connect.clone().will(will));
            expect_none(server, &mut witness);
            client.abort();
            expect_will(&mut witness, "broken");
            expect_none(server, &mut witness);
        }
    }
}

/// A connection that its keep-alive has ended has a will as one that broke.
/// [MQTT5 3.1.2-8, 3.1.2-22] [MQTT311 3.1.2-8, 3.1.2-24]
fn a_will_is_published_when_the_client_is_silent(server: &Server) {
    let mut witness = witness(server);
    let (mut client, _) = server.connect(&server.hello("silent").keep_alive(1).will(will("silent")));
    client.end_between(Duration::from_millis(1400), Duration::from_secs(6));
    expect_will(&mut witness, "silent");
}

/// A connection that the server ends because of a protocol violation has its will published, and so has one that is taken
/// over.
/// [MQTT5 3.1.2-8] [MQTT311 3.1.2-8]
fn a_will_is_published_when_the_client_is_thrown_out(server: &Server) {
    let mut witness = witness(server);
    for connect in [server.hello("violent"), Connect::persistent(server.version, "violent")] {
        let (mut client, _) = server.connect(&connect.will(will("violent")));
        client.send(&[0x00, 0x00]);
        expect_end(server, &mut client, &[0x81]);
        expect_will(&mut witness, "violent");
    }
    let (mut client, _) = server.connect(&server.hello("taken over").will(will("taken over")));
    server.client("taken over").ping();
    expect_end(server, &mut client, &[0x8e]);
    expect_will(&mut witness, "taken over");
}

/// A will that was published is gone: the next end of the session's connection has none unless CONNECT brings one.
/// [MQTT5 3.1.2-10] [MQTT311 3.1.2-10]
fn a_will_is_published_once(server: &Server) {
    let mut witness = witness(server);
    let connect = Connect::persistent(server.version, "once");
    let (client, _) = server.connect(&connect.clone().will(will("once")));
    client.abort();
    expect_will(&mut witness, "once");
    let (client, connack) = server.connect(&connect);
    assert!(connack.session_present);
    client.abort();
    let (client, _) = server.connect(&connect);
    client.disconnect();
    expect_none(server, &mut witness);
}

/// DISCONNECT (with reason 0 in MQTT 5) takes the will back: it is not published then, nor at the session's next end.
/// [MQTT5 3.1.2-10, 3.14.4-3] [MQTT311 3.1.2-10, 3.14.4-3]
fn a_good_bye_takes_the_will_back(server: &Server) {
    let mut witness = witness(server);
    for connect in [server.hello("polite"), Connect::persistent(server.version, "polite")] {
        let (client, _) = server.connect(&connect.clone().will(will("never")));
        client.disconnect();
        expect_none(server, &mut witness);
        let (client, _) = server.connect(&connect);
        client.abort();
        // The same identifier again: when it is let in, the connection before it has gone.
        server.client("polite").disconnect();
        expect_none(server, &mut witness);
    }
    // It would have come: the same without the good-bye.
    let (client, _) = server.connect(&server.hello("polite").will(will("rude")));
    client.abort();
    expect_will(&mut witness, "rude");
}

/// DISCONNECT with reason 0x04 (with Will Message), or with an error, has the will published.
/// [MQTT5 3.1.2-8, 3.14.4-3]
fn a_good_bye_may_ask_for_the_will(server: &Server) {
    let mut witness = witness(server);
    for connect in [server.hello("asking"), Connect::persistent(server.version, "asking")] {
        for reason in [0x04, 0x80, 0x81, 0x82, 0x83, 0x93] {
            let (mut client, _) = server.connect(&connect.clone().will(will("asked for")));
            client.send(&Disconnect { reason, properties: vec![] }.encode(Version::V5));
            assert_eq!(client.ending(), "closed");
            expect_will(&mut witness, "asked for");
        }
    }
}

/// Without the Will Flag nothing is published in the client's name, however it ends.
/// [MQTT5 3.1.2-11] [MQTT311 3.1.2-12]
fn without_the_will_flag_nothing_is_published(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "#", 0));
    for connect in [server.hello("plain"), Connect::persistent(server.version, "plain")] {
        let (client, _) = server.connect(&connect.clone());
        client.abort();
        server.connect(&connect).0.disconnect();
    }
    expect_none(server, &mut witness);
    witness.ping();
}

/// With Will Retain the will is a retained message, without it is not: a later subscriber tells.
/// [MQTT5 3.1.2-14, 3.1.2-15] [MQTT311 3.1.2-16, 3.1.2-17]
fn a_will_is_retained_if_it_says_so(server: &Server) {
    let mut live = witness(server);
    for retain in [true, false] {
        let topic = format!("will/retained/{retain}");
        let will = Will { topic: topic.clone(), payload: b"v".to_vec(), qos: 0, retain, properties: vec![] };
        let (client, _) = server.connect(&server.hello("mortal").will(will));
        client.abort();
        assert_eq!(live.message().topic, topic);
        let mut later = server.client("later");
        later.subscribe(&Subscribe::new(1, &topic, 0));
        if retain {
            let message = later.message();
            assert_eq!((message.payload, message.retain), (b"v".into(), true));
        }
        later.ping();
    }
}

/// The will is published with Will QoS: it comes with it where the subscription has no less.
/// [MQTT5 3.1.2-9, 3.1.2-12] [MQTT311 3.1.2-9, 3.1.2-14]
fn a_will_has_its_own_qos(server: &Server) {
    let mut witness = witness(server);
    for qos in 0..=2 {
        let (client, _) = server.connect(&server.hello("mortal").will(Will { qos, ..will("of its own") }));
        client.abort();
        let message = witness.message();
        assert_eq!((message.qos, message.retain, &message.payload[..]), (qos, false, &b"of its own"[..]));
        if qos == 1 {
            witness.ack(barnacle_wire::kind::PUBACK, message.packet_id);
        }
    }
}

/// What a will has besides its payload is published with it: content type, format, response topic, correlation data,
/// expiry, and its User Properties in their order, twice the same among them.
/// [MQTT5 3.1.3-10, 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-18, 3.3.2-20]
fn a_will_keeps_its_properties(server: &Server) {
    let mut witness = witness(server);
    let pair = |name: &str, value: &str| Property::UserProperty(Pair(name.into(), value.into()));
    let properties = vec![
        Property::PayloadFormatIndicator(1),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answers/here".into()),
        Property::CorrelationData(vec![0, 255, 1]),
        pair("b", "2"),
        pair("a", "1"),
        pair("b", "2"),
        pair("", ""),
    ];
    let will = Will { properties: properties.clone(), ..will("with properties") };
    let (client, _) = server.connect(&server.hello("mortal").will(will));
    client.abort();
    let message = expect_will(&mut witness, "with properties");
    let pairs = |properties: &[Property]| -> Vec<Property> {
        properties.iter().filter(|property| matches!(property, Property::UserProperty(_))).cloned().collect()
    };
    assert_eq!(pairs(&message.properties), pairs(&properties), "in their order");
    for property in &properties {
        assert!(message.properties.contains(property), "{property:?} is missing in {message:?}");
    }
}
