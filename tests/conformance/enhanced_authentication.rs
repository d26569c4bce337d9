//! Enhanced authentication (section 4.12), of which this server offers no method: nobody is ever asked to authenticate
//! by AUTH, and whoever wants to is told that it cannot.

use barnacle_wire::{Auth, Connect, Packet, Property};

use crate::server::Server;
use crate::support::*;

tests! {
    an_unknown_method_is_refused: V5;
    without_a_method_there_is_no_auth: V5;
    auth_without_a_method_ends_the_connection: V5;
}

fn with_method(method: &str, data: Option<&[u8]>) -> Connect {
    let mut connect = Connect::new(V5, "client");
    connect.properties.push(Property::AuthenticationMethod(method.to_owned()));
    connect.properties.extend(data.map(|data| Property::AuthenticationData(data.to_vec())));
    connect
}

/// A method that the server does not support is refused with Bad authentication method, and the connection is closed,
/// without any AUTH, with data or without; a session that is there is not touched by it.
/// [MQTT5 4.12.0-1, 4.12.0-4, 4.13.2-1]
fn an_unknown_method_is_refused(server: &Server) {
    server.new_session("client").disconnect();
    for method in ["", "SCRAM-SHA-1", "GS2-KRB5", "none"] {
        for data in [None, Some(&b"data"[..])] {
            let mut client = server.open_with(&with_method(method, data).encode());
            let connack = client.connack();
            assert_eq!((connack.reason, connack.session_present), (0x8c, false), "{method:?}");
            assert_eq!(client.end(), []);
        }
    }
    works(server, &mut server.resume("client"));
}

/// A client that asks for no method is sent no AUTH and no Authentication Method: CONNACK comes first, and has none.
/// With data and without a method, CONNECT is a protocol error.
/// [MQTT5 4.12.0-6]
fn without_a_method_there_is_no_auth(server: &Server) {
    let (mut client, connack) = server.connect(&Connect::new(V5, "client"));
    let authenticates = |property: &Property| {
        matches!(property, Property::AuthenticationMethod(_) | Property::AuthenticationData(_))
    };
    assert!(!connack.properties.iter().any(authenticates), "{connack:?}");
    works(server, &mut client);
    let data = Connect::new(V5, "client").property(Property::AuthenticationData(b"data".to_vec()));
    let mut client = server.open_with(&data.encode());
    assert_eq!(client.connack().reason, 0x82);
    assert_eq!(client.end(), []);
}

/// A client that gave no method sends no AUTH, of any kind: neither an answer nor a wish to authenticate again. To send
/// one is a protocol error; the server does not answer with AUTH.
/// [MQTT5 4.12.0-7, 4.12.1-1, 4.12.1-2]
fn auth_without_a_method_ends_the_connection(server: &Server) {
    let method = || vec![Property::AuthenticationMethod("SCRAM-SHA-1".to_owned())];
    for reason in [0x00, 0x18, 0x19] {
        refused(server, &Auth { reason, properties: method() }.encode(), &[0x82]);
    }
    refused(server, &Auth::default().encode(), &[0x82]);
    // Before CONNECT it is no packet to begin with.
    let mut client = server.open_with(&Auth { reason: 0x18, properties: method() }.encode());
    let sent: [Packet; 0] = [];
    assert_eq!(client.end(), sent);
}
