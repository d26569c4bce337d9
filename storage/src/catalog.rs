//! What the store keeps in memory of sessions, filters and logs. Only the committer changes it.
//!
//! An offline session is a few hundred bytes here: what only some sessions have is boxed, and its messages are on the
//! disk. The filters that durable sessions hold are in [`Routes`], apart and under a lock of their own, so that
//! connections match publishes while the committer works.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytestring::ByteString;
use foldhash::fast::{FixedState, RandomState};
use smallvec::SmallVec;

use crate::clock::TimeMark;
use crate::groups::Group;
use crate::quotas::Quotas;
use crate::record::{Gap, GapsRow, Membership, SessionRow, SubscriptionRow};
use crate::topics::{TopicTree, shared_filter};
use crate::{
    Drops, EndedSession, Epoch, Exchange, Load, LogId, Lsn, Outbound, PacketIdSet, Reader, RetainedScan,
    SessionId, Subscription, SubscriptionOptions, Targets, Will,
};

type Map<K, V> = HashMap<K, V, RandomState>;

/// Everything but the routes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) sessions: Map<SessionId, Box<Session>>,
    pub(crate) by_client: Map<ByteString, SessionId>,
    pub(crate) filters: Map<ByteString, Filter>,
    /// Logs of filters.
    pub(crate) logs: Map<LogId, SharedLog>,
    /// Groups of shared subscriptions, by the whole filter.
    pub(crate) groups: Map<ByteString, Group>,
    /// Where each log ends, for those that have been asked for.
    pub(crate) heads: Map<LogId, Head>,
    /// When detached sessions expire, in milliseconds since the Unix epoch.
    pub(crate) expiries: BTreeSet<(u64, SessionId)>,
    /// When wills are due, in milliseconds since the Unix epoch.
    pub(crate) wills_due: BTreeSet<(u64, SessionId)>,
    pub(crate) subscriptions: usize,
    pub(crate) connected: usize,
    /// The last LSN given out.
    pub(crate) last: Lsn,
    /// The next session or log.
    pub(crate) next_id: u64,
    /// Number of the last batch that was written, or is being put together.
    pub(crate) commit: u64,
    /// Sessions whose outbound state has changed since the logs were last looked at for trimming.
    pub(crate) moved: HashSet<SessionId, FixedState>,
    /// What was dropped, of all sessions that there were.
    pub(crate) drops: Drops,
    /// Who is how near its limit; `None` without limits.
    pub(crate) quotas: Option<Quotas>,
    /// Both clocks as the last batch that was written noted them.
    pub(crate) time: TimeMark,
    /// Groups of which something has been taken since.
    pub(crate) moved_groups: HashSet<ByteString, FixedState>,
}

/// A stored session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: ByteString,
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
    /// By filter.
    pub(crate) subscriptions: Vec<StoredSubscription>,
    pub(crate) exchanges: Option<Box<Exchanges>>,
    pub(crate) inbound: Option<Box<PacketIdSet>>,
    pub(crate) will: Option<Box<Will>>,
    /// What was dropped of its messages.
    pub(crate) drops: Option<Box<Drops>>,
    /// Parts of its logs that it passes over.
    pub(crate) gaps: Option<Box<GapsRow>>,
    /// QoS 2 identifiers of publishes that were refused. Sets of identifiers that its connection sent before it knew
    /// still have them.
    pub(crate) refused: Option<Box<PacketIdSet>>,
    /// When the will is due, in milliseconds since the Unix epoch; `None` while its connection lasts.
    pub(crate) will_due_at_millis: Option<u64>,
    /// Of the current attachment.
    pub(crate) reader: Option<Reader>,
}

/// What a session has under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    pub(crate) open: Vec<Exchange>,
    /// Exchanges with a copy of their own: packet identifier and LSN.
    pub(crate) held: Vec<(u16, Lsn)>,
}

