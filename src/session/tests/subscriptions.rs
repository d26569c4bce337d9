//! SUBSCRIBE, UNSUBSCRIBE, retained messages.

use super::*;
use crate::protocol::{RetainHandling, Subscribe, SubscribeFilter, TopicFilter, Unsubscribe};

fn subscribe(filter: &str, qos: QoS) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: id(1),
        subscription_identifier: None,
        user_properties: Default::default(),
        filters: vec![SubscribeFilter {
            filter: TopicFilter::try_from(filter).expect("a valid filter"),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }],
    })
}

fn unsubscribe(filter: &str) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: id(2),
        user_properties: Default::default(),
        filters: vec![TopicFilter::try_from(filter).expect("a valid filter")],
    })
}

#[test]
fn nothing_is_taken_while_a_subscription_changes() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(subscribe("a", QoS::AtLeastOnce));
    assert_eq!(client.take(1, 1), Taken::Full);
    assert_eq!(client.session.want(), Want::Nothing);
    let batch = client.batch().expect("a subscription");
    assert!(matches!(batch[0], Request::SaveOutbound(_)), "the record goes before the change");
    client.done(batch);
    assert!(matches!(client.sent().as_slice(), [Packet::SubAck(_)]));
    assert_eq!(client.take(1, 1), Taken::Begun(1));
}

#[test]
fn unsubscribe_ends_no_exchange_that_has_begun() {
    let mut client = Client::stored(OutboundRecord::default());
    client.take(1, 2);
    client.receive(unsubscribe("#"));
    client.commit();
    assert_eq!(client.take(2, 2), Taken::Unwanted);
    client.receive(Packet::PubRec(ack(1)));
    client.sent();
    client.commit();
    assert_eq!(client.sent(), [Packet::PubRel(ack(1))]);
}

