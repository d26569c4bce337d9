//! `mosquitto_pub` and `mosquitto_sub` in both versions. They have no program of ours around them: what they are told is on their
//! command line, and they do not say when they have connected.

use std::process::Command;

use super::{Library, Program};
use crate::broker::Broker;

/// What is shown, and the test that shows it.
pub(super) const SHOWN: [(&str, &str); 5] = [
    ("connect, QoS 0, 1, 2, 3.1.1 and 5.0", "messages_come_at_every_qos"),
    ("retained, 3.1.1 and 5.0", "a_retained_message_is_found_and_cleared"),
    ("will, 3.1.1 and 5.0", "a_will_comes_when_the_program_is_killed"),
    ("session across a kill, 3.1.1 and 5.0", "a_session_lives_through_a_killed_broker"),
    ("MQTT 5 properties", "properties_come_as_they_were_sent"),
];

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

fn start(broker: &Broker, program: &str, version: &str, arguments: &[&str]) -> Program {
    let port = broker.address().port().to_string();
    // They write to a pipe in blocks unless told otherwise.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program]);
    command.args(["-h", "127.0.0.1", "-p", &port, "-V", version]).args(arguments);
    Program::run(program, command)
}

/// Reads what `mosquitto_sub -d` says until it has subscribed.
fn subscribe(broker: &Broker, version: &str, arguments: &[&str]) -> Program {
    let told = [&["-d", "-F", "%t %p %q %r"], arguments].concat();
    let mut program = start(broker, "mosquitto_sub", version, &told);
    while !program.next_line().starts_with("Subscribed ") {}
    program
}

fn publish(broker: &Broker, version: &str, arguments: &[&str]) {
    start(broker, "mosquitto_pub", version, arguments).finish();
}

/// The next message, past what `-d` tells.
fn next_message(program: &mut Program, topic: &str) -> String {
    loop {
        let line = program.next_line();
        if line.starts_with(topic) {
            return line;
        }
    }
}

#[test]
fn messages_come_at_every_qos() {
    let broker = Library::broker();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let mut subscriber = subscribe(&broker, version, &["-t", "counted", "-q", qos, "-C", "1"]);
            publish(&broker, version, &["-t", "counted", "-q", qos, "-m", "1"]);
            assert_eq!(next_message(&mut subscriber, "counted"), format!("counted 1 {qos} 0"));
            subscriber.finish();
        }
    }
}

#[test]
fn a_retained_message_is_found_and_cleared() {
    let broker = Library::broker();
    for version in VERSIONS {
        publish(&broker, version, &["-t", "door/front", "-q", "1", "-r", "-m", "open"]);
        let found = ["-t", "door/+", "-q", "1", "-C", "1", "-F", "%t %p %q %r"];
        let mut reader = start(&broker, "mosquitto_sub", version, &found);
        reader.expect("door/front open 1 1");
        reader.finish();
        publish(&broker, version, &["-t", "door/front", "-q", "1", "-r", "-n"]);
        let mut reader =
            start(&broker, "mosquitto_sub", version, &["-t", "door/+", "--retained-only", "-W", "2"]);
        reader.expect_silence();
    }
}

#[test]
fn a_will_comes_when_the_program_is_killed() {
    let broker = Library::broker();
    for version in VERSIONS {
        let mut watcher = subscribe(&broker, version, &["-t", "status/#", "-q", "1", "-C", "1"]);
        let will =
            ["-t", "nothing", "--will-topic", "status/device", "--will-payload", "lost", "--will-qos", "1"];
        subscribe(&broker, version, &will).kill();
        assert_eq!(next_message(&mut watcher, "status/"), "status/device lost 1 0");
        watcher.finish();
    }
}

#[test]
fn a_session_lives_through_a_killed_broker() {
    for version in VERSIONS {
        let mut broker = Library::broker();
        let mut lasting = vec!["-i", "subscriber", "-c", "-q", "2", "-t", "numbers"];
        if version == "mqttv5" {
            lasting.extend(["-x", "3600"]);
        }
        let mut subscriber = subscribe(&broker, version, &lasting);
        publish(&broker, version, &["-t", "numbers", "-q", "2", "-m", "1"]);
        assert_eq!(next_message(&mut subscriber, "numbers"), "numbers 1 2 0");
        broker.kill_and_start_again();
        // It comes back by itself, and what is published before it has waits for it.
        publish(&broker, version, &["-t", "numbers", "-q", "2", "-m", "2"]);
        assert_eq!(next_message(&mut subscriber, "numbers"), "numbers 2 2 0");
        subscriber.kill();
        for number in ["3", "4"] {
            publish(&broker, version, &["-t", "numbers", "-q", "2", "-m", number]);
        }
        broker.kill_and_start_again();
        let told = [&["-F", "%t %p %q %r", "-C", "2"], &lasting[..]].concat();
        let mut subscriber = start(&broker, "mosquitto_sub", version, &told);
        subscriber.expect("numbers 3 2 0");
        subscriber.expect("numbers 4 2 0");
        subscriber.finish();
    }
}

#[test]
fn properties_come_as_they_were_sent() {
    let broker = Library::broker();
    let arguments = ["-t", "about", "-q", "1", "-C", "1", "-D", "subscribe", "subscription-identifier", "7"];
    let shown = ["-F", "about %C;%R;%D;%P;%F;%S"];
    let mut subscriber = subscribe(&broker, "mqttv5", &[&arguments[..], &shown].concat());
    let property = |name: &'static str, value: &'static str| ["-D", "publish", name, value];
    let described = [
        property("content-type", "text/plain"),
        property("response-topic", "answers"),
        property("correlation-data", "17"),
        property("payload-format-indicator", "1"),
    ];
    let pairs = [["a", "1"], ["b", "2"], ["a", "3"]]
        .map(|[name, value]| ["-D", "publish", "user-property", name, value]);
    let arguments =
        [&["-t", "about", "-q", "1", "-m", "described"], described.as_flattened(), pairs.as_flattened()];
    publish(&broker, "mqttv5", &arguments.concat());
    let line = next_message(&mut subscriber, "about");
    assert_eq!(line, "about text/plain;answers;17;a:1 b:2 a:3;1;7");
    subscriber.finish();
}
