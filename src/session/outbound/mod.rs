//! Towards the client: the window of exchanges.
//!
//! ```text
//! QoS 1:  taken ── PUBLISH ──▶ sent ── PUBACK ──▶ done
//! QoS 2:  taken ── PUBLISH ──▶ sent ── PUBREC ──▶ released (record durable, then PUBREL) ── PUBCOMP ──▶ done
//! ```
//!
//! The durable part of all this is one record: a position and the open exchanges ([`OutboundRecord`]). It is written
//! before a PUBREL leaves, before anything is sent that a restarted broker could not work out again, and otherwise now
//! and then: what it lags behind is sent again after a crash, under the same identifiers (see `identifiers`).

mod answers;
mod group;
mod identifiers;
mod record;

use std::collections::VecDeque;

use bytes::BytesMut;

use self::identifiers::{Identifiers, REACH};
pub use self::record::{Exchange, OutboundRecord};
use self::record::{Hold, PendingRecord};
use super::subscriptions::Grant;
use super::wire::{PublishHeader, TooLarge, Wire};
use super::{Delivery, Dropped, Now, Place};
use crate::protocol::{AckKind, PacketId, ReasonCode};

/// What became of a message that was offered to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is on its way, in an exchange with this identifier (QoS 1 and 2).
    Begun(u16),
    /// It is on its way, at QoS 0.
    Sent,
    /// No subscription wants it (any more).
    Unwanted,
    /// Its Message Expiry Interval has passed.
    Expired,
    /// It is larger than the client's Maximum Packet Size.
    TooLarge,
    /// There is no room now: offer it again.
    Full,
}

/// The outbound side of a session.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Kept in the store; else the session ends with its connection.
    durable: bool,
    /// Exchanges that may be open at once: the client's Receive Maximum, capped by ours.
    window: usize,
    identifiers: Identifiers,
    position: u64,
    /// PUBLISH was sent, in order; those from `to_resend` on were sent on an earlier connection only.
    sent: VecDeque<Exchange>,
    to_resend: usize,
    /// PUBREC was seen, in the order of the PUBRECs; the last `unrecorded_releases` are in no submitted record.
    released: VecDeque<Exchange>,
    unrecorded_releases: usize,
    pending: VecDeque<PendingRecord>,
    /// Messages at or below this LSN may have been sent by a broker that died: they are taken back before all else.
    may_have_been_sent_through: u64,
    /// Whether PUBLISHes wait for a record.
    hold: Hold,
    /// Those that wait.
    held: BytesMut,
    /// Subscription changes being committed: nothing new is taken meanwhile.
    pauses: u32,
    /// Since when something has not been recorded, in monotonic milliseconds.
    unrecorded_since: Option<u64>,
    /// What was passed over since the last record.
    dropped: Dropped,
    /// What it has of its groups beside the exchanges.
    group: group::Groups,
}

impl Outbound {
    /// A session that ends with its connection.
    pub(super) fn transient(window: u16) -> Self {
        Self::new(false, window, OutboundRecord::default(), None)
    }

    /// A stored session, resumed from its record.
    pub(super) fn resume(window: u16, record: OutboundRecord, sent_unsaved_through: Option<u64>) -> Self {
        Self::new(true, window, record, sent_unsaved_through)
    }

    fn new(durable: bool, window: u16, record: OutboundRecord, sent_unsaved_through: Option<u64>) -> Self {
        let identifiers =
            Identifiers::resume(record.last_packet_id, record.open.iter().map(|exchange| exchange.packet_id));
        let (released, sent) = record.open.into_iter().partition(|exchange: &Exchange| exchange.received);
        Self {
            durable,
            window: usize::from(window),
            identifiers,
            position: record.position,
            sent,
            to_resend: 0,
            released,
            unrecorded_releases: 0,
            pending: VecDeque::new(),
            may_have_been_sent_through: sent_unsaved_through.unwrap_or(0),
            hold: Hold::Nothing,
            held: BytesMut::new(),
            pauses: 0,
            unrecorded_since: None,
            dropped: Dropped::default(),
            group: group::Groups::default(),
        }
    }

    /// Sends the PUBRELs that an earlier connection owed, in the order of their PUBRECs [MQTT-4.6.0-4].
    pub(super) fn resend_releases(&self, wire: &mut Wire) {
        for exchange in &self.released {
            wire.acknowledge(AckKind::PubRel, exchange.packet_id, ReasonCode::Success);
        }
    }

