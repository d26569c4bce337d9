//! The logs: each block, each message in it, and the counts that show whether one is missing.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::access::Access;
use super::report::{CheckReport, Finding, FindingKind, LogRange, printable};
use super::rows::Model;
use super::scan::{Found, Unreadable, scan};
use crate::keys;
use crate::record::{self, BlockEntries};
use crate::{DecodeError, LogId, Lsn, SessionId};

pub(crate) fn check(access: &Access, model: &Model, report: &mut CheckReport) {
    let Some(family) = access.family(keys::LOG) else { return };
    let mut logs = Logs::new(model, report);
    scan(&access.db, family, &[], None, |found| match found {
        Found::Row(key, row) => logs.row(key, row),
        Found::Unreadable(gap) => logs.gap(&gap),
    });
    logs.leave();
    logs.report_wanted();
}

struct Logs<'a> {
    model: &'a Model,
    report: &'a mut CheckReport,
    /// Logs that somebody may still read.
    live: BTreeSet<LogId>,
    /// Messages of open exchanges that have to be in a log, and whose they are.
    wanted: HashMap<(LogId, Lsn), SessionId>,
    current: Option<Current>,
}

/// The log that is being read.
struct Current {
    log: LogId,
    /// Where the blocks that could be read end so far.
    end: Option<End>,
    /// The last LSN of the last block, readable or not.
    last: Lsn,
    /// What is damaged behind `end`.
    broken: Vec<Broken>,
}

#[derive(Clone, Copy)]
struct End {
    last: Lsn,
    ordinal: u64,
    running_bytes: u64,
}

/// Damage in a log.
struct Broken {
    kind: FindingKind,
    after: Lsn,
    through: Lsn,
    key: Option<String>,
    what: String,
}

/// A block that was read whole.
pub(crate) struct Block {
    first: Lsn,
    pub(crate) last: Lsn,
    lsns: Vec<Lsn>,
    first_ordinal: u64,
    first_running_bytes: u64,
    end: End,
}

