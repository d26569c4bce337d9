//! Limits: who may have another message, and what becomes of those beyond.
//!
//! A session's own log simply gets no more: exact, and nothing to write but the count. In the log of a filter, which
//! others read as well, the session gets a **gap** instead: a part of the order that it passes over. A gap is written when
//! it begins and when it ends, not with each message in it; it begins behind the message that brought the session to
//! its limit, so nothing in it can have been read before. Drop-oldest appends everything: what is to go is found when
//! the session reads, or by the trimmer while it does not, and is never what may have been sent.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::backlog::Reading;
use crate::catalog::Session;
use crate::quotas::{HIGH_PERCENT, LOW_PERCENT, Measured, NEVER, Quotas, Usage};
use crate::record::{GROWING, Gap, GapsRow};
use crate::{Backlog, DropReason, Dropped, Limit, Load, LogId, Lsn, Policy, Publish, ReadError, SessionId};

use super::Apply;
use super::apply::end_of_log;
use super::foresee::Part;

/// Full readers of one log that are looked at before a message is left out because of them.
const LOOKED_AT: usize = 64;

/// What the trimmer has found to be beyond the limit of a session without a connection.
pub(crate) struct Settle {
    pub(crate) session: SessionId,
    /// What was found holds for this state of the session only.
    pub(crate) epoch: crate::Epoch,
    pub(crate) position: Lsn,
    /// From here on …
    pub(crate) from: Lsn,
    /// … up to here the session is to pass everything over.
    pub(crate) through: Lsn,
    pub(crate) dropped: Backlog,
    /// Whose limit it is.
    pub(crate) reason: DropReason,
}