#[test]
fn retained_messages_come_first_and_wait_for_their_record() {
    let scan = Scan { filter: ByteString::from_static("#"), through: 50, after_topic: ByteString::new() };
    let restored = Restored {
        subscriptions: vec![subscription("#", 2)],
        scans: vec![scan.clone()],
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    assert_eq!(client.session.want(), Want::Retained { scan, room: 256 });
    let retained = Delivery { retain: true, ..message(1) };
    assert_eq!(client.session.take_retained(40, &retained, client.now), Taken::Begun(1));
    client.session.retained_taken(None);
    assert!(client.sent().is_empty());
    let batch = client.batch().expect("a record is due");
    assert!(batch.iter().any(|request| matches!(request, Request::SaveScan { after_topic: None, .. })));
    client.done(batch);
    let sent = client.sent();
    assert!(
        matches!(&sent[0], Packet::Publish(publish) if publish.retain && publish.packet_id == Some(id(1)))
    );
    assert_eq!(client.session.want(), Want::New { after: 0, room: 255 });
}

#[test]
fn an_exchange_of_a_retained_message_is_recorded_with_the_scan_that_went_on() {
    let scan = Scan { filter: ByteString::from_static("#"), through: 50, after_topic: ByteString::new() };
    let restored = Restored {
        subscriptions: vec![subscription("#", 2)],
        scans: vec![scan],
        outbound: OutboundRecord {
            open: vec![Exchange {
                packet_id: 1,
                place: Place { lsn: 1, log: 7 },
                qos: 1,
                received: false,
                retain: false,
                identifiers: Default::default(),
            }],
            last_packet_id: 1,
            position: 1,
        },
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    client.session.resend(Some(&message(1)), client.now);
    client.receive(Packet::PubAck(ack(1)));
    client.now.monotonic_millis = client.session.deadline().expect("it is to be recorded");
    let first = client.batch().expect("a record is due");

    let retained = Delivery { retain: true, ..message(1) };
    assert_eq!(client.session.take_retained(40, &retained, client.now), Taken::Begun(2));
    client.session.request(Request::Hold { packet_id: 2, lsn: 40, body: Default::default() });
    client.session.retained_taken(None);
    client.session.output().clear();
    assert!(client.session.unsent_bytes() > 0, "what waits for a record counts as unsent");
    let second = client.batch().expect("the scan has gone on");
    assert!(
        matches!(&second[0], Request::SaveOutbound(record) if record.open.len() == 1),
        "a crash that finds the scan done must find the exchange"
    );
    client.done(first);
    assert!(client.sent().is_empty());
    client.done(second);
    assert_eq!(client.sent_publishes(), [(2, false)]);
}

#[test]
fn subscribing_again_without_retained_messages_ends_no_scan_under_way() {
    let scan =
        Scan { filter: ByteString::from_static("#"), through: 50, after_topic: ByteString::from_static("k") };
    let restored = Restored {
        subscriptions: vec![subscription("#", 2)],
        scans: vec![scan.clone()],
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    client.receive(subscribe("#", QoS::AtLeastOnce));
    client.commit();
    assert_eq!(client.session.want(), Want::Retained { scan, room: 256 });
}

/// Found by the simulator (seed 138): the mailbox and the log both brought a message that was published before its
/// subscription was lowered, and QoS 0 is at most once.
#[test]
fn what_was_published_before_a_subscription_was_lowered_comes_from_the_log_alone() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(subscribe("#", QoS::AtMostOnce));
    let batch = client.batch().expect("a subscription");
    let done = batch.iter().map(|request| match request {
        Request::Subscribe { .. } => Done::Subscribed(vec![Granted { start: 0, at: 100, retained: None }]),
        _ => Done::Kept,
    });
    let done = done.collect();
    client.session.done(batch, done, &Kept::nothing_to_keep());
    assert_eq!(client.session.take_from_mailbox(100, None, &message(2), client.now), Taken::Unwanted);
    assert_eq!(client.take(100, 2), Taken::Sent);
    assert_eq!(client.session.take_from_mailbox(101, None, &message(2), client.now), Taken::Sent);
}

/// Found by the simulator (seed 3060): a client's own message came by the log, where the subscription without No Local
/// took it at QoS 0, and by the mailbox.
#[test]
fn what_no_local_keeps_from_the_higher_subscription_comes_from_the_log_alone() {
    let mut own = subscription("t", 1);
    own.options.no_local = true;
    let restored = Restored { subscriptions: vec![subscription("#", 0), own], ..Restored::default() };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    let publisher = client.session.terms().client_id.clone();
    let message = |qos| Delivery { publisher: &publisher, ..message(qos) };
    assert_eq!(client.session.take_from_mailbox(1, None, &message(2), client.now), Taken::Unwanted);
    let place = Place { lsn: 1, log: 7 };
    assert_eq!(client.session.take_from_log(place, &message(2), client.now), Taken::Sent);
    assert_eq!(client.session.take_from_mailbox(2, None, &message(0), client.now), Taken::Sent);
}

/// Found by the simulator (seeds 32951 and 40717): what the subscription at QoS 2 had brought into the log before it was given
/// up came from there, at QoS 0 for the one that was left, and from the mailbox.
#[test]
fn what_was_published_before_an_unsubscribe_comes_from_the_log_alone() {
    let restored = Restored {
        subscriptions: vec![subscription("#", 0), Subscription { start: 90, ..subscription("t", 2) }],
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    client.receive(unsubscribe("t"));
    client.commit();
    client.sent();
    let mailbox = |client: &mut Client, lsn, delivery: &Delivery<'_>| {
        client.session.take_from_mailbox(lsn, None, delivery, client.now)
    };
    // Answers come as of LSN 100. What was published before the subscription is in no log, and what is after it neither.
    assert_eq!(mailbox(&mut client, 90, &message(2)), Taken::Sent);
    assert_eq!(mailbox(&mut client, 100, &message(2)), Taken::Unwanted);
    assert_eq!(client.take(100, 2), Taken::Sent);
    let other = Delivery { topic: "u", ..message(2) };
    assert_eq!(mailbox(&mut client, 100, &other), Taken::Sent);
    assert_eq!(mailbox(&mut client, 100, &message(0)), Taken::Sent, "QoS 0 is in no log");
    assert_eq!(mailbox(&mut client, 101, &message(2)), Taken::Sent);
}
