//! Handling errors: section 4.13 of 5.0, section 4.8 of 3.1.1. What each kind of packet can have wrong is in `malformed`;
//! this is what follows from it.

use barnacle_wire::{Ack, Disconnect, Packet, Property, Publish, RawPacket, Subscribe, kind};

use crate::server::Server;
use crate::support::*;

tests! {
    an_error_closes_the_connection_and_nothing_else: BOTH;
    nothing_behind_an_error_is_done: BOTH;
    what_came_before_an_error_is_done: BOTH;
    a_reason_that_ends_the_connection_ends_it: V5;
}

/// A malformed packet or a protocol error closes the connection that it came on, in 5.0 with the reason in DISCONNECT;
/// the session goes on, and so do all other connections.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn an_error_closes_the_connection_and_nothing_else(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    let mut offender = server.new_session("offender");
    offender.subscribe(&Subscribe::new(1, "t", 1));
    let malformed = RawPacket::new(kind::SUBSCRIBE << 4 | 2).u16(1).finish_with_length(9);
    let malformed = [malformed, vec![0xff; 7]].concat();
    let errors: [(Vec<u8>, &[u8]); 4] = [
        (malformed, &[0x81]),
        (vec![0x00, 0x00], &[0x81]),
        (server.hello("offender").encode(), &[0x82]),
        (Publish::new("a/#", "v").encode(server.version), &[0x90]),
    ];
    for (bytes, reasons) in errors {
        offender.send(&bytes);
        expect_end(server, &mut offender, reasons);
        offender = server.resume("offender");
        server.publish(&Publish::new("t", "v").qos(1, 1));
        assert_eq!(text(&take(&mut offender)), "v");
        assert_eq!(text(&take(&mut subscriber)), "v");
    }
}

/// What a client sends behind the error is not looked at.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn nothing_behind_an_error_is_done(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    for wrong in [vec![0x00, 0x00], Publish::new("#", "v").encode(server.version)] {
        let mut offender = server.client("offender");
        offender.ping();
        let behind = Publish::new("t", "behind").qos(1, 5).encode(server.version);
        offender.send(&[wrong, behind.clone(), behind].concat());
        expect_end(server, &mut offender, &[0x81, 0x90]);
        nothing_before_marker(server, &mut subscriber, "t");
    }
}

/// What came before the error was right, and is done: what was published is delivered, and what was to be answered has
/// been, or is when the client sends it again.
/// [MQTT5 4.13.1-1, 3.3.4-1] [MQTT311 4.8.0-1, 3.3.4-1]
fn what_came_before_an_error_is_done(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    let mut offender = server.new_session("offender");
    let before = Publish::new("t", "before").qos(2, 5);
    offender.send(&[before.encode(server.version), vec![0x00, 0x00]].concat());
    offender.end();
    assert_eq!(text(&take(&mut subscriber)), "before");
    let mut offender = server.resume("offender");
    offender.publish(&before.dup(true));
    offender.expect(&Packet::PubRec(Ack::new(5)));
    offender.ack(kind::PUBREL, 5);
    offender.expect(&Packet::PubComp(Ack::new(5)));
    nothing_before_marker(server, &mut subscriber, "t");
}

/// CONNACK and DISCONNECT with a reason of 0x80 or more are the end of the connection, whoever sends them: a CONNACK
/// that refuses is the last packet, and so is a DISCONNECT of the server; after one of a client the server closes.
/// [MQTT5 4.13.2-1]
fn a_reason_that_ends_the_connection_ends_it(server: &Server) {
    let zero = server.hello("client").property(Property::ReceiveMaximum(0));
    let mut client = server.open_with(&zero.encode());
    assert!(client.connack().reason >= 0x80);
    assert_eq!(client.end(), []);
    refused(server, &[0x00, 0x00], &[0x81]);
    for reason in [0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] {
        let mut client = server.client("client");
        client.ping();
        client.send(&Disconnect { reason, properties: Vec::new() }.encode(V5));
        assert_eq!(client.end(), [], "after a DISCONNECT of the client there is nothing to say");
    }
    works(server, &mut server.client("client"));
}
