//! Publishes while the store cannot keep any.

use super::*;

fn refused(packet_id: u16) -> Ack {
    Ack { reason: ReasonCode::QuotaExceeded, ..ack(packet_id) }
}

fn mqtt_3(restored: Restored) -> Client {
    Client::new(&connect(ProtocolVersion::V311), Some(restored))
}

/// Packet identifiers of the publishes in a batch, in order.
fn publishes(batch: &[Request]) -> Vec<u16> {
    let packet_id = |request: &Request| match request {
        Request::Publish(incoming) => Some(incoming.packet_id.unwrap_or(0)),
        _ => None,
    };
    batch.iter().filter_map(packet_id).collect()
}

fn saved_identifiers(batch: &[Request]) -> Option<&Vec<u16>> {
    batch.iter().find_map(|request| match request {
        Request::SaveInbound(identifiers) => Some(identifiers),
        _ => None,
    })
}

#[test]
fn an_mqtt_5_client_is_told_in_the_order_of_its_publishes() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::AtLeastOnce, 1));
    client.receive(published(QoS::AtLeastOnce, 2));
    client.receive(published(QoS::ExactlyOnce, 3));
    client.receive(published(QoS::AtMostOnce, 0));
    // What nobody stores can be kept all the same.
    client.session.admit(|incoming| incoming.packet_id == Some(2));
    let batch = client.batch().expect("answers wait for their turn");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![2, 0], None));
    client.done(batch);
    assert_eq!(
        client.sent(),
        [Packet::PubAck(refused(1)), Packet::PubAck(ack(2)), Packet::PubRec(refused(3))]
    );
    assert!(!client.session.holds_publishes());
}

#[test]
fn a_refused_identifier_is_free_for_another_message() {
    let mut client = Client::stored(OutboundRecord::default());
    for _ in 0..5 {
        // More than Receive Maximum: a refusal ends the exchange.
        client.receive(published(QoS::ExactlyOnce, 7));
        client.session.admit(|_| false);
        client.commit();
        assert_eq!(client.sent(), [Packet::PubRec(refused(7))]);
    }
    client.receive(published(QoS::ExactlyOnce, 7));
    let batch = client.batch().expect("a publish");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![7], Some(&vec![7])));
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubRec(ack(7))]);
}

/// PUBREC with an error ends the exchange, whether or not the client has heard it: what it sends again is another message
/// [MQTT-4.3.3-9], and behind what was taken meanwhile. What was taken, it sends again for the answer only.
#[test]
fn what_was_refused_and_not_heard_is_another_message_when_it_is_sent_again() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::ExactlyOnce, 7));
    client.session.admit(|_| false);
    client.receive(published(QoS::ExactlyOnce, 8));
    client.session.admit(|_| true);
    let batch = client.batch().expect("an answer and a publish");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![8], Some(&vec![8])));
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubRec(refused(7)), Packet::PubRec(ack(8))]);

    // Neither has arrived.
    let restored = Restored { inbound: [8].into(), ..Restored::default() };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    for packet_id in [7, 8] {
        let Packet::Publish(mut again) = published(QoS::ExactlyOnce, packet_id) else { unreachable!() };
        again.dup = true;
        client.receive(Packet::Publish(again));
    }
    let batch = client.batch().expect("a publish");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![7], Some(&vec![7, 8])));
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubRec(ack(7)), Packet::PubRec(ack(8))]);
}

#[test]
fn publishes_of_an_older_client_are_held_in_order() {
    let mut client = mqtt_3(Restored::default());
    client.receive(published(QoS::AtLeastOnce, 1));
    client.receive(published(QoS::AtMostOnce, 0));
    client.receive(published(QoS::ExactlyOnce, 2));
    client.session.admit(|_| false);
    let batch = client.batch().expect("QoS 0 waits for nobody");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![0], None));
    client.done(batch);
    assert!(client.session.holds_publishes() && client.session.held_publish_bytes() > 0);

    // What comes meanwhile waits behind, even if it could be kept; the rest of the conversation goes on.
    client.receive(published(QoS::AtLeastOnce, 3));
    client.receive(Packet::PingReq);
    client.session.admit(|incoming| incoming.packet_id == Some(3));
    assert_eq!(client.batch().map(|batch| publishes(&batch)), None);
    assert_eq!(client.sent(), [Packet::PingResp]);

    client.receive(published(QoS::AtLeastOnce, 4));
    client.session.admit(|_| true);
    let batch = client.batch().expect("all that was held");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![1, 2, 3, 4], Some(&vec![2])));
    assert_eq!((client.session.holds_publishes(), client.session.held_publish_bytes()), (false, 0));
    client.done(batch);
    let answers =
        [Packet::PubAck(ack(1)), Packet::PubRec(ack(2)), Packet::PubAck(ack(3)), Packet::PubAck(ack(4))];
    assert_eq!(client.sent(), answers);
}

#[test]
fn the_first_that_cannot_be_kept_holds_up_those_behind_it() {
    let mut client = mqtt_3(Restored::default());
    (1..=4).for_each(|packet_id| client.receive(published(QoS::AtLeastOnce, packet_id)));
    client.session.admit(|incoming| incoming.packet_id != Some(2));
    let batch = client.batch().expect("the first");
    assert_eq!(publishes(&batch), [1]);
    client.done(batch);
    client.session.admit(|incoming| incoming.packet_id != Some(4));
    assert_eq!(publishes(&client.batch().expect("two more")), [2, 3]);
}

#[test]
fn a_held_publish_that_comes_again_is_held_once() {
    let mut client = mqtt_3(Restored::default());
    for _ in 0..3 {
        client.receive(published(QoS::ExactlyOnce, 2));
        client.session.admit(|_| false);
    }
    assert_eq!(client.batch().map(|batch| batch.len()), None, "nobody is told anything");
    client.session.admit(|_| true);
    client.commit();
    assert_eq!(client.sent(), [Packet::PubRec(ack(2))]);
}

#[test]
fn an_identifier_released_before_it_was_acknowledged_is_not_kept_for_ever() {
    let mut client = mqtt_3(Restored::default());
    client.receive(published(QoS::ExactlyOnce, 2));
    client.session.admit(|_| false);
    client.receive(Packet::PubRel(ack(2)));
    client.commit();
    assert_eq!(client.sent(), [Packet::PubComp(ack(2))]);
    client.session.admit(|_| true);
    let batch = client.batch().expect("the message is kept all the same");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![2], None));
}

/// The store has taken the identifier out of what it keeps: used again, it is news, though it was handed out before.
#[test]
fn an_identifier_refused_by_its_batch_is_kept_when_it_is_used_again() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::AtLeastOnce, 1));
    client.receive(published(QoS::ExactlyOnce, 2));
    let batch = client.batch().expect("two publishes");
    let answer = |request: &Request| match request {
        Request::Publish(_) => Done::Refused(ReasonCode::QuotaExceeded),
        _ => Done::Kept,
    };
    let done = batch.iter().map(answer).collect();
    client.session.done(batch, done, &Kept::nothing_to_keep());
    assert_eq!(client.sent(), [Packet::PubAck(refused(1)), Packet::PubRec(refused(2))]);
    assert!(client.batch().is_none(), "the store knows");
    client.receive(published(QoS::ExactlyOnce, 2));
    let batch = client.batch().expect("another publish");
    assert_eq!((publishes(&batch), saved_identifiers(&batch)), (vec![2], Some(&vec![2])));
}
