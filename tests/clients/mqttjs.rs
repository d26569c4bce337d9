//! MQTT.js, over WebSocket as pages use it, and over TCP.

use std::path::Path;

use super::{Broker, Program};

fn start(script: &str, arguments: &[&str]) -> Program {
    Program::start(Path::new("node"), "mqttjs", script, arguments)
}

#[test]
fn websocket_on_the_default_address() {
    let _broker = Broker::on_default_ports();
    let mut program = start("websocket.js", &[]);
    program.expect("connected");
    program.expect("subscribed, QoS 2");
    program.expect("test: hello over WebSocket");
    program.finish();
}

#[test]
fn tcp_as_in_the_manual() {
    let _broker = Broker::on_default_ports();
    let mut program = start("tcp.js", &[]);
    program.expect("connected");
    program.expect("presence: Hello mqtt");
    program.finish();
}

#[test]
fn a_version_5_session_over_websocket_survives_a_killed_broker() {
    let mut broker = Broker::on_default_ports();
    let mut display = start("display.js", &[]);
    display.expect("connected, session present: false");
    display.expect("subscribed");
    publish_numbers("1", "5");
    for number in 1..=5 {
        display.expect(&number.to_string());
    }

    broker.kill();
    broker.start_again();
    display.expect("connected, session present: true");
    display.expect("subscribed");
    display.kill();

    publish_numbers("6", "10");
    broker.kill();
    broker.start_again();
    let mut display = start("display.js", &[]);
    display.expect("connected, session present: true");
    // What waited may come before the acknowledgement of the repeated subscription.
    display.expect_all(&["subscribed", "6", "7", "8", "9", "10"]);
    display.expect_silence();
}

fn publish_numbers(first: &str, last: &str) {
    let mut counter = start("counter.js", &[first, last]);
    counter.expect("all published");
    counter.finish();
}
