//! The receiving side of one session, as a client keeps it across connections, and the rules for what a server may
//! send to it: packet identifiers, DUP, the order of redelivery, Receive Maximum.

use crate::books::message::MessageId;
use std::collections::{BTreeMap, HashMap};

/// How far an exchange has come, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// PUBLISH read, PUBACK or PUBREC not sent on this connection.
    Received,
    /// PUBREC sent, PUBREL not read.
    RecSent,
    /// PUBREL read, PUBCOMP not sent.
    RelSeen,
}

/// An exchange that the client has not finished.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// What it carries.
    pub(crate) id: MessageId,
    qos: u8,
    /// How far it has come.
    pub(crate) phase: Phase,
    /// The connection on which the server last sent something of it.
    connection: u64,
    /// Its place in the order of first receipt.
    place: u64,
    /// The place of its PUBREC in the order of all PUBRECs.
    rec_place: u64,
}

/// What a PUBLISH was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// A new exchange.
    New,
    /// One that the client knows from an earlier connection.
    Again,
}

/// What the client keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbound {
    connection: u64,
    receive_maximum: usize,
    open: BTreeMap<u16, Exchange>,
    /// QoS 2 identifiers whose PUBCOMP was sent, and on which connection.
    completed: HashMap<u16, u64>,
    /// The exchanges of QoS 1 identifiers whose PUBACK was sent. The server may not have read it.
    acknowledged: HashMap<u16, Exchange>,
    places: u64,
    rec_places: u64,
    /// The last place that was redelivered on this connection.
    last_again: Option<u64>,
    /// The PUBREC place of the last PUBREL of this connection.
    last_release: Option<u64>,
    /// This may be the session, or one that came after it: the first thing that the server sends of it tells.
    in_doubt: bool,
}

/// What is open while it is in doubt whether this is the session.
static NOTHING: BTreeMap<u16, Exchange> = BTreeMap::new();

impl Inbound {
    /// A new connection of the session; `resumed` as Session Present says.
    pub(crate) fn connected(&mut self, resumed: bool, receive_maximum: u16) {
        if !resumed {
            *self = Inbound { connection: self.connection, ..Inbound::default() };
        }
        self.connection += 1;
        self.receive_maximum = usize::from(receive_maximum);
        self.last_again = None;
        self.last_release = None;
        self.in_doubt = false;
    }

    /// The session that was resumed may be one that a CONNECT without an answer made after the end of this one.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// A server sends what is open before anything new, so the first PUBLISH tells whether this is the session.
    fn decide(&mut self, is_redelivery: bool) {
        if std::mem::take(&mut self.in_doubt) && !is_redelivery {
            let Inbound { connection, receive_maximum, .. } = *self;
            *self = Inbound { connection, receive_maximum, ..Inbound::default() };
        }
    }

    /// A PUBLISH of QoS 1 or 2.
    pub(crate) fn publish(
        &mut self,
        packet_id: u16,
        id: MessageId,
        qos: u8,
        dup: bool,
    ) -> Result<Receipt, String> {
        self.decide(dup);
        let receipt = match self.open.get_mut(&packet_id) {
            Some(exchange) => {
                let known = format!("{} in phase {:?}", exchange.id, exchange.phase);
                let wrong = if exchange.connection == self.connection {
                    Some("was used again on the same connection")
                } else if exchange.phase == Phase::RelSeen {
                    Some("came in a PUBLISH after its PUBREL")
                } else if exchange.id != id || exchange.qos != qos {
                    Some("now carries another message or QoS")
                } else if !dup {
                    Some("was redelivered without DUP")
                } else if self.last_again >= Some(exchange.place) {
                    Some("was redelivered out of the order of first delivery")
                } else {
                    None
                };
                if let Some(wrong) = wrong {
                    return Err(format!(
                        "packet identifier {packet_id} ({known}) {wrong}, as {id} QoS {qos}"
                    ));
                }
                self.last_again = Some(exchange.place);
                exchange.connection = self.connection;
                exchange.phase = Phase::Received;
                Receipt::Again
            }
            None => {
                let acknowledged = self.acknowledged.remove(&packet_id);
                let known =
                    acknowledged.filter(|old| old.id == id && old.connection < self.connection && dup);
                self.places += 1;
                // A redelivery keeps the place of the first delivery.
                let place = known.as_ref().map_or(self.places, |old| old.place);
                let connection = self.connection;
                let exchange = Exchange { id, qos, phase: Phase::Received, connection, place, rec_place: 0 };
                self.open.insert(packet_id, exchange);
                if known.is_some() { Receipt::Again } else { Receipt::New }
            }
        };
        Ok(receipt)
    }

