//! Reading logs: one pass of the merge over all that a reader reads, and single entries.
//!
//! A pass goes up to one bound, the head when it began: what several logs got while it runs is for the next pass, so that
//! nothing is overtaken. It yields each LSN once. No iterator outlives it.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use bytes::Bytes;

use crate::border;
use crate::catalog::Head;
use crate::engine::{self, EngineError, FailureKind, View};
use crate::keys;
use crate::quarantine::DamagedRange;
use crate::record::{self, BlockEntries, Gap, RawEntry};
use crate::shared::Shared;
use crate::tail::View as TailView;
use crate::{DecodeError, Entry, Exchange, LogId, Lsn, Message, ReadError, Reader, SessionId, Span};

#[cfg(test)]
mod tests;

/// What one pass may yield. It yields at least one message, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Messages.
    pub messages: usize,
    /// Bytes of messages.
    pub bytes: usize,
}

/// What one pass has yielded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Entries in the order of their LSNs.
    pub entries: Vec<Entry>,
    /// The reader's position once it has taken in the entries: nothing else is at or below.
    pub through: Lsn,
    /// The budget was spent: there may be more up to the bound.
    pub more: bool,
    /// What lies between the position and `through` and cannot be read: it is lost, was reported, and is passed over.
    pub damaged: Vec<DamagedRange>,
}

/// What was read of a span.
pub(crate) struct SpanRead {
    pub(crate) entries: Vec<Entry>,
    /// Up to here there is nothing else.
    pub(crate) through: Lsn,
}

/// One entry, still encoded.
pub(crate) struct FoundEntry {
    record: Bytes,
    body: Range<usize>,
}

impl FoundEntry {
    pub(crate) fn body(&self) -> &[u8] {
        &self.record[self.body.clone()]
    }
}

impl Shared {
    /// A pass over the tail, and over the disk where the tail does not reach; `None` if it does not and `disk` is false.
    pub(crate) fn pass(
        &self,
        reader: &Reader,
        position: Lsn,
        budget: Budget,
        disk: bool,
    ) -> Result<Option<Pass>, ReadError> {
        // In this order: a log that a reader gets has nothing for it at or below the head before it got it.
        let head = self.head();
        let parts = reader.parts();
        let (position, mut bound) = pass_gap(&parts.gaps, position, head);
        if reader.is_fenced() || position >= bound {
            return Ok(Some(Pass {
                entries: Vec::new(),
                through: position,
                more: position < head,
                damaged: Vec::new(),
            }));
        }
        let own = (reader.session().own_log(), position, bound);
        let shared = parts.memberships.iter();
        let shared = shared.map(|part| (part.log, position.max(part.from), bound.min(part.until)));
        let logs: Vec<_> =
            std::iter::once(own).chain(shared).filter(|(_, after, through)| after < through).collect();
        let mut cursors = Vec::with_capacity(logs.len());
        let tail = self.tail.read();
        for (log, after, through) in logs {
            let source = match tail.view(log, after, through, budget) {
                TailView::Blocks { records, through: reached } => {
                    if reached < through {
                        bound = bound.min(reached);
                    }
                    Source::Tail(records.into_iter())
                }
                TailView::OnDisk if disk => Source::Disk(None),
                TailView::OnDisk => return Ok(None),
            };
            cursors.push(Cursor::new(log, after, through, source));
        }
        drop(tail);
        Shared::merge(&Disk::new(self), cursors, position, bound, head, budget).map(Some)
    }

