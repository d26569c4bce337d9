//! Sessions at their limit: what was left out, and the gap that one of them passes over.

use barnacle_wire::{Publish, Subscribe, Version};
use serde_json::json;

use super::{inspected, leave, publish, session_of};
use crate::broker::Broker;
use crate::traffic::{Subscriber, expect_sequence, numbers};

/// Messages that may wait for a session of the broker that writes.
pub(super) const LIMIT: u64 = 50;

/// So many more came.
const BEYOND: u64 = 5;

/// Two share their filter, one is alone.
const SESSIONS: [(&str, &str); 3] =
    [("limited-a", "limited/shared"), ("limited-b", "limited/shared"), ("limited-own", "limited/own")];

pub(super) fn write(broker: &Broker) {
    for (client_id, filter) in SESSIONS {
        let mut client = broker.new_session(Version::V5, client_id);
        client.subscribe(&Subscribe::new(1, filter, 1));
        client.disconnect();
    }
    let message = |topic, number: u64| Publish::new(topic, number.to_string()).qos(1, 1);
    for topic in ["limited/shared", "limited/own"] {
        publish(broker, (0..LIMIT + BEYOND).map(|number| message(topic, number)));
    }
}

/// The counts stand in the record of a session whose gap has ended: opening without a limit ends it.
pub(super) fn expect(broker: &mut Broker) {
    for (client_id, _) in SESSIONS {
        let mut subscriber = Subscriber::new(broker.resume(Version::V5, client_id));
        expect_sequence(&numbers(&subscriber.take(LIMIT as usize)), 0..LIMIT);
        leave(subscriber);
    }
    assert!(broker.terminate().success());
    let inspection = inspected(&broker.data_directory());
    for (client_id, filter) in SESSIONS {
        let (exactly, shared) = if filter == "limited/own" { (BEYOND, 0) } else { (0, BEYOND) };
        let counts = json!([{ "reason": "session_limit", "exactly": exactly, "shared_at_most": shared }]);
        assert_eq!(session_of(&inspection, client_id)["dropped"], counts, "{client_id}");
    }
    broker.start_again();
}
