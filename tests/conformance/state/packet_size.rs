//! Maximum Packet Size (sections 3.1.2.11.4 and 3.2.2.3.6), towards the client and towards the server.

use super::*;

tests! {
    no_packet_exceeds_the_clients_maximum: V5;
    what_is_too_large_for_a_client_is_left_out: V5;
    what_is_too_large_for_a_member_is_left_out: V5;
    a_connack_that_is_too_large_is_not_sent: V5;
    a_packet_larger_than_the_server_takes_ends_the_connection: BOTH, "limits.max_packet_size_bytes" = "2000";
}

/// The bytes of a message as a subscriber without any properties gets it.
fn size_of(message: &Publish) -> usize {
    message.encode(V5).len()
}

/// With a Maximum Packet Size, a client gets no packet that is larger, at any QoS: neither live nor retained nor queued
/// messages; the last that fits does come.
/// [MQTT5 3.1.2-24]
fn no_packet_exceeds_the_clients_maximum(server: &Server) {
    const MAXIMUM: usize = 64;
    let size = |payload: usize, qos: u8| 2 + 2 + "size".len() + usize::from(qos > 0) * 2 + 1 + payload;
    for qos in 0..=2 {
        let fits =
            (1..MAXIMUM).filter(|payload| size(*payload, qos) <= MAXIMUM).max().expect("small ones fit");
        let retained = |payload: usize| Publish::new("size", vec![b'x'; payload]).qos(qos, 1).retain(true);
        let connect = Connect::persistent(V5, &format!("small {qos}"));
        let connect = connect.property(Property::MaximumPacketSize(MAXIMUM as u32));
        server.publish(&retained(fits + 1));
        let (mut small, _) = server.connect(&connect);
        small.subscribe(&Subscribe::new(1, "size", qos));
        small.ping();
        server.publish(&retained(fits + 1));
        server.publish(&retained(fits));
        let message = small.message();
        assert_eq!(message.payload.len(), fits, "the message that fits");
        small.ping();
        server.publish(&retained(0));
        small.abort();
    }
}

/// A message whose packet would have a byte more than the client takes is not sent to it, and is as if it had been
/// acknowledged: what comes behind it comes, also on the next connection. One of exactly that size is sent, and to
/// others so is the larger one. Live, stored, and as it is sent again to a client that takes less now.
/// [MQTT5 3.1.2-24, 3.1.2-25]
fn what_is_too_large_for_a_client_is_left_out(server: &Server) {
    let sized = |size: usize| {
        let mut message = Publish::new("t", vec![b'x'; size]).qos(1, 1);
        while size_of(&message) > size {
            message.payload.pop();
        }
        assert_eq!(size_of(&message), size);
        message
    };
    let connect = |connect: Connect, maximum| connect.property(Property::MaximumPacketSize(maximum));
    let mut live = server.connect(&connect(Connect::new(V5, "live"), 120)).0;
    let mut stored = server.connect(&connect(Connect::persistent(V5, "stored"), 120)).0;
    let mut away = server.new_session("away");
    let mut large = server.client("large");
    for subscriber in [&mut live, &mut stored, &mut away, &mut large] {
        subscriber.subscribe(&Subscribe::new(1, "t", 2));
    }
    away.disconnect();
    for (size, qos) in [(121, 1), (120, 1), (500, 2)] {
        server.publish(&sized(size).qos(qos, 1));
    }
    server.publish(&Publish::new("t", "end").qos(1, 1));
    let mut away = server.connect(&connect(Connect::persistent(V5, "away"), 120)).0;
    for subscriber in [&mut live, &mut stored, &mut away] {
        assert_eq!(size_of(&take(subscriber)), 120);
        assert_eq!(text(&take(subscriber)), "end");
    }
    let sizes: Vec<usize> = take_all(&mut large, 4).iter().map(size_of).collect();
    assert_eq!(sizes[..3], [121, 120, 500], "and the end behind them");
    stored.disconnect();
    let mut stored = server.resume("stored");
    nothing_before_marker(server, &mut stored, "t");

    server.publish(&sized(200));
    let begun = stored.message();
    assert_eq!(size_of(&begun), 200);
    stored.abort();
    let mut stored = server.connect(&connect(Connect::persistent(V5, "stored"), 120)).0;
    nothing_before_marker(server, &mut stored, "t");
}

