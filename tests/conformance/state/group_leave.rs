//! Shared subscriptions: what a member has begun and not finished when it leaves (section 4.8.2).

use super::*;

tests! {
    a_member_that_comes_back_finishes_what_it_began: BOTH;
    qos_1_goes_to_another_member_when_the_session_ends: BOTH;
    qos_2_goes_to_nobody_else_when_the_session_ends: BOTH;
    a_member_finishes_what_it_began_after_unsubscribe: BOTH;
    a_group_keeps_messages_while_its_members_are_away: BOTH;
}

/// A stored member that has taken this many messages of a QoS and answered none, and what it took.
#[track_caller]
fn member_with(server: &Server, qos: u8, count: usize) -> (Peer, Vec<Publish>) {
    let mut member = server.new_session("member");
    member.subscribe(&Subscribe::new(1, "$share/g/t", 2));
    let mut publisher = server.client("publisher");
    for number in 0..count {
        publisher.deliver(&Publish::new("t", number.to_string()).qos(qos, 1));
    }
    let taken = (0..count).map(|_| member.message()).collect();
    (member, taken)
}

/// Another member, and that nothing comes to it of what was published before.
#[track_caller]
fn other_member(server: &Server) -> Peer {
    let mut other = server.client("other");
    other.subscribe(&Subscribe::new(1, "$share/g/t", 2).and("marker", 1));
    other
}

/// A member whose connection breaks is still the one that a begun message is for: when it comes back it gets PUBLISH
/// again, or PUBREL where it had come so far, and finishes. Nobody else gets any of it meanwhile.
/// [MQTT5 4.8.2-4, 4.4.0-1] [MQTT311 4.4.0-1]
fn a_member_that_comes_back_finishes_what_it_began(server: &Server) {
    let (mut member, taken) = member_with(server, 2, 3);
    let [received, released, completed] = &taken[..] else { unreachable!("three were taken") };
    for message in [released, completed] {
        member.ack(kind::PUBREC, message.packet_id);
        member.expect(&Packet::PubRel(Ack::new(message.packet_id)));
    }
    member.ack(kind::PUBCOMP, completed.packet_id);
    member.ping();
    member.abort();
    let mut other = other_member(server);
    nothing_before_marker(server, &mut other, "marker");
    let mut member = server.resume("member");
    member.expect(&Packet::PubRel(Ack::new(released.packet_id)));
    member.ack(kind::PUBCOMP, released.packet_id);
    assert_eq!(member.message(), Publish { dup: true, ..received.clone() });
    finish(&mut member, received);
    nothing_before_marker(server, &mut other, "marker");
    member.subscribe(&Subscribe::new(2, "marker", 1));
    nothing_before_marker(server, &mut member, "marker");
    member.disconnect();
    assert_eq!(text(&take(&mut other)), "marker");
    other.disconnect();
    end_session(server, "member");

    let (member, taken) = member_with(server, 1, 1);
    member.abort();
    nothing_before_marker(server, &mut other_member(server), "marker");
    let mut member = server.resume("member");
    assert_eq!(member.message(), Publish { dup: true, ..taken[0].clone() });
    finish(&mut member, &taken[0]);
}

/// What a member has not acknowledged at QoS 1 when its session ends goes to another member; what it has, does not.
/// [MQTT5 4.5.0-1] [MQTT311 4.5.0-1]
fn qos_1_goes_to_another_member_when_the_session_ends(server: &Server) {
    let (mut member, taken) = member_with(server, 1, 4);
    for message in &taken[1..3] {
        member.ack(kind::PUBACK, message.packet_id);
    }
    member.ping();
    let mut other = other_member(server);
    nothing_before_marker(server, &mut other, "marker");
    member.disconnect();
    nothing_before_marker(server, &mut other, "marker");
    end_session(server, "member");
    let mut again = take_texts(&mut other, 2);
    again.sort();
    assert_eq!(again, ["0", "3"]);
    nothing_before_marker(server, &mut other, "marker");
}

/// A message of QoS 2 that was sent to a member goes to nobody else, even when the member's session ends before it is
/// finished: it could be there twice.
/// [MQTT5 4.8.2-5] [MQTT311 4.3.3-1]
fn qos_2_goes_to_nobody_else_when_the_session_ends(server: &Server) {
    let (mut member, taken) = member_with(server, 2, 2);
    member.ack(kind::PUBREC, taken[1].packet_id);
    member.expect(&Packet::PubRel(Ack::new(taken[1].packet_id)));
    let mut other = other_member(server);
    member.abort();
    end_session(server, "member");
    nothing_before_marker(server, &mut other, "marker");
    server.publish(&Publish::new("t", "new").qos(2, 1));
    assert_eq!(take_texts(&mut other, 1), ["new"]);
}

/// A member that unsubscribes finishes what was begun with it.
/// [MQTT5 3.10.4-3] [MQTT311 3.10.4-3]
fn a_member_finishes_what_it_began_after_unsubscribe(server: &Server) {
    let (mut member, taken) = member_with(server, 2, 2);
    let mut other = other_member(server);
    member.unsubscribe(&Unsubscribe::new(2, "$share/g/t"));
    finish(&mut member, &taken[0]);
    member.ping();
    member.abort();
    let mut member = server.resume("member");
    assert_eq!(member.message(), Publish { dup: true, ..taken[1].clone() });
    finish(&mut member, &taken[1]);
    server.publish(&Publish::new("t", "new").qos(2, 1));
    assert_eq!(take_texts(&mut other, 1), ["new"]);
    member.subscribe(&Subscribe::new(2, "marker", 1));
    nothing_before_marker(server, &mut member, "marker");
}

/// While all members of a group are away, its messages wait, for whichever member comes first.
/// [MQTT5 4.5.0-1] [MQTT311 4.5.0-1]
fn a_group_keeps_messages_while_its_members_are_away(server: &Server) {
    for client_id in ["first", "second"] {
        let mut member = server.new_session(client_id);
        member.subscribe(&Subscribe::new(1, "$share/g/t", 2));
        member.disconnect();
    }
    let mut publisher = server.client("publisher");
    for number in 0..4_u8 {
        publisher.deliver(&Publish::new("t", number.to_string()).qos(1 + number % 2, 1));
    }
    let mut second = server.resume("second");
    let mut texts = take_texts(&mut second, 4);
    texts.sort();
    assert_eq!(texts, ["0", "1", "2", "3"]);
    let mut first = server.resume("first");
    first.subscribe(&Subscribe::new(2, "marker", 1));
    nothing_before_marker(server, &mut first, "marker");
}
