//! Messages of a shared subscription's group: pulled, not read by position.
//!
//! A restarted broker cannot work out which member pulled what: in a stored session the exchange is recorded before its
//! PUBLISH leaves. A session that ends with its connection records nothing, but what it is sent at QoS 2 has left the
//! group durably before, because it must go to nobody else [MQTT-4.8.2-5].

use super::{Grant, Outbound, Taken};
use crate::session::wire::Wire;
use crate::session::{Delivery, Now, Place};

/// What a session has of its groups beside its exchanges.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Of a session that is not stored: the client has them, and nobody has been told.
    received: Vec<Place>,
    /// Messages that have left their groups for this session and wait to be sent: of a session that is not stored, those
    /// of QoS 2.
    unsent: Vec<Place>,
    /// Logs of messages that the client has refused, a group's or not, and nobody has been told.
    refused: Vec<u64>,
}

impl Groups {
    /// An exchange has come so far that its client has the message.
    pub(super) fn received(&mut self, place: Place) {
        self.received.push(place);
    }

    /// The client does not want a message that it was sent.
    pub(super) fn refused(&mut self, place: Place) {
        if place.log != 0 {
            self.refused.push(place.log);
        }
    }

    /// What was held back has been sent.
    pub(super) fn sent(&mut self) {
        self.unsent.clear();
    }
}

impl Outbound {
    /// Takes a message of a group.
    pub(in crate::session) fn take_from_group(
        &mut self,
        place: Place,
        delivery: &Delivery<'_>,
        grant: &Grant,
        wire: &mut Wire,
        now: Now,
    ) -> Taken {
        if self.room() == 0 {
            return Taken::Full;
        }
        let exactly_once = grant.qos == 2;
        if self.durable || exactly_once {
            self.hold.begin();
        }
        let retain = delivery.retain && grant.retain_as_published;
        let taken = self.begin(place, delivery, grant, retain, wire, now);
        if matches!(taken, Taken::Begun(_)) && (self.durable || exactly_once) {
            self.group.unsent.push(place);
        }
        taken
    }

    pub(in crate::session) fn received_from_groups(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.group.received)
    }

    pub(in crate::session) fn take_refused(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.group.refused)
    }

    pub(in crate::session) fn unsent_from_groups(&self) -> &[Place] {
        &self.group.unsent
    }
}
