//! What transactions will need of the disk, found out before anything of them takes effect.
//!
//! A disk that gives nothing says nothing of what is on it, so whoever reads waits until it does. The committer cannot wait in
//! the middle of a batch: the catalog cannot go back, and whoever wants to look into it would wait as well. So it reads before, while
//! the catalog is free: where logs end that get their first message since the store was opened, and messages of open exchanges that
//! are copied out of logs or go back to them. Who needs a part that the disk does not give is set aside: see `aside`. Wills that
//! are due and sessions that have expired are many in one transaction: those that need such a part are held back alone.
//!
//! What cannot be foreseen, because something in the same batch brings it about, is read where it is needed: see `late`. Damage is
//! not waited for: whoever needs the part meets it himself.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::catalog::{Catalog, Session};
use crate::keys::{self, Flow};
use crate::shared::Shared;
use crate::statistics::add;
use crate::{Detach, LogId, Lsn, Operation, Publish, ReadError, SessionId, Transaction, Will, WillFate};

use super::Work;
use super::aside::OF_THE_TIME;

/// So long the disk is asked for one thing after another while it gives nothing.
const ATTEMPT_MILLIS: u64 = 1000;

/// A part of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Where a log ends.
    End(LogId),
    /// The message of an open exchange, in its log; or what the log had had up to there.
    Message(LogId, Lsn),
    /// The copy that an open exchange has of its message, by its packet identifier.
    Copy(SessionId, u16),
}

/// All that some work needs, but for deadlines. Publishes that were routed before subscriptions changed are routed again for it.
pub(super) fn wanted(shared: &Shared, work: &mut [(Work, usize)]) -> BTreeSet<Part> {
    let version = shared.routes.read().version;
    let catalog = shared.catalog.lock();
    let needs = Needs { catalog: &catalog, shared };
    let mut wanted = BTreeSet::new();
    for (work, _) in work {
        let Work::Transaction(transaction, _) = work else { continue };
        for operation in &mut transaction.operations {
            if let Operation::Publish(Publish { topic, targets, qos: 1.., .. }) = operation
                && targets.version != version
            {
                *targets = shared.routes.read().targets(topic);
            }
        }
        needs.of(transaction, &mut |part| wanted.extend([part]));
    }
    wanted
}

/// What the disk does not give.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    pub(super) parts: BTreeSet<Part>,
    /// What the disk said of the last of them.
    pub(super) reason: String,
    /// The last of them that was asked for.
    last: Option<Part>,
}

impl Withheld {
    /// Reads parts; those that the disk does not give now are withheld, and those that are withheld already are not asked for again.
    ///
    /// A disk may take long to say that it gives nothing, and nobody's work is committed meanwhile. So it is asked for a second: what
    /// it has not been asked for by then counts as withheld as well, and comes first the next time.
    pub(super) fn read(&mut self, shared: &Shared, wanted: &BTreeSet<Part>) {
        if wanted.is_subset(&self.parts) {
            return;
        }
        // A damaged file may not be replaced in between: where logs end would be another then.
        let _open = shared.mending.lock();
        let began = shared.clock.elapsed_millis();
        let mut is_over = false;
        for part in in_turn(wanted, self.last) {
            if self.parts.contains(&part) {
                continue;
            }
            if is_over {
                self.parts.insert(part);
                continue;
            }
            if let Some(reason) = passing(shared, &read_one(shared, part)) {
                self.parts.insert(part);
                (self.last, self.reason) = (Some(part), reason);
                is_over = shared.clock.elapsed_millis().saturating_sub(began) >= ATTEMPT_MILLIS;
            }
        }
    }

    /// Nothing, but the next who asks goes on where the last has stopped.
    pub(super) fn forgotten(self) -> Withheld {
        Withheld { last: self.last, ..Withheld::default() }
    }
}

/// In their order, from the one behind `last` on, and around to it.
fn in_turn(parts: &BTreeSet<Part>, last: Option<Part>) -> impl Iterator<Item = Part> {
    let next = last.map_or(Bound::Unbounded, Bound::Excluded);
    let before = last.map(|last| parts.range(..=last)).into_iter().flatten();
    parts.range((next, Bound::Unbounded)).chain(before).copied()
}