#[derive(Debug)]
pub(crate) struct StoredSubscription {
    pub(crate) filter: ByteString,
    pub(crate) options: SubscriptionOptions,
    /// Since when messages have been kept for it, once `held`; its first SUBSCRIBE before that.
    pub(crate) start: Lsn,
    /// It has been held with QoS 1 or 2, now or before: what came for it since `start` may wait in a log.
    pub(crate) held: bool,
    pub(crate) retained_scan: Option<Box<RetainedScan>>,
    /// The part of its filter's own log that it reads, as it was last held.
    pub(crate) membership: Option<Membership>,
    /// Parts of the same log from before it went to QoS 0, as far as they are not read.
    pub(crate) earlier: Box<[Membership]>,
}

/// A filter that durable sessions hold, or have held while its log lives.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Sessions that subscribe to it with QoS 1 or 2.
    pub(crate) holders: u32,
    /// While the filter has no log of its own: whose log it writes to.
    pub(crate) sole: SessionId,
    pub(crate) log: Option<LogId>,
}

/// A filter's own log.
#[derive(Debug)]
pub(crate) struct SharedLog {
    pub(crate) filter: ByteString,
    /// Sessions that read a part of it.
    pub(crate) members: HashSet<SessionId, FixedState>,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: Lsn,
    /// How many messages it has had, and their bytes.
    pub(crate) ordinal: u64,
    pub(crate) running_bytes: u64,
}

impl Head {
    pub(crate) fn load(&self) -> Load {
        Load { messages: self.ordinal, bytes: self.running_bytes }
    }
}

impl Catalog {
    /// A number for a session or a log, never given out again.
    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Readers whose sessions have come to have more waiting than their limit allows.
    pub(crate) fn take_rung(&mut self) -> Vec<Reader> {
        let Some(quotas) = &mut self.quotas else { return Vec::new() };
        let rung = std::mem::take(&mut quotas.rung);
        rung.into_iter().filter_map(|id| self.sessions.get(&id)?.reader.clone()).collect()
    }

    /// Puts the session into the order of expiries, or takes it out, as `present` says.
    pub(crate) fn set_expiry(&mut self, id: SessionId, present: bool) {
        let Some(deadline) = self.sessions.get(&id).and_then(|session| session.expires_at_millis()) else {
            return;
        };
        if present {
            self.expiries.insert((deadline, id));
        } else {
            self.expiries.remove(&(deadline, id));
        }
    }

    /// Says when the session's will is due; `None`: not for now.
    pub(crate) fn set_will_due(&mut self, id: SessionId, due_at_millis: Option<u64>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut session.will_due_at_millis, due_at_millis) {
            self.wills_due.remove(&(before, id));
        }
        if let Some(due) = due_at_millis {
            self.wills_due.insert((due, id));
        }
    }

    /// When the next session expires or the next will is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let first = |deadlines: &BTreeSet<(u64, SessionId)>| deadlines.first().map(|(deadline, _)| *deadline);
        [first(&self.expiries), first(&self.wills_due)].into_iter().flatten().min()
    }
}

