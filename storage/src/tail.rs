//! The tail cache: what was appended last, in the form in which it was written.
//!
//! One bound for all logs; the oldest commit goes first. A reader that has read everything up to what was let go
//! reads here, without touching RocksDB; the others read from the disk.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::FixedState;

use crate::record::FinishedBlock;
use crate::{Budget, LogId, Lsn};

/// Kept beside each block's bytes, roughly.
const BLOCK_OVERHEAD: usize = 96;

#[derive(Debug)]
pub(crate) struct Tail {
    limit: usize,
    bytes: usize,
    /// Everything above is here.
    complete_above: Lsn,
    commits: VecDeque<Commit>,
    logs: HashMap<LogId, Blocks, FixedState>,
}

/// What is here of a log, in order. Of most of many logs that is one block, which needs no list.
#[derive(Debug)]
enum Blocks {
    One(FinishedBlock),
    Many(VecDeque<FinishedBlock>),
}

impl Blocks {
    fn len(&self) -> usize {
        match self {
            Blocks::One(_) => 1,
            Blocks::Many(blocks) => blocks.len(),
        }
    }

    fn get(&self, at: usize) -> Option<&FinishedBlock> {
        match self {
            Blocks::One(only) => (at == 0).then_some(only),
            Blocks::Many(blocks) => blocks.get(at),
        }
    }

    /// How many of the first ones `precedes` is true of.
    fn partition_point(&self, precedes: impl Fn(&FinishedBlock) -> bool) -> usize {
        match self {
            Blocks::One(only) => usize::from(precedes(only)),
            Blocks::Many(blocks) => blocks.partition_point(precedes),
        }
    }

    /// Those from `first` on.
    fn from(&self, first: usize) -> impl Iterator<Item = &FinishedBlock> {
        (first..self.len()).map_while(|at| self.get(at))
    }
}

#[derive(Debug)]
struct Commit {
    last: Lsn,
    /// A log for each block.
    logs: Vec<LogId>,
}

/// What the tail has of a log for a pass.
#[derive(Debug)]
pub(crate) enum View {
    /// All of it up to `through`, which is below what was asked for when there is more than the budget takes.
    Blocks { records: Vec<Bytes>, through: Lsn },
    /// Not all of it.
    OnDisk,
}

impl Tail {
    /// An empty tail: what is at or below `recovered` is on the disk only.
    pub(crate) fn new(limit: usize, recovered: Lsn) -> Tail {
        Tail {
            limit,
            bytes: 0,
            complete_above: recovered,
            commits: VecDeque::new(),
            logs: HashMap::default(),
        }
    }

    /// Takes in what a commit wrote, and lets go of the oldest. What is let go of comes back, to be dropped when the tail
    /// is no longer locked.
    pub(crate) fn push(&mut self, blocks: Vec<(LogId, FinishedBlock)>, last: Lsn) -> Vec<FinishedBlock> {
        let mut logs = Vec::with_capacity(blocks.len());
        for (log, block) in blocks {
            self.bytes += block.record.len() + BLOCK_OVERHEAD;
            logs.push(log);
            match self.logs.entry(log) {
                Entry::Vacant(vacant) => drop(vacant.insert(Blocks::One(block))),
                Entry::Occupied(mut known) => match known.get_mut() {
                    Blocks::Many(blocks) => blocks.push_back(block),
                    one => {
                        let Blocks::One(first) = std::mem::replace(one, Blocks::Many(VecDeque::new())) else {
                            unreachable!("many are taken above")
                        };
                        *one = Blocks::Many(VecDeque::from([first, block]));
                    }
                },
            }
        }
        if !logs.is_empty() {
            self.commits.push_back(Commit { last, logs });
        }
        let mut dropped = Vec::new();
        while self.bytes > self.limit
            && let Some(commit) = self.commits.pop_front()
        {
            for log in commit.logs {
                let block = self.pop(log).expect("a log has a block for each time that a commit names it");
                self.bytes -= block.record.len() + BLOCK_OVERHEAD;
                dropped.push(block);
            }
            self.complete_above = commit.last;
        }
        dropped
    }

    /// Takes the first block of a log out.
    fn pop(&mut self, log: LogId) -> Option<FinishedBlock> {
        let Entry::Occupied(mut known) = self.logs.entry(log) else { return None };
        match known.get_mut() {
            Blocks::Many(blocks) if blocks.len() > 1 => blocks.pop_front(),
            _ => match known.remove() {
                Blocks::One(only) => Some(only),
                Blocks::Many(mut blocks) => blocks.pop_front(),
            },
        }
    }