    /// Errs if more is in flight on this connection than the client's Receive Maximum [MQTT-3.3.4-9].
    pub(crate) fn window(&self) -> Result<(), String> {
        let outstanding =
            self.open.values().filter(|exchange| exchange.connection == self.connection).count();
        if outstanding > self.receive_maximum {
            return Err(format!(
                "{outstanding} messages in flight exceed Receive Maximum {}",
                self.receive_maximum
            ));
        }
        Ok(())
    }

    /// Takes an exchange that breaks the rules as the server has it. The same message is no new one.
    pub(crate) fn adopt(&mut self, packet_id: u16, id: MessageId, qos: u8) -> Receipt {
        self.places += 1;
        let (connection, place) = (self.connection, self.places);
        let exchange = Exchange { id, qos, phase: Phase::Received, connection, place, rec_place: 0 };
        match self.open.insert(packet_id, exchange) {
            Some(old) if old.id == id => Receipt::Again,
            _ => Receipt::New,
        }
    }

    /// A PUBREL.
    pub(crate) fn release(&mut self, packet_id: u16) -> Result<(), String> {
        self.decide(true);
        let Some(exchange) = self.open.get_mut(&packet_id) else {
            return match self.completed.get(&packet_id) {
                Some(connection) if *connection < self.connection => Ok(()),
                Some(_) => Err(format!("PUBREL of {packet_id} again on the connection that completed it")),
                None => Err(format!("PUBREL of {packet_id}, which is not open")),
            };
        };
        let known = format!("PUBREL of {packet_id} ({})", exchange.id);
        match exchange.phase {
            Phase::Received => return Err(format!("{known} before PUBREC")),
            Phase::RelSeen if exchange.connection == self.connection => {
                return Err(format!("{known} again on the same connection"));
            }
            Phase::RelSeen | Phase::RecSent => {}
        }
        if self.last_release >= Some(exchange.rec_place) {
            return Err(format!("{known} out of the order of the PUBRECs"));
        }
        self.last_release = Some(exchange.rec_place);
        exchange.phase = Phase::RelSeen;
        exchange.connection = self.connection;
        Ok(())
    }

    /// Notes that PUBACK is being sent.
    pub(crate) fn puback_sent(&mut self, packet_id: u16) {
        let exchange = self.open.remove(&packet_id).expect("only open exchanges are acknowledged");
        self.acknowledged.insert(packet_id, exchange);
    }

    /// Notes that PUBREC is being sent.
    pub(crate) fn pubrec_sent(&mut self, packet_id: u16) {
        self.rec_places += 1;
        let exchange = self.open.get_mut(&packet_id).expect("only open exchanges are acknowledged");
        exchange.phase = Phase::RecSent;
        exchange.rec_place = self.rec_places;
    }

    /// Notes that PUBCOMP is being sent.
    pub(crate) fn pubcomp_sent(&mut self, packet_id: u16) {
        // A PUBREL that is repeated after PUBCOMP has no exchange any more and is answered all the same.
        self.open.remove(&packet_id);
        self.completed.insert(packet_id, self.connection);
    }

