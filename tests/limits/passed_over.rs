//! What a session passes over without a limit: counted by reason, kept across a kill. And how fast it is given the rest.

use std::time::{Duration, Instant};

use barnacle_wire::Unsubscribe;

use super::*;

const NO_LIMIT: SessionLimit = SessionLimit { messages: 0, bytes: 0, policy: "drop-oldest" };

/// Takes everything up to a last message, and goes in an orderly way.
fn drain(broker: &Broker, client: Client, count: usize) -> Vec<Publish> {
    let mut subscriber = Subscriber::new(client);
    let taken = subscriber.take(count);
    leave(broker, "absent", subscriber);
    taken
}

#[test]
fn expired_and_too_large_messages_are_counted() {
    let mut broker = NO_LIMIT.start();
    absent(&broker, "absent", "t");
    let mut publisher = broker.client(Version::V5, "publisher");
    for _ in 0..3 {
        publisher.deliver(&message("t", 0).property(Property::MessageExpiryInterval(1)));
    }
    for _ in 0..2 {
        publisher.deliver(&Publish::new("t", vec![b'x'; 2000]).qos(1, 1));
    }
    publisher.deliver(&message("t", 9));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1100) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let connect = Connect::persistent(Version::V5, "absent").property(Property::MaximumPacketSize(1000));
    assert_eq!(numbers(&drain(&broker, broker.connect(&connect).0, 1)), [9]);
    let found = NO_LIMIT.killed(&mut broker, "absent");
    assert_eq!(found.dropped(DropReason::Expired), Dropped::exactly(3));
    assert_eq!(found.dropped(DropReason::TooLarge), Dropped::exactly(2));
}

#[test]
fn what_waited_for_a_filter_that_is_unsubscribed_is_counted_when_it_is_come_by() {
    let mut broker = NO_LIMIT.start();
    let mut client = broker.new_session(Version::V5, "absent");
    client.subscribe(&Subscribe::new(1, "gone", 1).and("kept", 1));
    client.disconnect();
    publish(&broker, Version::V5, "gone", 0..30);
    publish(&broker, Version::V5, "kept", 0..1);
    // A window of 1, and no acknowledgement: only the first message can be on its way before the UNSUBSCRIBE.
    let connect = Connect::persistent(Version::V5, "absent").property(Property::ReceiveMaximum(1));
    let (mut client, _) = broker.connect(&connect);
    let first = client.expect_publish();
    client.unsubscribe(&Unsubscribe::new(2, "gone"));
    client.ack(kind::PUBACK, first.packet_id).expect("PUBACK is sent");
    let kept = drain(&broker, client, 1);
    assert_eq!(kept[0].topic, "kept");
    let found = NO_LIMIT.killed(&mut broker, "absent");
    assert_eq!(found.dropped(DropReason::Unsubscribed), Dropped::exactly(29));
}

#[test]
fn a_returning_session_is_given_what_waited_at_its_rate() {
    let broker = Setup::new().setting("queue.catch_up_rate", "100").start();
    absent(&broker, "absent", "t");
    publish(&broker, Version::V5, "t", 0..110);
    let begun = Instant::now();
    let mut subscriber = Subscriber::new(broker.resume(Version::V5, "absent"));
    expect_sequence(&numbers(&subscriber.take(110)), 0..110);
    // A tenth of a second's worth at once, and then a message every ten milliseconds.
    assert!(begun.elapsed() >= Duration::from_millis(990), "after {:?}", begun.elapsed());
}