    /// What a pass over `after < lsn <= through` of a log would read.
    pub(crate) fn view(&self, log: LogId, after: Lsn, through: Lsn, budget: Budget) -> View {
        let blocks = self.logs.get(&log);
        let complete = after >= self.complete_above
            || blocks.and_then(|blocks| blocks.get(0)).is_some_and(|first| after >= first.previous);
        if !complete {
            return View::OnDisk;
        }
        let Some(blocks) = blocks else { return View::Blocks { records: Vec::new(), through } };
        let first = blocks.partition_point(|block| block.last <= after);
        let (mut records, mut bytes) = (Vec::new(), 0);
        for block in blocks.from(first) {
            records.push(block.record.clone());
            bytes += block.record.len();
            if block.last >= through {
                break;
            }
            // The first block may be read already but for one entry.
            if records.len() > 1 && (bytes > budget.bytes || records.len() > budget.messages) {
                return View::Blocks { records, through: block.last };
            }
        }
        View::Blocks { records, through }
    }

    /// The block that tells what a log had up to an LSN, and its last LSN: the first that ends behind it, or else the last
    /// of all; when it is here.
    pub(crate) fn around(&self, log: LogId, lsn: Lsn) -> Option<(Bytes, Lsn)> {
        let blocks = self.logs.get(&log)?;
        let at = blocks.partition_point(|block| block.last <= lsn);
        let block = match blocks.get(at) {
            Some(block) if at > 0 || block.previous <= lsn => block,
            Some(_) => return None,
            None => blocks.get(blocks.len() - 1)?,
        };
        Some((block.record.clone(), block.last))
    }

    /// The block that has an entry, when it is here.
    pub(crate) fn find(&self, log: LogId, lsn: Lsn) -> Option<Bytes> {
        let blocks = self.logs.get(&log)?;
        let block = blocks.get(blocks.partition_point(|block| block.last < lsn))?;
        (block.previous < lsn).then(|| block.record.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BlockBuilder;

    fn block(previous: u64, lsn: u64) -> FinishedBlock {
        let mut builder = BlockBuilder::new(0, 0, Lsn(previous), Lsn(lsn - 1), 100);
        builder.push(Lsn(lsn), &[0; 100], None);
        builder.finish()
    }

    fn view(tail: &Tail, log: u64, after: u64) -> Option<usize> {
        match tail.view(LogId(log), Lsn(after), Lsn(100), Budget { messages: 100, bytes: 10_000 }) {
            View::Blocks { records, .. } => Some(records.len()),
            View::OnDisk => None,
        }
    }

    #[test]
    fn lets_go_of_the_oldest_commit_and_knows_what_is_missing() {
        let mut tail = Tail::new(700, Lsn(10));
        assert_eq!((view(&tail, 1, 9), view(&tail, 1, 10)), (None, Some(0)));
        tail.push(vec![(LogId(1), block(5, 11)), (LogId(2), block(0, 12))], Lsn(12));
        tail.push(vec![(LogId(1), block(11, 13))], Lsn(13));
        assert_eq!(view(&tail, 1, 5), Some(2), "nothing of log 1 lies between 5 and its first block here");
        assert_eq!(view(&tail, 1, 4), None);
        assert!(tail.find(LogId(1), Lsn(11)).is_some());
        let dropped = tail.push(vec![(LogId(1), block(13, 14))], Lsn(14));
        assert_eq!(dropped.len(), 2, "the whole commit goes");
        assert_eq!((view(&tail, 1, 10), view(&tail, 1, 11), view(&tail, 1, 13)), (None, Some(2), Some(1)));
        assert_eq!((view(&tail, 2, 11), view(&tail, 2, 12)), (None, Some(0)));
        assert!(tail.find(LogId(1), Lsn(11)).is_none());
    }

    #[test]
    fn a_view_stops_where_the_budget_does() {
        let mut tail = Tail::new(100_000, Lsn(0));
        for lsn in 1..=50 {
            tail.push(vec![(LogId(1), block(lsn - 1, lsn))], Lsn(lsn));
        }
        let View::Blocks { records, through } =
            tail.view(LogId(1), Lsn(0), Lsn(50), Budget { messages: 4, bytes: 10_000 })
        else {
            panic!("all of it is here")
        };
        assert_eq!((records.len(), through), (5, Lsn(5)));
    }
}
