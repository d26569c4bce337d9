//! The trimmer's turns, and trimming: finding out what of the logs is dead, and making its space free.
//!
//! A log is dead up to its floor: the lowest of what its readers' positions and open exchanges still need, and always
//! below its last entry, so that its last block stays and its ordinals go on. Floors are given to the compaction
//! filter once the positions that they derive from are durable. Most dead blocks go when RocksDB rewrites files anyway; a log of
//! which enough is dead is rewritten at once.
//!
//! An exchange that stays open while its session reads on would pin its log: its message is copied first.

use std::collections::BTreeSet;

use crate::backlog::{Backlog, Reading};
use crate::catalog::{Catalog, Session};
use crate::committer::{Settle, Work};
use crate::groups::OPEN_END;
use crate::health::Level;
use crate::keys;
use crate::quotas::Quotas;
use crate::read::log_bounds;
use crate::shared::Shared;
use crate::statistics::add;
use crate::sweep;
use crate::{DropReason, Excess, Exchange, Load, LogId, Lsn, Policy, ReadError, SessionId};

/// When space is short, this part of the usual dead bytes is worth rewriting.
const WHEN_SHORT: u64 = 16;

/// Sessions that one turn looks at.
const SESSIONS_A_TURN: usize = 512;

/// The thread: takes a turn now and then.
pub(crate) fn run(shared: &Shared) {
    while shared.wait_for_turn(shared.options.trimming.interval) {
        turn(shared);
    }
}

/// What goes on from turn to turn.
#[derive(Debug, Default)]
pub(crate) struct Trimmer {
    /// Floors that wait for a batch to become durable.
    pending: Vec<(u64, Vec<(LogId, Lsn)>)>,
    /// Logs whose floor has risen since their space was last looked at.
    risen: BTreeSet<LogId>,
    /// Logs that are gone, whose space has not been looked at.
    gone: Vec<LogId>,
}

/// What a survey of the catalog finds.
#[derive(Default)]
struct Survey {
    /// The batch that what was found stems from.
    commit: u64,
    /// Floors as the readers allow them, and the last LSN where it is known.
    floors: Vec<(LogId, Lsn, Option<Lsn>)>,
    /// Exchanges that lie far behind.
    exchanges: Vec<(SessionId, Exchange, Lsn)>,
}

pub(crate) fn turn(shared: &Shared) {
    if shared.failure().is_some() {
        return;
    }
    sweep::turn(shared);
    note_jump(shared);
    let mut trimmer = shared.trimmer.lock();
    let survey = survey(&mut shared.catalog.lock(), shared);
    rescue(shared, &survey.exchanges);
    settle(shared);
    count_consumed(shared, &survey.floors);
    settle_total(shared);
    settle_groups(shared);
    trimmer.pending.push((survey.commit, settled_floors(shared, survey.floors)));
    trimmer.settle(shared);
    trimmer.reclaim(shared);
}

/// A clock that was set is noted soon: a start after a crash takes the difference for time that has passed.
fn note_jump(shared: &Shared) {
    let noted = shared.catalog.lock().time;
    if shared.clock.mark().jumped_since(noted) {
        tracing::warn!("the wall clock was set; deadlines go on as if it had not been");
        // A closed queue means that the store is closed, which notes the time as well.
        drop(shared.queue.push(Work::NoteTime));
    }
}

fn survey(catalog: &mut Catalog, shared: &Shared) -> Survey {
    let moved: Vec<SessionId> = catalog.moved.iter().take(SESSIONS_A_TURN).copied().collect();
    let mut survey = Survey { commit: catalog.commit, ..Survey::default() };
    let mut shared_logs = BTreeSet::new();
    for id in moved {
        catalog.moved.remove(&id);
        let Some(session) = catalog.sessions.get(&id) else { continue };
        let own = id.own_log();
        survey.floors.push((own, session.floor(own, Lsn(0)), catalog.heads.get(&own).map(|head| head.last)));
        shared_logs.extend(session.memberships().map(|membership| membership.log));
        let groups = session.subscriptions.iter().filter(|subscription| subscription.is_shared());
        let groups = groups.filter_map(|subscription| catalog.groups.get(&*subscription.filter));
        shared_logs.extend(groups.map(|group| group.log));
        survey.exchanges.extend(lagging(id, session, shared));
    }
    for filter in std::mem::take(&mut catalog.moved_groups) {
        shared_logs.extend(catalog.groups.get(&filter).map(|group| group.log));
    }
    for log in shared_logs {
        let floor = shared_floor(catalog, log);
        survey.floors.push((log, floor, catalog.heads.get(&log).map(|head| head.last)));
    }
    survey
}

