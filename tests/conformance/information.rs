//! What a server explains: Request Problem Information, Request Response Information, Reason String, User Property.

use barnacle_wire::{Ack, Connect, Packet, Property, Publish, RawPacket, Subscribe, Unsubscribe, kind};

use crate::server::{Peer, Server};
use crate::support::*;

tests! {
    response_information_is_sent_on_request_only: V5;
    no_problem_is_explained_unasked: V5;
    explanations_of_a_client_change_nothing: V5;
}

fn explains(properties: &[Property]) -> bool {
    properties
        .iter()
        .any(|property| matches!(property, Property::ReasonString(_) | Property::UserProperty(_)))
}

/// A client that does not ask for Response Information, or asks for none, is sent none in CONNACK. Values but 0 and 1
/// are a protocol error.
/// [MQTT5 3.1.2-28]
fn response_information_is_sent_on_request_only(server: &Server) {
    for asked in [None, Some(0)] {
        let mut connect = Connect::new(V5, "client");
        connect.properties.extend(asked.map(Property::RequestResponseInformation));
        let (mut client, connack) = server.connect(&connect);
        let informs = |property: &Property| matches!(property, Property::ResponseInformation(_));
        assert!(!connack.properties.iter().any(informs), "{connack:?}");
        works(server, &mut client);
    }
    let asking = Connect::new(V5, "client").property(Property::RequestResponseInformation(1));
    works(server, &mut server.connect(&asking).0);
    for wrong in [Property::RequestResponseInformation(2), Property::RequestProblemInformation(2)] {
        let mut client = server.open_with(&Connect::new(V5, "client").property(wrong).encode());
        assert_eq!(client.connack().reason, 0x82);
        assert_eq!(client.end(), []);
    }
}

/// With Request Problem Information 0 a client is sent Reason Strings and User Properties of the server in CONNACK and
/// DISCONNECT at most, and those of publishers in PUBLISH. This server never adds any, so without it and with 1 as well.
/// [MQTT5 3.1.2-29]
fn no_problem_is_explained_unasked(server: &Server) {
    for asked in [Some(0), Some(1), None] {
        let mut connect = Connect::new(V5, "client");
        connect.properties.extend(asked.map(Property::RequestProblemInformation));
        let mut client: Peer = server.connect(&connect).0;
        let suback = client.subscribe(&Subscribe::new(1, "t", 2));
        let unsuback = client.unsubscribe(&Unsubscribe::new(2, "none"));
        assert!(!explains(&suback.properties) && !explains(&unsuback.properties));
        assert_eq!(unsuback.reasons, [0x11]);
        client.publish(&Publish::new("nobody", "v").qos(1, 1));
        client.expect(&Packet::PubAck(Ack::reason(1, 0x10)));
        client.publish(&Publish::new("nobody", "v").qos(2, 1));
        client.expect(&Packet::PubRec(Ack::reason(1, 0x10)));
        client.ack(kind::PUBREL, 2);
        client.expect(&Packet::PubComp(Ack::reason(2, 0x92)));
        client.ack(kind::PUBREC, 3);
        client.expect(&Packet::PubRel(Ack::reason(3, 0x92)));
        let message = Publish::new("t", "v").qos(1, 1).property(user_property("a", "b"));
        server.publish(&message);
        assert_eq!(take(&mut client).properties, message.properties);
    }
}

/// Reason Strings and User Properties of a client, in every packet that may have them, in any number and order, are
/// taken and change nothing. Only one Reason String is allowed, and none where it does not belong.
/// [MQTT5 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.8.4-1, 3.10.4-4]
fn explanations_of_a_client_change_nothing(server: &Server) {
    let users = || vec![user_property("b", "1"), user_property("a", ""), user_property("b", "1")];
    let explained = |packet_id| {
        let mut properties = users();
        properties.insert(1, Property::ReasonString("because".to_owned()));
        Ack { properties, ..Ack::new(packet_id) }
    };
    let mut connect = server.hello("client");
    connect.properties = users();
    let mut client = server.connect(&connect).0;
    let mut subscribe = Subscribe::new(1, "t", 2);
    subscribe.properties = users();
    assert_eq!(client.subscribe(&subscribe).reasons, [2]);
    for qos in [1, 2] {
        server.publish(&Publish::new("t", "v").qos(qos, 1));
        let message = client.message();
        if qos == 1 {
            client.send(&explained(message.packet_id).encode(kind::PUBACK, V5));
        } else {
            client.send(&explained(message.packet_id).encode(kind::PUBREC, V5));
            client.expect(&Packet::PubRel(Ack::new(message.packet_id)));
            client.send(&explained(message.packet_id).encode(kind::PUBCOMP, V5));
        }
    }
    client.publish(&Publish::new("nobody", "v").qos(2, 1));
    client.expect(&Packet::PubRec(Ack::reason(1, 0x10)));
    client.send(&explained(1).encode(kind::PUBREL, V5));
    client.expect(&Packet::PubComp(Ack::new(1)));
    nothing_before_marker(server, &mut client, "t");
    let mut unsubscribe = Unsubscribe::new(2, "t");
    unsubscribe.properties = users();
    assert_eq!(client.unsubscribe(&unsubscribe).reasons, [0]);
    let leaving = barnacle_wire::Disconnect { reason: 0, properties: explained(1).properties };
    client.send(&leaving.encode(V5));
    assert_eq!(client.end(), []);

    for kind in [kind::PUBACK, kind::PUBREC, kind::PUBREL, kind::PUBCOMP] {
        let twice = vec![Property::ReasonString("a".to_owned()), Property::ReasonString("b".to_owned())];
        refused(server, &Ack { properties: twice, ..Ack::new(1) }.encode(kind, V5), &[0x82]);
        let flags = if kind == kind::PUBREL { 2 } else { 0 };
        // A Content Type does not belong there.
        let misplaced = RawPacket::new(kind << 4 | flags).u16(1).u8(0).u8(4).u8(0x03).string("x");
        refused(server, &misplaced.finish(), &[0x81, 0x82]);
    }
    let mut subscribe = Subscribe::new(1, "t", 1);
    subscribe.properties.push(Property::ReasonString("why".to_owned()));
    refused(server, &subscribe.encode(V5), &[0x81, 0x82]);
}