    fn merge<'a>(
        disk: &'a Disk<'_>,
        mut cursors: Vec<Cursor<'a>>,
        position: Lsn,
        bound: Lsn,
        head: Lsn,
        budget: Budget,
    ) -> Result<Pass, ReadError> {
        let mut next = BinaryHeap::with_capacity(cursors.len());
        for (index, cursor) in cursors.iter_mut().enumerate() {
            if let Some(lsn) = cursor.advance(disk)? {
                next.push(Reverse((lsn, index)));
            }
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut last = position;
        while let Some(Reverse((lsn, index))) = next.pop()
            && lsn <= bound
        {
            let cursor = &mut cursors[index];
            if lsn > last {
                let full = entries.len() >= budget.messages || bytes >= budget.bytes;
                if full && !entries.is_empty() {
                    let damaged = damaged_through(&cursors, last);
                    return Ok(Pass { entries, through: last, more: true, damaged });
                }
                let entry = cursor.entry()?;
                bytes += cursor.length();
                last = lsn;
                entries.push(entry);
            }
            if let Some(lsn) = cursor.advance(disk)? {
                next.push(Reverse((lsn, index)));
            }
        }
        let damaged = damaged_through(&cursors, bound);
        Ok(Pass { entries, through: bound, more: bound < head, damaged })
    }

    /// Entries of one log, within a span; `None` if that needs the disk and `disk` is false.
    pub(crate) fn read_span(
        &self,
        log: LogId,
        span: Span,
        budget: Budget,
        disk: bool,
    ) -> Result<Option<SpanRead>, ReadError> {
        let (source, bound) = match self.tail.read().view(log, span.after, span.through, budget) {
            TailView::Blocks { records, through } => {
                (Source::Tail(records.into_iter()), span.through.min(through))
            }
            TailView::OnDisk if disk => (Source::Disk(None), span.through),
            TailView::OnDisk => return Ok(None),
        };
        let disk = Disk::new(self);
        let mut cursor = Cursor::new(log, span.after, bound, source);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while cursor.advance(&disk)?.is_some() {
            entries.push(cursor.entry()?);
            bytes += cursor.length();
            if entries.len() >= budget.messages || bytes >= budget.bytes {
                return Ok(Some(SpanRead { through: cursor.after, entries }));
            }
        }
        Ok(Some(SpanRead { entries, through: bound }))
    }

    pub(crate) fn read_exchange(
        &self,
        session: SessionId,
        exchange: &Exchange,
    ) -> Result<Option<Message>, ReadError> {
        let key = keys::flow(session, keys::Flow::Held(exchange.packet_id));
        if let Some(row) = self.engine.view().get(keys::FLOW, &key)? {
            let (lsn, message) =
                record::decode_held(&row).map_err(|reason| crate::Damaged::new(keys::FLOW, &key, reason))?;
            if lsn == exchange.lsn {
                return Ok(Some(message));
            }
        }
        if exchange.log == LogId::RETAINED {
            return Ok(None);
        }
        let Some(found) = self.find_entry(exchange.log, exchange.lsn)? else { return Ok(None) };
        let message = record::decode_message(&found.record, found.body())
            .map_err(|reason| damaged(exchange.log, Lsn(exchange.lsn.0 - 1), exchange.lsn, reason))?;
        Ok(Some(message))
    }

    /// The entry of a log with exactly this LSN.
    pub(crate) fn find_entry(&self, log: LogId, lsn: Lsn) -> Result<Option<FoundEntry>, ReadError> {
        let after = Lsn(lsn.0.saturating_sub(1));
        let cached = self.tail.read().find(log, lsn);
        let source = match cached {
            Some(record) => Source::Tail(vec![record].into_iter()),
            None => Source::Disk(None),
        };
        let disk = Disk::new(self);
        let mut cursor = Cursor::new(log, after, lsn, source);
        match cursor.advance(&disk)? {
            Some(found) if found == lsn => {
                let (record, body) = cursor.current();
                Ok(Some(FoundEntry { record: record.clone(), body }))
            }
            _ => match cursor.damaged.first() {
                Some(range) => {
                    let reason = DecodeError::Malformed("block, passed over");
                    Err(damaged(log, range.after, range.through, reason))
                }
                None => Ok(None),
            },
        }
    }

    /// Where a log ends.
    pub(crate) fn end_of_log(&self, log: LogId) -> Result<Head, ReadError> {
        let (first, end) = log_bounds(log);
        match self.last_block(log, &first, &end) {
            Err(error) if crate::planted!(UnreadTakenForDamage) => {
                self.end_behind_damage(log, self.head(), &error)
            }
            ended => ended,
        }
    }

    /// Where a log ends between two keys.
    pub(crate) fn last_block(&self, log: LogId, first: &[u8], end: &[u8]) -> Result<Head, ReadError> {
        let view = self.engine.view();
        let mut rows = view.cursor(keys::LOG, first, Some(end));
        rows.seek_to_last();
        let Some((key, value)) = rows.item() else {
            return match rows.status() {
                Ok(()) => Ok(Head::default()),
                Err(error) => Err(error.into()),
            };
        };
        let last = keys::parse_block(key).map_or(Lsn(0), |(_, last)| last);
        let block = BlockEntries::open(Bytes::copy_from_slice(value));
        block.and_then(|block| head_behind(block, last)).map_err(|reason| damaged(log, Lsn(0), last, reason))
    }

    /// Where a log ends, or goes on behind damage; `last` is the last LSN that it can have. An error only if it may pass.
    pub(crate) fn end_of_log_or_damage(&self, log: LogId, last: Lsn) -> Result<Head, ReadError> {
        match self.end_of_log(log) {
            Err(error) if error.passing().is_none() => self.end_behind_damage(log, last, &error),
            found => found,
        }
    }

    /// Where a log goes on whose end is damaged: its counts go on behind the last block that can be read, and never
    /// begin anew.
    fn end_behind_damage(&self, log: LogId, last: Lsn, error: &ReadError) -> Result<Head, ReadError> {
        let (first, _) = log_bounds(log);
        let (mut low, mut high) = (Lsn(0), last);
        // The blocks at or below `low` end with one that can be read, those at or below `high` do not.
        let mut before = Head::default();
        while high.0 - low.0 > 1 {
            let middle = Lsn(low.0 + (high.0 - low.0) / 2);
            match self.last_block(log, &first, &keys::block(log, middle, 0)) {
                Ok(head) => (low, before) = (middle, head),
                Err(error) if error.passing().is_some() => return Err(error),
                Err(_) => high = middle,
            }
        }
        let range = DamagedRange { log, after: before.last, through: last, messages: None };
        self.quarantine(range, &error.to_string());
        // At least one is lost.
        Ok(Head { last, ordinal: before.ordinal + 1, running_bytes: before.running_bytes })
    }
}

