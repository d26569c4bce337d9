//! Shared subscriptions (section 4.8.2): who gets what. Members that leave are in `group_leave`. 3.1.1 has no shared
//! subscriptions; this broker offers the same in it.

use super::*;

tests! {
    a_shared_filter_names_a_group_and_a_filter: BOTH;
    each_message_goes_to_one_member: BOTH;
    groups_and_plain_subscriptions_are_apart: BOTH;
    a_member_gets_no_more_than_its_granted_qos: BOTH;
    a_group_brings_nothing_retained: BOTH;
    a_member_without_room_leaves_messages_to_others: V5;
    a_member_that_refuses_a_message_ends_it: V5;
}

/// A shared filter is `$share/`, a group of at least one character without `/`, `+` and `#`, another `/`, and a filter.
/// Anything else that begins so is no filter (0x8F); what only looks alike is one that is not shared.
/// [MQTT5 4.8.2-1, 4.8.2-2] [MQTT311 4.8.0-1]
fn a_shared_filter_names_a_group_and_a_filter(server: &Server) {
    let wrong = [
        "$share/",
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/+/t",
        "$share/a+b/t",
        "$share/g#/t",
        "$share/#",
    ];
    for filter in wrong {
        refused(server, &Subscribe::new(1, filter, 1).encode(server.version), &[0x8f]);
        refused(server, &Unsubscribe::new(1, filter).encode(server.version), &[0x8f]);
    }
    let mut member = server.client("member");
    let right = ["$share/g/t", "$share/a b/+/#", "$share/$share/t//", "$share/é/#"];
    for filter in right {
        assert_eq!(member.subscribe(&Subscribe::new(1, filter, 1)).reasons, [1], "{filter}");
        member.unsubscribe(&Unsubscribe::new(2, filter));
    }
    member.subscribe(&Subscribe::new(1, "$shared/g/t", 1));
    server.publish(&Publish::new("$shared/g/t", "not shared").qos(1, 1));
    assert_eq!(text(&take(&mut member)), "not shared");
    works(server, &mut member);
}

/// Of a group, one member gets each message of what the filter matches, at every QoS; nobody gets one twice and none is
/// left out. Two groups get all of it each.
/// [MQTT5 4.8.2-3] [MQTT311 4.5.0-1]
fn each_message_goes_to_one_member(server: &Server) {
    let member = |client_id: &str, filter: &str| {
        let mut member = server.client(client_id);
        member.subscribe(&Subscribe::new(1, filter, 2).and(&format!("end/{client_id}"), 1));
        member
    };
    let mut members = ["a", "b", "c"].map(|id| (id, member(id, "$share/g/jobs/+")));
    let mut alone = member("alone", "$share/h/jobs/+");
    let mut publisher = server.client("publisher");
    for number in 0..60_u16 {
        publisher.deliver(&Publish::new("jobs/x", number.to_string()).qos((number % 3) as u8, 1));
    }
    let mut numbers = Vec::new();
    for (id, member) in &mut members {
        publisher.deliver(&Publish::new(&format!("end/{id}"), "end").qos(1, 1));
        numbers.extend(until_end(member));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<u16>>());
    let mut all: Vec<u16> =
        take_texts(&mut alone, 60).iter().map(|text| text.parse().expect("a number")).collect();
    all.sort_unstable();
    assert_eq!(all, numbers);
}

/// The numbers that a member gets before its own end, each exchange done; those of QoS 2 are released in between.
#[track_caller]
fn until_end(member: &mut Peer) -> Vec<u16> {
    let (mut numbers, mut ended, mut releases) = (Vec::new(), false, 0);
    while !ended || releases > 0 {
        match member.receive() {
            Packet::Publish(message) => {
                match message.qos {
                    0 => {}
                    1 => member.ack(kind::PUBACK, message.packet_id),
                    _ => member.ack(kind::PUBREC, message.packet_id),
                }
                releases += usize::from(message.qos == 2);
                match text(&message).parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => ended = true,
                }
            }
            Packet::PubRel(release) => {
                member.ack(kind::PUBCOMP, release.packet_id);
                releases -= 1;
            }
            other => panic!("{other:?} came to a member"),
        }
    }
    numbers
}