impl Apply<'_> {
    pub(super) fn limit(&self) -> Option<Limit> {
        self.catalog.quotas.as_ref().map(|quotas| quotas.limits.session).filter(Limit::is_set)
    }

    /// Whether a publish is to be refused, because a session that it goes to is full. Whoever is said to be full but has
    /// read on meanwhile is looked at again first.
    pub(super) fn refuses(&mut self, publish: &Publish, logs: &[LogId]) -> bool {
        if publish.refusable
            && (self.is_total_reached(Policy::Reject) || logs.iter().any(|log| self.rejects_for_group(*log)))
        {
            return true;
        }
        let Some(limit) = self.limit().filter(|limit| limit.policy != Policy::DropOldest) else {
            return false;
        };
        for log in logs {
            let full = self.quotas().full(*log, LOOKED_AT);
            for id in full {
                if self.has_read_on(id) {
                    self.recheck(id);
                }
            }
        }
        limit.policy == Policy::Reject
            && publish.refusable
            && logs.iter().any(|log| self.quotas().has_full(*log))
    }

    /// Whether nothing more is to wait at all, and messages beyond are treated so.
    pub(super) fn is_total_reached(&self, policy: Policy) -> bool {
        self.catalog.quotas.as_ref().is_some_and(|quotas| {
            let limit = &quotas.limits.total;
            limit.policy == policy && limit.is_reached(quotas.total.load)
        })
    }

    /// Whether a log gets no more, because nothing more is to wait at all.
    fn leaves_out_of_all(&mut self, log: LogId) -> bool {
        // Whoever cannot be refused is left out.
        if !self.is_total_reached(Policy::DropNewest) && !self.is_total_reached(Policy::Reject) {
            return false;
        }
        let own = SessionId(log.0);
        if self.catalog.sessions.contains_key(&own) {
            self.count_drops(own, DropReason::TotalLimit, Dropped::exactly(1));
        } else if let Some(filter) = self.group_of(log) {
            self.count_group_drops(&filter, DropReason::TotalLimit, 1);
        } else {
            let dropped = Dropped { exactly: 0, shared_at_most: 1 };
            self.count_in_total(DropReason::TotalLimit, dropped);
        }
        true
    }

    /// Whether a log is the own one of a session that is full: it does not get the message, and it is counted.
    pub(super) fn leaves_out(&mut self, log: LogId) -> bool {
        if self.leaves_out_of_all(log) || self.leaves_out_of_group(log) {
            return true;
        }
        let full = self.catalog.quotas.as_ref().is_some_and(|quotas| quotas.is_full(log));
        if full {
            self.count_drops(SessionId(log.0), DropReason::SessionLimit, Dropped::exactly(1));
        }
        full
    }

    /// A log has got a message of so many bytes.
    pub(super) fn grown(&mut self, log: LogId, bytes: usize) {
        let Some(quotas) = &mut self.catalog.quotas else { return };
        quotas.total.grown(bytes);
        quotas.total.report(&quotas.limits.total);
        self.group_grown(log, bytes);
        let head = self.head_now(log);
        for id in self.quotas().due(log, head) {
            self.recheck(id);
        }
    }

    pub(super) fn quotas(&mut self) -> &mut Quotas {
        self.catalog.quotas.as_mut().expect("the caller has seen that there are limits")
    }

    /// What a log had up to an LSN, of what is published.
    pub(super) fn load_at(&self, log: LogId, lsn: Lsn) -> Result<Load, ReadError> {
        self.to_count(Part::Message(log, lsn), || self.shared.load_at(log, lsn))
    }

    /// What a log has had, with what this batch appends.
    pub(super) fn head_now(&mut self, log: LogId) -> Load {
        match self.batch.head(log) {
            Some(head) => head.load(),
            None => match self.to_count(Part::End(log), || end_of_log(self.catalog, self.shared, log)) {
                Ok(head) => {
                    self.catalog.heads.insert(log, head);
                    head.load()
                }
                Err(error) => {
                    Self::uncounted(&error, "how much a log has had");
                    Load::default()
                }
            },
        }
    }

    /// Where a session reads: its position, or as far as its connection says that it has got.
    fn reads_at(&self, session: &Session, limit: &Limit) -> Lsn {
        let taken = session.rare.reader.as_ref().map_or(Lsn(0), crate::Reader::taken);
        let mut at = session.position.max(taken);
        if limit.policy == Policy::DropOldest && !session.connected {
            // What may have been sent is not to be dropped.
            at = at.max(session.unsaved_through);
        }
        session.pass_gaps(at)
    }

    fn has_read_on(&self, id: SessionId) -> bool {
        let Some(quotas) = &self.catalog.quotas else { return false };
        let (Some(session), Some(usage)) = (self.catalog.sessions.get(&id), quotas.usages.get(&id)) else {
            return false;
        };
        self.reads_at(session, &quotas.limits.session) > usage.at
    }

    /// A session is there from now on.
    pub(super) fn measure(&mut self, id: SessionId) {
        if self.limit().is_none() {
            return;
        }
        let logs = std::iter::once(id.own_log());
        let mut shared: Vec<LogId> = self.catalog.sessions[&id].memberships().map(|part| part.log).collect();
        shared.sort_unstable();
        shared.dedup();
        let logs = logs.chain(shared).map(|log| (log, Measured { alarm: NEVER, ..Measured::default() }));
        let mut usage = Usage { at: GROWING, logs: logs.collect(), full: false, high: false };
        let gaps = self.catalog.sessions[&id].rare.gaps.as_deref();
        if let Some(row) = gaps.filter(|row| row.gaps.last().is_some_and(|gap| gap.to == GROWING)) {
            usage.full = true;
            for (log, began) in &row.began {
                let known = usage.logs.iter_mut().find(|(known, _)| known == log);
                if let Some((_, measured)) = known {
                    measured.began = Some(*began);
                }
            }
        }
        for (log, measured) in usage.logs.iter_mut().skip(1) {
            let parts = self.catalog.sessions[&id].memberships().filter(|part| part.log == *log);
            let until = parts.map(|part| part.until).max().unwrap_or(GROWING);
            if until != GROWING {
                measured.end = Some(self.load_at(*log, until).unwrap_or_default());
            }
        }
        self.quotas().usages.insert(id, usage);
        self.recheck(id);
    }

    /// A log has ended.
    pub(super) fn log_ended(&mut self, log: LogId) {
        if self.catalog.quotas.is_some() {
            let head = self.head_now(log);
            self.quotas().total.ended(log, head);
            self.catalog.heads.remove(&log);
        }
    }

    /// What waits in all logs that recovery has found.
    fn measure_total(&mut self) {
        if !self.catalog.quotas.as_ref().is_some_and(|quotas| quotas.limits.total.is_set()) {
            return;
        }
        for (log, floor) in crate::trim::all_floors(self.catalog) {
            let head = self.head_now(log);
            match self.load_at(log, floor) {
                Ok(dead) => self.quotas().total.found(log, head, dead),
                Err(error) => Self::uncounted(&error, "what waits in a log"),
            }
        }
    }

    /// The sessions that recovery has found. Without a limit, gaps that still grow end here.
    pub(crate) fn measure_all(&mut self) {
        self.measure_total();
        self.measure_groups();
        let ids: Vec<SessionId> = self.catalog.sessions.keys().copied().collect();
        for id in ids {
            if self.limit().is_some() {
                self.measure(id);
            } else if self.catalog.sessions[&id].gaps().last().is_some_and(|gap| gap.to == GROWING) {
                self.end_gap(id);
            }
        }
    }

    /// A session reads a part of another log from now on.
    pub(super) fn joined(&mut self, id: SessionId, log: LogId) {
        if self.limit().is_none() {
            return;
        }
        let mark = self.head_now(log);
        let Some(usage) = self.quotas().usages.get_mut(&id) else { return };
        let full = usage.full;
        match usage.logs.iter_mut().find(|(known, _)| *known == log) {
            // It still reads a part from before, with a part between that is not its own: an upper bound.
            Some((_, measured)) => measured.end = None,
            None => usage.logs.push((log, Measured { mark, alarm: NEVER, ..Measured::default() })),
        }
        if full {
            self.begin_gap(id);
        }
        self.recheck(id);
    }

    /// What waits for a session whose expiry has passed is dropped with it.
    pub(super) fn count_expired(&mut self, id: SessionId) {
        let position = self.catalog.sessions[&id].position;
        let head = self.shared.head();
        let Some(reading) = Reading::of(self.catalog, id, position) else { return };
        match self.to_count(Part::End(id.own_log()), || reading.backlog(self.shared, head)) {
            Ok(Backlog { own, shared_at_most }) => {
                let dropped = Dropped { exactly: own.messages, shared_at_most: shared_at_most.messages };
                self.count_in_total(DropReason::Expired, dropped);
            }
            Err(error) => Self::uncounted(&error, "what waited for an expired session"),
        }
    }

    /// A session reads a log no further than now.
    pub(super) fn released(&mut self, id: SessionId, log: LogId) {
        if self.limit().is_none() {
            return;
        }
        let end = self.head_now(log);
        let Some(usage) = self.quotas().usages.get_mut(&id) else { return };
        if let Some((_, measured)) = usage.logs.iter_mut().find(|(known, _)| *known == log) {
            measured.end = Some(end);
        }
        self.recheck(id);
    }

    /// A session has left a log; what waited there is dropped.
    pub(super) fn unsubscribed(&mut self, id: SessionId, part: &crate::record::Membership) {
        let position = self.catalog.sessions[&id].position;
        let from = self.catalog.sessions[&id].pass_gaps(position.max(part.from));
        let head = self.head_now(part.log);
        let growing = self.catalog.sessions[&id].rare.gaps.as_deref();
        let began = growing
            .and_then(|row| row.began.iter().find(|(log, _)| *log == part.log))
            .map(|(_, began)| *began);
        let end = if part.until == GROWING { Ok(head) } else { self.load_at(part.log, part.until) };
        let waited = end.and_then(|end| {
            let end = began.map_or(end, |began| Load {
                messages: end.messages.min(began.messages),
                bytes: end.bytes.min(began.bytes),
            });
            Ok(end.beyond(self.load_at(part.log, from)?))
        });
        match waited {
            Ok(waited) => {
                let dropped = Dropped { exactly: 0, shared_at_most: waited.messages };
                self.count_drops(id, DropReason::Unsubscribed, dropped);
            }
            Err(error) => Self::uncounted(&error, "what an UNSUBSCRIBE drops"),
        }
        if let Some(began) = began {
            let dropped = Dropped { exactly: 0, shared_at_most: head.beyond(began).messages };
            self.count_drops(id, DropReason::SessionLimit, dropped);
            let row = self.session(id).rare.gaps.as_deref_mut().expect("the gap grows");
            row.began.retain(|(log, _)| *log != part.log);
            self.batch.touch(id).gaps = true;
        }
        if self.limit().is_some() {
            self.quotas().leave(id, part.log);
            self.recheck(id);
        }
    }

    /// A session's outbound state has been saved.
    pub(super) fn moved(&mut self, id: SessionId) {
        let session = self.session(id);
        let position = session.position;
        if let Some(row) = session.rare.gaps.as_deref_mut() {
            let before = row.gaps.len();
            row.gaps.retain(|gap| gap.to > position);
            if row.gaps.len() < before {
                if row.gaps.is_empty() {
                    session.rare.gaps = None;
                }
                self.batch.touch(id).gaps = true;
            }
        }
        let Some(quotas) = &self.catalog.quotas else { return };
        if quotas.usages.get(&id).is_some_and(|usage| usage.full || usage.high) || quotas.over.contains(&id) {
            self.recheck(id);
        }
    }

    /// Looks at a session: how much waits for it, and what follows.
    pub(super) fn recheck(&mut self, id: SessionId) {
        let Some(limit) = self.limit() else { return };
        let Some(mut usage) = self.quotas().usages.remove(&id) else { return };
        let at = self.reads_at(&self.catalog.sessions[&id], &limit);
        let heads: Vec<Load> = usage
            .logs
            .iter()
            .map(|(log, _)| *log)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|log| self.head_now(log))
            .collect();
        let mut load = self.waiting(id, &usage, &heads);
        let matters = usage.full || usage.high || limit.part(LOW_PERCENT).is_reached(load);
        if at < usage.at || (at > usage.at && matters) {
            if let Err(error) = self.read_marks(id, &mut usage, at) {
                Self::uncounted(&error, "what waits for a session");
            }
            load = self.waiting(id, &usage, &heads);
        }
        self.report(id, &mut usage, load, &limit);
        let left = match limit.policy {
            Policy::DropOldest => self.judge_oldest(id, load, &limit),
            Policy::DropNewest | Policy::Reject => self.judge_newest(id, &mut usage, load, &limit),
        };
        let left = if usage.high { left } else { least(left, limit.part(HIGH_PERCENT).left(load)) };
        let alarms = match usage.full {
            true => vec![NEVER; heads.len()],
            false => usage.alarms(&heads, left),
        };
        for ((log, measured), alarm) in usage.logs.iter_mut().zip(alarms) {
            let old = std::mem::replace(&mut measured.alarm, alarm);
            let full = usage.full;
            let log = *log;
            self.quotas().set_alarm(id, log, old, alarm, full);
        }
        self.quotas().usages.insert(id, usage);
    }

    fn waiting(&self, id: SessionId, usage: &Usage, heads: &[Load]) -> Load {
        let gaps = self.catalog.sessions[&id].gaps().iter();
        let passed = gaps
            .filter(|gap| gap.to != GROWING && gap.to > usage.at)
            .fold(Load::default(), |sum, gap| sum.plus(gap.own).plus(gap.shared));
        usage.waiting(heads).beyond(passed)
    }

    /// What each log had where the session reads now.
    fn read_marks(&self, id: SessionId, usage: &mut Usage, at: Lsn) -> Result<(), ReadError> {
        let mut parts: HashMap<LogId, Lsn, FixedState> = HashMap::default();
        for part in self.catalog.sessions[&id].memberships() {
            let from = parts.entry(part.log).or_insert(part.from);
            *from = part.from.min(*from);
        }
        for (log, measured) in &mut usage.logs {
            let from = parts.get(log).copied().unwrap_or_default();
            let ended = self.catalog.heads.get(log).is_some_and(|head| head.last <= at.max(from));
            measured.mark = match self.catalog.heads.get(log).filter(|_| ended) {
                Some(head) => head.load(),
                None => self.load_at(*log, at.max(from))?,
            };
        }
        usage.at = at;
        Ok(())
    }

    /// Says once that a session comes near its limit.
    fn report(&self, id: SessionId, usage: &mut Usage, load: Load, limit: &Limit) {
        let client_id = &*self.catalog.sessions[&id].client_id;
        let Load { messages, bytes } = load;
        if !usage.high && limit.part(HIGH_PERCENT).is_reached(load) {
            usage.high = true;
            tracing::warn!(client_id, messages, bytes, "what waits for the session is near its limit");
        } else if usage.high && !limit.part(LOW_PERCENT).is_reached(load) {
            usage.high = false;
            tracing::info!(
                client_id,
                messages,
                bytes,
                "what waits for the session is well within its limit again"
            );
        }
    }

    /// Drop-oldest: whether there is something to drop; how much may come before the next look.
    fn judge_oldest(&mut self, id: SessionId, load: Load, limit: &Limit) -> Load {
        if limit.is_exceeded(load) {
            self.quotas().over.insert(id);
            self.quotas().rung.push(id);
            // Not with each message: what is beyond goes by and by, and in one go when the session comes back.
            let some = |max: Option<u64>| max.map_or(u64::MAX, |max| (max / 16).max(1));
            Load { messages: some(limit.max_messages), bytes: some(limit.max_bytes) }
        } else {
            self.quotas().over.remove(&id);
            limit.left(load).plus(Load { messages: 1, bytes: 1 })
        }
    }

    /// Drop-newest and reject: whether the session is full; how much may come before it is.
    fn judge_newest(&mut self, id: SessionId, usage: &mut Usage, load: Load, limit: &Limit) -> Load {
        let shares = usage.logs.len() > 1;
        if !usage.full && limit.is_reached(load) {
            usage.full = true;
            if shares {
                self.begin_gap_of(id, usage);
            }
        } else if usage.full {
            // A gap has its price, so a session that has one takes messages again only when it has some room.
            let enough = if shares { limit.less_a_little() } else { *limit };
            let within = if shares { !enough.is_exceeded(load) } else { !enough.is_reached(load) };
            if within {
                usage.full = false;
                if self.catalog.sessions[&id].gaps().last().is_some_and(|gap| gap.to == GROWING) {
                    let at = usage.at;
                    let end = self.end_gap(id);
                    for (_, measured) in &mut usage.logs {
                        measured.began = None;
                    }
                    if end.is_some_and(|(from, _)| at >= from) {
                        self.pass_whole_gap(usage);
                    }
                }
            }
        }
        limit.left(load)
    }

    /// The session had read up to the gap or into it: nothing waits.
    fn pass_whole_gap(&mut self, usage: &mut Usage) {
        for at in 0..usage.logs.len() {
            let head = self.head_now(usage.logs[at].0);
            let measured = &mut usage.logs[at].1;
            measured.mark = measured.end.unwrap_or(head);
        }
        usage.at = self.catalog.last;
    }

    fn begin_gap(&mut self, id: SessionId) {
        let Some(mut usage) = self.quotas().usages.remove(&id) else { return };
        self.begin_gap_of(id, &mut usage);
        self.quotas().usages.insert(id, usage);
    }

    /// From behind the last message on, the session passes everything over; logs that join a gap that grows begin now.
    fn begin_gap_of(&mut self, id: SessionId, usage: &mut Usage) {
        let last = self.catalog.last;
        let mut began = Vec::new();
        for (log, measured) in usage.logs.iter().skip(1) {
            let ends = || match self.batch.head(*log) {
                Some(head) => Ok(head),
                None => end_of_log(self.catalog, self.shared, *log),
            };
            match measured
                .began
                .map_or_else(|| Ok(self.to_count(Part::End(*log), ends)?.load()), Ok::<_, ReadError>)
            {
                Ok(load) => began.push((*log, load)),
                Err(error) => {
                    // Without it, what is passed over would be counted wrong: the session gets it beside its limit.
                    return Self::uncounted(&error, "what a limit has passed over");
                }
            }
        }
        for ((_, measured), (_, load)) in usage.logs.iter_mut().skip(1).zip(&began) {
            measured.began = Some(*load);
        }
        let row = self.session(id).rare.gaps.get_or_insert_default();
        match row.gaps.last() {
            Some(gap) if gap.to == GROWING => {}
            before => {
                let from = before.map_or(last, |gap| last.max(Lsn(gap.to.0 + 1)));
                let (own, shared) = (Load::default(), Load::default());
                row.gaps.push(Gap { from, to: GROWING, own, shared });
            }
        }
        row.began = began;
        let touched = self.batch.touch(id);
        (touched.gaps, touched.reader) = (true, true);
    }

    /// Ends the gap that grows, and counts what it has passed over. Where it began and what was in it, if it had anything.
    fn end_gap(&mut self, id: SessionId) -> Option<(Lsn, Load)> {
        let last = self.catalog.last;
        let began = std::mem::take(&mut self.session(id).rare.gaps.as_deref_mut()?.began);
        let mut passed = Load::default();
        for (log, began) in began {
            passed = passed.plus(self.head_now(log).beyond(began));
        }
        let row = self.session(id).rare.gaps.as_deref_mut()?;
        let gap = row.gaps.last_mut()?;
        let from = gap.from;
        if passed.messages > 0 && last > from {
            gap.to = last;
            gap.shared = passed;
        } else {
            row.gaps.pop();
        }
        let dropped = Dropped { exactly: 0, shared_at_most: passed.messages };
        self.count_drops(id, DropReason::SessionLimit, dropped);
        let touched = self.batch.touch(id);
        (touched.gaps, touched.reader) = (true, true);
        Some((from, passed))
    }

    /// A session without a connection passes over what is beyond its limit.
    pub(crate) fn settle(&mut self, settle: &Settle) {
        let id = settle.session;
        let as_found = |session: &Session| {
            !session.connected && session.epoch == settle.epoch && session.position == settle.position
        };
        let Some(session) =
            self.catalog.sessions.get(&id).map(Box::as_ref).filter(|session| as_found(session))
        else {
            return;
        };
        if session.pass_gaps(session.position.max(session.unsaved_through)) != settle.from {
            return;
        }
        let row: &mut GapsRow = self.session(id).rare.gaps.get_or_insert_default();
        let Backlog { own, shared_at_most } = settle.dropped;
        row.gaps.retain(|gap| gap.to <= settle.from || gap.from > settle.through);
        let at = row.gaps.partition_point(|gap| gap.to < settle.from);
        match row.gaps.get_mut(at).filter(|gap| gap.to == settle.from) {
            Some(gap) => {
                gap.to = settle.through;
                (gap.own, gap.shared) = (gap.own.plus(own), gap.shared.plus(shared_at_most));
            }
            None => {
                let gap = Gap { from: settle.from, to: settle.through, own, shared: shared_at_most };
                row.gaps.insert(at, gap);
            }
        }
        self.batch.touch(id).gaps = true;
        let dropped = Dropped { exactly: own.messages, shared_at_most: shared_at_most.messages };
        self.count_drops(id, settle.reason, dropped);
        self.catalog.moved.insert(id);
        self.recheck(id);
    }
}

fn least(one: Load, other: Load) -> Load {
    Load { messages: one.messages.min(other.messages), bytes: one.bytes.min(other.bytes) }
}
