//! Messages that do not come from the session's logs: from the mailbox, and pulled from groups.

use super::Session;
use crate::session::{Delivery, Now, Place, Taken};

impl Session {
    /// Takes a message from the mailbox, where a stored session finds only what its logs do not bring. `lsn` is
    /// `u64::MAX` for a message that has none.
    /// `group` is the shared subscription that it comes by, if it does.
    pub fn take_from_mailbox(
        &mut self,
        lsn: u64,
        group: Option<&str>,
        delivery: &Delivery<'_>,
        now: Now,
    ) -> Taken {
        let client_id = &self.terms.client_id;
        let grant = match group {
            Some(filter) => {
                self.subscriptions.get(filter).and_then(|member| member.grant(client_id, delivery))
            }
            None => self.subscriptions.grant(client_id, delivery, lsn),
        };
        let Some(grant) = grant else { return Taken::Unwanted };
        if self.durable && (grant.qos > 0 || self.subscriptions.comes_from_logs(delivery, lsn)) {
            return Taken::Unwanted;
        }
        let retain = delivery.retain && grant.retain_as_published;
        let place = Place { lsn, log: 0 };
        let taken = self.outbound.take(place, delivery, &grant, retain, &mut self.wire, now);
        self.outbound.count(taken)
    }

    /// Takes a message that was pulled from the group of a shared subscription. `Unwanted`: the session is no member
    /// any more, and another one may have it.
    pub fn take_from_group(
        &mut self,
        filter: &str,
        place: Place,
        delivery: &Delivery<'_>,
        now: Now,
    ) -> Taken {
        let Some(member) = self.subscriptions.get(filter) else { return Taken::Unwanted };
        let Some(grant) = member.grant(&self.terms.client_id, delivery) else { return Taken::Unwanted };
        let taken = self.outbound.take_from_group(place, delivery, &grant, &mut self.wire, now);
        self.outbound.count(taken)
    }

    /// Messages of groups that the client of a session that is not stored has received since last asked.
    pub fn received_from_groups(&mut self) -> Vec<Place> {
        self.outbound.received_from_groups()
    }

    /// Logs of messages that the client has refused since last asked.
    pub fn take_refused(&mut self) -> Vec<u64> {
        self.outbound.take_refused()
    }

    /// Messages of groups that were taken and that the client was never sent: of a session that is not stored, those of QoS 2.
    #[must_use]
    pub fn unsent_from_groups(&self) -> &[Place] {
        self.outbound.unsent_from_groups()
    }
}
