//! Towards the client.

use super::*;

fn exchange(packet_id: u16, lsn: u64, qos: u8, received: bool) -> Exchange {
    let place = Place { lsn, log: 7 };
    Exchange { packet_id, place, qos, received, retain: false, identifiers: Default::default() }
}

fn record_in(batch: &[Request]) -> OutboundRecord {
    let record = |request: &Request| match request {
        Request::SaveOutbound(record) => Some(record.clone()),
        _ => None,
    };
    batch.iter().find_map(record).expect("the batch has a record")
}

#[test]
fn the_window_is_the_clients_receive_maximum() {
    let mut connect = connect(ProtocolVersion::V5);
    connect.properties.receive_maximum = std::num::NonZeroU16::new(2);
    let restored = Restored { subscriptions: vec![subscription("#", 2)], ..Restored::default() };
    let mut client = Client::new(&connect, Some(restored));
    assert_eq!(client.take(1, 1), Taken::Begun(1));
    assert_eq!(client.take(2, 1), Taken::Begun(2));
    assert_eq!(client.take(3, 1), Taken::Full);
    client.receive(Packet::PubAck(ack(1)));
    assert_eq!(client.take(3, 1), Taken::Begun(3));
}

#[test]
fn pubrel_waits_for_the_record_and_goes_in_the_order_of_the_pubrecs() {
    let mut client = Client::stored(OutboundRecord::default());
    (1..=3).for_each(|lsn| assert!(matches!(client.take(lsn, 2), Taken::Begun(_))));
    client.sent();
    client.receive(Packet::PubRec(ack(3)));
    client.receive(Packet::PubRec(ack(1)));
    let batch = client.batch().expect("a record is due");
    let open: Vec<_> = record_in(&batch).open.iter().map(|open| (open.packet_id, open.received)).collect();
    assert_eq!(open, [(3, true), (1, true), (2, false)]);
    assert!(client.sent().is_empty());
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubRel(ack(3)), Packet::PubRel(ack(1))]);
}

#[test]
fn a_pubrec_that_comes_while_a_record_is_on_its_way_waits_for_the_next() {
    let mut client = Client::stored(OutboundRecord::default());
    (1..=2).for_each(|lsn| assert!(matches!(client.take(lsn, 2), Taken::Begun(_))));
    client.receive(Packet::PubRec(ack(1)));
    let first = client.batch().expect("a record is due");
    client.receive(Packet::PubRec(ack(2)));
    assert!(client.batch().is_none());
    client.sent();
    client.done(first);
    assert_eq!(client.sent(), [Packet::PubRel(ack(1))]);
    client.commit();
    assert_eq!(client.sent(), [Packet::PubRel(ack(2))]);
}

#[test]
fn a_repeated_pubrec_is_answered_again_and_an_unknown_one_by_version() {
    let mut client = Client::stored(OutboundRecord::default());
    client.take(1, 2);
    client.receive(Packet::PubRec(ack(1)));
    client.commit();
    client.sent();
    client.receive(Packet::PubRec(ack(1)));
    client.receive(Packet::PubRec(ack(9)));
    let not_found = Ack { reason: ReasonCode::PacketIdentifierNotFound, ..ack(9) };
    assert_eq!(client.sent(), [Packet::PubRel(ack(1)), Packet::PubRel(not_found)]);
}

