//! Many of everything, scaled down: a session with ten thousand filters, a publish that matches a thousand, and `#` over
//! many retained topics for a client that hardly reads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use barnacle_wire::{Packet, Publish, Subscribe, Version};

use crate::broker::Broker;
use crate::traffic::{Subscriber, expect_sequence, numbers};

/// Filters of one session.
const FILTERS: usize = 10_000;

#[test]
fn a_session_with_ten_thousand_filters_gets_what_they_match_and_nothing_else() {
    let mut broker = Broker::start();
    let mut client = broker.new_session(Version::V5, "many filters");
    for first in (0..FILTERS).step_by(500) {
        let mut subscribe = Subscribe::new(1, &format!("t/{first}"), 1);
        for number in first + 1..first + 500 {
            subscribe = subscribe.and(&format!("t/{number}"), 1);
        }
        assert_eq!(client.subscribe(&subscribe).reasons.len(), 500);
    }
    let mut publisher = broker.client(Version::V311, "publisher");
    let mut publish = |range: std::ops::Range<u64>| {
        for number in range {
            let topic = number * 37 % FILTERS as u64;
            publisher.deliver(&Publish::new(&format!("t/{topic}"), number.to_string()).qos(1, 1));
            publisher.deliver(&Publish::new(&format!("t/{topic}x"), "nobody's").qos(1, 1));
        }
    };
    publish(0..100);
    let mut subscriber = Subscriber::new(client);
    expect_sequence(&numbers(&subscriber.take(100)), 0..100);
    subscriber.client().send(&barnacle_wire::Disconnect::default().encode(Version::V5)).expect("it is sent");
    subscriber.client().expect_close();
    publish(100..200);
    broker.kill_and_start_again();
    let mut subscriber = Subscriber::new(broker.resume(Version::V5, "many filters"));
    let taken = numbers(&subscriber.take(100));
    // What was acknowledged last may come again after a kill.
    let new: Vec<u64> = taken.into_iter().filter(|number| *number >= 100).collect();
    expect_sequence(&new, 100..100 + new.len() as u64);
    assert!(!new.is_empty());
}

/// Ten levels, each literal or `+`: 1,024 filters match the one topic.
#[test]
fn a_publish_that_matches_a_thousand_filters_is_one_message_to_each_session() {
    let broker = Broker::start();
    let filters: Vec<String> = (0..1024_u32)
        .map(|bits| {
            let level = |at: u32| if bits >> at & 1 == 1 { "+" } else { "l" };
            (0..10).map(level).collect::<Vec<_>>().join("/")
        })
        .collect();
    let mut subscribers = ["one", "other"].map(|client_id| {
        let mut client = broker.new_session(Version::V311, client_id);
        for filters in filters.chunks(256) {
            let first = Subscribe::new(1, &filters[0], 1);
            let subscribe = filters[1..].iter().fold(first, |subscribe, filter| subscribe.and(filter, 1));
            client.subscribe(&subscribe);
        }
        Subscriber::new(client)
    });
    let mut publisher = broker.client(Version::V311, "publisher");
    for number in 0..20_u64 {
        publisher.deliver(&Publish::new(&["l"; 10].join("/"), number.to_string()).qos(1, 1));
    }
    for subscriber in &mut subscribers {
        expect_sequence(&numbers(&subscriber.take(20)), 0..20);
        subscriber.client().expect_nothing(Duration::from_millis(150));
    }
}

/// Retained topics, each with a payload of a kilobyte: several times what memory may grow by.
const RETAINED: u64 = 50_000;
/// What memory may grow by, in bytes.
const GROWTH_BYTES: u64 = 16 << 20;

#[test]
fn all_retained_topics_for_a_client_that_hardly_reads_take_no_memory() {
    let broker = Broker::start();
    let mut publisher = broker.client(Version::V311, "publisher");
    for first in (0..RETAINED).step_by(500) {
        let burst: Vec<u8> = (first..first + 500)
            .flat_map(|number| {
                let packet_id = u16::try_from(number - first + 1).expect("at most 500");
                let message = Publish::new(&format!("retained/{number}"), vec![b'x'; 1024]);
                message.qos(1, packet_id).retain(true).encode(Version::V311)
            })
            .collect();
        publisher.send(&burst).expect("the broker reads");
        for _ in 0..500 {
            assert!(matches!(publisher.read(barnacle_wire::client::PATIENCE), Ok(Packet::PubAck(_))));
        }
    }
    publisher.disconnect();
    let before = broker.resident_bytes();
    let mut slow = TcpStream::connect(broker.address()).expect("the broker listens");
    let connect = barnacle_wire::Connect::new(Version::V311, "slow").encode();
    slow.write_all(&[connect, Subscribe::new(1, "#", 0).encode(Version::V311)].concat()).expect("it reads");
    let begun = Instant::now();
    let mut most = 0;
    let mut received = vec![0; 4096];
    while begun.elapsed() < Duration::from_secs(3) {
        slow.read_exact(&mut received[..512]).expect("there is always more");
        most = most.max(broker.resident_bytes());
        std::thread::sleep(Duration::from_millis(125));
    }
    let growth = most.saturating_sub(before);
    eprintln!("memory grew by {} KiB while {RETAINED} retained topics wait for 4 KiB/s", growth >> 10);
    assert!(growth < GROWTH_BYTES, "memory grew by {growth} bytes");
}
