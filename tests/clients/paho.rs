//! Paho Python, both of its interfaces: 1.6, which most installed programs use, and 2.x.

use std::time::{Duration, Instant};

use super::program::python;
use super::{Broker, Program};

/// The two sets of programs: the same cases, each written for its version of the library.
#[derive(Clone, Copy)]
enum Paho {
    V1,
    V2,
}

impl Paho {
    fn start(self, script: &str, arguments: &[&str]) -> Program {
        let folder = match self {
            Self::V1 => "paho1",
            Self::V2 => "paho2",
        };
        Program::start(&python(folder), folder, script, arguments)
    }

    /// Runs a program that does one thing and says so.
    fn run(self, script: &str, arguments: &[&str], says: &str) {
        let mut program = self.start(script, arguments);
        program.expect(says);
        program.finish();
    }

    /// What `on_connect` prints when all is well.
    fn connected(self) -> &'static str {
        match self {
            Self::V1 => "connected: 0",
            Self::V2 => "connected: Success",
        }
    }
}

macro_rules! with_both_versions {
    ($($case:ident),* $(,)?) => {
        mod paho1 { $(#[test] fn $case() { super::$case(super::Paho::V1); })* }
        mod paho2 { $(#[test] fn $case() { super::$case(super::Paho::V2); })* }
    };
}

with_both_versions!(
    a_subscriber_gets_what_a_publisher_sends_at_qos_2,
    a_keep_alive_of_6000_seconds_is_accepted,
    a_name_and_a_password_are_accepted_by_the_open_default,
    a_session_gets_what_it_missed_while_the_broker_was_killed,
    loop_forever_goes_on_when_the_broker_is_back,
    a_publisher_goes_on_through_a_kill_and_nothing_comes_twice,
    a_retained_value_is_read_replaced_and_cleared,
    a_retained_value_outlives_a_killed_broker,
    wildcards_match_retained_values,
    a_will_comes_when_a_process_exits_without_disconnect,
    a_will_comes_when_a_process_is_killed,
    a_will_comes_when_a_process_is_stopped,
    no_will_comes_after_a_clean_disconnect,
);

fn a_subscriber_gets_what_a_publisher_sends_at_qos_2(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut subscriber = paho.start("subscriber.py", &[]);
    subscriber.expect(paho.connected());
    subscriber.expect("subscribed, QoS 2");
    paho.run("publisher.py", &["test", "hello"], "published");
    paho.run("publisher.py", &["elsewhere", "not for us"], "published");
    paho.run("publisher.py", &["test", "grüße, 你好"], "published");
    subscriber.expect("test: hello (QoS 2)");
    subscriber.expect("test: grüße, 你好 (QoS 2)");
    subscriber.expect_silence();
}

fn a_keep_alive_of_6000_seconds_is_accepted(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut program = paho.start("long_keepalive.py", &[]);
    program.expect(paho.connected());
    program.expect("still here");
    program.finish();
}

fn a_name_and_a_password_are_accepted_by_the_open_default(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut program = paho.start("login.py", &[]);
    program.expect(paho.connected());
    program.expect("let in");
    program.finish();
}

fn a_session_gets_what_it_missed_while_the_broker_was_killed(paho: Paho) {
    let mut broker = Broker::on_default_ports();
    let mut display = paho.start("display.py", &[]);
    display.expect("connected, session present: 0");
    display.expect("subscribed");
    display.kill();

    let mut meter = paho.start("counter.py", &["1", "30"]);
    meter.wait_for("all published");
    meter.finish();
    broker.kill();
    broker.start_again();

    let mut display = paho.start("display.py", &[]);
    display.expect("connected, session present: 1");
    expect_numbers(&mut display, 1, 30);
}

fn loop_forever_goes_on_when_the_broker_is_back(paho: Paho) {
    let mut broker = Broker::on_default_ports();
    let mut display = paho.start("display.py", &[]);
    display.expect("connected, session present: 0");
    display.expect("subscribed");
    for round in 1..=2 {
        broker.kill();
        display.expect("disconnected");
        broker.start_again();
        display.expect("connected, session present: 1");
        display.expect("subscribed");
        paho.run("publisher.py", &["meter", &round.to_string()], "published");
        display.expect(&round.to_string());
    }
    display.expect_silence();
}

fn a_publisher_goes_on_through_a_kill_and_nothing_comes_twice(paho: Paho) {
    let mut broker = Broker::on_default_ports();
    let mut display = paho.start("display.py", &[]);
    display.expect("connected, session present: 0");
    display.expect("subscribed");

    let mut meter = paho.start("counter.py", &["1", "200"]);
    meter.wait_for("publishing 60");
    broker.kill();
    meter.wait_for("publishing 120");
    broker.start_again();
    meter.wait_for("all published");
    meter.finish();

    // In no particular order: while Paho's network thread sends again what the broken connection left, the program's
    // own thread goes on publishing, and may overtake it.
    let mut numbers: Vec<u32> = (0..200).map(|_| next_number(&mut display)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<u32>>(), "lost or twice");
    expect_no_number(&mut display);
}

/// The numbers come in order, each once, and nothing after them; what the library says of its connection aside.
fn expect_numbers(display: &mut Program, first: u32, last: u32) {
    for number in first..=last {
        assert_eq!(next_number(display), number, "out of order, lost or twice");
    }
    expect_no_number(display);
}

fn next_number(display: &mut Program) -> u32 {
    loop {
        if let Ok(number) = display.next_line().parse() {
            return number;
        }
    }
}

fn expect_no_number(display: &mut Program) {
    while let Some(line) = display.line_soon() {
        assert!(line.parse::<u32>().is_err(), "{line} came once more");
    }
}

fn a_retained_value_is_read_replaced_and_cleared(paho: Paho) {
    let _broker = Broker::on_default_ports();
    paho.run("set_retained.py", &["plant/door", "open"], "set");
    paho.run("set_retained.py", &["plant/window", "shut"], "set");
    expect_retained(paho, "plant/#", &["retained plant/door: open", "retained plant/window: shut"]);

    paho.run("set_retained.py", &["plant/door", "locked"], "set");
    expect_retained(paho, "plant/#", &["retained plant/door: locked", "retained plant/window: shut"]);

    let mut watch = paho.start("watch.py", &["plant/door"]);
    watch.expect("watching");
    watch.expect("retained plant/door: locked");
    paho.run("set_retained.py", &["plant/door", ""], "set");
    watch.expect("live plant/door: ");
    expect_retained(paho, "plant/#", &["retained plant/window: shut"]);
}

fn a_retained_value_outlives_a_killed_broker(paho: Paho) {
    let mut broker = Broker::on_default_ports();
    paho.run("set_retained.py", &["plant/door", "open"], "set");
    paho.run("set_retained.py", &["plant/window", "shut"], "set");
    paho.run("set_retained.py", &["plant/door", ""], "set");
    broker.kill();
    broker.start_again();
    expect_retained(paho, "plant/#", &["retained plant/window: shut"]);
}

fn wildcards_match_retained_values(paho: Paho) {
    let _broker = Broker::on_default_ports();
    for (topic, value) in
        [("house/hall/light", "on"), ("house/attic/light", "off"), ("house/hall/heat", "21")]
    {
        paho.run("set_retained.py", &[topic, value], "set");
    }
    let (hall, attic, heat) =
        ("retained house/hall/light: on", "retained house/attic/light: off", "retained house/hall/heat: 21");
    expect_retained(paho, "house/+/light", &[hall, attic]);
    expect_retained(paho, "house/hall/+", &[hall, heat]);
    expect_retained(paho, "house/#", &[hall, attic, heat]);
    expect_retained(paho, "#", &[hall, attic, heat]);
}

/// A later subscriber of `filter` reads these, and nothing else.
fn expect_retained(paho: Paho, filter: &str, wanted: &[&str]) {
    let mut watch = paho.start("watch.py", &[filter]);
    watch.expect("watching");
    watch.expect_all(wanted);
    watch.expect_silence();
}

fn a_will_comes_when_a_process_exits_without_disconnect(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut watch = watch_the_pump(paho);
    let mut pump = paho.start("will.py", &["exit", "60"]);
    pump.expect(paho.connected());
    assert_eq!(pump.wait().code(), Some(1), "the program exits by sys.exit with a message");
    watch.expect("live status/pump: lost");
    watch.expect_silence();
}

fn a_will_comes_when_a_process_is_killed(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut watch = watch_the_pump(paho);
    let mut pump = paho.start("will.py", &["stay", "60"]);
    pump.expect(paho.connected());
    pump.kill();
    watch.expect("live status/pump: lost");
    watch.expect_silence();
}

/// The connection of a stopped process stays open: only the keep-alive tells, after one and a half of it.
fn a_will_comes_when_a_process_is_stopped(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut watch = watch_the_pump(paho);
    let mut pump = paho.start("will.py", &["stay", "2"]);
    pump.expect(paho.connected());
    pump.stop();
    let stopped = Instant::now();
    watch.expect("live status/pump: lost");
    let waited = stopped.elapsed();
    // The last packet was sent up to a moment before the program could be stopped.
    assert!(waited > Duration::from_millis(2500), "the will came after {waited:?}, before 1.5 keep-alives");
    assert!(waited < Duration::from_secs(8), "the will came only after {waited:?}");
    watch.expect_silence();
}

fn no_will_comes_after_a_clean_disconnect(paho: Paho) {
    let _broker = Broker::on_default_ports();
    let mut watch = watch_the_pump(paho);
    let mut pump = paho.start("will.py", &["disconnect", "2"]);
    pump.expect(paho.connected());
    pump.finish();
    // A will would have come before this, or when the keep-alive of 2 s has run out.
    paho.run("publisher.py", &["status/pump", "switched off"], "published");
    watch.expect("live status/pump: switched off");
    std::thread::sleep(Duration::from_millis(3500));
    watch.expect_silence();
}

fn watch_the_pump(paho: Paho) -> Program {
    let mut watch = paho.start("watch.py", &["status/#"]);
    watch.expect("watching");
    watch
}
