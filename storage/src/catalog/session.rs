//! A stored session, as memory has it.

use compact_str::CompactString;

use super::rare::{Exchanges, Rarely};
use crate::record::{Gap, Membership, SessionRow, SubscriptionRow};
use crate::topics::shared_filter;
use crate::{
    EndedSession, Epoch, Exchange, LogId, Lsn, Outbound, PacketIdSet, RetainedScan, SessionId, Subscription,
    SubscriptionOptions,
};

/// A stored session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: CompactString,
    pub(crate) epoch: Epoch,
    pub(crate) detached_at_millis: u64,
    /// Messages at or below may have been sent although the position does not say so.
    pub(crate) unsaved_through: Lsn,
    pub(crate) position: Lsn,
    pub(crate) session_expiry_interval: u32,
    pub(crate) last_packet_id: u16,
    /// In seconds.
    pub(crate) keep_alive: u16,
    pub(crate) protocol_level: u8,
    pub(crate) connected: bool,
    /// It was made since the store was opened: its own log is empty until the catalog has a head for it.
    pub(crate) is_new: bool,
    /// By filter.
    pub(crate) subscriptions: Vec<StoredSubscription>,
    pub(crate) rare: Rarely,
}

#[derive(Debug)]
pub(crate) struct StoredSubscription {
    pub(crate) filter: CompactString,
    pub(crate) options: SubscriptionOptions,
    /// Since when messages have been kept for it, once `held`; its first SUBSCRIBE before that.
    pub(crate) start: Lsn,
    /// It has been held with QoS 1 or 2, now or before: what came for it since `start` may wait in a log.
    pub(crate) held: bool,
    /// What it reads beside its session's own log; most read nothing else.
    reads: Option<Box<Reads>>,
}

/// What a subscription reads beside its session's own log.
#[derive(Debug, Default)]
struct Reads {
    retained_scan: Option<RetainedScan>,
    membership: Option<Membership>,
    /// Parts of the filter's own log from before it went to QoS 0, as far as they are not read.
    earlier: Vec<Membership>,
}

impl Session {
    pub(crate) fn new(client_id: CompactString, row: SessionRow) -> Session {
        Session {
            client_id,
            epoch: Epoch(row.epoch),
            detached_at_millis: row.detached_at_millis,
            unsaved_through: row.unsaved_through,
            position: Lsn(0),
            session_expiry_interval: row.session_expiry_interval,
            last_packet_id: 0,
            keep_alive: row.keep_alive,
            protocol_level: row.protocol_level,
            connected: row.connected,
            is_new: false,
            subscriptions: Vec::new(),
            rare: Rarely::of_will(row.will, row.will_due_at_millis),
        }
    }

    pub(crate) fn row(&self, id: SessionId) -> SessionRow {
        SessionRow {
            id: id.0,
            epoch: self.epoch.0,
            protocol_level: self.protocol_level,
            session_expiry_interval: self.session_expiry_interval,
            connected: self.connected,
            detached_at_millis: self.detached_at_millis,
            unsaved_through: self.unsaved_through,
            keep_alive: self.keep_alive,
            will: self.rare.will.as_deref().cloned(),
            will_due_at_millis: self.rare.will_due_at_millis,
        }
    }

    /// When it expires, while it is detached and if it ever does.
    pub(crate) fn expires_at_millis(&self) -> Option<u64> {
        let expires = !self.connected && self.session_expiry_interval != u32::MAX;
        expires
            .then(|| self.detached_at_millis.saturating_add(u64::from(self.session_expiry_interval) * 1000))
    }

    pub(crate) fn ended(&self) -> EndedSession {
        EndedSession { client_id: self.client_id.as_str().into() }
    }

