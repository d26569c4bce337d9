//! The sending side of one publisher's session, as a client keeps it across connections.

use crate::books::message::MessageId;
use barnacle_wire::Publish;
use std::collections::VecDeque;

/// A message that is not completely acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// Which message.
    pub(crate) id: MessageId,
    publish: Publish,
    /// PUBREC was read: from now on PUBREL is what is sent again.
    pub(crate) received: bool,
    /// PUBREL was sent on an earlier connection: the server may have forgotten the identifier since.
    released_before: bool,
    released: bool,
}

/// What is sent again on a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// A PUBLISH with DUP and its old packet identifier.
    Publish(Publish),
    /// A PUBREL.
    Release(u16),
}

/// What the client keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbound {
    flights: VecDeque<Flight>,
    last_packet_id: u16,
}

impl Outbound {
    /// What is not completely acknowledged, in the order sent.
    pub(crate) fn flights(&self) -> &VecDeque<Flight> {
        &self.flights
    }

    /// Takes a message in, with a packet identifier that is not in use.
    pub(crate) fn begin(&mut self, id: MessageId, mut publish: Publish) -> Publish {
        loop {
            self.last_packet_id = self.last_packet_id % u16::MAX + 1;
            if self.flights.iter().all(|flight| flight.publish.packet_id != self.last_packet_id) {
                break;
            }
        }
        publish.packet_id = self.last_packet_id;
        let flight =
            Flight { id, publish: publish.clone(), received: false, released_before: false, released: false };
        self.flights.push_back(flight);
        publish
    }

    /// Everything that a new connection sends first [MQTT-4.4.0-1].
    pub(crate) fn resend(&mut self) -> Vec<Resend> {
        let again = |flight: &mut Flight| {
            if flight.received {
                flight.released_before |= flight.released;
                flight.released = true;
                Resend::Release(flight.publish.packet_id)
            } else {
                Resend::Publish(flight.publish.clone().dup(true))
            }
        };
        self.flights.iter_mut().map(again).collect()
    }

    /// PUBACK: it must be for the oldest message of QoS 1 [MQTT-4.6.0-2].
    pub(crate) fn puback(&mut self, packet_id: u16) -> Result<MessageId, String> {
        let index = self.oldest(packet_id, "PUBACK", |flight| flight.publish.qos == 1)?;
        Ok(self.flights.remove(index).expect("the index was just found").id)
    }

    /// PUBREC: it must be for the oldest message of QoS 2 that has none yet [MQTT-4.6.0-3].
    pub(crate) fn pubrec(&mut self, packet_id: u16) -> Result<MessageId, String> {
        let index = self.oldest(packet_id, "PUBREC", |flight| flight.publish.qos == 2 && !flight.received)?;
        self.flights[index].received = true;
        Ok(self.flights[index].id)
    }

    /// PUBREC with a reason of 0x80 or more: the exchange is over [MQTT-4.3.3-4].
    pub(crate) fn refused(&mut self, packet_id: u16) -> Result<MessageId, String> {
        let index = self.oldest(packet_id, "PUBREC", |flight| flight.publish.qos == 2 && !flight.received)?;
        Ok(self.flights.remove(index).expect("the index was just found").id)
    }

    /// Notes that PUBREL is being sent.
    pub(crate) fn pubrel_sent(&mut self, packet_id: u16) {
        let flight = self.flights.iter_mut().find(|flight| flight.publish.packet_id == packet_id);
        flight.expect("only open exchanges are released").released = true;
    }

    /// PUBCOMP. Packet Identifier not found (0x92) is right only for an exchange that an earlier connection released.
    pub(crate) fn pubcomp(&mut self, packet_id: u16, reason: u8) -> Result<MessageId, String> {
        let index = self.oldest(packet_id, "PUBCOMP", |flight| flight.received && flight.released)?;
        if reason != 0 && !(reason == 0x92 && self.flights[index].released_before) {
            return Err(format!("PUBCOMP of {packet_id} ({}) with {reason:#04x}", self.flights[index].id));
        }
        Ok(self.flights.remove(index).expect("the index was just found").id)
    }

    fn oldest(&self, packet_id: u16, kind: &str, waits: impl Fn(&Flight) -> bool) -> Result<usize, String> {
        let index = self.flights.iter().position(waits);
        let oldest = index.map(|index| self.flights[index].publish.packet_id);
        match index {
            Some(index) if oldest == Some(packet_id) => Ok(index),
            _ => Err(format!("{kind} of {packet_id}, but the next one due is of {oldest:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(outbound: &mut Outbound, number: usize, qos: u8) -> u16 {
        let id = MessageId::Numbered { publisher: 0, number };
        outbound.begin(id, Publish::new("t", id.payload(0)).qos(qos, 0)).packet_id
    }

    #[test]
    fn resends_in_order_with_the_same_identifiers() {
        let mut outbound = Outbound::default();
        let ids: Vec<u16> = (0..4).map(|number| begin(&mut outbound, number, [1, 2, 2, 1][number])).collect();
        outbound.pubrec(ids[1]).expect("the oldest of QoS 2");
        let resent: Vec<(u16, bool)> = outbound
            .resend()
            .into_iter()
            .map(|resend| match resend {
                Resend::Publish(publish) => (publish.packet_id, publish.dup),
                Resend::Release(packet_id) => (packet_id, false),
            })
            .collect();
        assert_eq!(resent, [(ids[0], true), (ids[1], false), (ids[2], true), (ids[3], true)]);
        outbound.pubcomp(ids[1], 0).expect("it was released");
    }

    #[test]
    fn planted_faults_are_found() {
        let mut outbound = Outbound::default();
        let ids: Vec<u16> = (0..4).map(|number| begin(&mut outbound, number, [1, 1, 2, 2][number])).collect();
        assert!(outbound.clone().puback(ids[1]).is_err(), "not the oldest");
        assert!(outbound.clone().puback(ids[2]).is_err(), "not of QoS 1");
        assert!(outbound.clone().puback(77).is_err(), "not in use");
        assert!(outbound.clone().pubrec(ids[3]).is_err(), "not the oldest");
        assert!(outbound.clone().pubcomp(ids[2], 0).is_err(), "not received");
        outbound.pubrec(ids[2]).expect("the oldest");
        assert!(outbound.clone().pubcomp(ids[2], 0).is_err(), "not released");
        outbound.pubrel_sent(ids[2]);
        assert!(outbound.clone().pubcomp(ids[2], 0x92).is_err(), "forgotten on the same connection");
        outbound.resend();
        outbound.pubcomp(ids[2], 0x92).expect("the server may have forgotten it meanwhile");
    }
}
