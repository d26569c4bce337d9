//! WebSocket handshakes: who is let in, and what the others are told. What MQTT asks of them, tests/conformance shows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::broker::{Broker, Setup};

/// Asks for a WebSocket. Returns the connection and the head of the answer.
fn ask(broker: &Broker, path: &str, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(broker.websocket_address()).expect("the broker listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket takes the option");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the broker reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the broker answers");
        answer.extend(byte);
    }
    (stream, String::from_utf8(answer).expect("the head of an answer is text").to_ascii_lowercase())
}

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

#[track_caller]
fn expect_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
}

#[test]
fn another_path_is_not_found() {
    let broker = Setup::new().websocket().start();
    for path in ["/", "/mqtt/", "/mqtt2", "/../mqtt"] {
        expect_status(&ask(&broker, path, MQTT).1, 404);
    }
    expect_status(&ask(&broker, "/mqtt?token=x", MQTT).1, 101);
}

#[test]
fn web_pages_of_strangers_are_kept_out_and_the_log_names_the_setting() {
    let broker = Setup::new().websocket().start();
    let status_for = |origin: &str, status| {
        expect_status(&ask(&broker, "/mqtt", &format!("{MQTT}Origin: {origin}\r\n")).1, status);
    };
    for origin in
        ["null", "http://localhost", "https://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:1"]
    {
        status_for(origin, 101);
    }
    assert!(!broker.log().contains("allowed_origins"), "{}", broker.log());
    for origin in [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example:80",
        "file://",
    ] {
        status_for(origin, 403);
    }
    // The line may be written a moment after the answer.
    for _ in 0..500 {
        if broker.log().contains("https://evil.example") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = broker.log();
    let line = log.lines().find(|line| line.contains("https://evil.example")).expect("the refusal is logged");
    assert!(line.contains("websocket.allowed_origins"), "the setting is not named: {line}");
}

#[test]
fn allowed_origins_replaces_who_is_let_in() {
    let broker =
        Setup::new().websocket().setting("websocket.allowed_origins", "https://app.example:8443").start();
    for (origin, status) in
        [("https://app.example:8443", 101), ("https://app.example", 403), ("http://localhost", 403)]
    {
        expect_status(&ask(&broker, "/mqtt", &format!("{MQTT}Origin: {origin}\r\n")).1, status);
    }
    expect_status(&ask(&broker, "/mqtt", MQTT).1, 101);
}