/// The lowest of what the members of a filter's log need.
pub(crate) fn shared_floor(catalog: &Catalog, log: LogId) -> Lsn {
    let Some(known) = catalog.logs.get(&log) else { return Lsn(0) };
    if let Some(group) = catalog.groups.get(&known.filter) {
        let needs = known.members.iter().map(|member| catalog.sessions[member].floor(log, OPEN_END));
        return needs.min().unwrap_or(OPEN_END).min(group.open.floor());
    }
    let needs = known.members.iter().flat_map(|member| {
        let session = &catalog.sessions[member];
        let at = session.find(&known.filter).expect("who reads a filter's log subscribes to it");
        session.subscriptions[at].parts().filter_map(move |part| {
            let floor = session.floor(log, part.from);
            (floor < part.until).then_some(floor)
        })
    });
    needs.min().unwrap_or(OPEN_END)
}

/// Exchanges whose messages are so many LSNs behind that they are copied at once, and the oldest, which may have many
/// bytes behind it.
fn lagging(id: SessionId, session: &Session, shared: &Shared) -> Vec<(SessionId, Exchange, Lsn)> {
    let position = session.position;
    let limit = position.0.saturating_sub(shared.options.trimming.stuck_after);
    let oldest = session.exchanges_in_logs().map(|exchange| exchange.lsn).min();
    session
        .exchanges_in_logs()
        .filter(|exchange| exchange.lsn.0 < limit || Some(exchange.lsn) == oldest)
        .map(|exchange| (id, exchange.clone(), position))
        .collect()
}

/// Has the committer copy the messages of exchanges that are stuck.
fn rescue(shared: &Shared, exchanges: &[(SessionId, Exchange, Lsn)]) {
    let trimming = &shared.options.trimming;
    for (session, exchange, position) in exchanges {
        let stuck = exchange.lsn.0 < position.0.saturating_sub(trimming.stuck_after) || {
            let from = keys::block(exchange.log, exchange.lsn, 0);
            let to = keys::block(exchange.log, *position, 0);
            from < to && shared.engine.log_bytes(&from, &to) > trimming.stuck_bytes
        };
        if !stuck {
            continue;
        }
        match shared.find_entry(exchange.log, exchange.lsn) {
            Ok(Some(entry)) => {
                let body = entry.body().to_vec().into();
                let work = Work::Rescue {
                    session: *session,
                    packet_id: exchange.packet_id,
                    lsn: exchange.lsn,
                    body,
                };
                // A closed queue means that there is nothing to trim any more.
                let _ = shared.queue.push(work);
            }
            // Its session has ended meanwhile, or the exchange has; or it is damaged, and the reader says so.
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the message of an open exchange cannot be read"),
        }
    }
}

/// Has sessions without a connection pass over what is beyond their limits.
fn settle(shared: &Shared) {
    let limit = &shared.options.limits.session;
    let found: Vec<(Settle, Reading)> = {
        let catalog = shared.catalog.lock();
        let over = catalog.quotas.iter().flat_map(|quotas| &quotas.over);
        let detached = over.filter_map(|id| {
            let session = catalog.sessions.get(id).filter(|session| !session.connected)?;
            to_settle(&catalog, *id, session)
        });
        detached.take(SESSIONS_A_TURN).collect()
    };
    let head = shared.head();
    for (settle, reading) in found {
        submit(shared, settle, reading.excess(shared, head, limit));
    }
}

fn submit(shared: &Shared, mut settle: Settle, found: Result<Option<Excess>, ReadError>) {
    match found {
        Ok(Some(excess)) => {
            (settle.through, settle.dropped) = (excess.through, excess.dropped);
            settle.reason = excess.reason;
            // A closed queue means that there is nothing to drop any more.
            let _ = shared.queue.push(Work::Settle(Box::new(settle)));
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what is beyond a limit cannot be found"),
    }
}

/// A session without a connection, as it is to be settled.
fn to_settle(catalog: &Catalog, id: SessionId, session: &Session) -> Option<(Settle, Reading)> {
    let reading = Reading::of(catalog, id, session.position.max(session.unsaved_through))?;
    let settle = Settle {
        session: id,
        epoch: session.epoch,
        position: session.position,
        from: reading.position,
        through: reading.position,
        dropped: Backlog::default(),
        reason: DropReason::SessionLimit,
    };
    Some((settle, reading))
}

/// Takes what nobody needs any more off what waits in total.
fn count_consumed(shared: &Shared, floors: &[(LogId, Lsn, Option<Lsn>)]) {
    if !shared.options.limits.total.is_set() {
        return;
    }
    let loads: Vec<(LogId, Load)> = floors
        .iter()
        .filter_map(|(log, floor, _)| Some((*log, shared.load_at(*log, *floor).ok()?)))
        .collect();
    let mut catalog = shared.catalog.lock();
    let Catalog { quotas, sessions, logs, .. } = &mut *catalog;
    let Some(quotas) = quotas else { return };
    for (log, dead) in loads {
        if logs.contains_key(&log) || sessions.contains_key(&SessionId(log.0)) {
            quotas.total.consumed(log, dead);
        }
    }
    quotas.total.report(&quotas.limits.total);
}

/// Drop-oldest for all that waits: finds how far everybody has to go, and has them go there.
fn settle_total(shared: &Shared) {
    let limit = &shared.options.limits.total;
    let floors: Vec<(LogId, Lsn)> = {
        let catalog = shared.catalog.lock();
        let exceeded = catalog.quotas.as_ref().is_some_and(|quotas| limit.is_exceeded(quotas.total.load));
        if limit.policy != Policy::DropOldest || !exceeded {
            return;
        }
        all_floors(&catalog)
    };
    let head = shared.head();
    let floor = match Reading::of_all(floors.into_iter()).excess(shared, head, limit) {
        Ok(Some(excess)) => excess.through,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%error, "what is beyond the limit in total cannot be found"),
    };
    // A closed queue means that there is nothing to drop any more.
    drop(shared.queue.push(Work::DropFromGroups(floor)));
    let mut detached = Vec::new();
    {
        let catalog = shared.catalog.lock();
        for (id, session) in &catalog.sessions {
            match &session.rare.reader {
                Some(reader) if session.connected => reader.set_floor(floor),
                _ => detached.extend(to_settle(&catalog, *id, session)),
            }
        }
    }
    for (settle, reading) in detached {
        let found = reading.up_to(shared, head, floor);
        submit(shared, settle, found);
    }
}

