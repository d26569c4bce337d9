//! `mosquitto_pub` and `mosquitto_sub`, as they are typed.

use std::process::Command;

use super::{Broker, Program};

/// Starts a command line; no argument here holds a space of its own.
fn type_in(line: &str) -> Program {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a command line has a command"));
    command.args(words);
    Program::run(line, command)
}

fn run(line: &str) {
    type_in(line).finish();
}

#[test]
fn a_message_from_mosquitto_pub_reaches_mosquitto_sub() {
    let _broker = Broker::on_default_ports();
    // With -E it leaves as soon as the SUBACK is there: from now on the session is subscribed.
    run("mosquitto_sub -i desk -c -q 2 -t orders/# -E");
    let mut subscriber = type_in("mosquitto_sub -i desk -c -q 2 -t orders/# -v -C 2");
    run("mosquitto_pub -t orders/1 -m tea -q 1");
    subscriber.expect("orders/1 tea");
    run("mosquitto_pub -t orders/2 -m coffee -q 2");
    subscriber.expect("orders/2 coffee");
    subscriber.finish();
}

#[test]
fn mosquitto_sub_with_a_session_gets_what_was_sent_while_it_and_the_broker_were_away() {
    let mut broker = Broker::on_default_ports();
    run("mosquitto_sub -i desk -c -q 2 -t orders/# -E");
    run("mosquitto_pub -t orders/1 -m tea -q 2");
    run("mosquitto_pub -t orders/2 -m coffee -q 2");
    broker.kill();
    broker.start_again();
    run("mosquitto_pub -t orders/3 -m water -q 2");

    let mut subscriber = type_in("mosquitto_sub -i desk -c -q 2 -t orders/# -F %t:%p:%q");
    subscriber.expect("orders/1:tea:2");
    subscriber.expect("orders/2:coffee:2");
    subscriber.expect("orders/3:water:2");
    subscriber.expect_silence();
    subscriber.kill();

    // QoS 2 means once: nothing comes a second time after another kill.
    broker.kill();
    broker.start_again();
    let mut subscriber = type_in("mosquitto_sub -i desk -c -q 2 -t orders/# -F %t:%p:%q");
    run("mosquitto_pub -t orders/4 -m milk -q 2");
    subscriber.expect("orders/4:milk:2");
    subscriber.expect_silence();
}

#[test]
fn mosquitto_sub_reconnects_when_the_broker_is_back() {
    let mut broker = Broker::on_default_ports();
    run("mosquitto_sub -i desk -c -q 2 -t orders/# -E");
    let mut subscriber = type_in("mosquitto_sub -i desk -c -q 2 -t orders/# -v");
    run("mosquitto_pub -t orders/1 -m tea -q 2");
    subscriber.expect("orders/1 tea");
    broker.kill();
    broker.start_again();
    run("mosquitto_pub -t orders/2 -m coffee -q 2");
    subscriber.expect("orders/2 coffee");
    subscriber.expect_silence();
}

#[test]
fn a_retained_value_from_mosquitto_pub_is_read_later_and_cleared() {
    let _broker = Broker::on_default_ports();
    run("mosquitto_pub -t house/door -m open -q 1 -r");
    run("mosquitto_pub -t house/window -m shut -q 1 -r");
    let mut reader = type_in("mosquitto_sub -t house/+ -v -W 2");
    reader.expect_all(&["house/door open", "house/window shut"]);
    run("mosquitto_pub -t house/door -n -q 1 -r");
    let mut reader = type_in("mosquitto_sub -t house/# -v -W 2");
    reader.expect("house/window shut");
    reader.expect_silence();
}

#[test]
fn versions_3_1_and_5_work_as_well() {
    let _broker = Broker::on_default_ports();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        run(&format!("mosquitto_sub -V {version} -i desk-{version} -c -q 2 -t orders/{version} -E -x 3600"));
        run(&format!("mosquitto_pub -V {version} -t orders/{version} -m tea -q 2"));
        let mut subscriber = type_in(&format!(
            "mosquitto_sub -V {version} -i desk-{version} -c -q 2 -t orders/{version} -v -C 1 -x 3600"
        ));
        subscriber.expect(&format!("orders/{version} tea"));
        subscriber.finish();
    }
}
