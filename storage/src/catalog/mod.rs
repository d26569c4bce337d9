//! What the store keeps in memory of sessions, filters and logs. Only the committer changes it.
//!
//! An offline session is a few hundred bytes here: what only some sessions have is boxed, and its messages are on the
//! disk. The filters that durable sessions hold are in [`Routes`], apart and under a lock of their own, so that
//! connections match publishes while the committer works.

mod clients;
mod deadlines;
mod rare;
mod routes;
mod session;

use std::collections::{BTreeSet, HashMap, HashSet};

use bytestring::ByteString;
use foldhash::fast::{FixedState, RandomState};

use crate::clock::TimeMark;
use crate::groups::Group;
use crate::quotas::Quotas;
use crate::{Drops, Load, LogId, Lsn, Reader, SessionId};

pub(crate) use clients::Clients;
use deadlines::HeldBack;
pub(crate) use rare::Exchanges;
pub(crate) use routes::{Filter, Routes};
pub(crate) use session::{Session, StoredSubscription};

type Map<K, V> = HashMap<K, V, RandomState>;

/// Everything but the routes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) sessions: Map<SessionId, Box<Session>>,
    pub(crate) clients: Clients,
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
    /// Sessions whose deadlines have to wait for the disk.
    pub(crate) held_back: HeldBack,
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

    /// The session of a client.
    pub(crate) fn of_client(&self, client_id: &str) -> Option<SessionId> {
        self.clients.get(client_id, &self.sessions)
    }

    /// Adds a session.
    pub(crate) fn insert(&mut self, id: SessionId, session: Session) {
        self.sessions.insert(id, Box::new(session));
        self.clients.insert(id, &self.sessions);
    }

    /// Adds all sessions of a store that was opened.
    pub(crate) fn fill(&mut self, sessions: Vec<(SessionId, Box<Session>)>) {
        self.clients = Clients::of(&sessions);
        self.moved.extend(sessions.iter().map(|(id, _)| *id));
        self.connected = sessions.iter().filter(|(_, session)| session.connected).count();
        let deadline = |id: SessionId, at: Option<u64>| at.map(|at| (at, id));
        let expiries = sessions.iter().filter_map(|(id, session)| deadline(*id, session.expires_at_millis()));
        self.expiries = expiries.collect();
        let wills =
            sessions.iter().filter_map(|(id, session)| deadline(*id, session.rare.will_due_at_millis));
        self.wills_due = wills.collect();
        self.sessions = sessions.into_iter().collect();
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Box<Session>> {
        self.clients.remove(id, &self.sessions);
        self.sessions.remove(&id)
    }

    /// Readers whose sessions have come to have more waiting than their limit allows.
    pub(crate) fn take_rung(&mut self) -> Vec<Reader> {
        let Some(quotas) = &mut self.quotas else { return Vec::new() };
        let rung = std::mem::take(&mut quotas.rung);
        rung.into_iter().filter_map(|id| self.sessions.get(&id)?.rare.reader.clone()).collect()
    }

    /// Whether a log is a group's.
    pub(crate) fn is_of_group(&self, log: LogId) -> bool {
        self.logs.get(&log).is_some_and(|log| self.groups.contains_key(&log.filter))
    }
}
