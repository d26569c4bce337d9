//! Deadlines: who is next, and who has to wait although it is time.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::FixedState;

use super::Catalog;
use crate::SessionId;

/// Sessions and wills that one transaction looks after, at most: others are not to wait for it long.
const AT_ONCE: usize = 1000;

/// So long a deadline waits that cannot be met because the disk does not give what it needs; then it is tried again.
const AGAIN_AFTER_MILLIS: u64 = 1000;

/// Sessions whose deadlines cannot be met now: others' are.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    sessions: HashSet<SessionId, FixedState>,
    /// Until then, in milliseconds since the Unix epoch.
    until_millis: u64,
}

impl HeldBack {
    /// These wait for a while from now on.
    pub(crate) fn add(&mut self, sessions: impl IntoIterator<Item = SessionId>, now_millis: u64) {
        self.let_go(now_millis);
        let before = self.sessions.len();
        self.sessions.extend(sessions);
        if self.sessions.len() > before {
            self.until_millis = now_millis.saturating_add(AGAIN_AFTER_MILLIS);
        }
    }

    /// Whoever has waited long enough is looked at again.
    pub(crate) fn let_go(&mut self, now_millis: u64) {
        if self.until_millis <= now_millis {
            self.sessions.clear();
        }
    }

    fn has(&self, session: SessionId, now_millis: u64) -> bool {
        now_millis < self.until_millis && self.sessions.contains(&session)
    }
}

impl Catalog {
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
        let before = session.rare.will_due_at_millis;
        if before != due_at_millis {
            session.rare.will_due_at_millis = due_at_millis;
        }
        if let Some(before) = before {
            self.wills_due.remove(&(before, id));
        }
        if let Some(due) = due_at_millis {
            self.wills_due.insert((due, id));
        }
    }

    /// When the next session expires or the next will is due, of those that can be looked after.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let HeldBack { sessions, until_millis } = &self.held_back;
        let first = |deadlines: &BTreeSet<(u64, SessionId)>| {
            deadlines.iter().find(|(_, id)| !sessions.contains(id)).map(|(deadline, _)| *deadline)
        };
        let held_back = (!sessions.is_empty()).then_some(*until_millis);
        [first(&self.expiries), first(&self.wills_due), held_back].into_iter().flatten().min()
    }

    /// Sessions whose wills are due, the longest overdue first: as many as are looked after at once.
    pub(crate) fn due_wills(&self, now_millis: u64) -> Vec<SessionId> {
        self.due(&self.wills_due, now_millis)
    }

    /// Sessions that have expired, in the same way.
    pub(crate) fn expired(&self, now_millis: u64) -> Vec<SessionId> {
        self.due(&self.expiries, now_millis)
    }

    fn due(&self, deadlines: &BTreeSet<(u64, SessionId)>, now_millis: u64) -> Vec<SessionId> {
        let due = deadlines.iter().take_while(|(deadline, _)| *deadline <= now_millis).map(|(_, id)| *id);
        due.filter(|id| !self.held_back.has(*id, now_millis)).take(AT_ONCE).collect()
    }
}
