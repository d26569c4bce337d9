//! Packets that are right in themselves, and wrong from a client, now, or in this version.

use barnacle_wire::{Ack, Auth, Disconnect, Property, Publish, Subscribe, Unsubscribe, Version, kind};

use crate::server::{Case, Server};

tests! {
    what_only_a_server_sends_is_a_protocol_error: BOTH;
    packets_of_mqtt_5_are_no_packets_of_mqtt_3: V311;
    packets_of_mqtt_3_are_no_packets_of_mqtt_5: V5;
    a_violation_stops_what_comes_behind_it: BOTH;
}

/// CONNACK, SUBACK, UNSUBACK and PINGRESP come from servers. A client that sends one makes a protocol error, though the
/// packet itself is right.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn what_only_a_server_sends_is_a_protocol_error(server: &Server) {
    let packets: [(&str, &[u8]); 6] = match server.version {
        Version::V5 => [
            ("CONNACK", &[0x20, 3, 0, 0, 0]),
            ("CONNACK with a session", &[0x20, 3, 1, 0, 0]),
            ("CONNACK that refuses", &[0x20, 3, 0, 0x80, 0]),
            ("SUBACK", &[0x90, 4, 0, 9, 0, 0]),
            ("UNSUBACK", &[0xb0, 4, 0, 9, 0, 0]),
            ("PINGRESP", &[0xd0, 0]),
        ],
        _ => [
            ("CONNACK", &[0x20, 2, 0, 0]),
            ("CONNACK with a session", &[0x20, 2, 1, 0]),
            ("CONNACK that refuses", &[0x20, 2, 0, 1]),
            ("SUBACK", &[0x90, 3, 0, 9, 0]),
            ("UNSUBACK", &[0xb0, 2, 0, 9]),
            ("PINGRESP", &[0xd0, 0]),
        ],
    };
    let case = |(name, bytes): (&str, &[u8])| Case::new(name, bytes.to_vec(), server.thrown_out(0x82));
    server.expect_endings(&packets.map(case));
}

/// What MQTT 5 has and MQTT 3.1.1 has not ends an MQTT 3.1.1 connection: reason codes and properties of acknowledgements,
/// DISCONNECT with a reason, AUTH, property lengths before filters, subscription options.
/// [MQTT311 4.8.0-1, 2.2.2-2]
fn packets_of_mqtt_5_are_no_packets_of_mqtt_3(server: &Server) {
    let v5 = Version::V5;
    let acknowledgement = |packet_kind| Ack::reason(9, 0x80).encode(packet_kind, v5);
    let method = vec![Property::AuthenticationMethod("m".into())];
    let cases = [
        ("PUBACK with a reason", acknowledgement(kind::PUBACK)),
        ("PUBREC with a reason", acknowledgement(kind::PUBREC)),
        ("PUBREL with a reason", acknowledgement(kind::PUBREL)),
        ("PUBCOMP with a reason", acknowledgement(kind::PUBCOMP)),
        ("DISCONNECT with a reason", Disconnect { reason: 4, properties: vec![] }.encode(v5)),
        ("AUTH", Auth { reason: 0x18, properties: method }.encode()),
        ("SUBSCRIBE with a property length", Subscribe::new(9, "f", 1).encode(v5)),
        ("UNSUBSCRIBE with a property length", Unsubscribe::new(9, "f").encode(v5)),
        ("SUBSCRIBE with No Local", Subscribe::new(9, "f", 0x05).encode(Version::V311)),
        ("SUBSCRIBE with Retain As Published", Subscribe::new(9, "f", 0x09).encode(Version::V311)),
        ("SUBSCRIBE with Retain Handling", Subscribe::new(9, "f", 0x21).encode(Version::V311)),
        ("PUBLISH by a Topic Alias", Publish::new("", "v").property(Property::TopicAlias(1)).encode(v5)),
    ];
    server.expect_endings(&cases.map(|(name, bytes)| Case::new(name, bytes, "closed")));
}

/// MQTT 5 has property lengths where MQTT 3.1.1 has none: its packets are malformed without them.
/// [MQTT5 2.2.2-1, 4.13.1-1]
fn packets_of_mqtt_3_are_no_packets_of_mqtt_5(server: &Server) {
    let v311 = Version::V311;
    let cases = [
        ("PUBLISH", Publish::new("topic", "payload").encode(v311)),
        ("PUBLISH without payload", Publish::new("topic", "").encode(v311)),
        ("PUBLISH of QoS 1", Publish::new("topic", "payload").qos(1, 9).encode(v311)),
        ("SUBSCRIBE", Subscribe::new(9, "filter", 1).encode(v311)),
        ("UNSUBSCRIBE", Unsubscribe::new(9, "filter").encode(v311)),
    ];
    server.expect_endings(&cases.map(|(name, bytes)| Case::new(name, bytes, "DISCONNECT 0x81")));
}

/// What came before a violation is done, what comes behind it is not, though all of it was sent at once.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn a_violation_stops_what_comes_behind_it(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "order/#", 0));
    for (violation, reason) in [(&[0x00, 0][..], 0x81), (&[0xd0, 0], 0x82)] {
        let mut client = server.client("violent");
        let message = |topic: &str| Publish::new(topic, "v").encode(server.version);
        client.send(&[&message("order/before")[..], violation, &message("order/behind")].concat());
        assert_eq!(client.ending(), server.thrown_out(reason), "{violation:02x?}");
        server.publish(&Publish::new("order/marker", "v"));
        assert_eq!([witness.message().topic, witness.message().topic], ["order/before", "order/marker"]);
    }
}
