//! One batch: what the transactions of one turn change, on its way into one write.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use bytestring::ByteString;
use foldhash::fast::FixedState;

use crate::catalog::{Catalog, Head};
use crate::engine::WriteBatch;
use crate::keys::{self, Family, Flow};
use crate::record::{self, BlockBuilder, FinishedBlock, State};
use crate::shared::Shared;
use crate::{LogId, Lsn, Reader, SessionId};

use super::late::{Late, LateBody, LateCopy, LateEntry};

pub(crate) struct Batch {
    writes: WriteBatch,
    appends: HashMap<LogId, Append, FixedState>,
    /// The logs of `appends`, by their first message.
    order: Vec<LogId>,
    touched: HashMap<SessionId, Touched, FixedState>,
    /// Groups whose record is to be written at the end.
    touched_groups: HashSet<ByteString, FixedState>,
    /// Logs that end with this batch.
    pub(crate) ended_logs: Vec<LogId>,
    /// The total of drops has changed.
    pub(crate) drops: bool,
    pub(crate) messages: u64,
    appended: u64,
    /// Copies of messages that are read late.
    copies: Vec<LateCopy>,
    /// It is written even if nothing else has changed, for the note of the time that every batch has.
    pub(crate) notes_time: bool,
}

/// What is appended to one log.
pub(super) struct Append {
    /// Where the log ends with what is encoded; `None`: the disk has not said where it ended before.
    pub(super) head: Option<Head>,
    finished: Vec<FinishedBlock>,
    filling: Option<BlockBuilder>,
    /// What cannot be encoded before something was read, and all that comes behind it.
    pub(super) late: Vec<LateEntry>,
}

/// What of a session is to be written at the end of the batch: once, however often it changed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Touched {
    pub(crate) session: bool,
    pub(crate) outbound: bool,
    pub(crate) inbound: bool,
    pub(crate) reader: bool,
    pub(crate) drops: bool,
    pub(crate) gaps: bool,
}