    /// LSN up to which the logs have been taken.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The exchanges to be sent again next, as far as the window goes [MQTT-4.4.0-1].
    pub(super) fn resends(&self) -> impl Iterator<Item = &Exchange> {
        self.sent.iter().skip(self.to_resend).take(self.free())
    }

    /// How many new messages may be taken now.
    pub(super) fn room(&self) -> usize {
        let waits = self.to_resend < self.sent.len() || self.hold == Hold::UntilDurable || self.paused();
        if waits { 0 } else { self.free() }
    }

    fn free(&self) -> usize {
        self.window.saturating_sub(self.to_resend + self.released.len())
    }

    /// Sends the next exchange of [`Self::resends`] again, with its message; `None`: the message cannot be read, and
    /// the exchange ends.
    pub(super) fn resend(&mut self, delivery: Option<&Delivery<'_>>, wire: &mut Wire, now: Now) {
        let exchange = &self.sent[self.to_resend];
        let header = PublishHeader {
            duplicate: true,
            qos: exchange.qos,
            retain: exchange.retain,
            packet_id: PacketId::try_from(exchange.packet_id).ok(),
            identifiers: &exchange.identifiers,
        };
        let written = wire.output().len();
        match delivery.map(|delivery| wire.publish(header, delivery, now)) {
            Some(Ok(())) => {
                self.to_resend += 1;
                self.hold_back(wire, written);
            }
            gone @ (Some(Err(TooLarge)) | None) => {
                let too_large = gone.is_some();
                self.dropped.too_large += u64::from(too_large);
                self.dropped.damaged += u64::from(!too_large);
                self.sent.remove(self.to_resend);
                self.changed(now);
            }
        }
    }

    /// Messages above the first LSN and up to the second may have been sent by a broker that died before it recorded
    /// it. They are taken back before anything else happens to the session: under the identifiers that they had, which
    /// follow from the record and the subscriptions as they were.
    pub(super) fn to_take_back(&self) -> Option<(u64, u64)> {
        let through = self.may_have_been_sent_through;
        (self.position < through).then_some((self.position, through))
    }

    /// Takes a message back: it is sent again, with DUP, as the window allows, and does not expire. `false`: neither
    /// this message nor those behind it can have been sent.
    pub(super) fn take_back(
        &mut self,
        place: Place,
        delivery: &Delivery<'_>,
        grant: Option<Grant>,
        now: Now,
    ) -> bool {
        if let Some(grant) = grant.filter(|grant| grant.qos > 0) {
            let Ok(packet_id) = self.identifiers.next() else { return false };
            self.sent.push_back(Exchange {
                packet_id,
                place,
                qos: grant.qos,
                received: false,
                retain: delivery.retain && grant.retain_as_published,
                identifiers: grant.identifiers,
            });
        }
        self.position = place.lsn;
        self.changed(now);
        true
    }

    /// All that may have been sent has been taken back.
    pub(super) fn taken_back(&mut self) {
        self.may_have_been_sent_through = 0;
    }

    /// Takes a message of the session's logs. Messages are offered in the order of their LSNs.
    pub(super) fn take_from_log(
        &mut self,
        place: Place,
        delivery: &Delivery<'_>,
        grant: Option<Grant>,
        wire: &mut Wire,
        now: Now,
    ) -> Taken {
        debug_assert!(place.lsn > self.position, "the logs are read forward");
        if self.room() == 0 {
            return Taken::Full;
        }
        let taken = match grant {
            None => Taken::Unwanted,
            Some(grant) => {
                let retain = delivery.retain && grant.retain_as_published;
                self.begin(place, delivery, &grant, retain, wire, now)
            }
        };
        if taken == Taken::Full {
            return taken;
        }
        self.position = place.lsn;
        if matches!(taken, Taken::Expired | Taken::TooLarge) {
            // It depended on the clock or on this connection's limits: a restarted broker cannot work it out again.
            self.hold.begin();
        }
        self.changed(now);
        taken
    }

    /// Notes what a message was dropped for, if it was.
    pub(super) fn count(&mut self, taken: Taken) -> Taken {
        self.dropped.expired += u64::from(taken == Taken::Expired);
        self.dropped.too_large += u64::from(taken == Taken::TooLarge);
        taken
    }

