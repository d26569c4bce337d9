//! What is set aside: transactions that need a part of the disk that it does not give, and those that stand behind them.
//!
//! Whatever else comes is committed. A source relies on its transactions taking effect in the order in which it submitted
//! them, so one that is set aside keeps back all that its source submits behind it; nobody else notices.
//!
//! ```text
//!                 something needs what the disk does not give
//!      nothing ────────────────────────────────────────────────→ waits ⟲ tried again, and still not given: a longer pause
//!         ↑                                                        │     new work of the same source: behind it
//!         └────────────────────────────────────────────────────────┤
//!             all of it was given, or is needed no more,           │ the store ends: tried once more
//!             or its source has withdrawn it                       │
//!                                                                  ↓
//!                                                               refused
//! ```
//!
//! While something waits the store says so. Beyond [`MOST_BYTES`] it takes no more publishes, as on a full disk: sources that do not
//! wait for answers must not fill the memory.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use foldhash::fast::FixedState;

use crate::shared::Shared;
use crate::{Epoch, Operation, SessionId, Transaction};

use super::Work;
use super::foresee::{self, Needs, Part, Withheld};
use super::persist::pauses;
use super::queue::Taken;

/// Of the time, an attempt that fails takes no more than one part in so many: a disk may take long to say that it gives nothing.
pub(super) const OF_THE_TIME: u32 = 10;

/// More than so many bytes of work should not wait.
const MOST_BYTES: usize = 64 << 20;

/// A line that transactions stand in: none takes effect before one that stands before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// What one source submits.
    Source(u64),
    /// What works on one attachment of a session. Behind a take-over another begins.
    Attachment(SessionId, Epoch),
    /// The CONNECTs of one client.
    Client(ByteString),
}

/// What is set aside, and what it waits for.
#[derive(Default)]
pub(crate) struct Aside {
    /// Transactions, in their order, each with its bytes.
    work: Vec<(Work, usize)>,
    /// Bytes of all of them.
    bytes: usize,
    /// The lines that they stand in.
    lines: HashSet<Line, FixedState>,
    /// What the disk did not give at the last attempt. It is not asked for it again before the next.
    withheld: Withheld,
    /// When it is tried again, and how long it is left alone after that; `None`: nothing waits.
    next: Option<(Instant, Pauses)>,
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

/// Gives what of the work can take effect now, with what was aside and has got what it waited for, in order. The rest is set
/// aside. `at_once`: it is tried again now, whether or not it is time.
pub(super) fn sort_out(shared: &Shared, mut taken: Taken, at_once: bool) -> Taken {
    let mut aside = shared.aside.lock();
    let began = Instant::now();
    let is_due = aside.next.as_ref().is_some_and(|(at, _)| at_once || *at <= began);
    let again = if is_due { aside.take_up(&mut taken) } else { BTreeSet::new() };
    for (work, _) in &taken.work {
        if let Work::Transaction(transaction, _) = work {
            foresee::hold_back(shared, transaction, &mut aside.withheld);
        }
    }
    let wanted = foresee::wanted(shared, &mut taken.work);
    if wanted.is_empty() && aside.withheld.parts.is_empty() && aside.next.is_none() {
        return taken;
    }
    // What is new does not wait for an answer about what was not given before.
    let (known, new): (BTreeSet<Part>, BTreeSet<Part>) =
        wanted.into_iter().partition(|part| again.contains(part));
    aside.withheld.read(shared, &new);
    aside.withheld.read(shared, &known);
    if !aside.withheld.parts.is_empty() {
        aside.set_aside(shared, &mut taken);
    }
    aside.go_on(shared, is_due, began);
    taken
}

impl Aside {
    /// When it is time to try again; `None`: nothing waits.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.next.as_ref().map(|(at, _)| *at)
    }

    /// Takes out all that waits, which is not going to take effect any more, and why that is.
    pub(super) fn abandon(&mut self) -> (Taken, String) {
        let Aside { work, bytes, withheld, .. } = std::mem::take(self);
        (Taken { work, bytes }, withheld.reason)
    }