impl Session {
    pub(crate) fn new(client_id: ByteString, row: SessionRow) -> Session {
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
            subscriptions: Vec::new(),
            exchanges: None,
            inbound: None,
            will: row.will.map(Box::new),
            drops: None,
            gaps: None,
            refused: None,
            will_due_at_millis: row.will_due_at_millis,
            reader: None,
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
            will: self.will.as_deref().cloned(),
            will_due_at_millis: self.will_due_at_millis,
        }
    }

    /// When it expires, while it is detached and if it ever does.
    pub(crate) fn expires_at_millis(&self) -> Option<u64> {
        let expires = !self.connected && self.session_expiry_interval != u32::MAX;
        expires
            .then(|| self.detached_at_millis.saturating_add(u64::from(self.session_expiry_interval) * 1000))
    }

    pub(crate) fn ended(&self) -> EndedSession {
        EndedSession { client_id: self.client_id.clone() }
    }

    pub(crate) fn find(&self, filter: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|subscription| (*subscription.filter).cmp(filter))
    }

    pub(crate) fn gaps(&self) -> &[Gap] {
        self.gaps.as_deref().map_or(&[], |row| &row.gaps)
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
        self.position > Lsn(0) || self.last_packet_id > 0 || self.exchanges.is_some()
    }

    pub(crate) fn outbound(&self) -> Outbound {
        let open = self.exchanges.as_ref().map(|exchanges| exchanges.open.clone()).unwrap_or_default();
        Outbound { position: self.position, last_packet_id: self.last_packet_id, open }
    }

    /// Takes over a saved outbound state. Packet identifiers whose held messages nobody needs any more come back.
    pub(crate) fn set_outbound(&mut self, outbound: Outbound) -> Vec<u16> {
        self.position = self.position.max(outbound.position);
        self.last_packet_id = outbound.last_packet_id;
        let Outbound { open, .. } = outbound;
        let mut held = self.exchanges.take().map(|exchanges| exchanges.held).unwrap_or_default();
        let mut released = Vec::new();
        held.retain(|(packet_id, lsn)| {
            let needed = open.iter().any(|exchange| exchange.packet_id == *packet_id && exchange.lsn == *lsn);
            if !needed {
                released.push(*packet_id);
            }
            needed
        });
        if !(open.is_empty() && held.is_empty()) {
            self.exchanges = Some(Box::new(Exchanges { open, held }));
        }
        released
    }

    pub(crate) fn set_inbound(&mut self, inbound: PacketIdSet) {
        self.inbound = (!inbound.is_empty()).then(|| Box::new(inbound));
    }

    /// Open exchanges whose message has to be read from a log, should the client come back.
    pub(crate) fn exchanges_in_logs(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().flat_map(|exchanges| {
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
    pub(crate) fn row(&self) -> SubscriptionRow {
        SubscriptionRow {
            options: self.options,
            start: self.start,
            held: self.held,
            retained_scan: self.retained_scan.as_deref().cloned(),
            membership: self.membership,
            earlier: self.earlier.to_vec(),
        }
    }

    pub(crate) fn subscription(&self) -> Subscription {
        Subscription {
            filter: self.filter.clone(),
            options: self.options,
            start: self.start,
            retained_scan: self.retained_scan.as_deref().cloned(),
        }
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
        self.earlier.iter().copied().chain(self.membership)
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
        self.earlier = parts.into();
        self.membership = membership;
    }
}

/// The log that each filter writes to, as of one version.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Grows with every change.
    pub(crate) version: u64,
    tree: TopicTree<LogId>,
    /// Logs of groups: a filter may have several.
    groups: TopicTree<SmallVec<[LogId; 2]>>,
}

impl Routes {
    pub(crate) fn set(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        self.tree.insert(filter, log);
    }

    pub(crate) fn remove(&mut self, filter: &str) {
        self.version += 1;
        self.tree.remove(filter);
    }

    /// A group's log, by the filter that the group divides.
    pub(crate) fn add_group(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        self.groups.get_or_insert_with(filter, SmallVec::new).push(log);
    }

    pub(crate) fn remove_group(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        let Some(logs) = self.groups.get_mut(filter) else { return };
        logs.retain(|known| *known != log);
        if logs.is_empty() {
            self.groups.remove(filter);
        }
    }

    /// Where a publish goes; each log once, however many of its filters match.
    pub(crate) fn targets(&self, topic: &str) -> Targets {
        let mut logs: SmallVec<[LogId; 4]> = SmallVec::new();
        self.tree.for_each_match(topic, |log| logs.push(*log));
        self.groups.for_each_match(topic, |groups| logs.extend_from_slice(groups));
        if logs.len() > 1 {
            logs.sort_unstable();
            logs.dedup();
        }
        Targets { version: self.version, logs }
    }
}
