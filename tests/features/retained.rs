//! Retained messages.

use barnacle_wire::{Publish, Subscribe};

use super::{in_each_version, publish, retained_at};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

#[test]
fn retained_messages_of_every_qos_are_kept_across_a_kill() {
    in_each_version(|broker, version| {
        publish(broker, &Publish::new("q/0", "zero").retain(true));
        publish(broker, &Publish::new("q/1", "one").qos(1, 1).retain(true));
        publish(broker, &Publish::new("q/2", "two").qos(2, 1).retain(true));
        broker.kill_and_start_again();
        let mut client = broker.client(version, "reader");
        let now = retained_at(broker, &mut client, &Subscribe::new(1, "q/#", 2), "q/marker");
        assert_eq!(now, pairs(&[("q/0", "zero"), ("q/1", "one"), ("q/2", "two")]));
    });
}