    pub(crate) fn find(&self, filter: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|subscription| subscription.filter.as_str().cmp(filter))
    }

    pub(crate) fn gaps(&self) -> &[Gap] {
        self.rare.gaps.as_deref().map_or(&[], |row| &row.gaps)
    }

    /// Where it reads on that has come to `position`: behind the gap that begins there, unless that still grows.
    pub(crate) fn pass_gaps(&self, position: Lsn) -> Lsn {
        let within =
            |gap: &&Gap| gap.from <= position && position < gap.to && gap.to != crate::record::GROWING;
        self.gaps().iter().find(within).map_or(position, |gap| gap.to)
    }

    /// The parts of filters' logs that it reads.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = Membership> {
        self.subscriptions.iter().flat_map(StoredSubscription::parts)
    }

    /// Whether it has an outbound state at all.
    pub(crate) fn has_outbound(&self) -> bool {
        self.position > Lsn(0) || self.last_packet_id > 0 || self.rare.exchanges.is_some()
    }

    pub(crate) fn outbound(&self) -> Outbound {
        let open = self.rare.exchanges.as_ref().map(|exchanges| exchanges.open.clone()).unwrap_or_default();
        Outbound { position: self.position, last_packet_id: self.last_packet_id, open }
    }

    /// Takes over a saved outbound state. Packet identifiers whose held messages nobody needs any more come back.
    pub(crate) fn set_outbound(&mut self, outbound: Outbound) -> Vec<u16> {
        self.position = self.position.max(outbound.position);
        self.last_packet_id = outbound.last_packet_id;
        let Outbound { open, .. } = outbound;
        let mut held = Vec::new();
        if self.rare.exchanges.is_some() {
            held = self.rare.exchanges.take().map(|exchanges| exchanges.held).unwrap_or_default();
        }
        let mut released = Vec::new();
        held.retain(|(packet_id, lsn)| {
            let needed = open.iter().any(|exchange| exchange.packet_id == *packet_id && exchange.lsn == *lsn);
            if !needed {
                released.push(*packet_id);
            }
            needed
        });
        if !(open.is_empty() && held.is_empty()) {
            self.rare.exchanges = Some(Box::new(Exchanges { open, held }));
        }
        released
    }

    pub(crate) fn set_inbound(&mut self, inbound: PacketIdSet) {
        if !inbound.is_empty() || self.rare.inbound.is_some() {
            self.rare.inbound = (!inbound.is_empty()).then(|| Box::new(inbound));
        }
    }

    /// Open exchanges whose message has to be read from a log, should the client come back.
    pub(crate) fn exchanges_in_logs(&self) -> impl Iterator<Item = &Exchange> {
        self.rare.exchanges.iter().flat_map(|exchanges| {
            exchanges.open.iter().filter(|exchange| {
                exchange.log != LogId::RETAINED
                    && !exchange.received
                    && !exchanges.held.contains(&(exchange.packet_id, exchange.lsn))
            })
        })
    }

    /// The last LSN of a log that neither its reading nor an open exchange needs; it reads above `from` and above its position.
    pub(crate) fn floor(&self, log: LogId, from: Lsn) -> Lsn {
        let read = self.pass_gaps(self.position.max(from));
        // One that has begun may be older than the part of the log that the session reads now.
        let exchanges = self.exchanges_in_logs().filter(|exchange| exchange.log == log);
        let oldest = exchanges.map(|exchange| Lsn(exchange.lsn.0.saturating_sub(1))).min();
        oldest.map_or(read, |oldest| oldest.min(read))
    }
}

impl StoredSubscription {
    pub(crate) fn new(filter: &str, row: SubscriptionRow) -> StoredSubscription {
        let SubscriptionRow { options, start, held, retained_scan, membership, earlier } = row;
        let reads = Reads { retained_scan, membership, earlier };
        let mut new = StoredSubscription { filter: filter.into(), options, start, held, reads: None };
        new.set_reads(reads);
        new
    }

    pub(crate) fn row(&self) -> SubscriptionRow {
        SubscriptionRow {
            options: self.options,
            start: self.start,
            held: self.held,
            retained_scan: self.retained_scan().cloned(),
            membership: self.membership(),
            earlier: self.reads.as_ref().map(|reads| reads.earlier.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn subscription(&self) -> Subscription {
        Subscription {
            filter: self.filter.as_str().into(),
            options: self.options,
            start: self.start,
            retained_scan: self.retained_scan().cloned(),
        }
    }

    /// How far the retained messages of its SUBSCRIBE have been read; `None`: to the end.
    pub(crate) fn retained_scan(&self) -> Option<&RetainedScan> {
        self.reads.as_ref()?.retained_scan.as_ref()
    }

    pub(crate) fn set_retained_scan(&mut self, scan: Option<RetainedScan>) {
        let mut reads = self.take_reads();
        reads.retained_scan = scan;
        self.set_reads(reads);
    }

    /// The part of its filter's own log that it reads, as it was last held.
    pub(crate) fn membership(&self) -> Option<Membership> {
        self.reads.as_ref()?.membership
    }

    pub(crate) fn set_membership(&mut self, membership: Option<Membership>) {
        let mut reads = self.take_reads();
        reads.membership = membership;
        self.set_reads(reads);
    }

    fn take_reads(&mut self) -> Reads {
        self.reads.take().map(|reads| *reads).unwrap_or_default()
    }

    fn set_reads(&mut self, reads: Reads) {
        let any = reads.retained_scan.is_some() || reads.membership.is_some() || !reads.earlier.is_empty();
        self.reads = any.then(|| Box::new(reads));
    }

    /// Whether its session holds the filter by itself: not at QoS 0, and not as a member of a group.
    pub(crate) fn is_holder(&self) -> bool {
        self.options.qos > 0 && !self.is_shared()
    }

    /// Whether its session is a member of the filter's group.
    pub(crate) fn is_shared(&self) -> bool {
        shared_filter(&self.filter).is_some()
    }

    /// The parts of its filter's own log that it reads.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Membership> {
        let reads = self.reads.as_deref().into_iter();
        reads.flat_map(|reads| reads.earlier.iter().copied().chain(reads.membership))
    }

    /// It is held once more after it had gone to QoS 0: what waits of the part before stays its own.
    pub(crate) fn hold_again(&mut self, membership: Option<Membership>, position: Lsn) {
        /// So many changes back and forth, and what came between the oldest two counts as kept.
        const MOST: usize = 16;
        let unread = |part: &Membership| part.until > part.from.max(position);
        let mut parts: Vec<Membership> = self.parts().filter(unread).collect();
        if parts.len() > MOST {
            let oldest = parts.remove(0);
            parts[0].from = oldest.from;
        }
        let retained_scan = self.take_reads().retained_scan;
        self.set_reads(Reads { retained_scan, membership, earlier: parts });
    }
}
