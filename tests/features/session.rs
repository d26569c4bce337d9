//! Sessions: made, resumed, taken over, ended; and connections that fall silent.

use std::time::Duration;

use barnacle_wire::{Client, Connect, Disconnect, Packet, Publish, Subscribe, Version, kind};

use super::{expect_marker, in_each_version, publish};
use crate::broker::Broker;

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