/// Where a log ends whose last block this is.
pub(crate) fn head_behind(mut block: BlockEntries, last: Lsn) -> Result<Head, DecodeError> {
    while block.advance()?.is_some() {}
    Ok(Head { last, ordinal: block.next_ordinal(), running_bytes: block.running_bytes() })
}

/// What cursors have passed over at or below an LSN.
fn damaged_through(cursors: &[Cursor<'_>], through: Lsn) -> Vec<DamagedRange> {
    let ranges = cursors.iter().flat_map(|cursor| &cursor.damaged);
    ranges.filter(|range| range.through <= through).copied().collect()
}

/// Where a reader goes on that has come to `position`, and where the next part begins that it passes over.
fn pass_gap(gaps: &[Gap], position: Lsn, head: Lsn) -> (Lsn, Lsn) {
    let mut position = position;
    for gap in gaps {
        if gap.from > position {
            return (position, gap.from.min(head));
        }
        position = position.max(gap.to.min(head));
    }
    (position, head)
}

/// The keys of a log: its first possible one, and the first behind it.
pub(crate) fn log_bounds(log: LogId) -> ([u8; 24], [u8; 24]) {
    (keys::block(log, Lsn(0), 0), keys::block(LogId(log.0 + 1), Lsn(0), 0))
}

fn damaged(log: LogId, after: Lsn, through: Lsn, reason: DecodeError) -> ReadError {
    ReadError::Log { log, after, through, reason }
}

/// The engine's view, which a pass takes only when memory does not reach.
struct Disk<'a> {
    shared: &'a Shared,
    view: OnceCell<Box<dyn View + 'a>>,
}

