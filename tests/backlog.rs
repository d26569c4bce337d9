//! Offline is cheap: what waits costs disk and not memory, and one more subscriber of a filter costs nothing a message.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::frames::FrameBuffer;
use barnacle_wire::{Ack, Connect, Disconnect, Publish, Subscribe, Version, kind};

use crate::broker::Broker;

/// Publishers of the backlog.
const PUBLISHERS: u64 = 4;
/// Messages of each publisher.
const MESSAGES_EACH: u64 = 250_000;
/// Payload of each message in bytes: its number, and what fills it up.
const PAYLOAD_BYTES: usize = 256;

/// Memory that a million messages may take, in bytes: their payloads alone are 244 MiB.
const GROWTH_BYTES: u64 = 100 << 20;
/// From the start to listening, with a million messages waiting. 2 s on a quiet machine; tests share theirs.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A million messages wait for one session: memory does not grow with them, a start after SIGKILL does not read them,
/// and all arrive in the order of each publisher.
#[test]
fn a_million_messages_wait_for_one_session() {
    let mut broker = Broker::start();
    let mut reader = broker.new_session(Version::V311, "reader");
    reader.subscribe(&Subscribe::new(1, "backlog/#", 1));
    reader.disconnect();
    publish_numbered(broker.address(), 0, 1000);
    settle(&broker);
    let before = broker.resident_bytes();

    let begun = Instant::now();
    let address = broker.address();
    let publishers: Vec<_> = (1..=PUBLISHERS)
        .map(|publisher| thread::spawn(move || publish_numbered(address, publisher, MESSAGES_EACH)))
        .collect();
    publishers
        .into_iter()
        .for_each(|publisher| publisher.join().expect("the broker acknowledges everything"));
    let took = begun.elapsed();
    let total = PUBLISHERS * MESSAGES_EACH;
    let growth = broker.resident_bytes().saturating_sub(before);
    eprintln!(
        "{total} messages queued in {took:.1?}, {:.0} a second; memory grew by {} MiB",
        total as f64 / took.as_secs_f64(),
        growth >> 20
    );
    assert!(growth < GROWTH_BYTES, "memory grew by {growth} bytes");

    broker.kill();
    let listens = broker.start_again();
    eprintln!("after SIGKILL it listens within {listens:.2?}");
    assert!(listens < START_LIMIT, "it listens after {listens:?} only");

    let begun = Instant::now();
    let received = drain(&broker, total + 1000);
    let took = begun.elapsed();
    eprintln!("drained in {took:.1?}, {:.0} a second", total as f64 / took.as_secs_f64());
    assert_eq!(received, [1000, MESSAGES_EACH, MESSAGES_EACH, MESSAGES_EACH, MESSAGES_EACH]);
}

/// Publishes so many numbered messages, many in flight, and waits for their acknowledgements.
fn publish_numbered(address: SocketAddr, publisher: u64, count: u64) {
    const WINDOW: u64 = 2000;
    const BATCH: u64 = 500;
    let mut stream = connected(address, &Connect::new(Version::V311, &format!("publisher {publisher}")));
    let mut acknowledgements = FrameBuffer::new(64 << 10);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut bytes = Vec::new();
    while acknowledged < count {
        while sent < count && sent - acknowledged + BATCH <= WINDOW {
            bytes.clear();
            for number in sent..count.min(sent + BATCH) {
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(PAYLOAD_BYTES, b'.');
                let packet_id = u16::try_from(number % 60_000).expect("below 60,000") + 1;
                let message = Publish::new(&format!("backlog/{publisher}"), payload).qos(1, packet_id);
                bytes.extend(message.encode(Version::V311));
            }
            stream.write_all(&bytes).expect("the broker reads");
            sent = count.min(sent + BATCH);
        }
        fill(&mut stream, &mut acknowledgements);
        while let Some(frame) = acknowledgements.next_frame().expect("the broker sends what is well-formed") {
            assert_eq!(frame.kind(), kind::PUBACK);
            acknowledged += 1;
        }
    }
}

