//! What waits for a session: the difference between where its logs end and where it reads.
//!
//! Every block has the ordinal and the running bytes of its first message, so what a log had up to any LSN takes one
//! look at one block, however much lies between. Of the session's own log the difference is exact. Over the logs of
//! filters that it shares it is an upper bound: a message that several of its filters match is in several of them.

use bytes::Bytes;

use crate::catalog::Catalog;
use crate::keys;
use crate::read::log_bounds;
use crate::record::{BlockEntries, GROWING, Gap};
use crate::shared::Shared;
use crate::{DecodeError, DropReason, Limit, Load, LogId, Lsn, ReadError, SessionId};

/// What waits for a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// In its own log: exact.
    pub own: Load,
    /// In the logs of filters that it shares with others: an upper bound.
    pub shared_at_most: Load,
}

impl Backlog {
    /// All of it: an upper bound when something waits in shared logs.
    pub fn at_most(&self) -> Load {
        self.own.plus(self.shared_at_most)
    }

    fn beyond(self, other: Backlog) -> Backlog {
        Backlog {
            own: self.own.beyond(other.own),
            shared_at_most: self.shared_at_most.beyond(other.shared_at_most),
        }
    }
}

/// What of a session's backlog lies beyond its limit, and is to be dropped: see [`crate::Store::excess`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Everything above the position and up to here is to be passed over.
    pub through: Lsn,
    /// How much that is.
    pub dropped: Backlog,
    /// Which limit it is beyond.
    pub reason: DropReason,
}

/// A log that a session reads, or a part of one.
#[derive(Clone, Copy, Debug)]
struct Part {
    log: LogId,
    /// Read above this LSN …
    from: Lsn,
    /// … and up to this.
    until: Lsn,
    own: bool,
}

/// What a session reads, as of one moment.
pub(crate) struct Reading {
    pub(crate) position: Lsn,
    parts: Vec<Part>,
    gaps: Vec<Gap>,
}

impl Reading {
    /// All logs, each above what nobody needs any more.
    pub(crate) fn of_all(floors: impl Iterator<Item = (LogId, Lsn)>) -> Reading {
        let parts = floors.map(|(log, from)| Part { log, from, until: GROWING, own: false });
        Reading { position: Lsn(0), parts: parts.collect(), gaps: Vec::new() }
    }

    /// A session's, above `position`; `None` if there is no such session.
    pub(crate) fn of(catalog: &Catalog, id: SessionId, position: Lsn) -> Option<Reading> {
        let session = catalog.sessions.get(&id)?;
        let own = Part { log: id.own_log(), from: Lsn(0), until: GROWING, own: true };
        let shared = session.memberships().map(|membership| Part {
            log: membership.log,
            from: membership.from,
            until: membership.until,
            own: false,
        });
        let parts = std::iter::once(own).chain(shared).collect();
        Some(Reading { position: session.pass_gaps(position), parts, gaps: session.gaps().to_vec() })
    }

    /// What waits, up to `head`.
    pub(crate) fn backlog(&self, shared: &Shared, head: Lsn) -> Result<Backlog, ReadError> {
        self.above(shared, self.position, head)
    }

    /// What waits above an LSN: what is passed over does not wait.
    fn above(&self, shared: &Shared, from: Lsn, head: Lsn) -> Result<Backlog, ReadError> {
        let within = |gap: &&Gap| gap.from <= from && from < gap.to && gap.to != GROWING;
        let from = self.gaps.iter().find(within).map_or(from, |gap| gap.to);
        let mut backlog = self.between(shared, from, head)?;
        for gap in self.gaps.iter().filter(|gap| gap.to > from && gap.from < head) {
            let passed = if gap.to == GROWING {
                self.between(shared, gap.from.max(from), head)?
            } else {
                Backlog { own: gap.own, shared_at_most: gap.shared }
            };
            backlog = backlog.beyond(passed);
        }
        Ok(backlog)
    }

