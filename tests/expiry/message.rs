//! Messages that expire while the broker is down.

use std::thread;
use std::time::Duration;

use barnacle_wire::{Subscribe, Version, kind};

use super::{expiry_of, publish};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

#[test]
fn what_expired_while_the_broker_was_down_does_not_come_and_the_rest_says_how_long_it_has() {
    let mut broker = Broker::start();
    let mut subscriber = broker.new_session(Version::V5, "subscriber");
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    subscriber.disconnect();
    publish(&broker, "t", "soon", Some(1), false);
    publish(&broker, "t", "later", Some(600), false);
    publish(&broker, "t", "never", None, false);
    broker.kill();
    thread::sleep(Duration::from_millis(1200));
    broker.start_again();
    let messages = Subscriber::new(broker.resume(Version::V5, "subscriber")).take(2);
    assert_eq!(texts(&messages), ["later", "never"]);
    let left = expiry_of(&messages[0]).expect("it still expires");
    assert!((570..=599).contains(&left), "{left} of 600 seconds");
    assert_eq!(expiry_of(&messages[1]), None);
}

/// It was on its way when the broker died: the client may have it, and cannot be left in the middle of an exchange.
#[test]
fn an_exchange_that_has_begun_goes_on_past_its_expiry() {
    for qos in [1, 2] {
        let mut broker = Broker::start();
        let mut subscriber = broker.new_session(Version::V5, "subscriber");
        subscriber.subscribe(&Subscribe::new(1, "t", qos));
        let mut publisher = broker.client(Version::V5, "publisher of two");
        for payload in ["begun", "waits"] {
            let message = barnacle_wire::Publish::new("t", payload).qos(qos, 1);
            let expiry = barnacle_wire::Property::MessageExpiryInterval(1);
            publisher.deliver(&message.property(expiry));
            if payload == "begun" {
                let begun = subscriber.expect_publish();
                assert_eq!((begun.payload.as_slice(), begun.dup), (b"begun".as_slice(), false));
                // What comes from here on waits.
                subscriber.stream().shutdown(std::net::Shutdown::Both).expect("the connection ends");
                see_it_detached(&broker);
            }
        }
        broker.kill();
        thread::sleep(Duration::from_millis(1200));
        broker.start_again();
        let mut subscriber = broker.resume(Version::V5, "subscriber");
        let again = subscriber.expect_publish();
        assert_eq!((again.payload.as_slice(), again.dup), (b"begun".as_slice(), true));
        assert!(expiry_of(&again).is_some_and(|left| left <= 1));
        subscriber.ack(if qos == 1 { kind::PUBACK } else { kind::PUBREC }, again.packet_id).expect("sent");
        if qos == 2 {
            subscriber.read(Duration::from_secs(10)).expect("PUBREL comes");
            subscriber.ack(kind::PUBCOMP, again.packet_id).expect("sent");
        }
        publish(&broker, "t", "new", None, false);
        assert_eq!(subscriber.expect_publish().payload, b"new", "what had not begun has expired");
    }
}

/// A take-over waits for the end of the connection before it, and a session that is resumed and left again begins no exchange
/// with a client whose window is taken.
fn see_it_detached(broker: &Broker) {
    let connect = barnacle_wire::Connect::persistent(Version::V5, "subscriber");
    let full = connect.property(barnacle_wire::Property::ReceiveMaximum(1));
    let (mut client, connack) = broker.connect(&full);
    assert!(connack.session_present);
    assert!(client.expect_publish().dup);
    client.disconnect();
}

#[test]
fn a_retained_message_that_expired_while_the_broker_was_down_is_not_sent() {
    let mut broker = Broker::start();
    publish(&broker, "r/soon", "soon", Some(1), true);
    publish(&broker, "r/later", "later", Some(600), true);
    broker.kill();
    thread::sleep(Duration::from_millis(1200));
    broker.start_again();
    let mut subscriber = Subscriber::new(broker.client(Version::V5, "subscriber"));
    subscriber.subscribe(&Subscribe::new(1, "r/#", 1));
    publish(&broker, "r/marker", "marker", None, false);
    let messages = subscriber.take_until("marker");
    assert_eq!(texts(&messages), ["later"]);
    assert!(expiry_of(&messages[0]).is_some_and(|left| (570..=599).contains(&left)), "{messages:?}");
}
