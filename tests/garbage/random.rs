//! Noise.

use std::io::Write;
use std::net::TcpStream;

use barnacle_wire::{Connect, Version, packets};

use super::{beside_a_well_behaved_client, expect_end, in_parallel};
use crate::broker::{Broker, Setup};
use crate::traffic::noise;

/// Noise from the first byte on, after CONNECT, and behind a first byte that promises a packet.
#[test]
fn two_thousand_connections_of_noise() {
    beside_a_well_behaved_client(Broker::start(), |broker| {
        let seeds: Vec<u64> = (0..2000).collect();
        in_parallel(&seeds, |_, seed| {
            let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
            let mut bytes = Vec::new();
            let version = if seed % 2 == 0 { Version::V311 } else { Version::V5 };
            if seed % 5 > 0 {
                bytes = Connect::new(version, &format!("noise {seed}")).encode();
            }
            let first = (seed / 5 % 16) as u8;
            match seed % 5 {
                // The right flags and a length that is true: noise in the fields alone.
                2 | 3 => {
                    let flags = if matches!(first, 6 | 8 | 10) { 2 } else { 0 };
                    bytes.extend([first << 4 | flags, 50]);
                    bytes.extend(noise(*seed, 50));
                }
                4 => {
                    bytes.extend(packets::ping());
                    bytes.extend(noise(*seed, 20_000));
                }
                _ => bytes.extend(noise(*seed, 500)),
            }
            // The broker may have ended the connection before it has read all.
            let _ = stream.write_all(&bytes);
            expect_end(stream);
        });
    });
}

#[test]
fn noise_for_a_websocket() {
    beside_a_well_behaved_client(Setup::new().websocket().start(), |broker| {
        let seeds: Vec<u64> = (0..400).collect();
        in_parallel(&seeds, |_, seed| {
            let mut stream = TcpStream::connect(broker.websocket_address()).expect("the broker listens");
            let mut bytes = Vec::new();
            if seed % 2 == 1 {
                let request = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Protocol: mqtt\r\n\r\n";
                stream.write_all(request.as_bytes()).expect("the broker reads");
                let mut answer = [0; 12];
                std::io::Read::read_exact(&mut stream, &mut answer).expect("the broker answers");
                assert_eq!(&answer, b"HTTP/1.1 101");
                // A binary frame of the right form, masked with zeroes, and noise in it and behind it.
                bytes.extend([0x82, 0x80 | 50, 0, 0, 0, 0]);
            }
            bytes.extend(noise(*seed, 300));
            let _ = stream.write_all(&bytes);
            expect_end(stream);
        });
    });
}