/// To a member of a group alike: what it cannot take does not hold up what follows.
/// [MQTT5 3.1.2-25, 4.8.2-3]
fn what_is_too_large_for_a_member_is_left_out(server: &Server) {
    for stored in [false, true] {
        let mut connect = if stored { Connect::persistent(V5, "stored") } else { Connect::new(V5, "live") };
        connect.properties.push(Property::MaximumPacketSize(100));
        let mut member = server.connect(&connect).0;
        member.subscribe(&Subscribe::new(1, &format!("$share/{stored}/t"), 2));
        for qos in 0..=2 {
            server.publish(&Publish::new("t", vec![b'x'; 200]).qos(qos, 1));
            server.publish(&Publish::new("t", qos.to_string()).qos(qos, 1));
            assert_eq!(text(&take(&mut member)), qos.to_string());
        }
        member.disconnect();
    }
}

/// A client that takes not even the CONNACK that it would need is not let in: no packet is larger than it takes. It is
/// told so if that fits; and no session is made, taken over or ended for it.
/// [MQTT5 3.1.2-24, 3.2.2-7]
fn a_connack_that_is_too_large_is_not_sent(server: &Server) {
    let mut before = server.new_session("client");
    before.subscribe(&Subscribe::new(1, "t", 1));
    for maximum in 1..=10 {
        let connect = Connect::new(V5, "client").property(Property::MaximumPacketSize(maximum));
        let mut client = server.open_with(&connect.encode());
        match client.end().as_slice() {
            [] if maximum < 5 => {}
            [Packet::ConnAck(connack)] if maximum >= 5 => {
                assert!(connack.reason >= 0x80 && connack.properties.is_empty(), "{connack:?}");
            }
            other => panic!("{other:?} to a client that takes {maximum} bytes"),
        }
    }
    // What is wrong with it may be found behind its size: here the topic of its will.
    for (maximum, answer) in [(4, "closed"), (5, "CONNACK 0x90")] {
        let connect = Connect::new(V5, "client").property(Property::MaximumPacketSize(maximum));
        let mut client = server.open_with(&connect.will(will("#", "wrong")).encode());
        assert_eq!(client.ending(), answer, "a client that takes {maximum} bytes");
    }
    nothing_before_marker(server, &mut before, "t");
}

/// The server takes packets up to the size that CONNACK says, and none that are larger: in 5.0 with Packet too large.
/// 3.1.1 cannot be told of the limit and has it all the same.
/// [MQTT5 4.13.1-1] [MQTT311 4.8.0-1]
fn a_packet_larger_than_the_server_takes_ends_the_connection(server: &Server) {
    let (mut client, connack) = server.connect(&server.hello("client"));
    assert_eq!(connack.properties.contains(&Property::MaximumPacketSize(2000)), server.v5());
    client.subscribe(&Subscribe::new(1, "t", 0));
    let sized = |size: usize| {
        let packet = |payload| Publish::new("t", vec![b'x'; payload]).qos(1, 1).encode(server.version);
        let packet = packet(1000 + size - packet(1000).len());
        assert_eq!(packet.len(), size);
        packet
    };
    client.send(&sized(2000));
    let mut came = [client.receive(), client.receive()];
    came.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
    assert!(matches!(came, [Packet::PubAck(_), Packet::Publish(_)]), "{came:?}");
    client.send(&sized(2001));
    expect_end(server, &mut client, &[0x95]);
    let mut client = server.client("client");
    client.ping();
    // Its header is enough to know, whatever follows.
    client.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
    expect_end(server, &mut client, &[0x95]);
}
