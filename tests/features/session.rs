//! Sessions: made, resumed, taken over, ended; and connections that fall silent.

use std::thread;
use std::time::Duration;

use barnacle_wire::{
    Client, Connect, Disconnect, Packet, Property, Publish, Subscribe, Version, kind, packets,
};

use super::{QUIET, expect_close_between, expect_marker, in_each_version, property, publish};
use crate::broker::{Broker, Setup};

#[test]
fn session_present_tells_the_truth() {
    in_each_version(|broker, version| {
        let clean = Connect::new(version, "one");
        let lasting = Connect::persistent(version, "one");
        let present = |connect: &Connect| {
            let (client, connack) = broker.connect(connect);
            client.disconnect();
            connack.session_present
        };
        assert!(!present(&clean));
        assert!(!present(&lasting), "the session before it had ended");
        assert!(present(&lasting));
        assert!(!present(&clean), "[MQTT-3.2.2-2]");
        assert!(!present(&lasting), "clean start had ended it");
        if version == Version::V5 {
            let fresh = Connect::persistent(version, "one").clean_start(true);
            assert!(!present(&fresh));
            assert!(present(&lasting), "clean start made one that lasts");
        }
    });
}

/// DISCONNECT has no reason code for what may be wrong with a CONNECT alone: the broker must not try to say it.
#[test]
fn a_second_connect_that_is_wrong_in_itself_is_a_protocol_error() {
    let broker = Broker::start();
    let connect = |name: &str, level| {
        barnacle_wire::RawPacket::new(0x10).string(name).u8(level).u8(2).u16(60).string("").finish()
    };
    for second in [connect("MQIsdp", 3), connect("MQTT", 9), connect("MQTT", 0x84), connect("AMQP", 5)] {
        for version in [Version::V311, Version::V5] {
            let mut client = broker.client(version, "one");
            client.send(&second).expect("it is sent");
            let said = match version {
                Version::V5 => vec![Packet::Disconnect(Disconnect { reason: 0x82, properties: vec![] })],
                _ => Vec::new(),
            };
            assert_eq!(client.expect_close(), said, "{second:02x?}");
        }
    }
}

/// A client that CONNACK is too large for would otherwise wait for it for ever, with a session that is served.
#[test]
fn a_client_that_connack_is_too_large_for_is_refused() {
    let broker = Broker::start();
    for (size, told) in [(5, true), (12, true), (4, false), (1, false)] {
        let connect = Connect::persistent(Version::V5, "tight").property(Property::MaximumPacketSize(size));
        let mut client = Client::open(broker.address(), Version::V5).expect("the broker listens");
        client.send(&connect.encode()).expect("CONNECT is sent");
        let too_large = Packet::ConnAck(barnacle_wire::ConnAck { reason: 0x95, ..Default::default() });
        assert_eq!(client.expect_close(), if told { vec![too_large] } else { Vec::new() }, "{size} bytes");
    }
    // Nothing was made for it.
    broker.new_session(Version::V5, "tight").disconnect();
}

#[test]
fn a_session_keeps_subscriptions_and_messages_across_a_kill() {
    in_each_version(|broker, version| {
        broker.new_session(version, "one").subscribe(&Subscribe::new(1, "s", 1));
        publish(broker, &Publish::new("s", "waiting").qos(1, 1));
        broker.kill_and_start_again();
        let mut client = broker.resume(version, "one");
        let message = client.expect_publish();
        assert_eq!(message.payload, b"waiting");
        client.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
        expect_marker(broker, &mut client, "s");
    });
}

#[test]
fn sessions_of_every_version_are_let_in() {
    let broker = Broker::start();
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut client = broker.client(version, "one");
        client.subscribe(&Subscribe::new(1, "v", 1));
        client.deliver_to_self("v");
        client.disconnect();
    }
    let mut client = Client::open(broker.address(), Version::V311).expect("the broker listens");
    let unknown = barnacle_wire::RawPacket::new(0x10).string("MQTT").u8(9).u8(2).u16(60).string("x").finish();
    client.send(&unknown).expect("CONNECT is sent");
    match client.read(Duration::from_secs(10)) {
        Ok(Packet::ConnAck(connack)) => assert_eq!(connack.reason, 1, "unacceptable protocol version"),
        Err(_) => {}
        other => panic!("{other:?} to an unknown protocol version"),
    }
}

trait ToSelf {
    fn deliver_to_self(&mut self, topic: &str);
}

