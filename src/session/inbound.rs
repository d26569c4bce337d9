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
    /// QoS 2 identifiers whose PUBLISH is held back: not received yet, as far as anybody was told.
    held: BTreeSet<u16>,
    /// `unreleased` as it was last handed out to be kept.
    saved: BTreeSet<u16>,
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
        let saved = unreleased.clone();
        Self {
            aliases,
            receive_maximum,
            unanswered: 0,
            unreleased,
            held: BTreeSet::new(),
            saved,
            changed: false,
            refused: BTreeSet::new(),
        }
    }

    /// A PUBLISH. `None`: it is held back already, and will be answered once.
    ///
    /// # Errors
    /// The reason to disconnect with: alias misused, Receive Maximum exceeded [MQTT-3.3.4-9], a Subscription Identifier,
    /// which only a server sends [MQTT-3.3.4-6].
    pub(super) fn publish(&mut self, publish: Publish) -> Result<Option<Request>, ReasonCode> {
        if !publish.properties.subscription_identifiers.is_empty() {
            return Err(ReasonCode::ProtocolError);
        }
        let topic = self.aliases.resolve(publish.topic, publish.properties.topic_alias)?;
        let packet_id = publish.packet_id.map(|packet_id| packet_id.get());
        let exactly_once = packet_id.filter(|_| publish.qos == QoS::ExactlyOnce);
        if let Some(packet_id) = exactly_once.filter(|packet_id| self.unreleased.contains(packet_id)) {
            return Ok(Some(Request::Repeated { packet_id }));
        }
        if exactly_once.is_some_and(|packet_id| self.held.contains(&packet_id)) {
            return Ok(None);
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
        Ok(Some(Request::Publish(Incoming {
            qos: publish.qos.into(),
            retain: publish.retain,
            packet_id,
            topic,
            message_expiry_interval: publish.properties.message_expiry_interval,
            forwarded: publish.properties.forwarded,
            payload: publish.payload,
        })))
    }

    /// A publish that was taken in is not kept after all: its identifier is free again.
    pub(super) fn refuse(&mut self, incoming: &Incoming) {
        if let Some(packet_id) = incoming.exactly_once() {
            self.changed |= self.unreleased.remove(&packet_id);
        }
    }

    /// A publish is held back. Its identifier must not be kept before its message is: after a crash, the message would
    /// pass for one that came twice.
    pub(super) fn hold(&mut self, incoming: &Incoming) {
        if let Some(packet_id) = incoming.exactly_once() {
            self.changed |= self.unreleased.remove(&packet_id);
            self.held.insert(packet_id);
        }
    }

    /// A publish that was held back is to be kept.
    pub(super) fn admit(&mut self, incoming: &Incoming) {
        // One that was released meanwhile, by a client that did not wait for PUBREC, has ended.
        if let Some(packet_id) = incoming.exactly_once().filter(|packet_id| self.held.remove(packet_id)) {
            self.changed |= self.unreleased.insert(packet_id);
        }
    }

    /// A PUBREL.
    pub(super) fn pubrel(&mut self, packet_id: u16) -> Request {
        let received = self.unreleased.remove(&packet_id);
        self.changed |= received;
        let known = self.held.remove(&packet_id) || received;
        Request::Release { packet_id, known }
    }

    /// A publish was refused. PUBREC with an error ends its exchange: the client uses the identifier for another message
    /// [MQTT-4.3.3-9]. The store knows already.
    pub(super) fn refused(&mut self, packet_id: u16, qos: u8) {
        self.answered();
        if qos == 2 {
            self.unreleased.remove(&packet_id);
            // Used again it is news, though it was handed out before.
            self.saved.remove(&packet_id);
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
        // What was received and refused, or received and released, has changed nothing.
        if !std::mem::take(&mut self.changed) || self.unreleased == self.saved {
            return None;
        }
        self.saved.clone_from(&self.unreleased);
        Some(self.unreleased.iter().copied().collect())
    }
}