/// Groups drop what is beyond their limits with the next batch: there is to be one.
fn settle_groups(shared: &Shared) {
    let over = |quotas: &Quotas| !quotas.groups_over.is_empty();
    if shared.catalog.lock().quotas.as_ref().is_some_and(over) {
        drop(shared.queue.push(Work::SettleGroups));
    }
}

/// Every log, with the last LSN that nobody needs of it.
pub(crate) fn all_floors(catalog: &Catalog) -> Vec<(LogId, Lsn)> {
    let own = catalog.sessions.iter().map(|(id, session)| {
        let log = id.own_log();
        (log, session.floor(log, Lsn(0)))
    });
    own.chain(catalog.logs.keys().map(|log| (*log, shared_floor(catalog, *log)))).collect()
}

/// Floors that leave each log its last block, and that are news.
fn settled_floors(shared: &Shared, found: Vec<(LogId, Lsn, Option<Lsn>)>) -> Vec<(LogId, Lsn)> {
    let mut floors = Vec::new();
    for (log, floor, last) in found {
        let known = shared.floors.get(log);
        if floor <= known {
            continue;
        }
        let last = match last {
            Some(last) => last,
            None => shared.end_of_log(log).map_or(Lsn(0), |head| head.last),
        };
        let floor = floor.min(Lsn(last.0.saturating_sub(1)));
        if floor > known {
            floors.push((log, floor));
        }
    }
    floors
}

impl Trimmer {
    /// Gives the filter what derives from durable batches.
    fn settle(&mut self, shared: &Shared) {
        let durable = shared.durable_commit();
        for (_, floors) in self.pending.extract_if(.., |(commit, _)| *commit <= durable) {
            for (log, floor) in floors {
                shared.floors.raise(log, floor);
                self.risen.insert(log);
            }
        }
        for (_, log) in shared.ended_logs.lock().extract_if(.., |(commit, _)| *commit <= durable) {
            shared.floors.remove(log);
            self.risen.remove(&log);
            self.gone.push(log);
        }
    }

    /// Rewrites where enough is dead.
    fn reclaim(&mut self, shared: &Shared) {
        let dead_bytes = shared.options.trimming.dead_bytes;
        let is_short = shared.board.level() != Level::Enough;
        let least = if is_short { dead_bytes / WHEN_SHORT } else { dead_bytes };
        for log in std::mem::take(&mut self.risen) {
            let (first, end) = log_bounds(log);
            let to = keys::block(log, shared.floors.get(log), u64::MAX);
            let dead = shared.engine.log_bytes(&first, &to);
            if dead < least {
                continue;
            }
            let live = shared.engine.log_bytes(&first, &end).saturating_sub(dead);
            if dead > live && shared.has_room_for(live) {
                rewrite(shared, &first, &to);
            }
            if is_short && shared.engine.log_bytes(&first, &to) >= least {
                // Nothing may make its floor rise again: it is not forgotten until its space is free.
                self.risen.insert(log);
            }
        }
        for log in self.gone.drain(..) {
            let (first, end) = log_bounds(log);
            if shared.engine.log_bytes(&first, &end) >= least {
                rewrite(shared, &first, &keys::block(log, Lsn(u64::MAX), u64::MAX));
            }
        }
    }
}

fn rewrite(shared: &Shared, from: &[u8], to: &[u8]) {
    add(&shared.counters.trims, 1);
    if let Err(error) = shared.engine.rewrite_log(from, to) {
        tracing::warn!(%error, "the space of consumed messages was not made free");
    }
}
