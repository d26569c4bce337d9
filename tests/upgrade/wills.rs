//! Wills: of clients that were connected, of such that were gone and have time, of sessions that end with the connection.

use barnacle_wire::{Client, Connect, Property, Subscribe, Version, Will};

use super::{LONG, QUIET, inspected, leave, session_of};
use crate::broker::Broker;
use crate::traffic::{Subscriber, texts};

/// Of clients that were connected and do not come back.
const DUE: [&str; 4] = ["due-311", "due-5", "due-brief-311", "due-brief-5"];

/// Of clients whose wills have a long delay: one was gone when the broker died, the other connected.
const DELAYED: [&str; 2] = ["delayed-gone", "delayed-connected"];

pub(super) fn write_first(broker: &Broker) {
    let mut heir = broker.new_session(Version::V5, "heir");
    heir.subscribe(&Subscribe::new(1, "will/#", 2));
    heir.disconnect();
}

pub(super) fn write_second(broker: &Broker) -> Vec<Client> {
    let mut gone = broker.connect(&delayed(DELAYED[0])).0;
    // Not a good-bye.
    gone.send(&[0, 0]).expect("garbage is sent");
    gone.expect_close();
    let connects = [
        Connect::persistent(Version::V311, DUE[0]).will(will(DUE[0], 1, true)),
        Connect::persistent(Version::V5, DUE[1]).will(will(DUE[1], 2, false)),
        Connect::new(Version::V311, DUE[2]).will(will(DUE[2], 2, false)),
        Connect::new(Version::V5, DUE[3]).will(will(DUE[3], 1, false)),
        delayed(DELAYED[1]),
    ];
    connects.iter().map(|connect| broker.connect(connect).0).collect()
}

fn will(client_id: &str, qos: u8, retain: bool) -> Will {
    let (topic, payload) = (format!("will/{client_id}"), client_id.as_bytes().to_vec());
    Will { topic, payload, qos, retain, ..Will::default() }
}

fn delayed(client_id: &str) -> Connect {
    let mut will = will(client_id, 1, false);
    will.properties.push(Property::WillDelayInterval(LONG));
    will.properties.push(Property::ContentType("will".to_owned()));
    Connect::persistent(Version::V5, client_id).will(will)
}

pub(super) fn expect(broker: &mut Broker) {
    let mut heir = Subscriber::new(broker.resume(Version::V5, "heir"));
    let mut came = texts(&heir.take(DUE.len()));
    came.sort();
    assert_eq!(came, DUE);
    if let Ok(message) = heir.next(QUIET) {
        panic!("{message:?} is not due");
    }
    // A session that ends publishes its will; one that is resumed takes it back.
    let (ended, connack) = broker.connect(&Connect::new(Version::V5, DELAYED[0]));
    assert!(!connack.session_present);
    let published = heir.take(1).remove(0);
    assert_eq!(published.payload, DELAYED[0].as_bytes());
    assert!(published.properties.contains(&Property::ContentType("will".to_owned())));
    broker.resume(Version::V5, DELAYED[1]).disconnect();
    leave(heir);
    ended.disconnect();

    let mut newcomer = broker.client(Version::V311, "late");
    newcomer.subscribe(&Subscribe::new(1, "will/#", 1));
    let kept = newcomer.expect_publish();
    assert_eq!((kept.payload.as_slice(), kept.retain), (DUE[0].as_bytes(), true));
    newcomer.abort();

    assert!(broker.terminate().success());
    let inspection = inspected(&broker.data_directory());
    for client_id in [DUE[0], DUE[1], DELAYED[1]] {
        assert!(session_of(&inspection, client_id)["will_topic"].is_null(), "{client_id}");
    }
    broker.start_again();
}
