//! What of a group's log is there to be pulled, and by whom it is reserved. In memory only.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use parking_lot::{Mutex, RwLock};

use super::{Span, Spans};
use crate::{LogId, Lsn, Wake};

/// The pool of one group.
pub(crate) struct Pool {
    pub(crate) log: LogId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Neither taken nor reserved.
    free: Spans,
    members: HashMap<u64, Member, FixedState>,
    /// Members that found nothing, the longest waiting first: so that messages that come one by one go round.
    hungry: VecDeque<u64>,
    /// What was read and has no entries: goes out of the record with the next that is taken.
    void: Vec<Span>,
}

struct Member {
    wake: Wake,
    reserved: Spans,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(log: LogId, free: Spans) -> Pool {
        Pool { log, state: Mutex::new(State { free, ..State::default() }) }
    }

    /// A member comes, under the number of its connection.
    pub(super) fn join(&self, member: u64, wake: Wake) {
        self.state.lock().members.insert(member, Member { wake, reserved: Spans::default() });
    }

    /// A member goes: what it had reserved is free again.
    pub(super) fn leave(&self, member: u64) {
        let mut state = self.state.lock();
        state.hungry.retain(|hungry| *hungry != member);
        let Some(gone) = state.members.remove(&member) else { return };
        for span in gone.reserved.as_slice() {
            state.free.add(*span);
        }
        state.wake_next();
    }

    /// Reserves the first span that is free, up to `head`. When there is none, the member is woken when there is.
    pub(super) fn reserve(&self, member: u64, head: Lsn) -> Option<Span> {
        let mut state = self.state.lock();
        if !state.members.contains_key(&member) {
            return None;
        }
        let Some(span) = state.free.take_first(head) else {
            if !state.hungry.contains(&member) {
                state.hungry.push_back(member);
            }
            return None;
        };
        state.hungry.retain(|hungry| *hungry != member);
        state.reserved(member).add(span);
        Some(span)
    }

    /// A member gives back what it reserved: somebody else may want it.
    pub(super) fn release(&self, member: u64, span: Span) {
        let mut state = self.state.lock();
        if span.is_empty() || !state.members.contains_key(&member) {
            return;
        }
        state.reserved(member).remove(span);
        state.free.add(span);
        state.wake_next();
    }

    /// What a member reserved has no entries.
    pub(super) fn found_void(&self, member: u64, span: Span) {
        let mut state = self.state.lock();
        if state.members.contains_key(&member) {
            state.reserved(member).remove(span);
            state.void.push(span);
        }
    }

    /// A member has taken what it reserved. Returns what is known to have no entries, to be taken along.
    pub(crate) fn taken(&self, member: u64, spans: &[Span]) -> Vec<Span> {
        let mut state = self.state.lock();
        if state.members.contains_key(&member) {
            spans.iter().for_each(|span| state.reserved(member).remove(*span));
        }
        std::mem::take(&mut state.void)
    }

    /// What had been taken is free again.
    pub(crate) fn give_back(&self, span: Span) {
        let mut state = self.state.lock();
        state.free.add(span);
        state.wake_next();
    }

    /// Takes out all that is free, up to an LSN: what is not to be dropped is given back.
    pub(crate) fn take_free(&self, through: Lsn) -> Vec<Span> {
        let mut state = self.state.lock();
        std::iter::from_fn(|| state.free.take_first(through)).collect()
    }

    /// There may be something for a member that waits: the log has grown, or one that was woken has no room.
    pub(crate) fn wake_next(&self) {
        self.state.lock().wake_next();
    }
}

impl State {
    fn reserved(&mut self, member: u64) -> &mut Spans {
        &mut self.members.get_mut(&member).expect("the caller knows the member").reserved
    }

    fn wake_next(&mut self) {
        if let Some(member) = self.hungry.pop_front()
            && let Some(member) = self.members.get(&member)
        {
            (member.wake)();
        }
    }
}

/// The pools of all groups, by log and by the whole filter of the shared subscription.
#[derive(Default)]
pub(crate) struct Pools(RwLock<Known>);

#[derive(Default)]
struct Known {
    by_log: HashMap<LogId, Arc<Pool>, FixedState>,
    by_filter: HashMap<Box<str>, Arc<Pool>, FixedState>,
}

impl Pools {
    pub(crate) fn insert(&self, filter: &str, pool: Arc<Pool>) {
        let mut known = self.0.write();
        known.by_log.insert(pool.log, pool.clone());
        known.by_filter.insert(filter.into(), pool);
    }

    pub(crate) fn remove(&self, filter: &str) {
        let mut known = self.0.write();
        if let Some(pool) = known.by_filter.remove(filter) {
            known.by_log.remove(&pool.log);
        }
    }

    pub(crate) fn find(&self, filter: &str) -> Option<Arc<Pool>> {
        self.0.read().by_filter.get(filter).cloned()
    }

    /// Logs have got entries.
    pub(crate) fn wake(&self, logs: &[LogId]) {
        let known = self.0.read();
        if known.by_log.is_empty() {
            return;
        }
        for pool in logs.iter().filter_map(|log| known.by_log.get(log)) {
            pool.wake_next();
        }
    }
}
