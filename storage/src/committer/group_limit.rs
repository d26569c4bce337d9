//! Limits of groups, and the counts of what is dropped of their messages.
//!
//! A group's log belongs to the group alone, so what waits in it is exact: the entries of `open`, kept as a sum that
//! grows with every append and shrinks with every span that is taken. *Drop-newest* and *reject* leave a message out of the
//! log. *Drop-oldest* appends it, and takes the oldest out of `open` before the next batch is put together: only what is
//! free, for what a member has in its window may have been sent.

use bytestring::ByteString;

use crate::groups::{OPEN_END, Span};
use crate::quotas::GroupUsage;
use crate::{DropReason, Dropped, Limit, Load, LogId, Lsn, Policy, ReadError};

use super::Apply;
use super::apply::end_of_log;
use super::foresee::Part;

impl Apply<'_> {
    fn group_limit(&self) -> Option<Limit> {
        self.catalog.quotas.as_ref().map(|quotas| quotas.limits.group).filter(Limit::is_set)
    }

    /// The whole filter of the group whose log this is.
    pub(super) fn group_of(&self, log: LogId) -> Option<ByteString> {
        let filter = &self.catalog.logs.get(&log)?.filter;
        self.catalog.groups.contains_key(filter).then(|| filter.clone())
    }

    /// Counts for the group, as long as there is one, and in total.
    pub(super) fn count_group_drops(&mut self, filter: &ByteString, reason: DropReason, messages: u64) {
        if messages == 0 {
            return;
        }
        if let Some(group) = self.catalog.groups.get_mut(filter) {
            group.drops.add(reason, Dropped::exactly(messages));
            self.batch.touch_group(filter);
        }
        self.count_in_total(reason, Dropped::exactly(messages));
    }

    /// A client has refused a message that it got from this log [MQTT-4.8.2-6].
    pub(super) fn count_refused(&mut self, log: LogId) {
        if let Some(filter) = self.group_of(log) {
            self.count_group_drops(&filter, DropReason::GroupRefused, 1);
        }
    }

    /// A group is there from now on, and has nothing.
    pub(super) fn group_made(&mut self, log: LogId) {
        if self.group_limit().is_some() {
            self.quotas().groups.insert(log, GroupUsage::default());
        }
    }

    /// A group that recovery has found.
    pub(super) fn measure_groups(&mut self) {
        let Some(limit) = self.group_limit() else { return };
        let filters: Vec<ByteString> = self.catalog.groups.keys().cloned().collect();
        for filter in filters {
            let group = &self.catalog.groups[&filter];
            let (log, open) = (group.log, group.open.as_slice().to_vec());
            let loads: Vec<Load> = open.into_iter().map(|span| self.load_of(log, span)).collect();
            let waiting = loads.into_iter().fold(Load::default(), Load::plus);
            self.quotas().groups.insert(log, GroupUsage { waiting, ..GroupUsage::default() });
            self.judge_group(log, &limit);
        }
    }

    /// The group of a log has no members any more: what waited in it is dropped with it.
    pub(super) fn group_ended(&mut self, log: LogId) {
        let Some(filter) = self.group_of(log) else { return };
        let open = self.catalog.groups[&filter].open.as_slice().to_vec();
        let waited: u64 = open.into_iter().map(|span| self.load_of(log, span).messages).sum();
        self.count_group_drops(&filter, DropReason::Unsubscribed, waited);
        if let Some(quotas) = &mut self.catalog.quotas {
            quotas.groups.remove(&log);
            quotas.groups_over.remove(&log);
        }
    }

    /// A log has got a message of so many bytes; it may be a group's.
    pub(super) fn group_grown(&mut self, log: LogId, bytes: usize) {
        let Some(limit) = self.group_limit() else { return };
        let Some(usage) = self.quotas().groups.get_mut(&log) else { return };
        usage.waiting = usage.waiting.plus(Load { messages: 1, bytes: bytes as u64 });
        self.judge_group(log, &limit);
    }

    /// A span of a group's log is taken: nobody else gets what is in it.
    pub(super) fn take_out(&mut self, log: LogId, span: Span) {
        let Some(filter) = self.group_of(log) else { return };
        self.change_waiting(log, &filter, span, Load::beyond);
        let group = self.catalog.groups.get_mut(&filter).expect("just seen");
        group.open.remove(span);
        self.batch.touch_group(&filter);
    }

    /// A message of a group's log that was taken comes back.
    pub(super) fn give_back(&mut self, log: LogId, lsn: Lsn) {
        let Some(filter) = self.group_of(log) else { return };
        let span = Span::of(lsn);
        if self.catalog.groups[&filter].open.within(span).next().is_some() {
            return;
        }
        let group = self.catalog.groups.get_mut(&filter).expect("just seen");
        group.give_back(span);
        self.batch.touch_group(&filter);
        self.change_waiting(log, &filter, span, Load::plus);
    }

    /// Adds what of a span is open to what waits, or takes it off.
    fn change_waiting(&mut self, log: LogId, filter: &str, span: Span, change: fn(Load, Load) -> Load) {
        let Some(limit) = self.group_limit() else { return };
        let open: Vec<Span> = self.catalog.groups[filter].open.within(span).collect();
        for part in open {
            let load = self.load_of(log, part);
            if let Some(usage) = self.quotas().groups.get_mut(&log) {
                usage.waiting = change(usage.waiting, load);
            }
        }
        self.judge_group(log, &limit);
    }

    /// Looks at how much waits for a group, and notes what follows.
    fn judge_group(&mut self, log: LogId, limit: &Limit) {
        let Some(filter) = self.group_of(log) else { return };
        let Some(usage) = self.quotas().groups.get_mut(&log) else { return };
        usage.report(&filter, limit);
        let over = limit.policy == Policy::DropOldest && limit.is_exceeded(usage.waiting);
        if over {
            self.quotas().groups_over.insert(log);
        } else {
            self.quotas().groups_over.remove(&log);
        }
    }

    fn is_group_full(&self, log: LogId, limit: &Limit) -> bool {
        let usage = self.catalog.quotas.as_ref().and_then(|quotas| quotas.groups.get(&log));
        usage.is_some_and(|usage| limit.is_reached(usage.waiting))
    }

    /// Whether a publish is refused because the group of a log is full.
    pub(super) fn rejects_for_group(&self, log: LogId) -> bool {
        let limit = self.group_limit().filter(|limit| limit.policy == Policy::Reject);
        limit.is_some_and(|limit| self.is_group_full(log, &limit))
    }

    /// Whether a log is that of a group that is full: it does not get the message, and it is counted.
    pub(super) fn leaves_out_of_group(&mut self, log: LogId) -> bool {
        let limit = self.group_limit().filter(|limit| limit.policy != Policy::DropOldest);
        if !limit.is_some_and(|limit| self.is_group_full(log, &limit)) {
            return false;
        }
        let filter = self.group_of(log).expect("only groups have a usage");
        self.count_group_drops(&filter, DropReason::GroupLimit, 1);
        true
    }

    /// Drops the oldest of groups that have more waiting than they may, as far as nobody has them in the window, but never the
    /// newest. Before anything of a batch: then all that a log has can be read.
    pub(crate) fn settle_groups(&mut self) {
        let Some(limit) = self.group_limit() else { return };
        let over: Vec<LogId> = self.quotas().groups_over.iter().copied().collect();
        for log in over {
            let Some(usage) = self.quotas().groups.get(&log) else { continue };
            let waiting = usage.waiting;
            let Ok(newest) = self.to_count(Part::End(log), || end_of_log(self.catalog, self.shared, log))
            else {
                continue;
            };
            let newest = newest.last;
            let enough = |dropped| !limit.is_exceeded(waiting.beyond(dropped));
            self.drop_free(log, DropReason::GroupLimit, Lsn(newest.0.saturating_sub(1)), enough);
        }
    }

    /// Drops what is free up to an LSN, because more waits in total than is allowed.
    pub(crate) fn drop_from_groups(&mut self, through: Lsn) {
        let logs: Vec<LogId> = self.catalog.groups.values().map(|group| group.log).collect();
        for log in logs {
            self.drop_free(log, DropReason::TotalLimit, through, |_| false);
        }
    }

    /// Drops what is free up to an LSN, from the oldest on, until what was dropped is enough.
    fn drop_free(&mut self, log: LogId, reason: DropReason, through: Lsn, enough: impl Fn(Load) -> bool) {
        let Some(filter) = self.group_of(log) else { return };
        let pool = self.catalog.groups[&filter].pool.clone();
        let mut dropped = Load::default();
        for span in pool.take_free(through) {
            let cut = match self.cut(log, span, |load| enough(dropped.plus(load))) {
                Ok(cut) => cut,
                Err(error) => {
                    Self::uncounted(&error, "what is beyond the limit of a group");
                    span.after
                }
            };
            let gone = Span::new(span.after, cut);
            if !gone.is_empty() {
                dropped = dropped.plus(self.load_of(log, gone));
                self.take_out(log, gone);
            }
            let stays = Span::new(cut, span.through);
            if !stays.is_empty() {
                pool.give_back(stays);
            }
        }
        if dropped.messages > 0 {
            self.count_group_drops(&filter, reason, dropped.messages);
            self.catalog.moved_groups.insert(filter);
        }
    }

    /// The first LSN of a span with which enough goes; its end, if all of it is not enough.
    fn cut(&self, log: LogId, span: Span, enough: impl Fn(Load) -> bool) -> Result<Lsn, ReadError> {
        let before = self.load_at(log, span.after)?;
        if enough(Load::default()) {
            return Ok(span.after);
        }
        // With everything up to `less` gone it is not enough; with everything up to `cut` it may be.
        let (mut less, mut cut) = (span.after, span.through);
        while less.0 + 1 < cut.0 {
            let middle = Lsn(less.0.midpoint(cut.0));
            if enough(self.load_at(log, middle)?.beyond(before)) {
                cut = middle;
            } else {
                less = middle;
            }
        }
        Ok(cut)
    }

    /// What a span of a group's log has, with what this batch appends.
    fn load_of(&mut self, log: LogId, span: Span) -> Load {
        let end = match span.through {
            OPEN_END => Ok(self.head_now(log)),
            through => self.load_at(log, through),
        };
        match end.and_then(|end| Ok(end.beyond(self.load_at(log, span.after)?))) {
            Ok(load) => load,
            Err(error) => {
                Self::uncounted(&error, "what waits for a group");
                Load::default()
            }
        }
    }
}
