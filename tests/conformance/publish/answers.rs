//! What a PUBLISH is answered with, and how many of them may be unanswered.

use super::*;

tests! {
    a_publish_is_answered_as_its_qos_says: BOTH;
    a_message_for_nobody_is_answered_too: BOTH;
    exceeding_the_servers_receive_maximum_ends_the_connection: V5;
    a_receive_maximum_of_1_allows_one: V5, "limits.receive_maximum" = "1";
    any_number_of_exchanges_may_be_open_before_5_0: V311;
}

/// PUBLISH of QoS 0 is answered with nothing, of QoS 1 with PUBACK, of QoS 2 with PUBREC, of the same packet identifier.
/// [MQTT5 3.3.4-1] [MQTT311 3.3.4-1]
fn a_publish_is_answered_as_its_qos_says(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 0));
    let mut publisher = server.client("publisher");
    publisher.publish(&Publish::new("t", "v"));
    publisher.ping();
    assert_eq!(text(&take(&mut subscriber)), "v");
    for packet_id in [1, 2, 255, 256, 65_535] {
        publisher.publish(&Publish::new("t", "v").qos(1, packet_id));
        publisher.expect(&Packet::PubAck(Ack::new(packet_id)));
        publisher.publish(&Publish::new("t", "v").qos(2, packet_id));
        publisher.expect(&Packet::PubRec(Ack::new(packet_id)));
        publisher.ack(kind::PUBREL, packet_id);
        publisher.expect(&Packet::PubComp(Ack::new(packet_id)));
        let came = take_all(&mut subscriber, 2);
        assert!(came.iter().all(|message| message.qos == 0), "as granted");
    }
}

/// Only MQTT 5 can tell a publisher that nobody subscribes; before, the answer is the same as always.
/// [MQTT5 3.4.2-1, 3.5.2-1] [MQTT311 3.3.4-1]
fn a_message_for_nobody_is_answered_too(server: &Server) {
    let reason = if server.v5() { 0x10 } else { 0 };
    let mut publisher = server.client("publisher");
    publisher.publish(&Publish::new("nobody", "v").qos(1, 1));
    publisher.expect(&Packet::PubAck(Ack::reason(1, reason)));
    publisher.publish(&Publish::new("nobody", "v").qos(2, 1));
    publisher.expect(&Packet::PubRec(Ack::reason(1, reason)));
    publisher.ack(kind::PUBREL, 1);
    publisher.expect(&Packet::PubComp(Ack::new(1)));
    works(server, &mut publisher);
}

/// The server's Receive Maximum, and exchanges of both kinds that use it up but for `left`.
#[track_caller]
fn use_up(server: &Server, client_id: &str, left: u16) -> (Peer, u16) {
    let (mut publisher, connack) = server.connect(&Connect::new(V5, client_id));
    let open = connack.receive_maximum() - left;
    for packet_id in 1..=open {
        publisher.publish(&Publish::new("nobody", "v").qos(2, packet_id));
    }
    for packet_id in 1..=open {
        publisher.expect(&Packet::PubRec(Ack::reason(packet_id, 0x10)));
    }
    (publisher, open)
}

/// As many messages of QoS 1 and 2 may be without PUBACK or PUBCOMP as CONNACK says; one more ends the connection with
/// Receive Maximum exceeded. An exchange that is done makes room for one. QoS 0 does not count, nor does what is no
/// PUBLISH, nor a PUBLISH that comes again in its exchange.
/// [MQTT5 3.3.4-7]
fn exceeding_the_servers_receive_maximum_ends_the_connection(server: &Server) {
    let (mut publisher, open) = use_up(server, "at the limit", 0);
    publisher.publish(&Publish::new("nobody", "v"));
    publisher.publish(&Publish::new("nobody", "v").qos(2, open).dup(true));
    publisher.expect(&Packet::PubRec(Ack::new(open)));
    publisher.ping();
    publisher.ack(kind::PUBREL, 1);
    publisher.expect(&Packet::PubComp(Ack::new(1)));
    publisher.deliver(&Publish::new("nobody", "v").qos(1, 1));
    publisher.publish(&Publish::new("nobody", "v").qos(2, 1));
    publisher.expect(&Packet::PubRec(Ack::reason(1, 0x10)));
    publisher.publish(&Publish::new("nobody", "v").qos(1, open + 1));
    expect_end(server, &mut publisher, &[0x93]);
}

/// At 1, the least there is: one message is under way at a time, and that is enough to go on. What the server sends is no
/// matter of it.
/// [MQTT5 3.3.4-7]
fn a_receive_maximum_of_1_allows_one(server: &Server) {
    let (mut client, connack) = server.connect(&Connect::new(V5, "client"));
    assert_eq!(connack.receive_maximum(), 1);
    client.subscribe(&Subscribe::new(1, "t", 2));
    let mut open: Vec<Publish> = Vec::new();
    for qos in [1, 2, 1, 2] {
        server.publish(&Publish::new("t", "to the client").qos(qos, 1));
        open.push(client.message());
        client.deliver(&Publish::new("nobody", "v").qos(qos, 1));
        client.publish(&Publish::new("nobody", "v"));
    }
    client.publish(&Publish::new("nobody", "v").qos(2, 1));
    client.expect(&Packet::PubRec(Ack::reason(1, 0x10)));
    client.ack(kind::PUBACK, open[0].packet_id);
    client.ping();
    client.publish(&Publish::new("nobody", "v").qos(1, 2));
    expect_end(server, &mut client, &[0x93]);
}

/// 3.1.1 knows no Receive Maximum: far more unfinished exchanges than 5.0 would allow are no offence, and each is
/// finished.
/// [MQTT311 4.3.3-2]
fn any_number_of_exchanges_may_be_open_before_5_0(server: &Server) {
    let version = server.version;
    let mut publisher = server.client("publisher");
    let message = |packet_id| Publish::new("nobody", "v").qos(2, packet_id).encode(version);
    for first in [1, 1001, 2001] {
        publisher.send(&(first..first + 1000).flat_map(message).collect::<Vec<u8>>());
        (first..first + 1000).for_each(|packet_id| publisher.expect(&Packet::PubRec(Ack::new(packet_id))));
    }
    for packet_id in 1..=3000 {
        publisher.ack(kind::PUBREL, packet_id);
        publisher.expect(&Packet::PubComp(Ack::new(packet_id)));
    }
    works(server, &mut publisher);
}
