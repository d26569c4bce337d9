//! Publishes that are refused: to MQTT 5 clients with 0x97, and without a trace.

use super::*;

#[test]
fn a_refused_message_reaches_nobody_and_is_not_retained() {
    let limit = SessionLimit::messages(10, "reject");
    let broker = limit.start();
    absent(&broker, "full", "t");
    let mut live = broker.client(Version::V5, "live");
    live.subscribe(&Subscribe::new(1, "#", 1));
    assert_eq!(publish(&broker, Version::V5, "t", 0..10), 0);
    let mut live = Subscriber::new(live);
    expect_sequence(&numbers(&live.take(10)), 0..10);
    let mut publisher = broker.client(Version::V5, "publisher");
    publisher.publish(&message("t", 10).retain(true)).expect("PUBLISH is sent");
    publisher.expect(&Packet::PubAck(Ack::reason(1, 0x97)));
    assert_eq!(publish(&broker, Version::V5, "elsewhere", 11..12), 0);
    assert_eq!(numbers(&live.take(1)), [11], "the next that comes is the next that was accepted");
    let mut late = broker.client(Version::V5, "late");
    late.subscribe(&Subscribe::new(1, "t", 1));
    late.expect_nothing(std::time::Duration::from_millis(150));
}

/// After PUBREC 0x97 the client uses the identifier for another message. A broker that had kept it, and died, would take
/// that for a repeated one and lose it.
#[test]
fn the_identifier_of_a_refused_message_is_free_after_a_kill() {
    let limit = SessionLimit::messages(1, "reject");
    let mut broker = limit.start();
    absent(&broker, "full", "t");
    absent(&broker, "room", "room");
    publish(&broker, Version::V5, "t", 0..1);
    let exactly_once = |topic: &str, packet_id| message(topic, 7).qos(2, packet_id).encode(Version::V5);
    let mut publisher = broker.new_session(Version::V5, "keeps its session");
    // In one go: the broker has taken the second before it knows that the first is refused.
    let both = [exactly_once("t", 1), exactly_once("nobody", 2)].concat();
    publisher.send(&both).expect("PUBLISH is sent");
    publisher.expect(&Packet::PubRec(Ack::reason(1, 0x97)));
    publisher.expect(&Packet::PubRec(Ack::reason(2, 0x10)));
    limit.killed(&mut broker, "room");
    let mut publisher = broker.resume(Version::V5, "keeps its session");
    publisher.send(&exactly_once("room", 1)).expect("PUBLISH is sent");
    publisher.expect(&Packet::PubRec(Ack::new(1)));
    publisher.ack(kind::PUBREL, 1).expect("PUBREL is sent");
    publisher.expect(&Packet::PubComp(Ack::new(1)));
    assert_eq!(take(&broker, "room", 1), [7]);

    // And at once, on the same connection.
    publisher.send(&exactly_once("t", 3)).expect("PUBLISH is sent");
    publisher.expect(&Packet::PubRec(Ack::reason(3, 0x97)));
    publisher.send(&exactly_once("room", 3)).expect("PUBLISH is sent");
    publisher.expect(&Packet::PubRec(Ack::new(3)));
    assert_eq!(take(&broker, "room", 1), [7]);
}

#[test]
fn a_publisher_that_cannot_be_told_goes_on_and_what_is_left_out_is_counted() {
    let limit = SessionLimit::messages(10, "reject");
    let mut broker = limit.start();
    absent(&broker, "full", "t");
    assert_eq!(publish(&broker, Version::V311, "t", 0..25), 0);
    let found = limit.killed(&mut broker, "full");
    assert_eq!(found.dropped(DropReason::SessionLimit), Dropped::exactly(15));
    expect_sequence(&take(&broker, "full", 10), 0..10);
}
