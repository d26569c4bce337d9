//! Messages pulled from the group of a shared subscription.

use bytestring::ByteString;

use super::*;

const FILTER: &str = "$share/g/t";

fn member(connect: &Connect, stored: bool) -> Client {
    let restored = Restored { subscriptions: vec![subscription(FILTER, 2)], ..Restored::default() };
    let mut client = Client::new(connect, stored.then_some(restored));
    if !stored {
        client.receive(Packet::Subscribe(crate::protocol::Subscribe {
            packet_id: id(1),
            subscription_identifier: None,
            user_properties: Default::default(),
            filters: vec![crate::protocol::SubscribeFilter {
                filter: crate::protocol::TopicFilter::try_from(FILTER).expect("a valid filter"),
                qos: QoS::ExactlyOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: crate::protocol::RetainHandling::SendAtSubscribe,
            }],
        }));
        client.commit();
        client.sent();
    }
    client
}

fn pull(client: &mut Client, lsn: u64, qos: u8) -> Taken {
    client.session.take_from_group(FILTER, Place { lsn, log: 9 }, &message(qos), client.now)
}

fn taken(lsn: u64) -> Request {
    Request::TakeFromGroup {
        filter: ByteString::from_static(FILTER),
        taken: vec![(lsn - 1, lsn)],
        sent: Vec::new(),
        received: Vec::new(),
    }
}

#[test]
fn a_stored_session_records_the_exchange_with_what_it_takes_and_sends_it_then() {
    let mut client = member(&connect(ProtocolVersion::V5), true);
    assert_eq!(pull(&mut client, 40, 1), Taken::Begun(1));
    client.session.request(taken(40));
    let batch = client.batch().expect("something was taken");
    assert!(client.sent().is_empty(), "PUBLISH waits");
    let [Request::SaveOutbound(record), Request::TakeFromGroup { .. }] = &batch[..] else {
        panic!("{batch:?}")
    };
    assert_eq!(record.open[0].place, Place { lsn: 40, log: 9 });
    client.done(batch);
    assert_eq!(client.sent_publishes(), [(1, false)]);
    client.receive(Packet::PubAck(ack(1)));
    assert!(client.session.received_from_groups().is_empty(), "the record tells it");
}

#[test]
fn another_session_sends_qos_1_at_once_and_tells_when_it_is_acknowledged() {
    let connect = Connect { properties: ConnectProperties::default(), ..connect(ProtocolVersion::V5) };
    let mut client = member(&connect, false);
    assert_eq!(pull(&mut client, 40, 1), Taken::Begun(1));
    assert_eq!(client.sent_publishes(), [(1, false)]);
    assert!(client.session.received_from_groups().is_empty());
    client.receive(Packet::PubAck(ack(1)));
    assert_eq!(client.session.received_from_groups(), [Place { lsn: 40, log: 9 }]);
    assert!(client.batch().is_none(), "nothing is recorded");
}

/// What is sent at QoS 2 must go to nobody else, so it leaves the group first [MQTT-4.8.2-5].
#[test]
fn another_session_sends_qos_2_when_it_has_left_the_group() {
    let connect = Connect { properties: ConnectProperties::default(), ..connect(ProtocolVersion::V5) };
    let mut client = member(&connect, false);
    assert_eq!(pull(&mut client, 40, 2), Taken::Begun(1));
    client.session.request(taken(40));
    assert!(client.sent().is_empty(), "PUBLISH waits");
    assert_eq!(client.session.unsent_from_groups(), [Place { lsn: 40, log: 9 }]);
    client.commit();
    assert_eq!(client.sent_publishes(), [(1, false)]);
    assert!(client.session.unsent_from_groups().is_empty());
    client.receive(Packet::PubRec(ack(1)));
    assert_eq!(client.session.received_from_groups(), [Place { lsn: 40, log: 9 }]);
    assert_eq!(client.sent(), [Packet::PubRel(ack(1))]);
}

#[test]
fn a_member_no_more_takes_nothing() {
    let mut client = Client::stored(OutboundRecord::default());
    assert_eq!(pull(&mut client, 40, 1), Taken::Unwanted);
}
