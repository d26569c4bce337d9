//! What each library has to show, whichever it is.

use barnacle_wire::Version;

use super::tap::Tap;
use super::{Library, Program};
use crate::broker::Broker;

/// Connects, gets what it publishes at the QoS of the subscription, and leaves in order.
pub(super) fn messages_come_at_every_qos(library: &Library) {
    let broker = Library::broker();
    for qos in ["0", "1", "2"] {
        let topic = format!("counted/{qos}");
        let mut subscriber = library.start(&broker, "subscribe", &["subscriber", &topic, qos, "0", "3"]);
        subscriber.expect("connected 0");
        subscriber.expect(&format!("granted {qos}"));
        publish(library, &broker, &[&topic, qos, "0", "1", "3"]);
        for number in 1..=3 {
            subscriber.expect(&format!("{topic} {number} {qos} 0"));
        }
        subscriber.finish();
    }
}

/// Finds a value that was left for it, as such, and nothing once it is cleared.
pub(super) fn a_retained_message_is_found_and_cleared(library: &Library) {
    let broker = Library::broker();
    publish(library, &broker, &["door/front", "1", "1", "7", "7"]);
    let mut reader = library.start(&broker, "subscribe", &["reader", "door/+", "1", "0", "1"]);
    reader.expect("connected 0");
    // A retained message may come before SUBACK [MQTT-3.8.4-2 allows it].
    reader.expect_all(&["granted 1", "door/front 7 1 1"]);
    reader.finish();
    let mut program = library.start(&broker, "clear", &["cleaner", "door/front"]);
    program.expect("cleared");
    program.finish();
    let mut reader = library.start(&broker, "subscribe", &["reader", "door/+", "1", "0", "1"]);
    reader.expect("connected 0");
    reader.expect("granted 1");
    reader.expect_silence();
}

/// Its process is gone without DISCONNECT: the will comes.
pub(super) fn a_will_comes_when_the_program_is_killed(library: &Library) {
    let broker = Library::broker();
    let mut watcher = library.start(&broker, "subscribe", &["watcher", "status/#", "1", "0", "1"]);
    watcher.expect("connected 0");
    watcher.expect("granted 1");
    let mut device = library.start(&broker, "will", &["device", "status/device", "lost"]);
    device.expect("connected 0");
    device.kill();
    watcher.expect("status/device lost 1 0");
    watcher.finish();
}

/// The broker is killed while messages are under way: both sides come back by themselves, and each message comes once. What is
/// published while the subscriber is away waits for it through another kill.
pub(super) fn a_session_lives_through_a_killed_broker(library: &Library) {
    let mut broker = Library::broker();
    let qos = library.session_qos();
    let lasting = ["subscriber", "numbers", qos, "1", "0"];
    let version = if library.version == "5" { Version::V5 } else { Version::V311 };
    let tap = library.delivers_again().then(|| Tap::to(broker.address(), version));
    let mut subscriber = match &tap {
        Some(tap) => library.start_at(&format!("mqtt://{}", tap.address()), "subscribe", &lasting),
        None => library.start(&broker, "subscribe", &lasting),
    };
    subscriber.expect("connected 0");
    subscriber.expect(&format!("granted {qos}"));
    let mut publisher = library.start(&broker, "publish", &["publisher", "numbers", "2", "0", "1", "60"]);
    publisher.wait_for("publishing 20");
    broker.kill_and_start_again();
    publisher.wait_for("all published");
    publisher.finish();
    // In no particular order: a library may publish what is new before it has sent again what the broken connection left.
    expect_numbers(&mut subscriber, 1, 60, tap.as_ref());
    subscriber.kill();

    publish(library, &broker, &["numbers", "2", "0", "61", "70"]);
    broker.kill_and_start_again();
    let mut subscriber = library.start(&broker, "subscribe", &lasting);
    subscriber.expect("connected 1");
    expect_numbers(&mut subscriber, 61, 70, None);
}

/// What MQTT 5 sends along with a message arrives unchanged, with the identifier of the subscription.
pub(super) fn properties_come_as_they_were_sent(library: &Library) {
    let broker = Library::broker();
    let mut program = library.start(&broker, "properties", &["describer"]);
    for line in [
        "content type text/plain",
        "response topic answers",
        "correlation data 17",
        "user properties a=1 b=2 a=3",
        "format 1",
        "expires true",
        "identifier 7",
    ] {
        program.expect(line);
    }
    program.finish();
}

fn publish(library: &Library, broker: &Broker, what: &[&str]) {
    let arguments: Vec<&str> = ["publisher"].into_iter().chain(what.iter().copied()).collect();
    let mut program = library.start(broker, "publish", &arguments);
    program.wait_for("all published");
    program.finish();
}

/// Every number of the range comes once, and no other; what the program says of its connection aside. With a tap, as often as
/// the broker sent it, in one exchange.
fn expect_numbers(subscriber: &mut Program, first: u32, last: u32, tap: Option<&Tap>) {
    let mut numbers = Vec::new();
    while !(first..=last).all(|number| numbers.contains(&number)) {
        numbers.extend(number(&subscriber.next_line()));
    }
    while let Some(line) = subscriber.line_soon() {
        numbers.extend(number(&line));
    }
    numbers.sort_unstable();
    if let Some(tap) = tap {
        let sent = tap.times_sent();
        let again = sent.values().filter(|times| **times > 1).count();
        println!("{again} messages were sent again in their exchange; {} lines, {numbers:?}", numbers.len());
        for number in &numbers {
            let handed_over = numbers.iter().filter(|other| *other == number).count();
            assert!(
                handed_over <= sent[number.to_string().as_bytes()],
                "{number}: more often than it was sent"
            );
        }
        numbers.dedup();
    }
    assert_eq!(numbers, (first..=last).collect::<Vec<u32>>(), "lost or twice");
}

fn number(line: &str) -> Option<u32> {
    let (number, _) = line.strip_prefix("numbers ")?.split_once(' ')?;
    Some(number.parse().expect("the payloads are numbers"))
}
