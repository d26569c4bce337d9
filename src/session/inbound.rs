//! From the client: QoS handshakes of what it publishes.
//!
//! ```text
//! QoS 1:  PUBLISH ──▶ kept ──▶ PUBACK
//! QoS 2:  PUBLISH ──▶ kept, with its identifier ──▶ PUBREC ── PUBREL ──▶ identifier released, kept ──▶ PUBCOMP
//! ```

use std::collections::BTreeSet;

use super::request::{Incoming, Request};
use super::topic_alias::InboundAliases;
use crate::protocol::{ProtocolVersion, Publish, QoS, ReasonCode};

/// The inbound side of a session.
#[derive(Debug)]
pub(super) struct Inbound {
    aliases: InboundAliases,
    /// Our Receive Maximum [MQTT-3.3.4-9]; `None` before MQTT 5.
    receive_maximum: Option<u32>,
    /// QoS 1 and 2 publishes of this connection that wait for their last acknowledgement.
    unanswered: u32,
    /// QoS 2 identifiers received and not released. Outlives the connection.
    unreleased: BTreeSet<u16>,
    changed: bool,
    /// QoS 2 identifiers of this connection's publishes that were refused, until they are used again.
    refused: BTreeSet<u16>,
}

impl Inbound {
    pub(super) fn new(
        version: ProtocolVersion,
        receive_maximum: u16,
        alias_maximum: u16,
        unreleased: BTreeSet<u16>,
    ) -> Self {
        let receive_maximum = (version == ProtocolVersion::V5).then_some(u32::from(receive_maximum));
        let aliases = InboundAliases::new(alias_maximum);
        Self { aliases, receive_maximum, unanswered: 0, unreleased, changed: false, refused: BTreeSet::new() }
    }

    /// A PUBLISH.
    ///
    /// # Errors
    /// The reason to disconnect with: alias misused, Receive Maximum exceeded [MQTT-3.3.4-9].
    pub(super) fn publish(&mut self, publish: Publish) -> Result<Request, ReasonCode> {
        let topic = self.aliases.resolve(publish.topic, publish.properties.topic_alias)?;
        let packet_id = publish.packet_id.map(|packet_id| packet_id.get());
        let exactly_once = packet_id.filter(|_| publish.qos == QoS::ExactlyOnce);
        if let Some(packet_id) = exactly_once.filter(|packet_id| self.unreleased.contains(packet_id)) {
            return Ok(Request::Repeated { packet_id });
        }
        if publish.qos != QoS::AtMostOnce {
            self.unanswered += 1;
            if self.receive_maximum.is_some_and(|maximum| self.unanswered > maximum) {
                return Err(ReasonCode::ReceiveMaximumExceeded);
            }
        }
        // Only now is it certain that the message is kept: an identifier that stands here without one would have the
        // message acknowledged unseen when it comes again.
        if let Some(packet_id) = exactly_once {
            self.unreleased.insert(packet_id);
            self.refused.remove(&packet_id);
            self.changed = true;
        }
        Ok(Request::Publish(Incoming {
            qos: publish.qos.into(),
            retain: publish.retain,
            packet_id,
            topic,
            message_expiry_interval: publish.properties.message_expiry_interval,
            forwarded: publish.properties.forwarded,
            payload: publish.payload,
        }))
    }

    /// A PUBREL.
    pub(super) fn pubrel(&mut self, packet_id: u16) -> Request {
        let known = self.unreleased.remove(&packet_id);
        self.changed |= known;
        Request::Release { packet_id, known }
    }

    /// A publish was refused. PUBREC with an error ends its exchange: the client uses the identifier for another message
    /// [MQTT-4.3.3-9]. The store knows already.
    pub(super) fn refused(&mut self, packet_id: u16, qos: u8) {
        self.answered();
        if qos == 2 {
            self.unreleased.remove(&packet_id);
            self.refused.insert(packet_id);
        }
    }

    /// Whether the last publish with this identifier was refused.
    pub(super) fn was_refused(&self, packet_id: u16) -> bool {
        self.refused.contains(&packet_id)
    }

    /// A PUBACK or PUBCOMP goes out.
    pub(super) fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// The identifiers to be kept, if they changed since last asked.
    pub(super) fn changed(&mut self) -> Option<Vec<u16>> {
        std::mem::take(&mut self.changed).then(|| self.unreleased.iter().copied().collect())
    }
}
