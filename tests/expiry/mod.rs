//! Expiry of sessions and messages while the broker is down: that time counts.

mod message;
mod session;

use barnacle_wire::{Property, Publish, Version};

use crate::broker::Broker;

/// Publishes a message of QoS 1 that expires, to its acknowledgement; `None`: never.
fn publish(broker: &Broker, topic: &str, payload: &str, expiry: Option<u32>, retain: bool) {
    let mut publisher = broker.client(Version::V5, "publisher");
    let mut message = Publish::new(topic, payload).qos(1, 1).retain(retain);
    message.properties.extend(expiry.map(Property::MessageExpiryInterval));
    publisher.publish(&message).expect("PUBLISH is sent");
    match publisher.read(barnacle_wire::client::PATIENCE) {
        Ok(barnacle_wire::Packet::PubAck(ack)) if ack.reason < 0x80 => {}
        other => panic!("{message:?} was answered with {other:?}"),
    }
    publisher.disconnect();
}

/// The Message Expiry Interval that a message came with.
fn expiry_of(message: &Publish) -> Option<u32> {
    message.properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(*seconds),
        _ => None,
    })
}
