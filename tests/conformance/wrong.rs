//! Responders that are wrong on purpose. Every test has to fail against each of them, in each of its versions: a test that
//! one of them passes would pass against a broker that does not do what the test is about.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;
use std::time::Duration;

use barnacle_wire::frames::{Frame, FrameBuffer};
use barnacle_wire::{Version, kind};

use crate::server::Server;
use crate::suite::Test;

/// How long a test waits for an answer of a wrong responder. What is too short makes a test fail, which it should.
const PATIENCE: Duration = Duration::from_millis(250);

/// Threads with this in front of their name panic without a word: they are expected to.
const EXPECTED_TO_FAIL: &str = "expected to fail: ";

/// How a responder is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Takes everything and says nothing.
    Silent,
    /// Closes at once.
    Closing,
    /// Answers every packet with success, whatever it is, delivers nothing, keeps nothing, closes nothing.
    Agreeing,
    /// Sends every byte back.
    Echoing,
    /// Lets clients in, and takes the first packet after that for a malformed one, whatever it is.
    Refusing,
    /// Refuses every CONNECT.
    TurningAway,
}

const ALL: [Wrong; 6] =
    [Wrong::Silent, Wrong::Closing, Wrong::Agreeing, Wrong::Echoing, Wrong::Refusing, Wrong::TurningAway];

/// Runs each test in each of its versions against each wrong responder, and fails with all that pass.
pub(crate) fn expect_failures(tests: &[Test]) {
    quiet_expected_panics();
    let mut passed = Vec::new();
    for wrong in ALL {
        let address = start(wrong);
        thread::scope(|scope| {
            let runs =
                tests.iter().flat_map(|test| test.versions.iter().map(move |version| (test, *version)));
            let runs: Vec<_> = runs
                .map(|(test, version)| {
                    let server = Server { address, websocket: address, version, patience: PATIENCE };
                    let run = move || panic::catch_unwind(AssertUnwindSafe(|| (test.run)(&server))).is_ok();
                    let name = format!("{EXPECTED_TO_FAIL}{}", test.name);
                    let thread = thread::Builder::new().name(name).spawn_scoped(scope, run);
                    (test.name, version, thread.expect("a thread can be started"))
                })
                .collect();
            for (name, version, thread) in runs {
                if thread.join().expect("what panics is caught") {
                    passed.push(format!("{name} ({version:?}) passes against the {wrong:?} responder"));
                }
            }
        });
    }
    assert!(passed.is_empty(), "\n{}\n", passed.join("\n"));
}

/// Expected panics would bury the ones that matter.
fn quiet_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            let expected = thread::current().name().is_some_and(|name| name.starts_with(EXPECTED_TO_FAIL));
            if !expected {
                usual(information);
            }
        }));
    });
}

/// Starts a responder that goes on for as long as the process does.
fn start(wrong: Wrong) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that is gone is no concern of a responder.
            thread::spawn(move || respond(wrong, stream));
        }
    });
    address
}

fn respond(wrong: Wrong, mut stream: TcpStream) -> std::io::Result<()> {
    match wrong {
        Wrong::Silent => std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
        Wrong::Closing => stream.shutdown(Shutdown::Both),
        Wrong::Echoing => {
            let mut bytes = [0; 4096];
            loop {
                match stream.read(&mut bytes)? {
                    0 => return Ok(()),
                    count => stream.write_all(&bytes[..count])?,
                }
            }
        }
        Wrong::Agreeing | Wrong::Refusing | Wrong::TurningAway => answer_packets(wrong, stream),
    }
}

/// Answers packet by packet. What is no packet is taken and left alone.
fn answer_packets(wrong: Wrong, mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = FrameBuffer::new(64 << 10);
    let mut version = Version::V311;
    loop {
        let count = stream.read(buffer.space())?;
        if count == 0 {
            return Ok(());
        }
        if buffer.space().starts_with(b"GET ") {
            stream.write_all(WEBSOCKET_IS_FINE)?;
            continue;
        }
        buffer.filled(count);
        while let Ok(Some(frame)) = buffer.next_frame() {
            if frame.kind() == kind::CONNECT && frame.body.get(6) == Some(&5) {
                version = Version::V5;
            }
            let refuses = wrong == Wrong::TurningAway || frame.kind() != kind::CONNECT;
            if wrong != Wrong::Agreeing && refuses {
                stream.write_all(refusal(frame, version))?;
                return stream.shutdown(Shutdown::Both);
            }
            stream.write_all(&agreement(frame, version))?;
            if frame.kind() == kind::DISCONNECT {
                return stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// The answer to the key that RFC 6455 has as its example.
const WEBSOCKET_IS_FINE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn refusal(frame: Frame<'_>, version: Version) -> &'static [u8] {
    match (frame.kind(), version) {
        (kind::CONNECT, Version::V5) => &[0x20, 3, 0, 0x81, 0],
        (kind::CONNECT, _) => &[0x20, 2, 0, 1],
        (_, Version::V5) => &[0xe0, 1, 0x81],
        _ => &[],
    }
}

/// Success, whatever the packet says.
fn agreement(frame: Frame<'_>, version: Version) -> Vec<u8> {
    let v5 = version == Version::V5;
    let id_at =
        |at: usize| [frame.body.get(at), frame.body.get(at + 1)].map(|byte| byte.copied().unwrap_or(1));
    let ack = |first: u8, [high, low]: [u8; 2]| vec![first, 2, high, low];
    match frame.kind() {
        kind::CONNECT if v5 => vec![0x20, 3, 0, 0, 0],
        kind::CONNECT => vec![0x20, 2, 0, 0],
        kind::PUBLISH => {
            let topic_length = usize::from(u16::from_be_bytes(id_at(0)));
            match frame.first >> 1 & 3 {
                0 => Vec::new(),
                1 => ack(0x40, id_at(2 + topic_length)),
                _ => ack(0x50, id_at(2 + topic_length)),
            }
        }
        kind::PUBREC => ack(0x62, id_at(0)),
        kind::PUBREL => ack(0x70, id_at(0)),
        kind::SUBSCRIBE => {
            let reasons = granted(frame.body.get(if v5 { 3 } else { 2 }..).unwrap_or_default());
            let properties: &[u8] = if v5 { &[0] } else { &[] };
            let body = [&id_at(0), properties, &reasons].concat();
            [&[0x90, u8::try_from(body.len()).unwrap_or(127)], &body[..]].concat()
        }
        kind::UNSUBSCRIBE if v5 => {
            let [high, low] = id_at(0);
            vec![0xb0, 4, high, low, 0, 0]
        }
        kind::UNSUBSCRIBE => ack(0xb0, id_at(0)),
        kind::PINGREQ => vec![0xd0, 0],
        _ => Vec::new(),
    }
}

/// The QoS that each filter asks for, as far as they can be read.
fn granted(mut filters: &[u8]) -> Vec<u8> {
    let mut reasons = Vec::new();
    while let [high, low, rest @ ..] = filters {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(options) = rest.get(length) else { break };
        reasons.push((options & 3).min(2));
        filters = &rest[length + 1..];
    }
    reasons
}
