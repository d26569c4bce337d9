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
    /// One more waits from now on: until the others may go, if there are any, and for so long at least.
    pub(crate) fn add(&mut self, session: SessionId, now_millis: u64, at_least_millis: u64) {
        self.let_go(now_millis);
        let is_first = self.sessions.is_empty();
        if self.sessions.insert(session) {
            let millis = if is_first { at_least_millis.max(AGAIN_AFTER_MILLIS) } else { at_least_millis };
            self.until_millis = self.until_millis.max(now_millis.saturating_add(millis));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_those_that_wait_does_not_have_them_wait_longer() {
        let mut held_back = HeldBack::default();
        for session in 0..10 {
            held_back.add(SessionId(session), 100 * session, 0);
        }
        assert!((0..10).all(|session| held_back.has(SessionId(session), 999)));
        held_back.let_go(1_000);
        assert!(!(0..10).any(|session| held_back.has(SessionId(session), 1_000)));
        held_back.add(SessionId(1), 1_500, 0);
        assert!(held_back.has(SessionId(1), 2_499) && !held_back.has(SessionId(1), 2_500));
    }

    #[test]
    fn what_takes_long_to_be_found_withheld_is_left_alone_for_longer() {
        let mut held_back = HeldBack::default();
        held_back.add(SessionId(1), 0, 0);
        held_back.add(SessionId(2), 100, 55_000);
        assert!([1, 2].into_iter().all(|session| held_back.has(SessionId(session), 55_099)));
        assert!(!held_back.has(SessionId(2), 55_100));
    }
}