/// A batch that is ready.
pub(crate) struct Prepared {
    pub(crate) writes: Option<WriteBatch>,
    /// What is still to be read for it.
    pub(crate) late: Late,
    pub(crate) blocks: Vec<(LogId, FinishedBlock)>,
    pub(crate) logs: Vec<LogId>,
    pub(crate) ended_logs: Vec<LogId>,
    pub(crate) commit: u64,
    pub(crate) head: Lsn,
    pub(crate) messages: u64,
    pub(crate) appended: u64,
    pub(crate) next_deadline: Option<u64>,
    /// Readers that have more waiting than their session's limit allows.
    pub(crate) over: Vec<Reader>,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch {
            writes: WriteBatch::default(),
            appends: HashMap::default(),
            order: Vec::new(),
            touched: HashMap::default(),
            touched_groups: HashSet::default(),
            ended_logs: Vec::new(),
            drops: false,
            messages: 0,
            appended: 0,
            copies: Vec::new(),
            notes_time: false,
        }
    }

    pub(crate) fn put(&mut self, family: Family, key: &[u8], record: Vec<u8>) {
        self.writes.put(family, key, record);
    }

    pub(crate) fn delete(&mut self, family: Family, key: &[u8]) {
        self.writes.delete(family, key);
    }

    pub(crate) fn touch(&mut self, session: SessionId) -> &mut Touched {
        self.touched.entry(session).or_default()
    }

    pub(crate) fn touch_group(&mut self, filter: &ByteString) {
        if !self.touched_groups.contains(filter) {
            self.touched_groups.insert(filter.clone());
        }
    }

    /// Nothing of this session is to be written any more.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.touched.remove(&session);
    }

    /// Where a log ends with what this batch appends; `None`: nothing, or something is read late.
    pub(crate) fn head(&self, log: LogId) -> Option<Head> {
        self.appends.get(&log).and_then(|append| append.head.filter(|_| append.late.is_empty()))
    }

    /// Appends a message to a log; `head` tells where the log ends, when this batch does not know yet.
    pub(crate) fn append(
        &mut self,
        log: LogId,
        head: impl FnOnce() -> Option<Head>,
        lsn: Lsn,
        body: &[u8],
        expires_at_millis: Option<u64>,
    ) {
        let append = self.appended_to(log, head);
        if append.head.is_some() && append.late.is_empty() {
            append.encode(lsn, body, expires_at_millis);
        } else {
            let body = LateBody::Here(Bytes::copy_from_slice(body), expires_at_millis);
            append.late.push(LateEntry { lsn, body });
        }
    }

    /// Appends a message that is read late.
    pub(super) fn append_late(
        &mut self,
        log: LogId,
        head: impl FnOnce() -> Option<Head>,
        lsn: Lsn,
        body: LateBody,
    ) {
        self.appended_to(log, head).late.push(LateEntry { lsn, body });
    }

    fn appended_to(&mut self, log: LogId, head: impl FnOnce() -> Option<Head>) -> &mut Append {
        self.appended += 1;
        self.appends.entry(log).or_insert_with(|| {
            self.order.push(log);
            Append { head: head(), finished: Vec::new(), filling: None, late: Vec::new() }
        })
    }

    /// An exchange gets a copy of its message, which is read late.
    pub(super) fn copy_late(&mut self, copy: LateCopy) {
        self.copies.push(copy);
    }

    /// Puts everything into the write.
    pub(crate) fn finish(mut self, catalog: &mut Catalog, shared: &Shared) -> Prepared {
        let mut blocks = Vec::with_capacity(self.order.len());
        let ended: HashSet<LogId, FixedState> = self.ended_logs.iter().copied().collect();
        self.order.retain(|log| !ended.contains(log));
        let mut late = Late { appends: Vec::new(), copies: std::mem::take(&mut self.copies) };
        for log in &self.order {
            let append = self.appends.remove(log).expect("every log in the order has an entry");
            if !append.late.is_empty() {
                late.appends.push((*log, append));
                continue;
            }
            let (head, finished) = append.finish();
            for block in finished {
                let key = keys::block(*log, block.last, block.deadline);
                self.writes.put(keys::LOG, &key, block.record.clone());
                blocks.push((*log, block));
            }
            catalog.heads.insert(*log, head);
        }
        for (session, touched) in std::mem::take(&mut self.touched) {
            self.write_session(catalog, shared, session, touched);
        }
        if self.drops {
            self.put(keys::META, keys::DROPS, record::encode_drops(&catalog.drops));
        }
        for filter in std::mem::take(&mut self.touched_groups) {
            if let Some(group) = catalog.groups.get(&filter) {
                self.put(keys::FILTER, filter.as_bytes(), record::encode_group(&group.row()));
            }
        }
        let changed = !self.writes.is_empty() || self.notes_time || !late.is_empty();
        if changed {
            catalog.commit += 1;
            catalog.time = shared.clock.mark();
            let state = State {
                commit: catalog.commit,
                last: catalog.last,
                next_id: catalog.next_id,
                clean: false,
                time: catalog.time,
            };
            self.put(keys::META, keys::STATE, record::encode_state(&state));
        }
        Prepared {
            writes: changed.then_some(self.writes),
            late,
            blocks,
            logs: self.order,
            ended_logs: self.ended_logs,
            commit: catalog.commit,
            head: catalog.last,
            messages: self.messages,
            appended: self.appended,
            next_deadline: catalog.next_deadline(),
            over: catalog.take_rung(),
        }
    }

    fn write_session(&mut self, catalog: &Catalog, shared: &Shared, id: SessionId, touched: Touched) {
        let session = catalog.sessions.get(&id).expect("a session that ends is forgotten by the batch");
        if touched.session {
            let row = record::encode_session(&session.row(id));
            self.put(keys::SESSION, session.client_id.as_bytes(), row);
        }
        if touched.outbound {
            let row = record::encode_outbound(&session.outbound());
            self.put(keys::FLOW, &keys::flow(id, Flow::Outbound), row);
        }
        if touched.inbound {
            let key = keys::flow(id, Flow::Inbound);
            match &session.rare.inbound {
                Some(inbound) => self.put(keys::FLOW, &key, record::encode_inbound(inbound)),
                None => self.delete(keys::FLOW, &key),
            }
        }
        if touched.drops
            && let Some(drops) = &session.rare.drops
        {
            self.put(keys::FLOW, &keys::flow(id, Flow::Drops), record::encode_drops(drops));
        }
        if touched.gaps {
            let key = keys::flow(id, Flow::Gaps);
            match &session.rare.gaps {
                Some(gaps) => self.put(keys::FLOW, &key, record::encode_gaps(gaps)),
                None => self.delete(keys::FLOW, &key),
            }
        }
        if touched.reader
            && let Some(reader) = &session.rare.reader
        {
            shared.readers.set_parts(reader, session.memberships().collect(), session.gaps());
        }
    }
}

impl Append {
    /// Encodes a message behind the others.
    pub(super) fn encode(&mut self, lsn: Lsn, body: &[u8], expires_at_millis: Option<u64>) {
        if let Some(full) = self.filling.take_if(|block| !block.has_room(body.len())) {
            self.finished.push(full.finish());
        }
        let head = self.head.as_mut().expect("the caller knows where the log ends");
        let block = self.filling.get_or_insert_with(|| {
            BlockBuilder::new(head.ordinal, head.running_bytes, head.last, Lsn(lsn.0 - 1), body.len())
        });
        block.push(lsn, body, expires_at_millis);
        head.last = lsn;
        head.ordinal += 1;
        head.running_bytes += body.len() as u64;
    }

    /// Where the log ends then, and the blocks that it gets.
    pub(super) fn finish(self) -> (Head, impl Iterator<Item = FinishedBlock>) {
        let head = self.head.expect("whatever is appended has a place");
        (head, self.finished.into_iter().chain(self.filling.map(BlockBuilder::finish)))
    }
}
