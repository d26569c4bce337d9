//! Who is how near its limit: what the committer needs to know to keep every session within it, at a constant price for
//! each message.
//!
//! A session's backlog is a sum over its logs. What is left to its limit is divided among them, and each log is told at
//! which of its ordinals (and running bytes) the session wants to be looked at again. An append to a log of ten
//! thousand readers compares two numbers with the first of the log's alarms.

use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::FixedState;

use crate::{Limit, Limits, Load, LogId, Lsn, SessionId};

type Map<K, V> = HashMap<K, V, FixedState>;

/// Kept only while there are limits.
#[derive(Debug)]
pub(crate) struct Quotas {
    pub(crate) limits: Limits,
    pub(crate) usages: Map<SessionId, Usage>,
    watches: Map<LogId, Watches>,
    /// Sessions with more waiting than their limit allows, of which the oldest are to be dropped.
    pub(crate) over: HashSet<SessionId, FixedState>,
    /// Those of them that the batch at hand has brought there, or further.
    pub(crate) rung: Vec<SessionId>,
    /// The groups, by their logs; kept while they have a limit.
    pub(crate) groups: Map<LogId, GroupUsage>,
    /// Groups with more waiting than their limit allows, of which the oldest are to be dropped.
    pub(crate) groups_over: HashSet<LogId, FixedState>,
    /// What all logs together have that somebody still needs, as far as the trimmer has looked.
    pub(crate) total: Total,
}

/// What waits in all logs.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) load: Load,
    /// What nobody needs any more of each log.
    dead: Map<LogId, Load>,
    /// It has been reported to be near its limit.
    high: bool,
}

/// How a group stands.
#[derive(Debug, Default)]
pub(crate) struct GroupUsage {
    /// What no member has taken for good.
    pub(crate) waiting: Load,
    /// It has been reported to be near its limit.
    pub(crate) high: bool,
}

/// How a session stands.
#[derive(Debug)]
pub(crate) struct Usage {
    /// Where it read when its logs were looked at.
    pub(crate) at: Lsn,
    /// Its own log, then the shared ones.
    pub(crate) logs: Vec<(LogId, Measured)>,
    /// Its limit is reached, and nothing more is queued for it.
    pub(crate) full: bool,
    /// It has been reported to be near its limit.
    pub(crate) high: bool,
}

/// What is known of a log, as one of its readers sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// What the log had up to where the session read.
    pub(crate) mark: Load,
    /// What it had where the session's part of it ends, if that is behind it.
    pub(crate) end: Option<Load>,
    /// What it had when the gap began that still grows.
    pub(crate) began: Option<Load>,
    /// The session is looked at again when the log has had as much as this, of either.
    pub(crate) alarm: Load,
}

/// Who is to be looked at when a log grows.
#[derive(Debug, Default)]
struct Watches {
    messages: BTreeSet<(u64, SessionId)>,
    bytes: BTreeSet<(u64, SessionId)>,
    /// Those that are full.
    full: BTreeSet<SessionId>,
}

/// What waits is reported when so much of its limit is reached …
pub(crate) const HIGH_PERCENT: u64 = 80;
/// … and again only after it was below this.
pub(crate) const LOW_PERCENT: u64 = 60;

/// No alarm.
pub(crate) const NEVER: Load = Load { messages: u64::MAX, bytes: u64::MAX };

impl Quotas {
    pub(crate) fn new(limits: Limits) -> Quotas {
        Quotas {
            limits,
            usages: Map::default(),
            watches: Map::default(),
            over: HashSet::default(),
            rung: Vec::new(),
            groups: Map::default(),
            groups_over: HashSet::default(),
            total: Total::default(),
        }
    }

