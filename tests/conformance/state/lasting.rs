//! How long session state lasts (section 4.1), and the transport that it does not depend on (4.2).

use super::*;

tests! {
    state_lasts_while_the_connection_is_open: BOTH;
    state_lasts_beyond_the_connection: BOTH;
    state_ends_when_its_time_has_passed: V5;
    state_ends_with_a_clean_session: V311;
    bytes_may_come_in_any_portions: BOTH;
}

/// While the connection is open nothing of the session is discarded, however long that is: a Session Expiry Interval
/// begins with the end of the connection. Subscription, begun exchanges in both directions, and what waits behind a full
/// window are there after twice the interval.
/// [MQTT5 4.1.0-1] [MQTT311 4.1.0-1, 4.1.0-2]
fn state_lasts_while_the_connection_is_open(server: &Server) {
    let connect =
        if server.v5() { expiring("client", 1) } else { Connect::persistent(server.version, "client") };
    let mut client = server.connect(&connect).0;
    client.subscribe(&Subscribe::new(1, "t", 2));
    server.publish(&Publish::new("t", "open").qos(2, 1));
    let open = client.message();
    client.ack(kind::PUBREC, open.packet_id);
    client.expect(&Packet::PubRel(Ack::new(open.packet_id)));
    client.publish(&Publish::new("t", "own").qos(2, 7));
    let mut came = [client.receive(), client.receive()];
    came.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
    let [Packet::PubRec(_), Packet::Publish(own)] = &came else { panic!("{came:?}") };
    seconds_pass(server, 2);
    client.publish(&Publish::new("t", "own").qos(2, 7).dup(true));
    client.expect(&Packet::PubRec(Ack::new(7)));
    client.ack(kind::PUBREL, 7);
    client.expect(&Packet::PubComp(Ack::new(7)));
    client.ack(kind::PUBCOMP, open.packet_id);
    finish(&mut client, own);
    nothing_before_marker(server, &mut client, "t");
}

/// A session that is to outlive its connection does, in all its parts: subscriptions, what waits, what is sent and not
/// acknowledged, what is released and not completed, and the identifiers of QoS 2 messages received and not released.
/// [MQTT5 4.1.0-2] [MQTT311 4.1.0-1]
fn state_lasts_beyond_the_connection(server: &Server) {
    let mut client = server.new_session("client");
    client.subscribe(&Subscribe::new(1, "t", 2));
    for (payload, qos) in [("released", 2), ("sent", 1)] {
        server.publish(&Publish::new("t", payload).qos(qos, 1));
    }
    let (released, sent) = (client.message(), client.message());
    client.ack(kind::PUBREC, released.packet_id);
    client.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    client.publish(&Publish::new("elsewhere", "once").qos(2, 7));
    assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.packet_id == 7));
    client.abort();
    server.publish(&Publish::new("t", "waits").qos(1, 1));
    let mut client = server.resume("client");
    client.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    client.ack(kind::PUBCOMP, released.packet_id);
    assert_eq!(take(&mut client), Publish { dup: true, ..sent });
    assert_eq!(text(&take(&mut client)), "waits");
    client.publish(&Publish::new("elsewhere", "once").qos(2, 7).dup(true));
    client.expect(&Packet::PubRec(Ack::new(7)));
    client.ack(kind::PUBREL, 7);
    client.expect(&Packet::PubComp(Ack::new(7)));
    nothing_before_marker(server, &mut client, "t");
}

/// When the connection is closed and the Session Expiry Interval has passed, the state is gone: no session is present,
/// nothing waits, nothing is subscribed. Before that it is there.
/// [MQTT5 4.1.0-2, 3.1.2-23]
fn state_ends_when_its_time_has_passed(server: &Server) {
    let mut client = server.connect(&expiring("client", 1)).0;
    client.subscribe(&Subscribe::new(1, "t", 1));
    client.disconnect();
    let mut longer = server.connect(&expiring("longer", 1000)).0;
    longer.subscribe(&Subscribe::new(1, "t", 1));
    longer.disconnect();
    server.publish(&Publish::new("t", "waits").qos(1, 1));
    seconds_pass(server, 2);
    let (mut client, connack) = server.connect(&expiring("client", 1));
    assert!(!connack.session_present);
    works(server, &mut client);
    let (mut longer, connack) = server.connect(&expiring("longer", 1000));
    assert!(connack.session_present);
    assert_eq!(text(&take(&mut longer)), "waits");
}

/// With Clean Session 1 the session lasts as long as the connection, and whatever was there before is gone.
/// [MQTT311 4.1.0-2, 3.1.2-6, 3.2.2-3]
fn state_ends_with_a_clean_session(server: &Server) {
    let mut before = server.new_session("client");
    before.subscribe(&Subscribe::new(1, "t", 1));
    server.publish(&Publish::new("t", "waits").qos(1, 1));
    before.abort();
    let mut clean = server.client("client");
    works(server, &mut clean);
    clean.subscribe(&Subscribe::new(1, "t", 1));
    server.publish(&Publish::new("t", "lasts").qos(1, 1));
    assert_eq!(text(&clean.message()), "lasts");
    clean.abort();
    let mut after = server.new_session("client");
    works(server, &mut after);
}

/// The transport brings bytes in order and no more: packets that come byte by byte, or many at once, are the same
/// packets.
/// [MQTT5 4.2-1] [MQTT311 2.3.1-6]
fn bytes_may_come_in_any_portions(server: &Server) {
    let version = server.version;
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 0));
    let messages = || (1..=20).map(|id| Publish::new("t", format!("message {id}")).qos(1, id));
    let bytes: Vec<u8> = messages().flat_map(|message| message.encode(version)).collect();
    for portion in [1, 2, 7, bytes.len()] {
        let mut publisher = server.client("publisher");
        bytes.chunks(portion).for_each(|part| publisher.send(part));
        messages().for_each(|message| publisher.expect(&Packet::PubAck(Ack::new(message.packet_id))));
        let texts = take_texts(&mut subscriber, 20);
        assert_eq!(texts, messages().map(|message| text(&message)).collect::<Vec<_>>());
        publisher.disconnect();
    }
}