impl<'a> Logs<'a> {
    fn new(model: &'a Model, report: &'a mut CheckReport) -> Logs<'a> {
        let live =
            model.sessions.keys().map(|id| id.own_log()).chain(model.filters.values().copied()).collect();
        let mut wanted = HashMap::new();
        for (id, session) in &model.sessions {
            for exchange in &session.outbound.open {
                let held = session.held.contains(&(exchange.packet_id, exchange.lsn));
                if !exchange.received && !held && exchange.log != LogId::RETAINED {
                    wanted.insert((exchange.log, exchange.lsn), *id);
                }
            }
        }
        Logs { model, report, live, wanted, current: None }
    }

    /// Makes a log the one that is being read.
    fn enter(&mut self, log: LogId) -> &mut Current {
        if self.current.as_ref().is_none_or(|current| current.log != log) {
            self.leave();
            self.report.counts.logs += 1;
            self.current = Some(Current { log, end: None, last: Lsn(0), broken: Vec::new() });
        }
        self.current.as_mut().expect("just set")
    }

    /// The log is at its end: how much of it is lost there, nothing tells.
    fn leave(&mut self) {
        if let Some(Current { log, broken, .. }) = self.current.take() {
            self.report_broken(log, broken, None);
        }
    }

    fn row(&mut self, key: &[u8], row: &[u8]) {
        self.report.counts.blocks += 1;
        self.report.counts.bytes += (key.len() + row.len()) as u64;
        let Some((log, last)) = keys::parse_block(key) else {
            self.report.row(FindingKind::Damaged, keys::LOG.name(), key, "is no key of a block");
            return;
        };
        let current = self.enter(log);
        let after = std::mem::replace(&mut current.last, last);
        match read_block(row, last) {
            Ok(block) => self.block(log, &block),
            Err(reason) => {
                let (kind, what) = (FindingKind::Damaged, reason.to_string());
                let broken = Broken { kind, after, through: last, key: Some(printable(key)), what };
                self.enter(log).broken.push(broken);
            }
        }
    }

    fn block(&mut self, log: LogId, block: &Block) {
        self.report.counts.messages += block.lsns.len() as u64;
        if !self.wanted.is_empty() {
            for lsn in &block.lsns {
                self.wanted.remove(&(log, *lsn));
            }
        }
        let (head, current) = (self.model.state.last, self.enter(log));
        let mut broken = std::mem::take(&mut current.broken);
        let before = current.end.replace(block.end);
        let lost = before.and_then(|before| block.first_ordinal.checked_sub(before.ordinal));
        if block.last > head {
            let what = format!("LSN {} was not given out", block.last.0);
            self.report.add(Finding::at(FindingKind::Inconsistent, keys::LOG.name(), what));
        }
        let through = Lsn(block.first.0 - 1);
        if broken.is_empty()
            && let Some(before) = before
        {
            broken.extend(self.compare(log, before, block, lost));
        }
        for broken in &mut broken {
            broken.through = broken.through.min(through);
        }
        self.report_broken(log, broken, lost);
    }

    /// What a block's counts say of what stands before it.
    fn compare(&self, log: LogId, before: End, block: &Block, lost: Option<u64>) -> Option<Broken> {
        let agree = lost == Some(0) && before.running_bytes == block.first_running_bytes;
        let known = |row: &record::QuarantineRow| {
            row.log == log
                && row.after < block.first
                && row.through >= before.last
                && row.through < block.first
        };
        if agree || self.model.quarantine.iter().any(known) {
            return None;
        }
        let (kind, what) = match lost {
            Some(0) => {
                (FindingKind::Inconsistent, "the count of bytes does not go on where it ended".to_owned())
            }
            Some(lost) => (FindingKind::Missing, format!("{lost} messages are not there")),
            None => (FindingKind::Inconsistent, "ordinals go back".to_owned()),
        };
        Some(Broken { kind, after: before.last, through: block.first, key: None, what })
    }

    /// Keys that cannot be read: the end of one log, the beginning of another, and all between.
    fn gap(&mut self, gap: &Unreadable) {
        let first = keys::parse_block(&gap.after);
        let behind = gap.before.as_deref().and_then(keys::parse_block);
        let broken = |after, through| Broken {
            kind: FindingKind::Unreadable,
            after,
            through,
            key: None,
            what: gap.reason.clone(),
        };
        let head = self.model.state.last;
        let from = first.map_or(LogId(0), |(log, _)| log);
        let to = behind.map_or(LogId(u64::MAX), |(log, _)| log);
        if let Some((log, last)) = first {
            let through = if from == to { behind.map_or(head, |(_, last)| last) } else { head };
            self.enter(log).broken.push(broken(last, through));
        }
        if from == to {
            return;
        }
        let between: Vec<LogId> = self.live.range(LogId(from.0.saturating_add(1))..to).copied().collect();
        let nothing_else = first.is_none() && between.is_empty();
        for log in between {
            self.enter(log).broken.push(broken(Lsn(0), head));
        }
        match behind {
            Some((log, last)) => self.enter(log).broken.push(broken(Lsn(0), last)),
            None if nothing_else => {
                self.report.add(Finding::at(FindingKind::Unreadable, keys::LOG.name(), gap.reason.as_str()));
            }
            None => {}
        }
    }

    /// `lost` is how many messages are missing in all of it, where the ordinals on both sides tell.
    fn report_broken(&mut self, log: LogId, broken: Vec<Broken>, lost: Option<u64>) {
        let messages = lost.filter(|_| broken.len() == 1);
        for broken in broken {
            let range = LogRange { log: log.0, after: broken.after.0, through: broken.through.0, messages };
            let sessions = self.model.readers_behind(log, broken.through);
            let mut what = broken.what;
            if !self.live.contains(&log) {
                what.push_str("; nobody reads this log any more");
            }
            let finding = Finding::at(broken.kind, keys::LOG.name(), what);
            self.report.add(Finding { key: broken.key, range: Some(range), sessions, ..finding });
        }
    }

    /// Open exchanges without a message.
    fn report_wanted(&mut self) {
        for ((log, lsn), id) in std::mem::take(&mut self.wanted) {
            let known = |row: &record::QuarantineRow| row.log == log && row.after < lsn && lsn <= row.through;
            let kind = if self.model.quarantine.iter().any(known) {
                FindingKind::Quarantined
            } else {
                FindingKind::Missing
            };
            let client_id = self.model.sessions[&id].client_id().to_owned();
            let range = LogRange { log: log.0, after: lsn.0 - 1, through: lsn.0, messages: Some(1) };
            let what = "the message of an open exchange is not in its log";
            let finding = Finding::at(kind, keys::LOG.name(), what);
            self.report.add(Finding { range: Some(range), sessions: vec![client_id], ..finding });
        }
    }
}

/// Reads one block; nothing of it counts unless all of it is whole.
pub(crate) fn read_block(row: &[u8], last: Lsn) -> Result<Block, DecodeError> {
    let record = Bytes::copy_from_slice(row);
    let mut block = BlockEntries::open(record.clone())?;
    let (first_ordinal, first_running_bytes) = (block.next_ordinal(), block.running_bytes());
    let mut lsns = Vec::new();
    while let Some(entry) = block.advance()? {
        record::decode_message(&record, &record[entry.body.clone()])?;
        lsns.push(entry.lsn);
    }
    let first = match (lsns.first(), lsns.last()) {
        (Some(first), Some(reached)) if *reached == last => *first,
        _ => return Err(DecodeError::Malformed("last LSN")),
    };
    let end = End { last, ordinal: block.next_ordinal(), running_bytes: block.running_bytes() };
    Ok(Block { first, last, lsns, first_ordinal, first_running_bytes, end })
}
