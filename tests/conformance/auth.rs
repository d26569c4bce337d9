//! AUTH (section 3.15), on connections that did not begin with an Authentication Method: Barnacle has none built in.

use barnacle_wire::{Auth, Property, Publish, Subscribe, Version};

use crate::server::{Case, Server};

tests! {
    the_flags_of_auth_are_reserved: V5;
    auth_is_for_those_who_began_with_a_method: V5;
    a_reason_that_auth_does_not_have_is_refused: V5;
    auth_does_not_exist_before_mqtt_5: V311;
}

fn auth(reason: u8) -> Vec<u8> {
    Auth { reason, properties: vec![Property::AuthenticationMethod("method".into())] }.encode()
}

/// The flags of AUTH are zero; anything else is malformed, whatever the packet says.
/// [MQTT5 3.15.1-1]
fn the_flags_of_auth_are_reserved(server: &Server) {
    let case = |flags: u8| {
        let mut bytes = auth(0x18);
        bytes[0] |= flags;
        Case::new(format!("flags {flags}"), bytes, "DISCONNECT 0x81")
    };
    server.expect_endings(&(1..=15).map(case).collect::<Vec<_>>());
}

/// A client that connected without an Authentication Method sends no AUTH: neither to go on, nor to authenticate again.
/// It is a protocol error, and nothing else of what it sends is lost by it before.
/// [MQTT5 3.15.2-1, 4.12.0-7, 4.12.1-1, 4.12.1-2]
fn auth_is_for_those_who_began_with_a_method(server: &Server) {
    let without_method = vec![0xf0, 2, 0x18, 0];
    server.expect_endings(&[
        Case::new("Success", vec![0xf0, 0], "DISCONNECT 0x82"),
        Case::new("Success in full", auth(0x00), "DISCONNECT 0x82"),
        Case::new("Continue authentication", auth(0x18), "DISCONNECT 0x82"),
        Case::new("Re-authenticate", auth(0x19), "DISCONNECT 0x82"),
        Case::new("no method", without_method, "DISCONNECT 0x82"),
    ]);
    let mut reader = server.client("reader");
    reader.subscribe(&Subscribe::new(1, "before/auth", 0));
    let message = Publish::new("before/auth", "v");
    let mut client = server.client("again");
    client.send(&[message.encode(Version::V5), auth(0x19)].concat());
    assert_eq!(client.ending(), "DISCONNECT 0x82");
    assert_eq!(reader.message(), message);
}

/// AUTH has three reasons: Success, Continue authentication, Re-authenticate. Others are a protocol error.
/// [MQTT5 3.15.2-1]
fn a_reason_that_auth_does_not_have_is_refused(server: &Server) {
    let reasons = [0x01, 0x04, 0x10, 0x17, 0x1a, 0x80, 0x81, 0x87, 0x8c, 0xff];
    let case = |reason| Case::new(format!("reason {reason:#04x}"), auth(reason), "DISCONNECT 0x82");
    server.expect_endings(&reasons.map(case));
}

/// Type 15 is reserved in MQTT 3.1.1: the connection is closed.
/// [MQTT311 2.2.2-2, 4.8.0-1]
fn auth_does_not_exist_before_mqtt_5(server: &Server) {
    server.expect_endings(&[
        Case::new("in short", vec![0xf0, 0], "closed"),
        Case::new("Continue authentication", auth(0x18), "closed"),
    ]);
}
