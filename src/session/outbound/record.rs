//! The durable part of the outbound side: one record, when it is due, and what waits for it.

use smallvec::SmallVec;

use super::Outbound;
use super::identifiers::REACH;
use crate::planted;
use crate::protocol::{AckKind, ReasonCode};
use crate::session::wire::Wire;
use crate::session::{Now, Place};

/// An ended exchange is durably ended within this time, in milliseconds.
const RECORD_DELAY_MILLIS: u64 = 200;

/// A record is due when this many messages were sent since the last: in time for the next half of its reach.
const RECORD_EVERY: u32 = REACH / 2;

/// Outbound state as it is kept: everything at or below `position` has been taken, sent or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundRecord {
    /// LSN up to which the logs have been taken.
    pub position: u64,
    /// Last packet identifier given out in sequence.
    pub last_packet_id: u16,
    /// Exchanges that wait for PUBCOMP in the order of their PUBRECs, then those that wait for PUBACK or PUBREC in the
    /// order sent.
    pub open: Vec<Exchange>,
}

/// An exchange that has begun and not ended: what was frozen when its message entered the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Packet identifier.
    pub packet_id: u16,
    /// Where its message is.
    pub place: Place,
    /// QoS of the delivery, 1 or 2.
    pub qos: u8,
    /// PUBREC has been seen.
    pub received: bool,
    /// RETAIN flag of the delivery.
    pub retain: bool,
    /// Subscription Identifiers of the delivery.
    pub identifiers: SmallVec<[u32; 2]>,
}

/// Whether PUBLISHes wait for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// They leave at once.
    Nothing,
    /// They wait for the record that is submitted next, and more may join them.
    UntilRecorded,
    /// They wait for a record on its way; nothing new is taken meanwhile.
    UntilDurable,
}

impl Hold {
    pub(super) fn begin(&mut self) {
        self.begin_unless(false);
    }

    pub(super) fn begin_unless(&mut self, already_on_its_way: bool) {
        if *self == Self::Nothing && !already_on_its_way {
            *self = Self::UntilRecorded;
        }
    }
}

/// A record that has been submitted.
#[derive(Debug)]
pub(super) struct PendingRecord {
    /// PUBRELs that wait for it, in order.
    releases: Vec<u16>,
    /// Whether the PUBLISHes held back wait for it.
    frees_held: bool,
}

impl PendingRecord {
    /// Whether the PUBREL of this identifier waits for it.
    pub(super) fn waits(&self, packet_id: u16) -> bool {
        self.releases.contains(&packet_id)
    }
}

impl Outbound {
    /// Something happened that no record tells yet.
    pub(super) fn changed(&mut self, now: Now) {
        if self.durable {
            self.unrecorded_since.get_or_insert(now.monotonic_millis);
        }
    }

    /// When a record is due at the latest, in monotonic milliseconds.
    pub(in crate::session) fn record_deadline(&self) -> Option<u64> {
        if self.identifiers.awaiting() {
            return None;
        }
        self.unrecorded_since.map(|since| since + RECORD_DELAY_MILLIS)
    }

    /// Whether a record is to be submitted now. One at a time: the next takes along all that came meanwhile.
    pub(in crate::session) fn record_due(&self, now: Now) -> bool {
        let held = self.hold == Hold::UntilRecorded;
        let changed = self.unrecorded_releases > 0
            || self.identifiers.given() >= RECORD_EVERY
            || self.record_deadline().is_some_and(|deadline| now.monotonic_millis >= deadline);
        (held || (self.durable && changed)) && !self.identifiers.awaiting()
    }

    /// The record as of now, which the caller submits at once.
    pub(in crate::session) fn submit_record(&mut self) -> OutboundRecord {
        let unrecorded = self.released.len() - self.unrecorded_releases;
        self.pending.push_back(PendingRecord {
            releases: self.released.range(unrecorded..).map(|exchange| exchange.packet_id).collect(),
            frees_held: self.hold == Hold::UntilRecorded,
        });
        self.unrecorded_releases = 0;
        self.unrecorded_since = None;
        if self.hold == Hold::UntilRecorded {
            self.hold = Hold::UntilDurable;
        }
        let mut record = self.record();
        if planted!(PositionBeforeExchanges) {
            record.open.retain(|exchange| exchange.received);
        }
        self.identifiers.record_submitted(record.open.iter().map(|exchange| exchange.packet_id));
        record
    }

    /// The state as it would be kept.
    pub(in crate::session) fn record(&self) -> OutboundRecord {
        OutboundRecord {
            position: self.position,
            last_packet_id: self.identifiers.last(),
            open: self.released.iter().chain(&self.sent).cloned().collect(),
        }
    }

    /// The oldest submitted record is durable: what waited for it leaves [MQTT-4.3.3-8].
    pub(in crate::session) fn record_durable(&mut self, wire: &mut Wire) {
        self.identifiers.record_durable();
        let record = self.pending.pop_front().expect("a record becomes durable after it was submitted");
        for packet_id in record.releases {
            wire.acknowledge(AckKind::PubRel, packet_id, ReasonCode::Success);
        }
        if record.frees_held {
            wire.release(std::mem::take(&mut self.held));
            self.hold = Hold::Nothing;
            self.group.sent();
        }
    }

    /// Bytes of the PUBLISHes that wait for a record.
    pub(in crate::session) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// A subscription change is on its way: until it is done nothing new is taken, so that a restarted broker reads
    /// the same messages with the same subscriptions.
    pub(in crate::session) fn pause(&mut self) {
        self.pauses += 1;
    }

    pub(in crate::session) fn unpause(&mut self) {
        self.pauses -= 1;
    }

    pub(in crate::session) fn paused(&self) -> bool {
        self.pauses > 0
    }
}