#[test]
fn a_return_sends_again_in_the_order_sent_with_dup_and_within_the_window() {
    let open = vec![
        exchange(9, 1, 2, true),
        exchange(5, 2, 1, false),
        exchange(3, 4, 2, false),
        exchange(4, 5, 1, false),
    ];
    let outbound = OutboundRecord { position: 5, last_packet_id: 9, open };
    let mut connect = connect(ProtocolVersion::V5);
    connect.properties.receive_maximum = std::num::NonZeroU16::new(3);
    let restored = Restored { subscriptions: vec![subscription("#", 2)], outbound, ..Restored::default() };
    let now = Now { monotonic_millis: 0, unix_millis: 0 };
    let terms = Terms::negotiate(&connect, &limits(), ByteString::new).expect("good terms");
    let connack = terms.accept(true, &limits());
    let session = Session::start(terms, Some(restored), connack, &limits(), &Kept::nothing_to_keep(), now);
    let mut client = Client { session, now };
    assert!(
        matches!(client.sent().as_slice(), [Packet::ConnAck(_), Packet::PubRel(release)] if release.packet_id == id(9))
    );

    let Want::Resend(wanted) = client.session.want() else { panic!("it owes PUBLISHes") };
    assert_eq!(wanted.iter().map(|open| open.packet_id).collect::<Vec<_>>(), [5, 3]);
    wanted.iter().for_each(|open| client.session.resend(Some(&message(open.qos)), client.now));
    assert_eq!(client.sent_publishes(), [(5, true), (3, true)]);
    assert_eq!(client.session.want(), Want::New { after: 5, room: 0 });

    client.receive(Packet::PubComp(ack(9)));
    assert!(matches!(client.session.want(), Want::Resend(wanted) if wanted[0].packet_id == 4));
}

