//! Starts and ends.

use std::fs;
use std::time::Duration;

use barnacle_wire::{Connect, Packet, Publish, Subscribe, Version};
use tempfile::TempDir;

use super::run;
use crate::broker::{Broker, Setup, free_port};
use crate::traffic::{Stream, Subscriber, expect_sequence, numbers};

#[test]
fn the_banner_says_where_what_and_how_firmly() {
    let broker = Setup::new().websocket().start();
    let banner = banner_of(&broker);
    for wanted in [
        format!("mqtt://{}", broker.address()),
        format!("ws://{}/mqtt", broker.websocket_address()),
        broker.data_directory().display().to_string(),
        "fsync".to_owned(),
        "recovered".to_owned(),
        "open files".to_owned(),
    ] {
        assert!(banner.contains(&wanted), "{wanted} is missing:\n{banner}");
    }
}

/// The broker's first banner, up to its last line. It may be printed a moment after the first connection is accepted.
fn banner_of(broker: &Broker) -> String {
    wait_for(broker, 0, "open files")
}

/// Waits until the broker has printed `wanted` behind the first `before` bytes. Returns what stands behind them.
fn wait_for(broker: &Broker, before: usize, wanted: &str) -> String {
    for _ in 0..500 {
        let output = broker.output();
        if output[before..].contains(wanted) {
            return output[before..].to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{wanted:?} is not printed:\n{}", broker.output());
}

#[test]
fn a_data_directory_in_use_is_refused_by_name() {
    let broker = Broker::start();
    let directory = broker.data_directory();
    let directory = directory.to_str().expect("the path is text");
    let listen = format!("mqtt://127.0.0.1:{}", free_port());
    let said = run(&["serve", "--data-dir", directory, "--listen", &listen]);
    assert_eq!(said.status, 1, "{}", said.error);
    assert!(said.error.contains(directory), "the directory is not named: {}", said.error);
    assert!(said.error.contains("in use"), "what is wrong is not said: {}", said.error);
    broker.client(Version::V311, "still served").disconnect();
}

#[test]
fn sigterm_ends_the_broker_in_order() {
    let mut broker = Broker::start();
    let mut newer = broker.new_session(Version::V5, "newer");
    newer.subscribe(&Subscribe::new(1, "t", 1));
    let mut older = broker.client(Version::V311, "older");
    broker.send_terminate();
    match newer.expect_close().as_slice() {
        [Packet::Disconnect(disconnect)] => assert_eq!(disconnect.reason, 0x8B, "server shutting down"),
        other => panic!("{other:?} instead of DISCONNECT"),
    }
    assert_eq!(older.expect_close(), []);
    assert_eq!(broker.wait().code(), Some(0));
    let recovered = start_again(&mut broker);
    assert!(recovered.contains("1 session") && !recovered.contains("crash"), "{recovered}");
    broker.resume(Version::V5, "newer");
}

#[test]
fn a_start_after_a_kill_says_so() {
    let mut broker = Broker::start();
    drop(broker.new_session(Version::V5, "one"));
    broker.kill();
    let recovered = start_again(&mut broker);
    assert!(recovered.contains("1 session") && recovered.contains("after a crash"), "{recovered}");
}

/// Starts the broker again. Returns what the banner says of the recovery.
fn start_again(broker: &mut Broker) -> String {
    let before = broker.output().len();
    broker.start_again();
    let banner = wait_for(broker, before, "open files");
    let line = banner.lines().find(|line| line.contains("recovered"));
    line.expect("the banner says what was recovered").to_owned()
}

/// Acknowledged while the broker shuts down is acknowledged all the same.
#[test]
fn nothing_acknowledged_is_lost_at_an_orderly_end() {
    let mut broker = Broker::start();
    broker.new_session(Version::V311, "reader").subscribe(&Subscribe::new(1, "t", 1));
    let mut publisher = broker.client(Version::V5, "publisher");
    let count = 1000u16;
    let bytes: Vec<u8> = (0..count)
        .flat_map(|number| Publish::new("t", number.to_string()).qos(1, number + 1).encode(Version::V5))
        .collect();
    publisher.send(&bytes).expect("the broker reads");
    publisher.expect(&Packet::PubAck(barnacle_wire::Ack::new(1)));
    assert!(broker.terminate().success());
    let acknowledged =
        1 + publisher.expect_close().iter().filter(|packet| matches!(packet, Packet::PubAck(_))).count();
    broker.start_again();
    let mut marker = broker.client(Version::V311, "publisher of markers");
    marker.deliver(&Publish::new("t", "marker").qos(1, 1));
    let mut reader = Subscriber::new(broker.resume(Version::V311, "reader"));
    let arrived = numbers(&reader.take_until("marker"));
    assert!(arrived.len() >= acknowledged, "{acknowledged} acknowledged, {} arrived", arrived.len());
    expect_sequence(&arrived, 0..arrived.len() as u64);
}

#[test]
fn every_durability_mode_survives_a_kill_and_says_what_it_gives_up() {
    for mode in ["fsync", "interval:50", "os"] {
        let mut broker = Setup::new().argument("--durability").argument(mode).start();
        let banner = banner_of(&broker);
        let line = banner.lines().find(|line| line.contains("durability")).expect("just seen");
        assert!(line.contains(mode), "{line}");
        assert_eq!(line.contains("power cut"), mode != "fsync", "{line}");
        broker.new_session(Version::V5, "one").subscribe(&Subscribe::new(1, "t", 1));
        let stream = Stream::start(broker.address(), "stream", |number| {
            Publish::new("t", number.to_string()).qos(1, 0)
        });
        stream.let_pass(50);
        let end = stream.stop();
        broker.kill_and_start_again();
        let mut reader = Subscriber::new(broker.resume(Version::V5, "one"));
        let count = usize::try_from(end).expect("below 2^32");
        expect_sequence(&numbers(&reader.take(count)), 0..end);
    }
}

#[test]
fn a_log_in_json_is_json() {
    let mut broker = Setup::new()
        .argument("--log-format")
        .argument("json")
        .argument("--log-level")
        .argument("debug")
        .start();
    broker.client(Version::V5, "one").disconnect();
    let mut garbage = barnacle_wire::Client::open(broker.address(), Version::V5).expect("the broker listens");
    garbage.send(&[0; 50]).expect("garbage is sent");
    garbage.expect_close();
    assert!(broker.terminate().success());
    let log = broker.log();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
    }
}

/// The file, then the environment, then flags: the later wins.
#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let file = directory.path().join("barnacle.toml");
    fs::write(&file, "[limits]\nreceive_maximum = 11\nmax_packet_size_bytes = 2222\n[storage]\ndurability = \"interval:7\"\n")
        .expect("a file of our own can be written");
    let broker = Setup::new()
        .argument("--config")
        .argument(file.to_str().expect("the path is text"))
        .setting("limits.receive_maximum", "22")
        .setting("storage.durability", "interval:8")
        .argument("--durability")
        .argument("interval:9")
        .start();
    let banner = banner_of(&broker);
    assert!(banner.contains("interval:9"), "{banner}");
    let connack = broker.connect(&Connect::new(Version::V5, "one")).1;
    assert_eq!(connack.receive_maximum(), 22);
    assert!(connack.properties.contains(&barnacle_wire::Property::MaximumPacketSize(2222)), "{connack:?}");
}
