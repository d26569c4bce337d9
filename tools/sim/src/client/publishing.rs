//! What a client publishes: QoS 0, 1 and 2, each exchange to its end, across connections.

use barnacle_wire::packets::Ack;
use barnacle_wire::{Property, Publish, Version, kind};

use super::{Client, Surroundings};
use crate::oracle::{Judged, Message, Oracle, ensure};

/// Exchanges that it has open at most.
const OPEN: usize = 4;

/// An exchange that has begun.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) packet_id: u16,
    message: usize,
    /// PUBREC has come: PUBREL is to be answered.
    released: bool,
}

impl Client {
    /// Publishes a new message.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        qos: u8,
        retain: bool,
        clears: bool,
        expiry: Option<u32>,
        around: &mut Surroundings<'_>,
    ) {
        if !self.online || self.leaving || self.outgoing.len() >= OPEN {
            return;
        }
        let number = around.oracle.messages.len();
        let packet_id = if qos > 0 { self.free_identifier() } else { 0 };
        let expiry = expiry.filter(|_| self.role.version == Version::V5);
        let sent = around.trace.note(format_args!(
            "c{} PUBLISH m{number} {topic} QoS {qos} retain {retain} id {packet_id} expiry {expiry:?}",
            self.number
        ));
        let expiry = expiry.map(|seconds| (seconds, around.trace.millis()));
        let message = Message::new(self.number, topic, qos, sent);
        around.oracle.messages.push(Message { retain, clears, expiry, ..message });
        if qos > 0 {
            self.outgoing.push(Outgoing { packet_id, message: number, released: false });
        }
        self.send_publish(number, packet_id, false, around);
    }

    fn send_publish(&mut self, number: usize, packet_id: u16, dup: bool, around: &Surroundings<'_>) {
        let message = &around.oracle.messages[number];
        let payload = if message.clears { String::new() } else { format!("m{number}") };
        let mut publish =
            Publish::new(&message.topic, payload).qos(message.qos, packet_id).retain(message.retain).dup(dup);
        if let Some((seconds, _)) = message.expiry {
            publish = publish.property(Property::MessageExpiryInterval(seconds));
        }
        self.send(&publish.encode(self.role.version));
    }

    /// The lowest that is free: identifiers are used again as soon as they may be.
    pub(super) fn free_identifier(&self) -> u16 {
        let used = |id: &u16| {
            self.outgoing.iter().any(|open| open.packet_id == *id)
                || self.asked.iter().any(|asked| asked.packet_id == *id)
        };
        (1..=u16::MAX).find(|id| !used(id)).expect("a few are in use")
    }

    /// Nothing of what it publishes is under way.
    pub(super) fn has_published(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// The broker takes nothing now that it would have to store. An MQTT 5 client is told so, unless its connection ends before.
    pub(crate) fn may_be_refused(&self, oracle: &mut Oracle) {
        if self.role.version == Version::V5 {
            for open in self.outgoing.iter().filter(|open| !open.released) {
                oracle.messages[open.message].may_be_refused = true;
            }
        }
    }

    /// The session is resumed: everything that is open is sent again, in order [MQTT-4.4.0-1].
    pub(super) fn resume(&mut self, around: &mut Surroundings<'_>) {
        for at in 0..self.outgoing.len() {
            let Outgoing { packet_id, message, released } = self.outgoing[at];
            if released {
                self.send(&Ack::new(packet_id).encode(kind::PUBREL, self.role.version));
            } else {
                around.oracle.messages[message].attempts += 1;
                around.oracle.messages[message].last_sent = around
                    .trace
                    .note(format_args!("c{} PUBLISH m{message} again id {packet_id}", self.number));
                around.trace.count("messages published again");
                self.send_publish(message, packet_id, true, around);
            }
        }
    }

    /// PUBACK, PUBREC or PUBCOMP has come.
    pub(super) fn acknowledged(
        &mut self,
        packet_kind: u8,
        ack: &Ack,
        around: &mut Surroundings<'_>,
    ) -> Judged {
        let now = around.trace.note(format_args!(
            "c{} gets acknowledgement {packet_kind} of id {} reason {:#x}",
            self.number, ack.packet_id, ack.reason
        ));
        let found = self.outgoing.iter().position(|open| open.packet_id == ack.packet_id);
        let Some(at) = found else {
            return Err(format!("acknowledgement {packet_kind} of {}, which is not open", ack.packet_id));
        };
        let message = &mut around.oracle.messages[self.outgoing[at].message];
        let expected = match (message.qos, self.outgoing[at].released) {
            (1, _) => packet_kind == kind::PUBACK,
            (_, false) => packet_kind == kind::PUBREC,
            (_, true) => packet_kind == kind::PUBREC || packet_kind == kind::PUBCOMP,
        };
        ensure(expected, || format!("acknowledgement {packet_kind} of {message:?}"))?;
        if packet_kind == kind::PUBCOMP {
            self.outgoing.remove(at);
            return Ok(());
        }
        if ack.reason >= 0x80 {
            ensure(ack.reason == 0x97, || format!("{message:?} is refused with {:#x}", ack.reason))?;
            // What was sent twice may have been taken the first time.
            message.refused = message.attempts == 1;
            around.trace.count("messages refused");
            self.outgoing.remove(at);
            return Ok(());
        }
        message.acknowledged.get_or_insert(now);
        if packet_kind == kind::PUBACK {
            message.acknowledged = Some(now);
            self.outgoing.remove(at);
        } else {
            self.outgoing[at].released = true;
            self.answers.push_back((kind::PUBREL, ack.packet_id));
        }
        Ok(())
    }
}