fn read_one(shared: &Shared, part: Part) -> Result<(), ReadError> {
    match part {
        Part::End(log) => {
            let head = shared.end_of_log(log)?;
            shared.catalog.lock().heads.entry(log).or_insert(head);
        }
        Part::Message(log, lsn) => drop(shared.find_entry(log, lsn)?),
        Part::Copy(session, packet_id) => {
            let key = keys::flow(session, Flow::Held(packet_id));
            shared.engine.view().get(keys::FLOW, &key)?;
        }
    }
    Ok(())
}

/// Why a read failed that may succeed later: it is counted, and told of.
pub(super) fn passing<T>(shared: &Shared, read: &Result<T, ReadError>) -> Option<String> {
    let reason = read.as_ref().err()?.passing()?;
    add(&shared.counters.failed_reads, 1);
    shared.board.note_unreadable(reason);
    Some(reason.to_owned())
}

/// Has the sessions wait whose deadlines need what the disk does not give; what that is, is added to `withheld`.
///
/// Where some are held back, others come to be looked after in their place, so it goes on until there is nobody to hold back:
/// what one of them needed unforeseen, everybody would wait for.
pub(super) fn hold_back(shared: &Shared, transaction: &Transaction, withheld: &mut Withheld) {
    let is_of_deadlines = |operation: &Operation| {
        matches!(operation, Operation::PublishDueWills { .. } | Operation::ExpireSessions { .. })
    };
    if !transaction.operations.iter().any(is_of_deadlines) {
        return;
    }
    let began_millis = shared.clock.now_millis();
    loop {
        let mut needed = Vec::new();
        let catalog = shared.catalog.lock();
        let needs = Needs { catalog: &catalog, shared };
        needs.of_deadlines(transaction, &mut |session, now_millis, part| {
            needed.push((session, now_millis, part));
        });
        drop(catalog);
        if needed.is_empty() {
            return;
        }
        withheld.read(shared, &needed.iter().map(|(_, _, part)| *part).collect());
        needed.retain(|(_, _, part)| withheld.parts.contains(part));
        if needed.is_empty() {
            return;
        }
        // A disk may take long to say that it gives nothing.
        let took_millis = shared.clock.now_millis().saturating_sub(began_millis);
        let rest_millis = took_millis.saturating_mul(u64::from(OF_THE_TIME));
        let mut catalog = shared.catalog.lock();
        for (session, now_millis, _) in needed {
            catalog.held_back.add(session, now_millis, took_millis.saturating_add(rest_millis));
        }
    }
}

/// Has the sessions wait whose deadlines have passed while the store was closed, and need what the disk does not give.
pub(crate) fn hold_back_overdue(shared: &Shared, now_millis: u64) {
    let operations =
        vec![Operation::PublishDueWills { now_millis }, Operation::ExpireSessions { now_millis }];
    let transaction = Transaction { operations, ..Transaction::default() };
    hold_back(shared, &transaction, &mut Withheld::default());
}

/// What operations need, as the catalog stands.
pub(super) struct Needs<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) shared: &'a Shared,
}

