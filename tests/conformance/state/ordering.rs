//! Order (section 4.6).

use super::*;

tests! {
    messages_arrive_in_the_order_they_were_published: BOTH;
    acknowledgements_leave_in_the_order_of_what_they_answer: BOTH;
    messages_are_sent_again_in_their_order: BOTH;
    releases_follow_the_order_of_pubrec: BOTH;
}

/// Every topic is an ordered one: what a client publishes on it at one QoS arrives in that order, at a live subscriber,
/// at a stored one, and at one that was away in the middle. Two publishers at once keep their order each.
/// [MQTT5 4.6.0-5, 4.6.0-6] [MQTT311 4.6.0-5, 4.6.0-6]
fn messages_arrive_in_the_order_they_were_published(server: &Server) {
    const EACH: usize = 60;
    for qos in [1, 2] {
        let topic = format!("order/{qos}");
        let subscribe = |mut subscriber: Peer| {
            subscriber.subscribe(&Subscribe::new(1, &topic, 2));
            subscriber
        };
        let away_id = format!("away {qos}");
        let mut live = subscribe(server.client("live"));
        let mut stored = subscribe(server.new_session(&format!("stored {qos}")));
        let away = subscribe(server.new_session(&away_id));
        let mut publishers = ["a", "b"].map(|name| (name, server.client(name)));
        for half in [0..EACH / 2, EACH / 2..EACH] {
            for (name, publisher) in &mut publishers {
                let message = |number| {
                    let packet_id = number as u16 + 1;
                    Publish::new(&topic, format!("{name} {number:03}"))
                        .qos(qos, packet_id)
                        .encode(server.version)
                };
                publisher.send(&half.clone().flat_map(message).collect::<Vec<u8>>());
            }
        }
        for (_, publisher) in &mut publishers {
            let mut done = 0;
            while done < EACH {
                match publisher.receive() {
                    Packet::PubAck(_) | Packet::PubComp(_) => done += 1,
                    Packet::PubRec(ack) => publisher.ack(kind::PUBREL, ack.packet_id),
                    other => panic!("{other:?} came to a publisher"),
                }
            }
        }
        away.abort();
        let mut away = server.resume(&away_id);
        for subscriber in [&mut live, &mut stored, &mut away] {
            let texts = take_texts(subscriber, 2 * EACH);
            for name in ["a", "b"] {
                let of_one: Vec<_> = texts.iter().filter(|text| text.starts_with(name)).cloned().collect();
                let wanted: Vec<_> = (0..EACH).map(|number| format!("{name} {number:03}")).collect();
                assert_eq!(of_one, wanted);
            }
        }
    }
}

/// PUBACK, PUBREC and PUBCOMP leave in the order in which PUBLISH, and PUBREL, came. The statements bind clients (5.0)
/// and through 4.6.0-6 of 3.1.1 servers too; this one keeps them in both versions.
/// [MQTT5 4.3.2-4, 4.3.3-8, 4.3.3-11, 4.6.0-2, 4.6.0-3] [MQTT311 4.6.0-2, 4.6.0-3, 4.6.0-6]
fn acknowledgements_leave_in_the_order_of_what_they_answer(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "wanted/#", 0));
    let mut publisher = server.client("publisher");
    // Some are kept for somebody and some for nobody, so that some are acknowledged sooner if nothing holds them.
    let mut stored = server.new_session("stored");
    stored.subscribe(&Subscribe::new(1, "wanted/kept", 1));
    let topics = ["wanted/kept", "nobody", "wanted/live"];
    let message = |id: u16| {
        let qos = if id % 2 == 0 { 1 } else { 2 };
        Publish::new(topics[usize::from(id) % 3], id.to_string()).qos(qos, id).encode(server.version)
    };
    publisher.send(&(1..=60).flat_map(message).collect::<Vec<u8>>());
    for id in 1..=60 {
        match publisher.receive() {
            Packet::PubAck(ack) if id % 2 == 0 => assert_eq!(ack.packet_id, id),
            Packet::PubRec(ack) if id % 2 == 1 => assert_eq!(ack.packet_id, id),
            other => panic!("{other:?} where the answer to {id} belongs"),
        }
    }
    let order: Vec<u16> = (1..=60).filter(|id| id % 2 == 1).rev().collect();
    let release = |id: &u16| Ack::new(*id).encode(kind::PUBREL, server.version);
    publisher.send(&order.iter().flat_map(release).collect::<Vec<u8>>());
    order.iter().for_each(|id| publisher.expect(&Packet::PubComp(Ack::new(*id))));
    let numbers = take_texts(&mut subscriber, 40);
    let wanted: Vec<String> = (1..=60).filter(|id| id % 3 != 1).map(|id| id.to_string()).collect();
    assert_eq!(numbers, wanted);
}

/// What is sent again is sent in the order of the first time, QoS 1 and 2 together, though some in between were
/// acknowledged; and before anything that waited.
/// [MQTT5 4.4.0-1, 4.6.0-5] [MQTT311 4.6.0-1, 4.6.0-6]
fn messages_are_sent_again_in_their_order(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t/+", 2));
    for number in 0..12 {
        let topic = format!("t/{}", number % 3);
        server.publish(&Publish::new(&topic, number.to_string()).qos(1 + number % 2, 1));
    }
    let open: Vec<Publish> = (0..12).map(|_| subscriber.message()).collect();
    for at in [4, 10, 2] {
        finish(&mut subscriber, &open[at]);
    }
    subscriber.ping();
    subscriber.abort();
    server.publish(&Publish::new("t/0", "waited").qos(1, 1));
    let mut subscriber = server.resume("subscriber");
    for (_, message) in open.iter().enumerate().filter(|(at, _)| ![4, 10, 2].contains(at)) {
        assert_eq!(subscriber.message(), Publish { dup: true, ..message.clone() });
    }
    assert_eq!(text(&subscriber.message()), "waited");
}

/// PUBREL follows the order in which PUBREC came, whatever the order of the PUBLISHes.
/// [MQTT5 4.3.3-4] [MQTT311 4.6.0-4, 4.6.0-6]
fn releases_follow_the_order_of_pubrec(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 2));
    for number in 0..6 {
        server.publish(&Publish::new("t", number.to_string()).qos(2, 1));
    }
    let open: Vec<u16> = (0..6).map(|_| subscriber.message().packet_id).collect();
    let order = [3, 0, 5, 1, 4, 2].map(|at: usize| open[at]);
    let received = |id: &u16| Ack::new(*id).encode(kind::PUBREC, server.version);
    subscriber.send(&order.iter().flat_map(received).collect::<Vec<u8>>());
    order.iter().for_each(|id| subscriber.expect(&Packet::PubRel(Ack::new(*id))));
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    order.iter().for_each(|id| subscriber.expect(&Packet::PubRel(Ack::new(*id))));
}