    /// What goes if everything up to an LSN does, because more waits in total than is allowed; `None`: nothing.
    pub(crate) fn up_to(&self, shared: &Shared, head: Lsn, floor: Lsn) -> Result<Option<Excess>, ReadError> {
        if floor <= self.position {
            return Ok(None);
        }
        let dropped = self.backlog(shared, head)?.beyond(self.above(shared, floor, head)?);
        let any = dropped.at_most().messages > 0;
        Ok(any.then_some(Excess { through: floor, dropped, reason: DropReason::TotalLimit }))
    }

    fn between(&self, shared: &Shared, from: Lsn, through: Lsn) -> Result<Backlog, ReadError> {
        let mut backlog = Backlog::default();
        for part in &self.parts {
            let (from, through) = (from.max(part.from), through.min(part.until));
            if from >= through {
                continue;
            }
            let load = shared.load_at(part.log, through)?.beyond(shared.load_at(part.log, from)?);
            let sum = if part.own { &mut backlog.own } else { &mut backlog.shared_at_most };
            *sum = sum.plus(load);
        }
        Ok(backlog)
    }

    /// What lies beyond a limit: the least that has to go, but never the newest message.
    pub(crate) fn excess(
        &self,
        shared: &Shared,
        head: Lsn,
        limit: &Limit,
    ) -> Result<Option<Excess>, ReadError> {
        let waiting = self.backlog(shared, head)?;
        if !limit.is_exceeded(waiting.at_most()) {
            return Ok(None);
        }
        let mut newest = self.position;
        for part in &self.parts {
            newest = newest.max(shared.end_of_log(part.log)?.last.min(head).min(part.until));
        }
        // With everything up to `kept` gone, too much waits; with everything up to `through` gone, not.
        let (mut kept, mut through) = (self.position, Lsn(newest.0.saturating_sub(1)));
        if through <= self.position {
            return Ok(None);
        }
        while kept.0 + 1 < through.0 {
            let middle = Lsn(kept.0.midpoint(through.0));
            if limit.is_exceeded(self.above(shared, middle, head)?.at_most()) {
                kept = middle;
            } else {
                through = middle;
            }
        }
        let dropped = waiting.beyond(self.above(shared, through, head)?);
        Ok(Some(Excess { through, dropped, reason: DropReason::SessionLimit }))
    }
}

impl Shared {
    /// What a log had up to an LSN, of what is published.
    pub(crate) fn load_at(&self, log: LogId, lsn: Lsn) -> Result<Load, ReadError> {
        if let Some((record, last)) = self.tail.read().around(log, lsn) {
            return load_within(&record, lsn).map_err(|reason| damaged(log, lsn, last, reason));
        }
        match self.block_behind(log, lsn)? {
            Some((record, last)) => BlockEntries::open(record)
                .and_then(|entries| load_of(entries, lsn))
                .map_err(|reason| damaged(log, lsn, last, reason)),
            None => Ok(self.end_of_log(log)?.load()),
        }
    }

    /// The first block on the disk that ends behind an LSN, and its last LSN.
    fn block_behind(&self, log: LogId, lsn: Lsn) -> Result<Option<(Bytes, Lsn)>, ReadError> {
        let from = keys::block(log, Lsn(lsn.0.saturating_add(1)), 0);
        let view = self.engine.view();
        let mut rows = view.cursor(keys::LOG, &from, Some(&log_bounds(log).1));
        rows.seek(&from);
        let Some((key, value)) = rows.item() else {
            rows.status()?;
            return Ok(None);
        };
        let last = keys::parse_block(key).map_or(GROWING, |(_, last)| last);
        Ok(Some((Bytes::copy_from_slice(value), last)))
    }
}

fn load_within(record: &Bytes, lsn: Lsn) -> Result<Load, DecodeError> {
    load_of(BlockEntries::trusted(record.clone())?, lsn)
}

/// What a log had up to an LSN that lies in this block, or before it and behind the one before.
fn load_of(mut entries: BlockEntries, lsn: Lsn) -> Result<Load, DecodeError> {
    loop {
        let load = Load { messages: entries.next_ordinal(), bytes: entries.running_bytes() };
        match entries.advance()? {
            Some(entry) if entry.lsn <= lsn => {}
            _ => return Ok(load),
        }
    }
}

fn damaged(log: LogId, after: Lsn, through: Lsn, reason: DecodeError) -> ReadError {
    ReadError::Log { log, after, through, reason }
}