impl Needs<'_> {
    /// What a transaction needs to take effect.
    pub(super) fn of(&self, transaction: &Transaction, need: &mut dyn FnMut(Part)) {
        let fenced = || {
            let (id, _) = transaction.fence?;
            Some((id, &**self.catalog.sessions.get(&id)?))
        };
        for operation in &transaction.operations {
            match operation {
                Operation::Publish(Publish { targets, qos: 1.., .. }) => self.of_ends(&targets.logs, need),
                Operation::Attach(attach) => {
                    let Some(id) = self.catalog.of_client(&attach.client_id) else { continue };
                    let session = &self.catalog.sessions[&id];
                    let resumes = !attach.clean_start && session.can_be_resumed(attach.now_millis);
                    if !resumes {
                        self.of_end(id, session, need);
                    } else if session.owes_will(attach.now_millis) {
                        self.of_will(session, need);
                    }
                }
                Operation::Detach(detach) => {
                    let Some((id, session)) = fenced() else { continue };
                    self.of_detach(id, session, detach, need);
                }
                Operation::End => {
                    let Some((id, session)) = fenced() else { continue };
                    self.of_return(id, session, need, |qos, _| qos == 1);
                }
                Operation::ReturnToGroup { log, unsent } => {
                    let Some((id, session)) = fenced() else { continue };
                    self.of_return(id, session, need, |_, place| {
                        place.0 == *log && unsent.contains(&place.1)
                    });
                }
                Operation::Unsubscribe(filters) => {
                    let Some((_, session)) = fenced() else { continue };
                    for exchange in session.exchanges_in_logs() {
                        let log = self.catalog.logs.get(&exchange.log);
                        if log.is_some_and(|log| filters.contains(&log.filter)) {
                            need(Part::Message(exchange.log, exchange.lsn));
                        }
                    }
                }
                // An outbound state that has an exchange from a log that the session has left since is rare, and to look for
                // it would cost every other: see `late`.
                _ => {}
            }
        }
    }

    /// What the sessions need whose deadlines a transaction looks after, each by itself.
    pub(super) fn of_deadlines(&self, transaction: &Transaction, need: &mut dyn FnMut(SessionId, u64, Part)) {
        for operation in &transaction.operations {
            match operation {
                Operation::PublishDueWills { now_millis } => {
                    for id in self.catalog.due_wills(*now_millis) {
                        let session = &self.catalog.sessions[&id];
                        self.of_will(session, &mut |part| need(id, *now_millis, part));
                    }
                }
                Operation::ExpireSessions { now_millis } => {
                    for id in self.catalog.expired(*now_millis) {
                        let session = &self.catalog.sessions[&id];
                        self.of_end(id, session, &mut |part| need(id, *now_millis, part));
                    }
                }
                _ => {}
            }
        }
    }

    fn of_detach(&self, id: SessionId, session: &Session, detach: &Detach, need: &mut dyn FnMut(Part)) {
        let publishes = detach.will == WillFate::Publish;
        if detach.session_expiry_interval == 0 {
            if publishes {
                self.of_will(session, need);
            }
            self.of_return(id, session, need, |qos, _| qos == 1);
        } else if publishes && session.rare.will.as_ref().is_some_and(|will| will.delay_interval == 0) {
            self.of_will(session, need);
        }
    }

    /// A session ends, and its will is published.
    fn of_end(&self, id: SessionId, session: &Session, need: &mut dyn FnMut(Part)) {
        self.of_will(session, need);
        self.of_return(id, session, need, |qos, _| qos == 1);
    }

    fn of_will(&self, session: &Session, need: &mut dyn FnMut(Part)) {
        let Some(Will { message, .. }) = session.rare.will.as_deref() else { return };
        if message.qos > 0 {
            let targets = self.shared.routes.read().targets(&message.topic);
            self.of_ends(&targets.logs, need);
        }
    }

    /// Exchanges of which the message goes back to a group: those with a copy are appended to its log again.
    fn of_return(
        &self,
        id: SessionId,
        session: &Session,
        need: &mut dyn FnMut(Part),
        goes_back: impl Fn(u8, (LogId, Lsn)) -> bool,
    ) {
        let Some(exchanges) = session.rare.exchanges.as_deref() else { return };
        for exchange in exchanges.open.iter().filter(|exchange| !exchange.received) {
            if goes_back(exchange.qos, (exchange.log, exchange.lsn))
                && exchanges.held.contains(&(exchange.packet_id, exchange.lsn))
                && self.catalog.is_of_group(exchange.log)
            {
                need(Part::Copy(id, exchange.packet_id));
                self.of_ends(&[exchange.log], need);
            }
        }
    }

    /// The ends of logs that are not known. Of those that are gone, nothing is needed.
    fn of_ends(&self, logs: &[LogId], need: &mut dyn FnMut(Part)) {
        for log in logs {
            if self.catalog.heads.contains_key(log) {
                continue;
            }
            let own = self.catalog.sessions.get(&SessionId(log.0));
            if own.is_some_and(|session| !session.is_new) || self.catalog.logs.contains_key(log) {
                need(Part::End(*log));
            }
        }
    }
}