    /// Puts all that waits before what is newer; returns what the disk did not give.
    fn take_up(&mut self, taken: &mut Taken) -> BTreeSet<Part> {
        taken.bytes += std::mem::take(&mut self.bytes);
        let newer = std::mem::replace(&mut taken.work, std::mem::take(&mut self.work));
        taken.work.extend(newer);
        self.lines.clear();
        std::mem::take(&mut self.withheld.parts)
    }

    /// Sets aside what needs something that is withheld, and what stands behind it.
    fn set_aside(&mut self, shared: &Shared, taken: &mut Taken) {
        let catalog = shared.catalog.lock();
        let needs = Needs { catalog: &catalog, shared };
        for (work, bytes) in std::mem::take(&mut taken.work) {
            match &work {
                Work::Transaction(transaction, _) if self.must_wait(&needs, transaction) => {
                    taken.bytes -= bytes;
                    self.bytes += bytes;
                    self.lines.extend(lines(transaction));
                    self.work.push((work, bytes));
                    continue;
                }
                Work::Withdraw(source) => self.withdraw(*source, taken),
                _ => {}
            }
            taken.work.push((work, bytes));
        }
    }

    /// What a source has aside by now falls away: it is answered in its place, and nothing stands behind it any more.
    fn withdraw(&mut self, source: u64, taken: &mut Taken) {
        for (work, bytes) in std::mem::take(&mut self.work) {
            match work {
                Work::Transaction(transaction, done) if transaction.source == Some(source) => {
                    taken.bytes += bytes;
                    self.bytes -= bytes;
                    taken.work.push((Work::Withdrawn(done), bytes));
                }
                work => self.work.push((work, bytes)),
            }
        }
        self.lines.clear();
        for (work, _) in &self.work {
            if let Work::Transaction(transaction, _) = work {
                self.lines.extend(lines(transaction));
            }
        }
    }

    fn must_wait(&self, needs: &Needs<'_>, transaction: &Transaction) -> bool {
        if lines(transaction).any(|line| self.lines.contains(&line)) {
            return true;
        }
        // What is fenced off by now needs nothing.
        let holds = |(id, epoch): (SessionId, Epoch)| {
            needs.catalog.sessions.get(&id).is_some_and(|session| session.epoch == epoch)
        };
        if !transaction.fence.is_none_or(holds) {
            return false;
        }
        let mut waits = false;
        needs.of(transaction, &mut |part| waits |= self.withheld.parts.contains(&part));
        waits
    }

    /// What follows: when it is tried again, and what is said of it.
    fn go_on(&mut self, shared: &Shared, was_tried: bool, began: Instant) {
        if self.work.is_empty() {
            let Aside { withheld, next, .. } = std::mem::take(self);
            self.withheld = withheld.forgotten();
            if next.is_some() {
                shared.board.set_withheld(None);
                shared.board.set_crowded(false);
                tracing::warn!("nothing waits any more for what the disk did not give");
            }
            return;
        }
        shared.board.set_crowded(self.bytes > MOST_BYTES);
        let reason = self.withheld.reason.as_str();
        if shared.board.set_withheld(Some(reason.into())) {
            tracing::error!(
                reason,
                "the disk does not give what a transaction needs; it waits, and what its source submits behind it"
            );
        }
        let mut pauses = match self.next.take() {
            Some(next) if !was_tried => return self.next = Some(next),
            Some((_, pauses)) => pauses,
            None => Box::new(pauses(shared)),
        };
        let pause = pauses.next().unwrap_or_default().max(began.elapsed() * OF_THE_TIME);
        self.next = Some((Instant::now() + pause, pauses));
    }
}

fn lines(transaction: &Transaction) -> impl Iterator<Item = Line> {
    let source = transaction.source.map(Line::Source);
    let attachment = transaction.fence.map(|(session, epoch)| Line::Attachment(session, epoch));
    let connects = transaction.operations.iter().filter_map(|operation| match operation {
        Operation::Attach(attach) => Some(Line::Client(attach.client_id.clone())),
        _ => None,
    });
    source.into_iter().chain(attachment).chain(connects)
}