    /// The exchanges that are not finished, by packet identifier.
    pub(crate) fn open(&self) -> &BTreeMap<u16, Exchange> {
        if self.in_doubt { &NOTHING } else { &self.open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> MessageId {
        MessageId::Numbered { publisher: 0, number }
    }

    fn connected() -> Inbound {
        let mut inbound = Inbound::default();
        inbound.connected(false, 10);
        inbound
    }

    #[test]
    fn a_correct_history_passes() {
        let mut inbound = connected();
        assert_eq!(inbound.publish(1, message(0), 1, false), Ok(Receipt::New));
        assert_eq!(inbound.publish(2, message(1), 2, false), Ok(Receipt::New));
        assert_eq!(inbound.publish(3, message(2), 2, false), Ok(Receipt::New));
        inbound.puback_sent(1);
        inbound.pubrec_sent(2);
        inbound.connected(true, 10);
        assert_eq!(inbound.publish(1, message(0), 1, true), Ok(Receipt::Again));
        assert_eq!(inbound.publish(3, message(2), 2, true), Ok(Receipt::Again));
        assert_eq!(inbound.release(2), Ok(()));
        inbound.pubcomp_sent(2);
        inbound.pubrec_sent(3);
        assert_eq!(inbound.release(3), Ok(()));
        inbound.connected(true, 10);
        assert_eq!(inbound.release(2), Ok(()), "PUBCOMP may have been lost");
        assert_eq!(inbound.release(3), Ok(()));
        inbound.pubcomp_sent(3);
        assert_eq!(inbound.publish(2, message(3), 2, false), Ok(Receipt::New));
    }

    #[test]
    fn what_was_acknowledged_in_vain_keeps_its_place() {
        let mut inbound = connected();
        inbound.publish(1, message(0), 1, false).expect("a new exchange");
        inbound.publish(2, message(1), 2, false).expect("a new exchange");
        inbound.puback_sent(1);
        for _ in 0..2 {
            inbound.connected(true, 10);
            assert_eq!(inbound.publish(1, message(0), 1, true), Ok(Receipt::Again));
            assert_eq!(inbound.publish(2, message(1), 2, true), Ok(Receipt::Again));
        }
    }

    #[test]
    fn a_session_in_doubt_is_told_by_what_comes_first() {
        let mut inbound = connected();
        inbound.publish(1, message(0), 1, false).expect("a new exchange");
        inbound.connected(true, 10);
        inbound.doubt();
        let mut other = inbound.clone();
        assert!(other.open().is_empty(), "nothing is owed to a session that may be another");
        assert_eq!(other.publish(1, message(9), 1, false), Ok(Receipt::New));
        assert_eq!(inbound.publish(1, message(0), 1, true), Ok(Receipt::Again));
        assert_eq!(inbound.open().len(), 1);
    }

    #[test]
    fn planted_faults_are_found() {
        type Fault = fn(&mut Inbound) -> Result<Receipt, String>;
        let faults: &[(&str, Fault)] = &[
            ("without DUP", |inbound| inbound.publish(1, message(0), 2, false)),
            ("another message", |inbound| inbound.publish(1, message(9), 2, true)),
            ("another message or QoS", |inbound| inbound.publish(1, message(0), 1, true)),
            ("before PUBREC", |inbound| inbound.release(1).map(|()| Receipt::New)),
            ("not open", |inbound| inbound.release(9).map(|()| Receipt::New)),
            ("out of the order of first", |inbound| {
                inbound.publish(2, message(1), 2, true)?;
                inbound.publish(1, message(0), 2, true)
            }),
            ("same connection", |inbound| {
                inbound.publish(1, message(0), 2, true)?;
                inbound.publish(1, message(0), 2, true)
            }),
            ("after its PUBREL", |inbound| {
                inbound.release(3)?;
                inbound.connected(true, 10);
                inbound.publish(3, message(2), 2, true)
            }),
            ("order of the PUBRECs", |inbound| {
                inbound.release(4)?;
                inbound.release(3).map(|()| Receipt::New)
            }),
            ("exceed Receive Maximum", |inbound| {
                for number in 10..30 {
                    inbound.publish(number, message(usize::from(number)), 1, false)?;
                }
                inbound.window().map(|()| Receipt::New)
            }),
        ];
        for (text, fault) in faults {
            let mut inbound = connected();
            for packet_id in 1..=4 {
                let id = message(usize::from(packet_id) - 1);
                inbound.publish(packet_id, id, 2, false).expect("a new exchange");
            }
            inbound.pubrec_sent(3);
            inbound.pubrec_sent(4);
            inbound.connected(true, 10);
            let error = fault(&mut inbound).expect_err(text);
            assert!(error.contains(text), "{error:?} does not say {text:?}");
        }
    }
}