    /// The sessions that want to be looked at now that a log has had so much.
    pub(crate) fn due(&self, log: LogId, head: Load) -> Vec<SessionId> {
        let own = SessionId(log.0);
        if let Some(usage) = self.usages.get(&own) {
            let alarm = usage.logs[0].1.alarm;
            let due = head.messages >= alarm.messages || head.bytes >= alarm.bytes;
            return if due { vec![own] } else { Vec::new() };
        }
        let Some(watches) = self.watches.get(&log) else { return Vec::new() };
        let due = |alarms: &BTreeSet<(u64, SessionId)>, reached: u64| {
            let sessions = alarms.iter().take_while(move |(alarm, _)| *alarm <= reached);
            sessions.map(|(_, session)| *session).collect::<Vec<_>>()
        };
        let mut sessions = due(&watches.messages, head.messages);
        sessions.extend(due(&watches.bytes, head.bytes));
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }

    /// Readers of a log for whom nothing more is queued; so many at most.
    pub(crate) fn full(&self, log: LogId, most: usize) -> Vec<SessionId> {
        let own = SessionId(log.0);
        match (self.usages.get(&own), self.watches.get(&log)) {
            (Some(usage), _) => usage.full.then_some(own).into_iter().collect(),
            (None, Some(watches)) => watches.full.iter().take(most).copied().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Whether the log is the own one of a session that is full.
    pub(crate) fn is_full(&self, log: LogId) -> bool {
        self.usages.get(&SessionId(log.0)).is_some_and(|usage| usage.full)
    }

    /// Whether a reader of the log is full.
    pub(crate) fn has_full(&self, log: LogId) -> bool {
        self.is_full(log) || self.watches.get(&log).is_some_and(|watches| !watches.full.is_empty())
    }

    /// A session is looked at again when a log of its has had so much; its own log's alarm is in its usage.
    pub(crate) fn set_alarm(&mut self, id: SessionId, log: LogId, old: Load, new: Load, full: bool) {
        if log == id.own_log() {
            return;
        }
        let watches = self.watches.entry(log).or_default();
        watches.messages.remove(&(old.messages, id));
        watches.bytes.remove(&(old.bytes, id));
        if new.messages != u64::MAX {
            watches.messages.insert((new.messages, id));
        }
        if new.bytes != u64::MAX {
            watches.bytes.insert((new.bytes, id));
        }
        if full {
            watches.full.insert(id);
        } else {
            watches.full.remove(&id);
        }
        if watches.messages.is_empty() && watches.bytes.is_empty() && watches.full.is_empty() {
            self.watches.remove(&log);
        }
    }

    /// A session reads a log no more.
    pub(crate) fn leave(&mut self, id: SessionId, log: LogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let Some(at) = usage.logs.iter().position(|(known, _)| *known == log) else { return };
        let (_, measured) = usage.logs.remove(at);
        self.set_alarm(id, log, measured.alarm, NEVER, false);
    }

    /// A session has ended.
    pub(crate) fn forget(&mut self, id: SessionId) {
        self.over.remove(&id);
        let Some(usage) = self.usages.remove(&id) else { return };
        for (log, measured) in usage.logs {
            self.set_alarm(id, log, measured.alarm, NEVER, false);
        }
    }
}

impl GroupUsage {
    /// Says once that what waits for a group comes near its limit.
    pub(crate) fn report(&mut self, filter: &str, limit: &Limit) {
        let Load { messages, bytes } = self.waiting;
        if !self.high && limit.part(HIGH_PERCENT).is_reached(self.waiting) {
            self.high = true;
            tracing::warn!(filter, messages, bytes, "what waits for the group is near its limit");
        } else if self.high && !limit.part(LOW_PERCENT).is_reached(self.waiting) {
            self.high = false;
            tracing::info!(
                filter,
                messages,
                bytes,
                "what waits for the group is well within its limit again"
            );
        }
    }
}

impl Total {
    /// A log has got a message of so many bytes.
    pub(crate) fn grown(&mut self, bytes: usize) {
        self.load = self.load.plus(Load { messages: 1, bytes: bytes as u64 });
    }

    /// Of a log that has had `head`, nobody needs `dead` any more.
    pub(crate) fn consumed(&mut self, log: LogId, dead: Load) {
        let before = self.dead.entry(log).or_default();
        self.load = self.load.beyond(dead.beyond(*before));
        *before = before.plus(dead.beyond(*before));
    }

    /// A log has ended that has had `head`.
    pub(crate) fn ended(&mut self, log: LogId, head: Load) {
        let dead = self.dead.remove(&log).unwrap_or_default();
        self.load = self.load.beyond(head.beyond(dead));
    }

    /// A log that recovery has found.
    pub(crate) fn found(&mut self, log: LogId, head: Load, dead: Load) {
        self.dead.insert(log, dead);
        self.load = self.load.plus(head.beyond(dead));
    }

    /// Says once that all that waits comes near its limit.
    pub(crate) fn report(&mut self, limit: &Limit) {
        let Load { messages, bytes } = self.load;
        if !self.high && limit.part(HIGH_PERCENT).is_reached(self.load) {
            self.high = true;
            tracing::warn!(messages, bytes, "what waits for all sessions is near its limit");
        } else if self.high && !limit.part(LOW_PERCENT).is_reached(self.load) {
            self.high = false;
            tracing::info!(messages, bytes, "what waits for all sessions is well within its limit again");
        }
    }
}

impl Usage {
    /// What waits, if the logs have had as much as `heads` says, in the order of the logs.
    pub(crate) fn waiting(&self, heads: &[Load]) -> Load {
        let each = self.logs.iter().zip(heads).map(|((_, measured), head)| {
            measured.began.or(measured.end).unwrap_or(*head).beyond(measured.mark)
        });
        each.fold(Load::default(), Load::plus)
    }

    /// Alarms that ring before `left` more can have come, over all logs together.
    pub(crate) fn alarms(&self, heads: &[Load], left: Load) -> Vec<Load> {
        let count = self.logs.len() as u64;
        let share = |left: u64| if left == u64::MAX { left } else { (left / count).max(1) };
        let (messages, bytes) = (share(left.messages), share(left.bytes));
        heads.iter().map(|head| head.plus(Load { messages, bytes })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(messages: u64, bytes: u64) -> Load {
        Load { messages, bytes }
    }

    #[test]
    fn a_log_rings_for_those_whose_time_has_come() {
        let mut quotas = Quotas::new(Limits::default());
        let log = LogId(9);
        for (id, alarm) in [(1, load(10, u64::MAX)), (2, load(5, 300)), (3, NEVER)] {
            quotas.set_alarm(SessionId(id), log, NEVER, alarm, id == 3);
        }
        assert_eq!(quotas.due(log, load(4, 299)), []);
        assert_eq!(quotas.due(log, load(5, 300)), [SessionId(2)]);
        assert_eq!(quotas.due(log, load(10, 300)), [SessionId(1), SessionId(2)]);
        assert_eq!(
            (quotas.full(log, 8), quotas.has_full(log), quotas.is_full(log)),
            (vec![SessionId(3)], true, false)
        );
        quotas.set_alarm(SessionId(2), log, load(5, 300), load(20, u64::MAX), false);
        quotas.set_alarm(SessionId(3), log, NEVER, NEVER, false);
        assert_eq!(quotas.due(log, load(19, 1000)), [SessionId(1)]);
        assert!(!quotas.has_full(log));
    }

    #[test]
    fn what_is_left_is_divided_among_the_logs_so_that_it_cannot_be_exceeded_unseen() {
        let measured = |messages, bytes| Measured { mark: load(messages, bytes), ..Measured::default() };
        let usage = Usage {
            at: Lsn(0),
            logs: vec![(LogId(1), measured(5, 50)), (LogId(2), measured(0, 0)), (LogId(3), measured(7, 70))],
            full: false,
            high: false,
        };
        let heads = [load(6, 60), load(2, 20), load(7, 70)];
        assert_eq!(usage.waiting(&heads), load(3, 30));
        let alarms = usage.alarms(&heads, load(10, u64::MAX));
        assert_eq!(alarms, [load(9, u64::MAX), load(5, u64::MAX), load(10, u64::MAX)]);
        assert_eq!(usage.alarms(&heads, load(1, 0))[1], load(3, 21), "at the latest with the next message");
    }
}
