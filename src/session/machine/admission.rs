//! Publishes that cannot be kept now (P8): an MQTT 5 client is told so; those of an older one, which cannot be told, are
//! held in order until they can be kept. Everything else that the client says goes on meanwhile.

use super::Session;
use crate::protocol::{AckKind, ProtocolVersion, ReasonCode};
use crate::session::request::{Incoming, Request};

/// Publishes that are held back, oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    publishes: Vec<Incoming>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, incoming: Incoming) {
        self.bytes += incoming.weight();
        self.publishes.push(incoming);
    }
}

impl Session {
    /// Goes through the publishes of QoS 1 and 2 that no batch has taken yet, those held back first; `keeps` says whether
    /// one can be kept. One that cannot is refused with Quota exceeded (MQTT 5), or held back, and with it all that come
    /// behind it, so that they are kept and answered in the order sent [MQTT-4.6.0-2]. QoS 0 waits for nobody.
    ///
    /// To be called before [`Session::take_batch`] while anything cannot be kept, and for as long as something is held.
    pub fn admit(&mut self, mut keeps: impl FnMut(&Incoming) -> bool) {
        let waiting = std::mem::take(&mut self.held).publishes;
        let arrived = std::mem::take(&mut self.batch);
        for incoming in waiting {
            if self.held.publishes.is_empty() && keeps(&incoming) {
                self.inbound.admit(&incoming);
                self.batch.push(Request::Publish(incoming));
            } else {
                self.held.push(incoming);
            }
        }
        for request in arrived {
            match request {
                Request::Publish(incoming) if incoming.qos > 0 => {
                    if self.held.publishes.is_empty() && keeps(&incoming) {
                        self.batch.push(Request::Publish(incoming));
                    } else {
                        self.turn_away(incoming);
                    }
                }
                other => self.batch.push(other),
            }
        }
    }

    fn turn_away(&mut self, incoming: Incoming) {
        if self.terms.version == ProtocolVersion::V5 {
            self.refuse(&incoming, ReasonCode::QuotaExceeded);
        } else {
            self.inbound.hold(&incoming);
            self.held.push(incoming);
        }
    }

    /// Its identifier goes from what is kept before PUBREC tells the client that it may use it again.
    fn refuse(&mut self, incoming: &Incoming, reason: ReasonCode) {
        self.inbound.refuse(incoming);
        if let Some(packet_id) = incoming.packet_id {
            self.batch.push(Request::Refused { qos: incoming.qos, packet_id, reason });
        }
    }

    /// Whether publishes are held back.
    #[must_use]
    pub fn holds_publishes(&self) -> bool {
        !self.held.publishes.is_empty()
    }

    /// Memory that publishes take which are held back, in bytes.
    #[must_use]
    pub fn held_publish_bytes(&self) -> usize {
        self.held.bytes
    }

    pub(super) fn answer_refused(&mut self, qos: u8, packet_id: u16, reason: ReasonCode) {
        self.inbound.answered();
        let kind = if qos == 1 { AckKind::PubAck } else { AckKind::PubRec };
        self.wire.acknowledge(kind, packet_id, reason);
    }
}