#[test]
fn what_may_have_been_sent_before_a_crash_carries_dup_and_does_not_expire() {
    let restored = Restored {
        subscriptions: vec![subscription("#", 2)],
        outbound: OutboundRecord { position: 10, last_packet_id: 41, open: Vec::new() },
        sent_unsaved_through: Some(11),
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    let late = Delivery { expires_at_millis: Some(1), ..message(1) };
    assert_eq!(client.session.to_take_back(), Some((10, 11)));
    assert!(client.session.take_back(Place { lsn: 11, log: 7 }, &late, client.now));
    client.session.taken_back();
    assert_eq!(client.session.to_take_back(), None);
    assert!(matches!(client.session.want(), Want::Resend(wanted) if wanted.len() == 1));
    client.session.resend(Some(&late), client.now);
    assert_eq!(client.take(12, 1), Taken::Begun(43));
    assert_eq!(client.sent_publishes(), [(42, true), (43, false)]);
}

/// Found by the kill campaign: retained messages of a SUBSCRIBE right after the return took identifiers that messages
/// sent before the crash had.
#[test]
fn retained_messages_take_no_identifier_that_a_message_had_before_the_crash() {
    let scan = Scan { filter: ByteString::from_static("#"), through: 50, after_topic: ByteString::new() };
    let restored = Restored {
        subscriptions: vec![subscription("#", 2)],
        scans: vec![scan],
        outbound: OutboundRecord { position: 10, last_packet_id: 41, open: Vec::new() },
        sent_unsaved_through: Some(11),
        ..Restored::default()
    };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    assert!(client.session.take_back(Place { lsn: 11, log: 7 }, &message(2), client.now));
    client.session.taken_back();
    assert_eq!(client.session.take_retained(40, &message(1), client.now), Taken::Full);
    client.session.resend(Some(&message(2)), client.now);
    assert_eq!(client.session.take_retained(40, &message(1), client.now), Taken::Begun(43));
}

#[test]
fn what_follows_an_expired_message_waits_until_the_record_tells_of_it() {
    let mut client = Client::stored(OutboundRecord::default());
    let late = Delivery { expires_at_millis: Some(1), ..message(1) };
    let place = |lsn| Place { lsn, log: 7 };
    assert_eq!(client.session.take_from_log(place(1), &late, client.now), Taken::Expired);
    assert_eq!(client.take(2, 1), Taken::Begun(1));
    assert!(client.sent().is_empty());
    let batch = client.batch().expect("a record is due");
    assert_eq!(record_in(&batch).position, 2);
    assert_eq!(client.take(3, 1), Taken::Full);
    client.done(batch);
    assert_eq!(client.sent_publishes(), [(1, false)]);
    assert_eq!(client.take(3, 1), Taken::Begun(2));
}

#[test]
fn an_acknowledged_exchange_is_recorded_before_long() {
    let mut client = Client::stored(OutboundRecord::default());
    client.take(1, 1);
    client.receive(Packet::PubAck(ack(1)));
    assert!(client.batch().is_none());
    client.now.monotonic_millis = client.session.deadline().expect("it is to be recorded");
    let batch = client.batch().expect("a record is due");
    assert_eq!(record_in(&batch), OutboundRecord { position: 1, last_packet_id: 1, open: Vec::new() });
}

#[test]
fn a_puback_for_a_qos_2_exchange_is_a_protocol_error() {
    let mut client = Client::stored(OutboundRecord::default());
    client.take(1, 2);
    client.receive(Packet::PubAck(ack(1)));
    assert_eq!(client.session.closing().map(|close| close.reason), Some(ReasonCode::ProtocolError));
}

#[test]
fn a_message_too_large_for_the_client_is_as_if_it_had_been_sent() {
    let mut connect = connect(ProtocolVersion::V5);
    connect.properties.maximum_packet_size = std::num::NonZeroU32::new(40);
    let restored = Restored { subscriptions: vec![subscription("#", 2)], ..Restored::default() };
    let mut client = Client::new(&connect, Some(restored));
    client.session.output().clear();
    let large = Delivery { payload: &[0; 64], ..message(1) };
    assert_eq!(client.session.take_from_log(Place { lsn: 1, log: 7 }, &large, client.now), Taken::TooLarge);
    assert_eq!(client.take(2, 1), Taken::Begun(1));
    client.commit();
    assert_eq!(client.sent_publishes(), [(1, false)]);
}

#[test]
fn the_packet_identifier_counts_towards_the_clients_maximum_packet_size() {
    let sized = |maximum_packet_size| {
        let mut connect = connect(ProtocolVersion::V5);
        connect.properties.maximum_packet_size = std::num::NonZeroU32::new(maximum_packet_size);
        let restored = Restored { subscriptions: vec![subscription("#", 2)], ..Restored::default() };
        let mut client = Client::new(&connect, Some(restored));
        let large = Delivery { payload: &[0; 64], ..message(1) };
        client.session.take_from_log(Place { lsn: 1, log: 7 }, &large, client.now)
    };
    // Fixed header, topic, packet identifier, property length, payload.
    let exact = 2 + 3 + 2 + 1 + 64;
    assert_eq!(sized(exact), Taken::Begun(1));
    assert_eq!(sized(exact - 1), Taken::TooLarge);
    assert_eq!(sized(exact - 2), Taken::TooLarge);
}

#[test]
fn expiry_is_passed_on_decreased() {
    let mut client = Client::stored(OutboundRecord::default());
    let soon = Delivery { expires_at_millis: Some(client.now.unix_millis + 2_500), ..message(1) };
    client.session.take_from_log(Place { lsn: 1, log: 7 }, &soon, client.now);
    let sent = client.sent();
    assert!(
        matches!(&sent[0], Packet::Publish(publish) if publish.properties.message_expiry_interval == Some(3))
    );
}

#[test]
fn topics_are_named_once_where_the_client_takes_aliases() {
    let mut connect = connect(ProtocolVersion::V5);
    connect.properties.topic_alias_maximum = Some(1);
    let restored = Restored { subscriptions: vec![subscription("#", 2)], ..Restored::default() };
    let mut client = Client::new(&connect, Some(restored));
    (1..=2).for_each(|lsn| assert!(matches!(client.take(lsn, 1), Taken::Begun(_))));
    let topics: Vec<bool> = client
        .sent()
        .iter()
        .map(|packet| matches!(packet, Packet::Publish(publish) if publish.topic.is_some()))
        .collect();
    assert_eq!(topics, [true, false]);
}
