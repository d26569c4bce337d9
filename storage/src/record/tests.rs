//! Golden bytes: what is on the disks of others stays readable. And random bytes, which must do no harm.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::clock::TimeMark;
use crate::{
    DropReason, Dropped, Drops, Exchange, LogId, Lsn, Message, Outbound, PacketIdSet, RetainedScan, Span,
    SubscriptionOptions, Will, encode_message,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message() -> Message {
    Message {
        qos: 2,
        retain: true,
        published_at_millis: 1_700_000_000_000,
        expires_at_millis: Some(1_700_000_060_000),
        publisher: "me".into(),
        topic: "a/b".into(),
        properties: Bytes::from_static(&[1, 1]),
        payload: Bytes::from_static(b"hello"),
    }
}

fn encoded(message: &Message) -> Bytes {
    encode_message(message, &mut BytesMut::new())
}

const MESSAGE: &str = "06fd0068e5cf8b01000001fd6052e6cf8b010000030202612f626d65010168656c6c6f";

#[test]
fn the_bytes_of_a_message() {
    assert_eq!(hex(&encoded(&message())), MESSAGE);
    let plain = Message { qos: 1, retain: false, expires_at_millis: None, ..message() };
    assert_eq!(hex(&encoded(&plain)), "01fd0068e5cf8b01000000030202612f626d65010168656c6c6f");
    for message in [message(), plain] {
        let bytes = encoded(&message);
        assert_eq!(decode_message(&bytes, &bytes), Ok(message));
    }
}

#[test]
fn the_bytes_of_meta() {
    assert_eq!(hex(&encode_schema(1)), "012813c52f01");
    assert_eq!(decode_schema(&encode_schema(1)), Ok(1));
    let time = TimeMark { store_millis: 1_700_000_000_000, wall_millis: 1_700_000_000_007 };
    let state = State { commit: 5, last: Lsn(300), next_id: 70_000, clean: true, time };
    assert_eq!(
        hex(&encode_state(&state)),
        "01c3be4a5e05fb2c01fc7011010001fd0068e5cf8b010000fd0768e5cf8b010000"
    );
    assert_eq!(decode_state(&encode_state(&state)), Ok(state));
}

fn session(will: Option<Will>) -> SessionRow {
    SessionRow {
        id: 7,
        epoch: 3,
        protocol_level: 5,
        session_expiry_interval: 3600,
        connected: true,
        detached_at_millis: 0,
        unsaved_through: Lsn(9),
        keep_alive: 60,
        will_due_at_millis: will.is_some().then_some(1_700_000_070_000),
        will,
    }
}

#[test]
fn the_bytes_of_a_session() {
    let will = Will { message: message(), delay_interval: 10, message_expiry_interval: Some(60) };
    assert_eq!(hex(&encode_session(&session(None))), "01274cb37a070305fb100e0100093c0000");
    let with_will = encode_session(&session(Some(will.clone())));
    assert_eq!(
        hex(&with_will),
        format!("01698a6d86070305fb100e0100093c010a013c01fd7079e6cf8b010000{MESSAGE}")
    );
    assert_eq!(decode_session(&encode_session(&session(None))), Ok(session(None)));
    assert_eq!(decode_session(&with_will), Ok(session(Some(will))));
}

#[test]
fn the_bytes_of_a_subscription_and_a_filter() {
    let row = SubscriptionRow {
        options: SubscriptionOptions {
            qos: 2,
            no_local: true,
            retain_as_published: false,
            identifier: Some(300),
        },
        start: Lsn(12),
        held: true,
        retained_scan: Some(RetainedScan { through: Lsn(13), after_topic: "a/b".to_owned() }),
        membership: Some(Membership { log: LogId(4), from: Lsn(14), until: Lsn(u64::MAX) }),
        earlier: vec![Membership { log: LogId(4), from: Lsn(5), until: Lsn(6) }],
    };
    assert_eq!(
        hex(&encode_subscription(&row)),
        "016cc8fa3502010001fb2c010c01010d03612f6201040efdffffffffffffffff01040506"
    );
    assert_eq!(decode_subscription(&encode_subscription(&row)), Ok(row));
    assert_eq!(hex(&encode_filter(LogId(4))), "01a7e7af5f04");
    assert_eq!(decode_filter(&encode_filter(LogId(4))), Ok(LogId(4)));
    let span = |after, through| Span { after: Lsn(after), through: Lsn(through) };
    let open = vec![span(5, 6), span(9, u64::MAX)];
    let group = GroupRow { log: LogId(4), open, sent: vec![Lsn(7)], drops: Drops::default() };
    let of_schema_1 = encode_group_of_schema_1(&group);
    assert_eq!(hex(&of_schema_1), "01950b711c0402050609fdffffffffffffffff0107");
    assert_eq!(decode_group(&of_schema_1), Ok(group.clone()));
    assert_eq!(decode_group(&encode_group(&group)), Ok(group.clone()));
    let mut drops = Drops::default();
    drops.add(DropReason::GroupLimit, Dropped::exactly(3));
    let group = GroupRow { drops, ..group };
    assert_eq!(hex(&encode_group(&group)), "01026bf9170402050609fdffffffffffffffff010701010300");
    assert_eq!(decode_group(&encode_group(&group)), Ok(group));
}

#[test]
fn the_bytes_of_flow() {
    let exchange = Exchange {
        packet_id: 258,
        lsn: Lsn(40),
        log: LogId(4),
        qos: 2,
        received: true,
        retain: false,
        subscription_identifiers: vec![1, 300],
    };
    let outbound = Outbound { position: Lsn(41), last_packet_id: 259, open: vec![exchange] };
    assert_eq!(hex(&encode_outbound(&outbound)), "01853c2cce29fb030101fb020128040201000201fb2c01");
    assert_eq!(decode_outbound(&encode_outbound(&outbound)), Ok(outbound));

    let inbound: PacketIdSet = [1, 2, 3, 700].into_iter().collect();
    assert_eq!(hex(&encode_inbound(&inbound)), "0120e978c0020103fbbc02fbbc02");
    assert_eq!(decode_inbound(&encode_inbound(&inbound)), Ok(inbound));

    let held = Bytes::from(encode_held(Lsn(40), &encoded(&message())));
    assert_eq!(hex(&held), format!("01c99f4aa428{MESSAGE}"));
    assert_eq!(decode_held(&held), Ok((Lsn(40), message())));
    assert_eq!(decode_held_lsn(&held), Ok(Lsn(40)));
}

#[test]
fn the_bytes_of_a_retained_message() {
    let retained = Bytes::from(encode_retained(Lsn(40), Some(1_700_000_060_000), &encoded(&message())));
    assert_eq!(hex(&retained), format!("01a90b34312801fd6052e6cf8b010000{MESSAGE}"));
    assert_eq!(decode_retained(&retained), Ok((Lsn(40), message())));
    assert_eq!(decode_retained_deadline(&retained), Ok((Lsn(40), Some(1_700_000_060_000))));
}

/// Two entries, LSNs 300 and 302.
fn block() -> FinishedBlock {
    let mut block = BlockBuilder::new(5, 1000, Lsn(200), Lsn(299), 100);
    block.push(Lsn(300), &encoded(&message()), Some(7));
    block.push(Lsn(302), b"xyz", Some(9));
    block.finish()
}

#[test]
fn the_bytes_of_a_block() {
    let block = block();
    assert_eq!((block.previous, block.last, block.deadline), (Lsn(200), Lsn(302), 9));
    assert_eq!(hex(&block.record), format!("0151f2901505fbe803fb2b010123{MESSAGE}020378797a"));
    let mut entries = BlockEntries::open(block.record.clone()).expect("whole");
    assert_eq!(entries.next_ordinal(), 5);
    let first = entries.advance().expect("whole").expect("an entry");
    assert_eq!(first.lsn, Lsn(300));
    assert_eq!(decode_message(&block.record, &block.record[first.body]), Ok(message()));
    let second = entries.advance().expect("whole").expect("an entry");
    assert_eq!((second.lsn, &block.record[second.body]), (Lsn(302), &b"xyz"[..]));
    assert_eq!(entries.advance(), Ok(None));
    assert_eq!((entries.next_ordinal(), entries.running_bytes()), (7, 1000 + 35 + 3));
}

#[test]
fn a_block_is_full_in_time_and_never_expires_if_one_entry_does_not() {
    let mut block = BlockBuilder::new(0, 0, Lsn(0), Lsn(0), 100);
    assert!(block.has_room(usize::MAX), "a message of any size has a block to itself");
    block.push(Lsn(1), &[0; 60_000], Some(7));
    assert!(block.has_room(1000) && !block.has_room(10_000));
    block.push(Lsn(2), b"x", None);
    block.push(Lsn(3), b"x", Some(8));
    assert_eq!(block.finish().deadline, 0);
    let mut block = BlockBuilder::new(0, 0, Lsn(0), Lsn(0), 100);
    (1..=256).for_each(|lsn| block.push(Lsn(lsn), b"", None));
    assert!(!block.has_room(0));
}

/// Decodes as everything, and lets nothing but the absence of panics count.
fn decode_all(record: &Bytes) -> bool {
    let mut whole = false;
    whole |= decode_schema(record).is_ok();
    whole |= decode_state(record).is_ok();
    whole |= decode_session(record).is_ok();
    whole |= decode_subscription(record).is_ok();
    whole |= decode_filter(record).is_ok();
    whole |= decode_group(record).is_ok();
    whole |= decode_outbound(record).is_ok();
    whole |= decode_inbound(record).is_ok();
    whole |= decode_held_lsn(record).is_ok();
    whole |= decode_held(record).is_ok();
    whole |= decode_retained(record).is_ok();
    if let Ok(mut entries) = BlockEntries::open(record.clone()) {
        while let Ok(Some(entry)) = entries.advance() {
            let _ = decode_message(record, &record[entry.body]);
        }
        whole = true;
    }
    whole
}

fn records() -> Vec<Bytes> {
    let will = Will { message: message(), delay_interval: 10, message_expiry_interval: None };
    vec![
        encode_schema(1).into(),
        encode_state(&State::default()).into(),
        encode_session(&session(Some(will))).into(),
        encode_filter(LogId(4)).into(),
        encode_outbound(&Outbound::default()).into(),
        encode_inbound(&[1, 5].into_iter().collect()).into(),
        encode_held(Lsn(40), &encoded(&message())).into(),
        encode_retained(Lsn(40), None, &encoded(&message())).into(),
        block().record,
    ]
}

#[test]
fn every_changed_bit_and_every_missing_end_is_seen() {
    for record in records() {
        assert!(decode_all(&record));
        for bit in 0..record.len() * 8 {
            let mut changed = record.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!decode_all(&changed.into()), "bit {bit} of {}", hex(&record));
        }
        for length in 0..record.len() {
            assert!(!decode_all(&record.slice(..length)), "{length} bytes of {}", hex(&record));
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // Outbound state with position 0, last identifier 0 and a list of 2^63 exchanges.
    let mut record = begin(0);
    record.extend_from_slice(&[0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    seal(&mut record);
    assert_eq!(decode_outbound(&record), Err(DecodeError::Malformed("outbound state")));
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&body.clone().into());
        let bytes = Bytes::from(body.clone());
        let _ = decode_message(&bytes, &bytes);
        // With a checksum that holds, so that decoding gets to the fields.
        let mut record = begin(0);
        record.extend_from_slice(&body);
        seal(&mut record);
        decode_all(&record.into());
    }

    #[test]
    fn what_is_written_is_read(
        topic in "[a-z/]{1,40}", publisher in "\\PC{0,40}", qos in 0u8..=2, retain: bool,
        published_at_millis: u64, expires_at_millis: Option<u64>,
        properties in prop::collection::vec(any::<u8>(), 0..40),
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let message = Message {
            qos, retain, published_at_millis, expires_at_millis,
            publisher: publisher.into(), topic: topic.into(),
            properties: properties.into(), payload: payload.into(),
        };
        let bytes = encoded(&message);
        prop_assert_eq!(decode_message(&bytes, &bytes), Ok(message));
    }
}