impl ToSelf for Client {
    /// Publishes what it has subscribed to; PUBACK and PUBLISH come in either order.
    fn deliver_to_self(&mut self, topic: &str) {
        self.publish(&Publish::new(topic, "self").qos(1, 1)).expect("PUBLISH is sent");
        let mut came = [false, false];
        for _ in 0..2 {
            match self.read(Duration::from_secs(10)).expect("two packets come") {
                Packet::PubAck(ack) => came[0] = ack.packet_id == 1,
                Packet::Publish(publish) => came[1] = publish.payload == b"self",
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, [true, true]);
    }
}

#[test]
fn a_second_connection_takes_over() {
    in_each_version(|broker, version| {
        let mut first = broker.new_session(version, "one");
        first.subscribe(&Subscribe::new(1, "t", 1));
        let mut second = broker.resume(version, "one");
        let farewell = first.expect_close();
        if version == Version::V5 {
            match farewell.as_slice() {
                [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x8E, "session taken over"),
                other => panic!("{other:?} instead of DISCONNECT"),
            }
        } else {
            assert_eq!(farewell, [], "3.1.1 has no DISCONNECT from the server");
        }
        expect_marker(broker, &mut second, "t");
    });
}

#[test]
fn a_client_without_an_identifier_is_given_one() {
    let broker = Broker::start();
    let assigned = || {
        let (client, connack) = broker.connect(&Connect::new(Version::V5, ""));
        let assigned = property(&connack.properties, |property| match property {
            Property::AssignedClientIdentifier(assigned) => Some(assigned.clone()),
            _ => None,
        });
        (client, assigned.expect("[MQTT-3.1.3-7]"))
    };
    let ((first, first_id), (_second, second_id)) = (assigned(), assigned());
    assert_ne!(first_id, second_id);
    drop(first);
    let anonymous = || broker.client(Version::V311, "");
    let (mut one, mut other) = (anonymous(), anonymous());
    one.subscribe(&Subscribe::new(1, "x", 0));
    other.subscribe(&Subscribe::new(1, "x", 0));
    let connect = Connect::persistent(Version::V311, "");
    let connack = Client::connect(broker.address(), &connect).expect("the broker answers").1;
    assert_eq!(connack.reason, 2, "identifier rejected: a lasting session needs one [3.1.1, MQTT-3.1.3-8]");
}

#[test]
fn a_session_ends_when_its_expiry_has_passed() {
    let broker = Broker::start();
    let expiring = |id: &str, seconds| {
        let mut connect = Connect::new(Version::V5, id).clean_start(false);
        connect.properties.push(Property::SessionExpiryInterval(seconds));
        connect
    };
    broker.connect(&expiring("short", 1)).0.disconnect();
    broker.connect(&expiring("long", 1000)).0.disconnect();
    broker.connect(&expiring("none", 0)).0.disconnect();
    // An interval in DISCONNECT replaces the one in CONNECT.
    let mut shortened = broker.connect(&expiring("shortened", 1000)).0;
    let disconnect = Disconnect { reason: 0, properties: vec![Property::SessionExpiryInterval(1)] };
    shortened.send(&disconnect.encode(Version::V5)).expect("DISCONNECT is sent");
    shortened.expect_close();
    thread::sleep(Duration::from_millis(1300));
    let present = |id: &str| broker.connect(&expiring(id, 1000)).1.session_present;
    assert_eq!(["short", "long", "none", "shortened"].map(present), [false, true, false, false]);
}

#[test]
fn a_session_that_never_lasted_may_not_be_made_to_at_disconnect() {
    let broker = Broker::start();
    let mut client = broker.client(Version::V5, "one");
    let disconnect = Disconnect { reason: 0, properties: vec![Property::SessionExpiryInterval(10)] };
    client.send(&disconnect.encode(Version::V5)).expect("DISCONNECT is sent");
    match client.expect_close().as_slice() {
        [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x82, "3.14.2.2.2"),
        other => panic!("{other:?} instead of DISCONNECT"),
    }
}

#[test]
fn silence_beyond_the_keep_alive_ends_the_connection() {
    in_each_version(|broker, version| {
        let mut silent = broker.connect(&Connect::new(version, "silent").keep_alive(1)).0;
        let mut pinging = broker.connect(&Connect::new(version, "pinging").keep_alive(1)).0;
        let mut free = broker.connect(&Connect::new(version, "free").keep_alive(0)).0;
        let pings = thread::spawn(move || {
            for _ in 0..6 {
                thread::sleep(Duration::from_millis(500));
                pinging.send(&packets::ping()).expect("the connection is alive");
                pinging.expect(&Packet::PingResp);
            }
        });
        let farewell =
            expect_close_between(&mut silent, Duration::from_millis(1300), Duration::from_millis(4000));
        if version == Version::V5 {
            match farewell.as_slice() {
                [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x8D, "keep alive timeout"),
                other => panic!("{other:?} instead of DISCONNECT"),
            }
        }
        pings.join().expect("whoever pings stays");
        free.send(&packets::ping()).expect("the connection is alive");
        free.expect(&Packet::PingResp);
    });
}

#[test]
fn the_server_keep_alive_is_said_and_kept() {
    let broker = Setup::new().setting("limits.server_keep_alive_seconds", "1").start();
    let (mut client, connack) = broker.connect(&Connect::new(Version::V5, "one").keep_alive(600));
    assert!(connack.properties.contains(&Property::ServerKeepAlive(1)), "[MQTT-3.2.2-21]");
    expect_close_between(&mut client, Duration::from_millis(1300), Duration::from_millis(4000));
    let mut older = broker.connect(&Connect::new(Version::V311, "older").keep_alive(600)).0;
    older.expect_nothing(QUIET);
}

#[test]
fn user_name_and_password_are_welcome_where_nobody_asks_for_them() {
    in_each_version(|broker, version| {
        broker.connect(&Connect::new(version, "one").credentials("anyone", "anything"));
    });
}

#[test]
fn an_unknown_authentication_method_is_refused() {
    let broker = Broker::start();
    let connect =
        Connect::new(Version::V5, "one").property(Property::AuthenticationMethod("none-such".to_owned()));
    let (_, connack) = Client::connect(broker.address(), &connect).expect("the broker answers");
    assert_eq!(connack.reason, 0x8C, "bad authentication method");
}
