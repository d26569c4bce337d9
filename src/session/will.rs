//! The will of a connection.

use bytes::Bytes;

use super::Incoming;
use crate::protocol;

/// A will message as the connection left it with us [MQTT-3.1.2-7].
#[derive(Clone, Debug)]
pub struct Will {
    /// The message to publish. Its packet identifier is none.
    pub message: Incoming,
    /// Will Delay Interval in seconds.
    pub delay_interval: u32,
}

impl Will {
    pub(super) fn from_connect(will: protocol::Will) -> Self {
        let message = Incoming {
            qos: will.qos.into(),
            retain: will.retain,
            packet_id: None,
            topic: will.topic,
            message_expiry_interval: will.properties.message_expiry_interval,
            forwarded: Bytes::copy_from_slice(&will.properties.forwarded),
            payload: Bytes::copy_from_slice(&will.payload),
        };
        Self { message, delay_interval: will.properties.delay_interval }
    }
}
