//! CONNECT as the packet that opens a connection (section 3.1, actions 3.1.4).

use barnacle_wire::packets;

use crate::server::Server;

tests! {
    the_first_packet_is_connect: BOTH;
    a_second_connect_ends_the_connection: BOTH;
}

/// A connection that begins with anything but CONNECT is closed, and there is no answer: before CONNACK a server sends
/// nothing, and the version is not known. With CONNECT first, the same packet is answered.
/// [MQTT5 3.1.0-1, 3.14.0-1, 3.2.0-1] [MQTT311 3.1.0-1, 3.2.0-1]
fn the_first_packet_is_connect(server: &Server) {
    let mut early = server.open_with(&packets::ping());
    assert_eq!(early.end(), [], "nothing is sent to a client that has not connected");
    let mut client = server.client("first");
    client.ping();
}

/// CONNECT opens a connection once. The second is a protocol error (0x82 in MQTT 5), whatever it says, and the client that
/// it names has no connection afterwards.
/// [MQTT5 3.1.0-2] [MQTT311 3.1.0-2]
fn a_second_connect_ends_the_connection(server: &Server) {
    for client_id in ["twice", "somebody else"] {
        let mut client = server.client("twice");
        client.ping();
        client.send(&server.hello(client_id).encode());
        client.end_because(0x82);
    }
}