impl<'a> Disk<'a> {
    fn new(shared: &'a Shared) -> Disk<'a> {
        Disk { shared, view: OnceCell::new() }
    }

    fn view(&self) -> &dyn View {
        &**self.view.get_or_init(|| self.shared.engine.view())
    }
}

/// Goes through the entries `after < lsn <= through` of one log.
struct Cursor<'a> {
    log: LogId,
    after: Lsn,
    through: Lsn,
    source: Source<'a>,
    block: Option<BlockEntries>,
    /// Last LSN of the block.
    block_last: Lsn,
    current: Option<RawEntry>,
    /// Ordinal of the entry that must come next, once that is known.
    expected: Option<u64>,
    /// Damage that has been met, and of which the end is not known yet: the last LSN of it, and what is wrong.
    broken: Option<(Lsn, String)>,
    /// What was passed over.
    damaged: Vec<DamagedRange>,
}

/// What stands next on the disk or in the tail.
enum Next {
    Block(BlockEntries),
    /// A block that is not what was written, and its last LSN, or keys that cannot be read, and the LSN behind them.
    Broken(Lsn, String),
    End,
}

enum Source<'a> {
    Tail(std::vec::IntoIter<Bytes>),
    /// Positioned when it is first needed.
    Disk(Option<Rows<'a>>),
}

/// The blocks of a log on the disk.
struct Rows<'a> {
    cursor: Box<dyn engine::Cursor + 'a>,
    /// It stands on a block that was not looked at.
    fresh: bool,
    /// All before this key was looked at, or cannot be read.
    reached: Vec<u8>,
    /// Nothing behind can be read.
    exhausted: bool,
}

impl<'a> Rows<'a> {
    /// Goes to the first block behind damage. Gives its last LSN; `None` if there is none. An error if what is behind cannot be
    /// read now: nothing tells then how far the damage goes.
    fn pass_over(
        &mut self,
        error: &EngineError,
        open: impl Fn() -> Box<dyn engine::Cursor + 'a>,
    ) -> Result<Option<Lsn>, EngineError> {
        let is_passing = |found: &EngineError| found.kind != FailureKind::Corruption;
        let mut passing = None;
        let behind = border::find(&self.reached, |key| {
            // One that has met damage goes by where it stands.
            let mut cursor = open();
            cursor.seek(key);
            let found = cursor.status().err().filter(|_| cursor.item().is_none());
            passing = passing.take().or_else(|| found.clone().filter(is_passing));
            found.is_none_or(|found| found != *error)
        });
        if let Some(passing) = passing {
            return Err(passing);
        }
        let Some(behind) = behind else {
            self.exhausted = true;
            return Ok(None);
        };
        self.cursor = open();
        self.cursor.seek(&behind);
        self.fresh = true;
        self.reached = behind;
        match (self.cursor.item(), self.cursor.status()) {
            (None, Err(found)) if is_passing(&found) => Err(found),
            (item, _) => Ok(item.and_then(|(key, _)| keys::parse_block(key)).map(|(_, last)| last)),
        }
    }
}

