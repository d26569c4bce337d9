//! Reading logs: one pass of the merge over all that a reader reads, and single entries.
//!
//! A pass goes up to one bound, the head when it began: what several logs got while it runs is for the next pass, so that
//! nothing is overtaken. It yields each LSN once. No iterator outlives it.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use bytes::Bytes;

use crate::catalog::Head;
use crate::engine::{self, Engine, View};
use crate::keys;
use crate::record::{self, BlockEntries, RawEntry};
use crate::shared::Shared;
use crate::tail::View as TailView;
use crate::{DecodeError, Entry, Exchange, LogId, Lsn, Message, ReadError, Reader, SessionId, Span};

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
        let memberships = reader.memberships();
        if reader.is_fenced() || position >= head {
            return Ok(Some(Pass { entries: Vec::new(), through: position, more: false }));
        }
        let own = (reader.session().own_log(), position, head);
        let parts = memberships.iter().map(|part| (part.log, position.max(part.from), head.min(part.until)));
        let mut bound = head;
        let mut cursors = Vec::with_capacity(1 + memberships.len());
        let tail = self.tail.read();
        for (log, after, through) in
            std::iter::once(own).chain(parts).filter(|(_, after, through)| after < through)
        {
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
        Shared::merge(&Disk::new(&*self.engine), cursors, position, bound, head, budget).map(Some)
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
                    return Ok(Pass { entries, through: last, more: true });
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
        Ok(Pass { entries, through: bound, more: bound < head })
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
        let disk = Disk::new(&*self.engine);
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
        let disk = Disk::new(&*self.engine);
        let mut cursor = Cursor::new(log, after, lsn, source);
        match cursor.advance(&disk)? {
            Some(found) if found == lsn => {
                let (record, body) = cursor.current();
                Ok(Some(FoundEntry { record: record.clone(), body }))
            }
            _ => Ok(None),
        }
    }

    /// Where a log ends.
    pub(crate) fn end_of_log(&self, log: LogId) -> Result<Head, ReadError> {
        let (first, end) = log_bounds(log);
        let view = self.engine.view();
        let mut rows = view.cursor(keys::LOG, &first, Some(&end));
        rows.seek_to_last();
        let Some((key, value)) = rows.item() else {
            return match rows.status() {
                Ok(()) => Ok(Head::default()),
                Err(error) => Err(error.into()),
            };
        };
        let last = keys::parse_block(key).map_or(Lsn(0), |(_, last)| last);
        let count = || {
            let mut block = BlockEntries::open(Bytes::copy_from_slice(value))?;
            while block.advance()?.is_some() {}
            Ok(Head { last, ordinal: block.next_ordinal(), running_bytes: block.running_bytes() })
        };
        count().map_err(|reason| damaged(log, Lsn(0), last, reason))
    }
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
    engine: &'a dyn Engine,
    view: OnceCell<Box<dyn View + 'a>>,
}

impl<'a> Disk<'a> {
    fn new(engine: &'a dyn Engine) -> Disk<'a> {
        Disk { engine, view: OnceCell::new() }
    }

    fn view(&self) -> &dyn View {
        &**self.view.get_or_init(|| self.engine.view())
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
}

enum Source<'a> {
    Tail(std::vec::IntoIter<Bytes>),
    /// Positioned when it is first needed.
    Disk(Option<Box<dyn engine::Cursor + 'a>>),
}

impl<'a> Cursor<'a> {
    fn new(log: LogId, after: Lsn, through: Lsn, source: Source<'a>) -> Cursor<'a> {
        Cursor { log, after, through, source, block: None, block_last: after, current: None, expected: None }
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

    fn next_block(&mut self, disk: &'a Disk<'_>) -> Result<bool, ReadError> {
        let block = match &mut self.source {
            Source::Tail(records) => records.next().map(BlockEntries::trusted),
            Source::Disk(rows) => {
                let rows = match rows {
                    Some(rows) => {
                        rows.next();
                        rows
                    }
                    None => {
                        let from = keys::block(self.log, Lsn(self.after.0 + 1), 0);
                        let end = log_bounds(self.log).1;
                        let rows = rows.insert(disk.view().cursor(keys::LOG, &from, Some(&end)));
                        rows.seek(&from);
                        rows
                    }
                };
                match rows.item() {
                    Some((key, value)) => {
                        self.block_last = keys::parse_block(key).map_or(Lsn(u64::MAX), |(_, last)| last);
                        Some(BlockEntries::open(Bytes::copy_from_slice(value)))
                    }
                    None => {
                        rows.status()?;
                        None
                    }
                }
            }
        };
        let Some(block) = block else { return Ok(false) };
        let block = block.map_err(|reason| damaged(self.log, self.after, self.block_last, reason))?;
        if self.expected.is_some_and(|expected| expected != block.next_ordinal()) {
            return Err(ReadError::Missing { log: self.log, after: self.after, through: self.block_last });
        }
        self.block = Some(block);
        Ok(true)
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
