//! What the client answers: PUBACK, PUBREC, PUBCOMP; repeated and unknown ones too.

use super::Outbound;
use crate::protocol::{AckKind, ProtocolVersion, ReasonCode};
use crate::session::Now;
use crate::session::wire::Wire;

/// The client answered an exchange in a way that the standard forbids.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) struct WrongAnswer;

impl Outbound {
    /// PUBACK ends a QoS 1 exchange [MQTT-4.3.2-5], also one with an error; for an unknown identifier it is ignored.
    pub(in crate::session) fn puback(
        &mut self,
        packet_id: u16,
        reason: ReasonCode,
        now: Now,
    ) -> Result<(), WrongAnswer> {
        let Some(index) = self.position_in_sent(packet_id) else { return Ok(()) };
        if self.sent[index].qos != 1 {
            return Err(WrongAnswer);
        }
        let exchange = self.end_sent(index, now);
        if reason.is_error() {
            self.group.refused(exchange.place);
        }
        Ok(())
    }

    /// PUBREC moves a QoS 2 exchange on: PUBREL follows when that is durable [MQTT-4.3.3-8]. One with an error ends
    /// it [MQTT-4.3.3-4]. A repeated one is answered again, an unknown one as the version has it.
    pub(in crate::session) fn pubrec(
        &mut self,
        packet_id: u16,
        reason: ReasonCode,
        wire: &mut Wire,
        now: Now,
    ) -> Result<(), WrongAnswer> {
        let Some(index) = self.position_in_sent(packet_id) else {
            self.repeated_pubrec(packet_id, wire);
            return Ok(());
        };
        if self.sent[index].qos != 2 {
            return Err(WrongAnswer);
        }
        let mut exchange = self.end_sent(index, now);
        if reason.is_error() {
            self.group.refused(exchange.place);
            return Ok(());
        }
        exchange.received = true;
        self.released.push_back(exchange);
        if self.durable {
            self.unrecorded_releases += 1;
        } else {
            wire.acknowledge(AckKind::PubRel, packet_id, ReasonCode::Success);
        }
        Ok(())
    }

    fn repeated_pubrec(&self, packet_id: u16, wire: &mut Wire) {
        let recorded = self.released.len() - self.unrecorded_releases;
        let waits = |pending: &super::PendingRecord| pending.waits(packet_id);
        match self.released.iter().position(|exchange| exchange.packet_id == packet_id) {
            // Its PUBREL is on the way, behind a record.
            Some(index) if index >= recorded || self.pending.iter().any(waits) => {}
            Some(_) => wire.acknowledge(AckKind::PubRel, packet_id, ReasonCode::Success),
            None => {
                let reason = match wire.version() {
                    ProtocolVersion::V5 => ReasonCode::PacketIdentifierNotFound,
                    ProtocolVersion::V31 | ProtocolVersion::V311 => ReasonCode::Success,
                };
                wire.acknowledge(AckKind::PubRel, packet_id, reason);
            }
        }
    }

    /// PUBCOMP ends a QoS 2 exchange; for an unknown identifier it is ignored.
    pub(in crate::session) fn pubcomp(&mut self, packet_id: u16, now: Now) -> Result<(), WrongAnswer> {
        let Some(index) = self.released.iter().position(|exchange| exchange.packet_id == packet_id) else {
            return match self.position_in_sent(packet_id) {
                Some(_) => Err(WrongAnswer),
                None => Ok(()),
            };
        };
        if index >= self.released.len() - self.unrecorded_releases {
            // It answers a PUBREL that was never sent.
            return Err(WrongAnswer);
        }
        self.released.remove(index);
        self.changed(now);
        Ok(())
    }

    /// Where an exchange of this connection stands. Clients mostly answer in order: the first is looked at first.
    fn position_in_sent(&self, packet_id: u16) -> Option<usize> {
        self.sent.iter().take(self.to_resend).position(|exchange| exchange.packet_id == packet_id)
    }

    fn end_sent(&mut self, index: usize, now: Now) -> super::Exchange {
        self.to_resend -= 1;
        self.changed(now);
        let exchange = self.sent.remove(index).expect("the index was just found");
        if !self.durable && exchange.place.log != 0 {
            self.group.received(exchange.place);
        }
        exchange
    }
}