/// Takes messages until `total` have come. Returns how many came from each publisher, in order and without a gap.
fn drain(broker: &Broker, total: u64) -> [u64; 5] {
    let mut stream = connected(broker.address(), &Connect::persistent(Version::V311, "reader"));
    let mut frames = FrameBuffer::new(256 << 10);
    let mut next = [0; 5];
    let mut acknowledgements = Vec::new();
    while next.iter().sum::<u64>() < total {
        fill(&mut stream, &mut frames);
        acknowledgements.clear();
        while let Some(frame) = frames.next_frame().expect("the broker sends what is well-formed") {
            assert_eq!(frame.kind(), kind::PUBLISH);
            let message = frame.publish(Version::V311).expect("the broker sends what is well-formed");
            let publisher = usize::from(*message.topic.last().expect("a topic is not empty") - b'0');
            let number = u64::from_be_bytes(message.payload[..8].try_into().expect("eight bytes"));
            assert_eq!(number, next[publisher], "the order of publisher {publisher}");
            assert_eq!(message.payload.len(), PAYLOAD_BYTES);
            next[publisher] += 1;
            acknowledgements.extend(Ack::new(message.packet_id).encode(kind::PUBACK, Version::V311));
        }
        stream.write_all(&acknowledgements).expect("the broker reads");
    }
    next
}

/// Messages whose bytes are counted.
const COUNTED: u64 = 20_000;

/// Ten thousand offline sessions on one filter cost as many bytes a message as two.
#[test]
fn ten_thousand_offline_sessions_cost_as_much_a_message_as_two() {
    let [two, many] = [2, 10_000].map(|sessions| {
        let broker = Broker::start();
        let begun = Instant::now();
        make_sessions(broker.address(), sessions);
        eprintln!("{sessions} sessions made in {:.1?}", begun.elapsed());
        settle(&broker);
        let before = broker.written_bytes();
        publish_numbered(broker.address(), 1, COUNTED);
        settle(&broker);
        let bytes = (broker.written_bytes() - before) as f64 / COUNTED as f64;
        eprintln!("{sessions} offline sessions: {bytes:.1} bytes written a message");
        check_some_sessions(&broker, sessions);
        bytes
    });
    assert!(two > PAYLOAD_BYTES as f64, "two sessions: {two} bytes a message are less than the message");
    assert!((many / two - 1.0).abs() < 0.1, "{many} bytes a message for 10,000, {two} for two");
}

/// Makes sessions with one filter, many at a time, and disconnects them.
fn make_sessions(address: SocketAddr, count: u32) {
    const AT_ONCE: usize = 250;
    let numbers: Vec<u32> = (0..count).collect();
    for some in numbers.chunks(AT_ONCE) {
        let streams: Vec<TcpStream> = some
            .iter()
            .map(|number| {
                let mut bytes = Connect::persistent(Version::V311, &format!("session {number}")).encode();
                bytes.extend(Subscribe::new(1, "backlog/#", 1).encode(Version::V311));
                let mut stream = TcpStream::connect(address).expect("the broker listens");
                stream.write_all(&bytes).expect("the broker reads");
                stream
            })
            .collect();
        for mut stream in streams {
            let mut answers = [0; 9];
            stream.read_exact(&mut answers).expect("CONNACK and SUBACK come");
            assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1], "CONNACK and SUBACK");
            stream.write_all(&Disconnect::default().encode(Version::V311)).expect("the broker reads");
        }
    }
}

/// The first, the last and one between get every message.
fn check_some_sessions(broker: &Broker, sessions: u32) {
    for number in BTreeSet::from([0, sessions / 2, sessions - 1]) {
        let mut client =
            crate::traffic::Subscriber::new(broker.resume(Version::V311, &format!("session {number}")));
        for wanted in 0..COUNTED {
            let message =
                client.next(Duration::from_secs(10)).expect("every message waits for every session");
            assert_eq!(message.payload[..8], wanted.to_be_bytes());
        }
        client.client().send(&Disconnect::default().encode(Version::V311)).expect("DISCONNECT is sent");
    }
}

/// Waits until the broker has written nothing for a while.
fn settle(broker: &Broker) {
    let mut before = broker.written_bytes();
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = broker.written_bytes();
        if now == before {
            return;
        }
        before = now;
    }
}

fn connected(address: SocketAddr, connect: &Connect) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_nodelay(true).expect("a socket takes the option");
    stream.write_all(&connect.encode()).expect("the broker reads");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK comes");
    assert_eq!((connack[0], connack[3]), (0x20, 0), "CONNACK refuses");
    stream
}

fn fill(stream: &mut TcpStream, frames: &mut FrameBuffer) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes the option");
    let count = stream.read(frames.space()).expect("the broker sends");
    assert!(count > 0, "the broker closed the connection");
    frames.filled(count);
}
