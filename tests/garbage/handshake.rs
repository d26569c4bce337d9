//! Handshakes that are slow, half done or never begun; clients that stop reading.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Connect, Publish, Subscribe, Version};

use super::{beside_a_well_behaved_client, beside_a_well_behaved_client_within};
use crate::broker::{Broker, Setup};
use crate::traffic::{Stream, Subscriber};

/// The time that the brokers of these tests give for CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

fn setup() -> Setup {
    Setup::new().websocket().setting("limits.connect_timeout_seconds", "2")
}

/// Sees that the broker closes the connection, not long after its time is over.
#[track_caller]
fn expect_timeout(mut stream: TcpStream, begun: Instant) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket takes the option");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("still open after {:?}: {error}", begun.elapsed()),
    }
    let took = begun.elapsed();
    assert!((CONNECT_TIMEOUT.mul_f32(0.9)..CONNECT_TIMEOUT * 3).contains(&took), "closed after {took:?}");
}

#[test]
fn a_client_that_never_connects_is_closed() {
    beside_a_well_behaved_client(setup().start(), |broker| {
        let begun = Instant::now();
        let opened: Vec<TcpStream> = (0..200)
            .map(|index| {
                let address = if index % 2 == 0 { broker.address() } else { broker.websocket_address() };
                TcpStream::connect(address).expect("the broker listens")
            })
            .collect();
        opened.into_iter().for_each(|stream| expect_timeout(stream, begun));
    });
}

#[test]
fn a_handshake_of_a_byte_at_a_time_gets_no_more_time() {
    beside_a_well_behaved_client(setup().start(), |broker| {
        let connect = Connect::new(Version::V5, "a byte at a time, and very many of them").encode();
        let upgrade = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n".to_vec();
        let clients = [(broker.address(), connect), (broker.websocket_address(), upgrade)];
        let slow = clients.map(|(address, bytes)| {
            thread::spawn(move || {
                let begun = Instant::now();
                let stream = TcpStream::connect(address).expect("the broker listens");
                let mut writer = stream.try_clone().expect("a socket can be duplicated");
                let writes = thread::spawn(move || {
                    for byte in bytes {
                        if writer.write_all(&[byte]).is_err() {
                            return;
                        }
                        thread::sleep(Duration::from_millis(200));
                    }
                });
                expect_timeout(stream, begun);
                writes.join().expect("it ends with its connection");
            })
        });
        slow.into_iter().for_each(|slow| slow.join().expect("the slow handshake was cut off"));
    });
}

/// CONNECT and CONNACK in time, then silence: keep-alive ends it, whether part of a packet is there or not.
#[test]
fn silence_after_connect_is_ended_by_the_keep_alive() {
    beside_a_well_behaved_client(setup().start(), |broker| {
        let begun = Instant::now();
        let clients: Vec<_> = (0..50)
            .map(|index| {
                let connect = Connect::new(Version::V311, &format!("silent {index}")).keep_alive(1);
                let mut client = broker.connect(&connect).0;
                client.send(&[0x30, 20, 0, 9, b'x'][..index % 6]).expect("part of a PUBLISH is sent");
                client
            })
            .collect();
        for mut client in clients {
            client.expect_close();
            let took = begun.elapsed();
            assert!(
                (Duration::from_millis(1400)..Duration::from_secs(5)).contains(&took),
                "closed after {took:?}"
            );
        }
    });
}

/// A subscriber that stops reading costs a mailbox and no more, and holds up nobody.
#[test]
fn a_subscriber_that_stops_reading_holds_up_nobody() {
    const MESSAGES: u64 = 16_000;
    const MESSAGE_BYTES: usize = 10_000;
    /// What waits is 152 MiB; the store's own buffers may fill up to their bounds meanwhile.
    const LIMIT_BYTES: u64 = 100 << 20;
    beside_a_well_behaved_client_within(LIMIT_BYTES, Broker::start(), |broker| {
        let mut stuck = broker.client(Version::V5, "stuck");
        stuck.subscribe(&Subscribe::new(1, "much", 1));
        let mut stuck_and_stored = broker.new_session(Version::V311, "stuck and stored");
        stuck_and_stored.subscribe(&Subscribe::new(1, "much", 1));
        let mut reading = Subscriber::new(broker.client(Version::V5, "reading"));
        reading.subscribe(&Subscribe::new(1, "much", 1));
        let payload = "x".repeat(MESSAGE_BYTES);
        let stream = Stream::start(broker.address(), "stream", move |number| {
            Publish::new("much", format!("{number} {payload}")).qos(1, 0)
        });
        for number in 0..MESSAGES {
            let message = reading.next(Duration::from_secs(10)).expect("whoever reads gets everything");
            assert!(
                message.payload.starts_with(format!("{number} ").as_bytes()),
                "message {number} is missing"
            );
        }
        stream.stop();
    });
}
