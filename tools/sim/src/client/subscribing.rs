//! Subscriptions that a client asks for and gives up.

use barnacle_wire::packets::Unsubscribe;
use barnacle_wire::{SubAck, Subscribe};

use super::{Client, Surroundings};
use crate::oracle::{Judged, Wish, ensure};

/// A SUBSCRIBE or UNSUBSCRIBE that is not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) packet_id: u16,
    filter: String,
    ends: bool,
    /// When it was sent.
    sent: u64,
}

impl Client {
    pub(crate) fn subscribe(&mut self, filter: &str, wish: Wish, around: &mut Surroundings<'_>) {
        let Some(session) = self.session.filter(|_| self.online && !self.leaving) else { return };
        let packet_id = self.free_identifier();
        let Wish { qos, no_local, retain_as_published } = wish;
        let now = around.trace.note(format_args!(
            "c{} SUBSCRIBE {filter} QoS {qos} no local {no_local} as published {retain_as_published} id {packet_id}",
            self.number
        ));
        around.oracle.subscribe(session, filter, wish, now);
        self.asked.push(Asked { packet_id, filter: filter.to_owned(), ends: false, sent: now });
        self.send(&Subscribe::new(packet_id, filter, wish.byte()).encode(self.role.version));
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str, around: &mut Surroundings<'_>) {
        let Some(session) = self.session.filter(|_| self.online && !self.leaving) else { return };
        let packet_id = self.free_identifier();
        let now = around.trace.note(format_args!("c{} UNSUBSCRIBE {filter} id {packet_id}", self.number));
        around.oracle.unsubscribe(session, filter, now);
        self.asked.push(Asked { packet_id, filter: filter.to_owned(), ends: true, sent: now });
        self.send(&Unsubscribe::new(packet_id, filter).encode(self.role.version));
    }

    /// SUBACK or UNSUBACK has come.
    pub(super) fn granted(&mut self, ends: bool, ack: &SubAck, around: &mut Surroundings<'_>) -> Judged {
        let now = around.trace.note(format_args!(
            "c{} gets {} of id {}",
            self.number,
            if ends { "UNSUBACK" } else { "SUBACK" },
            ack.packet_id
        ));
        let found =
            self.asked.iter().position(|asked| asked.packet_id == ack.packet_id && asked.ends == ends);
        let Some(at) = found else { return Err(format!("nothing was asked with id {}", ack.packet_id)) };
        let asked = self.asked.remove(at);
        ensure(ack.reasons.iter().all(|reason| *reason < 0x80), || {
            format!("{} is refused: {:?}", asked.filter, ack.reasons)
        })?;
        let session = self.session.expect("who is online has a session");
        if ends {
            around.oracle.unsubscribed(session, &asked.filter, asked.sent, now);
        } else {
            around.oracle.subscribed(session, &asked.filter, asked.sent, now);
        }
        Ok(())
    }

    /// Nothing that it has asked for is under way.
    pub(super) fn has_subscribed(&self) -> bool {
        self.asked.is_empty()
    }
}