impl<'a> Cursor<'a> {
    fn new(log: LogId, after: Lsn, through: Lsn, source: Source<'a>) -> Cursor<'a> {
        Cursor {
            log,
            after,
            through,
            source,
            block: None,
            block_last: after,
            current: None,
            expected: None,
            broken: None,
            damaged: Vec::new(),
        }
    }

    /// Goes to the next entry and gives its LSN; `None` at the end.
    fn advance(&mut self, disk: &'a Disk<'_>) -> Result<Option<Lsn>, ReadError> {
        loop {
            let Some(block) = &mut self.block else {
                if self.next_block(disk)? {
                    continue;
                }
                return Ok(None);
            };
            match block.advance() {
                Ok(Some(entry)) if entry.lsn > self.through => return Ok(None),
                Ok(Some(entry)) if entry.lsn > self.after => {
                    self.after = entry.lsn;
                    let lsn = entry.lsn;
                    self.current = Some(entry);
                    return Ok(Some(lsn));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.expected = Some(block.next_ordinal());
                    self.block = None;
                }
                Err(reason) => return Err(damaged(self.log, self.after, self.block_last, reason)),
            }
        }
    }

    /// Goes to the next block that can be read, over what cannot.
    fn next_block(&mut self, disk: &'a Disk<'_>) -> Result<bool, ReadError> {
        loop {
            match self.fetch(disk)? {
                Next::Broken(through, reason) => self.broken = Some((through, reason)),
                Next::End => {
                    match self.broken.take() {
                        Some((through, reason)) => {
                            self.pass_over(disk, through.min(self.through), None, &reason)
                        }
                        // The end of what the log has may be known to be lost.
                        None => {
                            let known = disk.shared.quarantine.within(self.log, self.after, self.through);
                            self.damaged.extend(known);
                        }
                    }
                    return Ok(false);
                }
                Next::Block(block) => {
                    self.account(disk, &block);
                    self.block = Some(block);
                    return Ok(true);
                }
            }
        }
    }

    /// Compares where a block begins with where the last one ended.
    fn account(&mut self, disk: &'a Disk<'_>, block: &BlockEntries) {
        let lost = self.expected.map(|expected| block.next_ordinal().wrapping_sub(expected));
        if let Some((through, reason)) = self.broken.take() {
            return self.pass_over(disk, through.min(block.base()), lost, &reason);
        }
        match lost {
            Some(0) => {}
            Some(lost) => {
                let reason = format!("{lost} messages are not there");
                self.pass_over(disk, block.base(), Some(lost), &reason);
            }
            // What stood before the first block that is there may be known to be lost.
            None => {
                let known = disk.shared.quarantine.within(self.log, self.after, block.base());
                self.damaged.extend(known);
            }
        }
    }

    fn pass_over(&mut self, disk: &Disk<'_>, through: Lsn, messages: Option<u64>, reason: &str) {
        if through <= self.after {
            return;
        }
        let range = DamagedRange { log: self.log, after: self.after, through, messages };
        disk.shared.quarantine(range, reason);
        self.damaged.push(range);
    }

    fn fetch(&mut self, disk: &'a Disk<'_>) -> Result<Next, ReadError> {
        let (log, after) = (self.log, self.after);
        let rows = match &mut self.source {
            Source::Tail(records) => {
                return match records.next().map(BlockEntries::trusted) {
                    Some(Ok(block)) => Ok(Next::Block(block)),
                    Some(Err(reason)) => Err(damaged(log, after, self.block_last, reason)),
                    None => Ok(Next::End),
                };
            }
            Source::Disk(rows) => rows,
        };
        let (first, end) = log_bounds(log);
        let open = || disk.view().cursor(keys::LOG, &first, Some(&end));
        let rows = match rows {
            Some(rows) => rows,
            None => {
                let from = keys::block(log, Lsn(after.0 + 1), 0);
                let mut cursor = open();
                cursor.seek(&from);
                rows.insert(Rows { cursor, fresh: true, reached: from.to_vec(), exhausted: false })
            }
        };
        if rows.exhausted {
            return Ok(Next::End);
        }
        if !std::mem::replace(&mut rows.fresh, false) {
            rows.cursor.next();
        }
        if let Some((key, value)) = rows.cursor.item() {
            self.block_last = keys::parse_block(key).map_or(Lsn(u64::MAX), |(_, last)| last);
            rows.reached = key.to_vec();
            return Ok(match BlockEntries::open(Bytes::copy_from_slice(value)) {
                Ok(block) => Next::Block(block),
                Err(reason) => Next::Broken(self.block_last, reason.to_string()),
            });
        }
        match rows.cursor.status() {
            Ok(()) => Ok(Next::End),
            Err(error) if error.kind == FailureKind::Corruption => {
                let through = rows.pass_over(&error, open)?.unwrap_or(self.through);
                Ok(Next::Broken(through, error.reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn current(&self) -> (&Bytes, Range<usize>) {
        let block = self.block.as_ref().expect("the current entry is in the current block");
        let entry = self.current.as_ref().expect("the caller has advanced to an entry");
        (block.record(), entry.body.clone())
    }

    fn length(&self) -> usize {
        self.current().1.len()
    }

    fn entry(&self) -> Result<Entry, ReadError> {
        let (record, body) = self.current();
        let message = record::decode_message(record, &record[body])
            .map_err(|reason| damaged(self.log, Lsn(self.after.0 - 1), self.after, reason))?;
        Ok(Entry { lsn: self.after, log: self.log, message })
    }
}
