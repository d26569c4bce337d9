//! Messages of a shared subscription's group: pulled, not read by position.
//!
//! A restarted broker cannot work out which member pulled what: in a stored session the exchange is recorded before its
//! PUBLISH leaves. A session that ends with its connection records nothing, but what it is sent at QoS 2 has left the
//! group durably before, because it must go to nobody else [MQTT-4.8.2-5].

use super::{Grant, Outbound, Taken};
use crate::session::wire::Wire;
use crate::session::{Delivery, Now, Place};

/// What a session that is not stored has of its groups.
#[derive(Debug, Default)]
pub(super) struct Transient {
    /// The client has them, and nobody has been told.
    received: Vec<Place>,
    /// QoS 2 messages that wait to be sent.
    unsent: Vec<Place>,
}

impl Transient {
    /// An exchange has come so far that its client has the message.
    pub(super) fn received(&mut self, place: Place) {
        self.received.push(place);
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
        if let (Taken::Begun(_), false, true) = (taken, self.durable, exactly_once) {
            self.group.unsent.push(place);
        }
        taken
    }

    pub(in crate::session) fn received_from_groups(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.group.received)
    }

    pub(in crate::session) fn unsent_from_groups(&self) -> &[Place] {
        &self.group.unsent
    }
}
