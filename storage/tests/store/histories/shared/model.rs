//! The oracle of groups: one group, who holds what, what waits, and what was dropped for which reason.

use std::collections::{BTreeMap, BTreeSet};

use barnacle_storage::{DropReason, Lsn, Policy};

/// An exchange of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) packet_id: u16,
    pub(super) lsn: Lsn,
    pub(super) qos: u8,
}

/// Counts, as the store shows them in total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(pub(super) BTreeMap<DropReason, u64>);

impl Counts {
    pub(super) fn add(&mut self, reason: DropReason, messages: u64) {
        if messages > 0 {
            *self.0.entry(reason).or_default() += messages;
        }
    }
}

/// Everything that a store is to know of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) last: Lsn,
    /// Published and not taken for good.
    pub(super) waiting: BTreeSet<Lsn>,
    /// Sessions that are members, with what they hold, in the order begun.
    pub(super) members: BTreeMap<&'static str, Vec<Held>>,
    pub(super) dropped: Counts,
    /// Acknowledged by a member.
    pub(super) done: u64,
    /// Acknowledged to a publisher while there was a group.
    pub(super) published: u64,
    pub(super) policy: Policy,
    pub(super) most: u64,
}

impl Model {
    pub(super) fn new(policy: Policy, most: u64) -> Model {
        Model {
            last: Lsn(0),
            waiting: BTreeSet::new(),
            members: BTreeMap::new(),
            dropped: Counts::default(),
            done: 0,
            published: 0,
            policy,
            most,
        }
    }

    /// Before anything of a batch, and when the store is opened: the oldest that nobody has reserved go.
    pub(super) fn settle(&mut self, reserved: &[Lsn]) {
        let newest = self.waiting.last().copied();
        if self.policy != Policy::DropOldest {
            return;
        }
        for lsn in self.waiting.clone() {
            if self.waiting.len() as u64 <= self.most || Some(lsn) == newest {
                return;
            }
            if !reserved.contains(&lsn) {
                self.waiting.remove(&lsn);
                self.dropped.add(DropReason::GroupLimit, 1);
            }
        }
    }

    /// The store has been opened again. LSNs of publishes that nobody got may be given out once more.
    /// `false`: others as well, or there are some that were never given out.
    pub(super) fn reopened(&mut self, head: Lsn) -> bool {
        let held = self.members.values().flatten().map(|held| held.lsn);
        let used = held.chain(self.waiting.last().copied()).max().unwrap_or_default();
        let is_right = used <= head && head <= self.last;
        self.last = head;
        self.settle(&[]);
        is_right
    }

    /// `false`: it is refused.
    pub(super) fn publish(&mut self, refusable: bool) -> bool {
        self.last.0 += 1;
        if self.members.is_empty() {
            return true;
        }
        let full = self.waiting.len() as u64 >= self.most && self.policy != Policy::DropOldest;
        if full && self.policy == Policy::Reject && refusable {
            return false;
        }
        self.published += 1;
        if full {
            self.dropped.add(DropReason::GroupLimit, 1);
        } else {
            self.waiting.insert(self.last);
        }
        true
    }

    pub(super) fn end(&mut self, name: &str) {
        let held = self.members.remove(name).expect("it is a member");
        if self.members.is_empty() {
            self.dropped.add(DropReason::Unsubscribed, self.waiting.len() as u64);
            self.waiting.clear();
            // What it held goes with it.
            self.done += held.len() as u64;
            return;
        }
        for held in held {
            if held.qos == 2 {
                self.dropped.add(DropReason::GroupDiscarded, 1);
            } else {
                self.waiting.insert(held.lsn);
            }
        }
    }

    /// Every message has one fate: the model itself is tried by that.
    pub(super) fn check(&self) {
        let held: usize = self.members.values().map(Vec::len).sum();
        let dropped: u64 = self.dropped.0.values().sum();
        let found = self.waiting.len() as u64 + held as u64 + dropped + self.done;
        assert_eq!(found, self.published, "{self:?}");
    }
}
