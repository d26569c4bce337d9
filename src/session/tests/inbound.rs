//! From the client.

use super::*;

#[test]
fn nothing_is_acknowledged_before_its_batch_is_kept() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::AtLeastOnce, 1));
    client.receive(published(QoS::ExactlyOnce, 2));
    let batch = client.batch().expect("two publishes");
    assert!(client.sent().is_empty());
    assert!(matches!(batch.last(), Some(Request::SaveInbound(unreleased)) if *unreleased == [2]));
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubAck(ack(1)), Packet::PubRec(ack(2))]);
}

#[test]
fn a_repeated_qos_2_publish_is_answered_again_and_published_once() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::ExactlyOnce, 2));
    client.receive(published(QoS::ExactlyOnce, 2));
    let batch = client.batch().expect("a publish");
    let publishes = batch.iter().filter(|request| matches!(request, Request::Publish(_)));
    assert_eq!(publishes.count(), 1);
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubRec(ack(2)), Packet::PubRec(ack(2))]);
}

#[test]
fn pubcomp_waits_until_the_release_is_kept() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(published(QoS::ExactlyOnce, 2));
    client.commit();
    client.sent();
    client.receive(Packet::PubRel(ack(2)));
    let batch = client.batch().expect("a release");
    assert!(client.sent().is_empty());
    assert!(batch.iter().any(|request| matches!(request, Request::SaveInbound(left) if left.is_empty())));
    client.done(batch);
    assert_eq!(client.sent(), [Packet::PubComp(ack(2))]);
}

#[test]
fn pubrel_for_an_unknown_identifier_leaves_the_connection_open() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(Packet::PubRel(ack(9)));
    client.commit();
    let not_found = Ack { reason: ReasonCode::PacketIdentifierNotFound, ..ack(9) };
    assert_eq!(client.sent(), [Packet::PubComp(not_found)]);
    assert_eq!(client.session.closing(), None);

    let mut client = Client::new(&connect(ProtocolVersion::V311), Some(Restored::default()));
    client.receive(Packet::PubRel(ack(9)));
    client.commit();
    assert_eq!(client.sent(), [Packet::PubComp(ack(9))]);
}

#[test]
fn more_than_receive_maximum_disconnects() {
    let mut client = Client::stored(OutboundRecord::default());
    (1..=5).for_each(|packet_id| client.receive(published(QoS::AtLeastOnce, packet_id)));
    let close = client.session.closing().expect("it closes");
    assert_eq!((close.reason, close.by_client), (ReasonCode::ReceiveMaximumExceeded, false));
}

#[test]
fn a_qos_2_publish_that_is_refused_does_not_count_as_received() {
    let mut client = Client::stored(OutboundRecord::default());
    (1..=5).for_each(|packet_id| client.receive(published(QoS::ExactlyOnce, packet_id)));
    let close = client.session.closing().expect("it closes");
    assert_eq!(close.reason, ReasonCode::ReceiveMaximumExceeded);
    let batch = client.batch().expect("four publishes");
    assert!(matches!(batch.last(), Some(Request::SaveInbound(unreleased)) if *unreleased == [1, 2, 3, 4]));
}

#[test]
fn unreleased_identifiers_outlive_the_connection() {
    let restored = Restored { inbound: [2].into(), ..Restored::default() };
    let mut client = Client::new(&connect(ProtocolVersion::V5), Some(restored));
    client.receive(published(QoS::ExactlyOnce, 2));
    let batch = client.batch().expect("PUBREC is owed");
    assert!(matches!(batch.as_slice(), [Request::Repeated { packet_id: 2 }]));
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut client = Client::stored(OutboundRecord::default());
    client.receive(Packet::Connect(Box::new(connect(ProtocolVersion::V5))));
    assert_eq!(client.session.closing().map(|close| close.reason), Some(ReasonCode::ProtocolError));
    assert!(matches!(client.sent().as_slice(), [Packet::Disconnect(_)]));
}

/// Found by the fuzz target `connection`: what needs no commit was answered in the turn that had said DISCONNECT already
/// [MQTT-3.14.4-1].
#[test]
fn nothing_is_answered_behind_our_disconnect() {
    let mut client = Client::stored(OutboundRecord::default());
    client.take(1, 2);
    client.sent();
    client.receive(published(QoS::AtLeastOnce, 1));
    client.receive(Packet::PubRel(ack(9)));
    client.receive(Packet::PubRec(ack(1)));
    client.receive(Packet::Connect(Box::new(connect(ProtocolVersion::V5))));
    client.commit();
    assert!(matches!(client.sent().as_slice(), [Packet::Disconnect(_)]));
}

#[test]
fn a_session_that_ends_with_its_connection_cannot_be_prolonged() {
    let mut connect = connect(ProtocolVersion::V5);
    connect.properties.session_expiry_interval = None;
    let mut client = Client::new(&connect, None);
    let mut disconnect = crate::protocol::Disconnect::default();
    disconnect.properties.session_expiry_interval = Some(1);
    client.receive(Packet::Disconnect(disconnect));
    let close = client.session.closing().expect("it closes");
    assert_eq!((close.reason, close.forget_will), (ReasonCode::ProtocolError, false));
}

#[test]
fn a_disconnect_prolongs_no_session_beyond_the_limit() {
    let limits = Limits { maximum_session_expiry_interval: 100, ..limits() };
    let now = Now { monotonic_millis: 0, unix_millis: 0 };
    let terms =
        Terms::negotiate(&connect(ProtocolVersion::V5), &limits, ByteString::new).expect("good terms");
    let connack = terms.accept(true, &limits);
    let restored = Some(Restored::default());
    let mut session = Session::start(terms, restored, connack, &limits, &Kept::nothing_to_keep(), now);
    let mut disconnect = crate::protocol::Disconnect::default();
    disconnect.properties.session_expiry_interval = Some(u32::MAX);
    session.receive(Packet::Disconnect(disconnect), now);
    assert_eq!(session.closing().map(|close| close.session_expiry_interval), Some(100));
}

#[test]
fn silence_ends_the_connection() {
    let mut connect = connect(ProtocolVersion::V5);
    connect.keep_alive = 2;
    let mut client = Client::new(&connect, None);
    client.now.monotonic_millis = 2_999;
    client.session.tick(client.now);
    assert_eq!(client.session.closing(), None);
    client.now.monotonic_millis = 3_000;
    client.session.tick(client.now);
    assert_eq!(client.session.closing().map(|close| close.reason), Some(ReasonCode::KeepAliveTimeout));
}