/// A client that subscribes to a filter and is in a group for the same one gets each message for both reasons, and
/// leaves one without leaving the other: they are two subscriptions.
/// [MQTT5 3.8.4-3, 3.10.4-1] [MQTT311 3.10.4-1]
fn groups_and_plain_subscriptions_are_apart(server: &Server) {
    let mut member = server.client("member");
    member.subscribe(&Subscribe::new(1, "t", 1).and("$share/g/t", 1));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    assert_eq!(take_texts(&mut member, 2), ["v", "v"]);
    member.unsubscribe(&Unsubscribe::new(2, "t"));
    server.publish(&Publish::new("t", "shared").qos(1, 1));
    assert_eq!(take_texts(&mut member, 1), ["shared"]);
    member.subscribe(&Subscribe::new(3, "t", 1));
    member.unsubscribe(&Unsubscribe::new(4, "$share/g/t"));
    server.publish(&Publish::new("t", "plain").qos(1, 1));
    assert_eq!(take_texts(&mut member, 1), ["plain"]);
    nothing_before_marker(server, &mut member, "t");
}

/// What a member is sent has the QoS that it was granted at most, and that of the message at most.
/// [MQTT5 4.8.2-3] [MQTT311 3.8.4-6]
fn a_member_gets_no_more_than_its_granted_qos(server: &Server) {
    for granted in 0..=2 {
        let mut member = server.client("member");
        member.subscribe(&Subscribe::new(1, "$share/g/t", granted));
        for published in 0..=2 {
            server.publish(&Publish::new("t", "v").qos(published, 1));
            assert_eq!(take(&mut member).qos, granted.min(published));
        }
        member.disconnect();
    }
}

/// A group is not sent what is retained, when it is made or joined; what is published now has RETAIN 0.
/// [MQTT5 3.3.1-12] [MQTT311 3.3.1-9]
fn a_group_brings_nothing_retained(server: &Server) {
    server.publish(&Publish::new("t/kept", "kept").qos(1, 1).retain(true));
    let mut member = server.client("member");
    for _ in 0..2 {
        member.subscribe(&Subscribe::new(1, "$share/g/t/+", 1));
        nothing_before_marker(server, &mut member, "t/now");
    }
    server.publish(&Publish::new("t/kept", "now").qos(1, 1).retain(true));
    assert!(!take(&mut member).retain);
}

/// A member that cannot take more, because of its Receive Maximum, does not hold up the others.
/// [MQTT5 3.3.4-9, 4.9.0-2]
fn a_member_without_room_leaves_messages_to_others(server: &Server) {
    let narrow = Connect::new(V5, "narrow").property(Property::ReceiveMaximum(1));
    let mut narrow = server.connect(&narrow).0;
    narrow.subscribe(&Subscribe::new(1, "$share/g/t", 1));
    server.publish(&Publish::new("t", "0").qos(1, 1));
    let open = narrow.message();
    assert_eq!(text(&open), "0");
    let mut wide = server.client("wide");
    wide.subscribe(&Subscribe::new(1, "$share/g/t", 1));
    for number in 1..=10 {
        server.publish(&Publish::new("t", number.to_string()).qos(1, 1));
    }
    let wanted: Vec<String> = (1..=10).map(|number| number.to_string()).collect();
    assert_eq!(take_texts(&mut wide, 10), wanted);
    narrow.ping();
}

/// A member that answers with an error, PUBACK or PUBREC of 0x80 or more, has ended the message: nobody else gets it,
/// and neither does it, later.
/// [MQTT5 4.8.2-6]
fn a_member_that_refuses_a_message_ends_it(server: &Server) {
    for (kind, qos) in [(kind::PUBACK, 1), (kind::PUBREC, 2)] {
        for stored in [false, true] {
            let client_id = format!("refuses {qos} {stored}");
            let mut refuses = if stored { server.new_session(&client_id) } else { server.client(&client_id) };
            let filter = format!("$share/{qos}{stored}/t");
            refuses.subscribe(&Subscribe::new(1, &filter, 2));
            server.publish(&Publish::new("t", "v").qos(qos, 1));
            let message = refuses.message();
            let mut other = server.client("other");
            other.subscribe(&Subscribe::new(1, &filter, 2).and("marker", 1));
            refuses.send(&Ack::reason(message.packet_id, 0x83).encode(kind, V5));
            refuses.ping();
            refuses.disconnect();
            if stored {
                let mut again = server.resume(&client_id);
                again.subscribe(&Subscribe::new(2, "marker", 1));
                nothing_before_marker(server, &mut again, "marker");
                assert_eq!(text(&take(&mut other)), "marker");
                again.disconnect();
                end_session(server, &client_id);
            }
            nothing_before_marker(server, &mut other, "marker");
            other.disconnect();
        }
    }
}