    pub(super) fn dropped(&mut self) -> &mut Dropped {
        &mut self.dropped
    }

    pub(super) fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Passes over everything up to an LSN, whether or not there is room. A restarted broker could not work that out
    /// again: nothing more is sent before it is recorded. `false`: a record or a subscription change is on its way, and
    /// what is sent after it must not depend on this.
    pub(super) fn drop_through(&mut self, lsn: u64, dropped: Dropped, now: Now) -> bool {
        if self.paused() || self.hold == Hold::UntilDurable || lsn <= self.position {
            return false;
        }
        self.position = lsn;
        self.dropped = self.dropped.plus(dropped);
        self.hold.begin();
        self.changed(now);
        true
    }

    /// What was to be taken cannot be read.
    pub(super) fn passed_damage(&mut self, messages: u64, at_most: u64, now: Now) {
        if messages + at_most > 0 {
            self.dropped.damaged += messages;
            self.dropped.damaged_at_most += at_most;
            self.changed(now);
        }
    }

    /// Nothing at or below this LSN is left to take.
    pub(super) fn logs_taken_through(&mut self, lsn: u64, now: Now) {
        if lsn > self.position {
            self.position = lsn;
            self.changed(now);
        }
    }

    /// Takes a message that is in no log of this session: retained, from the mailbox, or anything for a session that
    /// ends with its connection. In a stored session an exchange so begun waits for its record.
    pub(super) fn take(
        &mut self,
        place: Place,
        delivery: &Delivery<'_>,
        grant: &Grant,
        retain: bool,
        wire: &mut Wire,
        now: Now,
    ) -> Taken {
        if grant.qos > 0 {
            if self.room() == 0 {
                return Taken::Full;
            }
            if self.durable {
                self.hold.begin();
            }
        }
        self.begin(place, delivery, grant, retain, wire, now)
    }

    fn begin(
        &mut self,
        place: Place,
        delivery: &Delivery<'_>,
        grant: &Grant,
        retain: bool,
        wire: &mut Wire,
        now: Now,
    ) -> Taken {
        if delivery.expired(now.unix_millis) {
            return Taken::Expired;
        }
        let mut header = PublishHeader {
            duplicate: false,
            qos: grant.qos,
            retain,
            packet_id: None,
            identifiers: &grant.identifiers,
        };
        if grant.qos == 0 {
            let written = wire.output().len();
            return match wire.publish(header, delivery, now) {
                Ok(()) => {
                    self.hold_back(wire, written);
                    Taken::Sent
                }
                Err(TooLarge) => Taken::TooLarge,
            };
        }
        // Every identifier takes as much room.
        header.packet_id = PacketId::try_from(u16::MAX).ok();
        if !wire.fits(&header, delivery, now) {
            return Taken::TooLarge;
        }
        let Ok(packet_id) = self.next_identifier() else {
            self.hold.begin_unless(self.identifiers.awaiting());
            return Taken::Full;
        };
        header.packet_id = PacketId::try_from(packet_id).ok();
        let written = wire.output().len();
        wire.publish(header, delivery, now).expect("it was seen to fit");
        self.hold_back(wire, written);
        self.sent.push_back(Exchange {
            packet_id,
            place,
            qos: grant.qos,
            received: false,
            retain,
            identifiers: grant.identifiers.clone(),
        });
        self.to_resend += 1;
        Taken::Begun(packet_id)
    }

    /// The next packet identifier. Without a store there is no record to count from: what is open is the record.
    fn next_identifier(&mut self) -> Result<u16, identifiers::AwaitRecord> {
        if !self.durable && self.identifiers.given() >= REACH {
            self.identifiers
                .record_submitted(self.sent.iter().chain(&self.released).map(|open| open.packet_id));
            self.identifiers.record_durable();
        }
        self.identifiers.next()
    }

    /// Keeps back what was just encoded when PUBLISHes wait for a record. Those at QoS 0 wait as well: they may name
    /// their topic by an alias that one before them sets.
    fn hold_back(&mut self, wire: &mut Wire, written: usize) {
        if self.hold != Hold::Nothing {
            let late = wire.output().split_off(written);
            self.held.unsplit(late);
        }
    }
}
