//! The disk itself: two images, what lies between them, and what is going to go wrong.

use std::collections::BTreeMap;

use super::image::Image;
use crate::engine::{EngineError, FailureKind, WriteBatch};
use crate::floors::Floors;
use crate::keys::{self, Family, Flow};
use crate::read::log_bounds;
use crate::{LogId, SessionId};

/// What happens at an operation of the disk. Those that report success are lies, to try whether a test would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process or the machine stops in the middle of the operation.
    Crash(Survivors),
    /// There is no space for the first write from here on. Nothing of it is there.
    NoSpace,
    /// The first sync from here on fails. What it covered is there, and goes with the next crash, or does not.
    FailedSync,
    /// The disk gives nothing for the first read from here on.
    FailedRead,
    /// From here on, syncs report success and do nothing.
    IgnoredSyncs,
    /// Of the first write from here on that has a block of messages, the first block is not written, without an error.
    LostBlock,
    /// Of the first write from here on that has a row of another kind, the first is not written, without an error.
    LostRow,
    /// After the first write from here on, the first block of messages that is still needed is dropped, as if it were dead.
    DroppedBlock,
}

/// A part of the disk that it can be told not to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// All messages of a log.
    Log(LogId),
    /// The copy that an exchange of a session has of its message, by its packet identifier.
    Held(SessionId, u16),
}

impl Withheld {
    /// Whether a read of a family from one key to before another would need it.
    fn is_between(&self, family: Family, from: &[u8], to: Option<&[u8]>) -> bool {
        let (of, first, end) = match self {
            Withheld::Log(log) => {
                let (first, end) = log_bounds(*log);
                (keys::LOG, first.to_vec(), end.to_vec())
            }
            Withheld::Held(session, packet_id) => {
                let key = keys::flow(*session, Flow::Held(*packet_id));
                let end = [key.as_slice(), &[0]].concat();
                (keys::FLOW, key, end)
            }
        };
        family == of && from < end.as_slice() && to.is_none_or(|to| first.as_slice() < to)
    }
}

/// Which of the batches that were written and not synced a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// All, and the one whose write is interrupted: the process was killed just behind it.
    All,
    /// All whose write had ended: the process was killed.
    Finished,
    /// So many of the first, the one whose write is interrupted among them: the power was cut.
    First(usize),
}

#[derive(Default)]
pub(super) struct Disk {
    pub(super) live: Image,
    pub(super) durable: Image,
    /// In the live image and not in the durable one, in order.
    pub(super) unsynced: Vec<WriteBatch>,
    pub(super) mark: u64,
    /// Grows with every opening, every end and every crash.
    pub(super) life: u64,
    pub(super) in_use: bool,
    pub(super) operations: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) compacts_eagerly: bool,
    /// So many reads give nothing.
    pub(super) failing_reads: u64,
    /// These parts it does not give.
    pub(super) withheld: Vec<Withheld>,
    ignores_syncs: bool,
}

impl Disk {
    pub(super) fn fork(&self) -> Disk {
        Disk {
            live: self.live.clone(),
            durable: self.durable.clone(),
            unsynced: self.unsynced.clone(),
            mark: self.mark,
            compacts_eagerly: self.compacts_eagerly,
            ..Disk::default()
        }
    }

    /// A read begins, of a family from one key to before another.
    pub(super) fn read(&mut self, family: Family, from: &[u8], to: Option<&[u8]>) -> Result<(), EngineError> {
        let fails = self.failing_reads > 0;
        self.failing_reads -= u64::from(fails);
        let is_withheld = self.withheld.iter().any(|part| part.is_between(family, from, to));
        if !fails && !is_withheld && !self.take(Fault::FailedRead) {
            return Ok(());
        }
        Err(EngineError { kind: FailureKind::Io, reason: "input/output error, as planned".to_owned() })
    }

    /// `is_writing`: the last batch is the one whose write is interrupted.
    pub(super) fn crash(&mut self, survivors: Survivors, is_writing: bool) {
        let kept = match survivors {
            Survivors::All => self.unsynced.len(),
            Survivors::Finished => self.unsynced.len() - usize::from(is_writing),
            Survivors::First(count) => count,
        };
        self.unsynced.truncate(kept);
        self.live = self.durable.clone();
        for batch in &self.unsynced {
            self.live.apply(batch);
        }
        self.faults.retain(|at, _| *at > self.operations);
        self.in_use = false;
        self.life += 1;
    }

    /// What was written is durable from here on.
    pub(super) fn sync(&mut self) {
        self.ignores_syncs |= self.take(Fault::IgnoredSyncs);
        if self.ignores_syncs {
            return;
        }
        for batch in self.unsynced.drain(..) {
            self.durable.apply(&batch);
        }
    }

    /// Whether this was planned, and its time has come; it then does not come again.
    pub(super) fn take(&mut self, wanted: Fault) -> bool {
        let due = self.faults.range(..=self.operations).find(|(_, fault)| **fault == wanted);
        let Some(at) = due.map(|(at, _)| *at) else { return false };
        self.faults.remove(&at);
        true
    }

    /// Space is made free on the disk, whatever was synced.
    pub(super) fn drop_blocks(&mut self, is_dead: impl Fn(&[u8]) -> bool) {
        for image in [&mut self.live, &mut self.durable] {
            image.remove(keys::LOG, &is_dead);
        }
    }

    /// The batch as it gets to the disk.
    pub(super) fn falsify(&mut self, batch: &WriteBatch) -> WriteBatch {
        let mut batch = batch.clone();
        let block = batch.changes().iter().position(|change| change.family == keys::LOG);
        let row = batch.changes().iter().position(|change| ![keys::LOG, keys::META].contains(&change.family));
        for (fault, lost) in [(Fault::LostBlock, block), (Fault::LostRow, row)] {
            if let Some(at) = lost
                && self.take(fault)
            {
                batch.remove(at);
                return batch;
            }
        }
        batch
    }

    pub(super) fn lose_block(&mut self, floors: &Floors) {
        if self.faults.is_empty() {
            return;
        }
        let needed = self.live.family(keys::LOG).keys().find(|key| !floors.drops(key)).cloned();
        if let Some(needed) = needed
            && self.take(Fault::DroppedBlock)
        {
            self.drop_blocks(|key| key == needed);
        }
    }
}
