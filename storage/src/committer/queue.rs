//! What waits for the committer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::Settle;
use crate::record::QuarantineRow;
use crate::sweep::ExpiredRetained;
use crate::{CommitError, Lsn, Operation, Outcome, SessionId, Transaction};

/// Called once, with what became of a transaction.
pub(crate) type Done = Box<dyn FnOnce(Result<Outcome, CommitError>) + Send>;

pub(crate) enum Work {
    Transaction(Transaction, Done),
    /// What this source has aside falls away.
    Withdraw(u64),
    /// A transaction that has fallen away so.
    Withdrawn(Done),
    /// Gives an open exchange its own copy of its message, if it still wants one.
    Rescue {
        session: SessionId,
        packet_id: u16,
        lsn: Lsn,
        body: Bytes,
    },
    /// Remembers that a part of a log is lost to damage.
    Quarantine(QuarantineRow),
    /// Has a session without a connection pass over what is beyond its limit.
    Settle(Box<Settle>),
    /// Has groups drop what is beyond their limits, if nothing else comes.
    SettleGroups,
    /// Has groups drop what nobody has taken up to an LSN, because too much waits in total.
    DropFromGroups(Lsn),
    /// Removes retained messages that have expired, where they are still the topic's.
    ForgetRetained(Vec<ExpiredRetained>),
    /// A clock was set: the next start must know.
    NoteTime,
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// Submitted and not answered.
    pending_bytes: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<(Work, usize)>,
    closed: bool,
}

impl Waiting {
    fn take(&mut self, limit: usize) -> Taken {
        let mut taken = Taken { work: Vec::with_capacity(self.work.len()), bytes: 0 };
        while taken.bytes < limit
            && let Some((work, bytes)) = self.work.pop_front()
        {
            taken.bytes += bytes;
            taken.work.push((work, bytes));
        }
        taken
    }
}

/// What the committer has taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// Each with its bytes.
    pub(crate) work: Vec<(Work, usize)>,
    /// Of all of it.
    pub(crate) bytes: usize,
}

impl Queue {
    /// Takes work in; gives it back when the queue is closed.
    pub(crate) fn push(&self, work: Work) -> Result<(), Work> {
        let bytes = weight(&work);
        let was_empty = {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return Err(work);
            }
            self.pending_bytes.fetch_add(bytes, Relaxed);
            waiting.work.push_back((work, bytes));
            waiting.work.len() == 1
        };
        if was_empty {
            self.came.notify_one();
        }
        Ok(())
    }

    /// Waits for work, but not beyond `until`, and takes it all, but for what goes beyond `limit` bytes. `None`: closed, and
    /// nothing is left.
    pub(crate) fn take(&self, limit: usize, until: Option<Instant>) -> Option<Taken> {
        let mut waiting = self.waiting.lock();
        while waiting.work.is_empty() {
            if waiting.closed {
                return None;
            }
            match until {
                None => self.came.wait(&mut waiting),
                Some(until) if self.came.wait_until(&mut waiting, until).timed_out() => break,
                Some(_) => {}
            }
        }
        Some(waiting.take(limit))
    }

    /// The same without waiting. `None`: nothing is there.
    pub(crate) fn take_waiting(&self, limit: usize) -> Option<Taken> {
        let mut waiting = self.waiting.lock();
        (!waiting.work.is_empty()).then(|| waiting.take(limit))
    }

    /// What was taken has been answered.
    pub(crate) fn settle(&self, bytes: usize) {
        self.pending_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Relaxed)
    }

    /// Takes out what waits and refuses it.
    pub(crate) fn refuse(&self) {
        let waiting = std::mem::take(&mut self.waiting.lock().work);
        for (work, bytes) in waiting {
            if let Work::Transaction(_, done) = work {
                done(Err(CommitError::Closed));
            }
            self.settle(bytes);
        }
    }

    /// Takes in nothing more; what waits is still taken.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.came.notify_all();
    }
}

/// Roughly what a piece of work takes in memory, and in the batch.
fn weight(work: &Work) -> usize {
    const EACH: usize = 128;
    match work {
        Work::Settle(_) | Work::Withdraw(_) | Work::Withdrawn(_) => EACH,
        Work::NoteTime | Work::SettleGroups | Work::DropFromGroups(_) => EACH,
        Work::ForgetRetained(expired) => EACH * expired.len(),
        Work::Rescue { body, .. } => EACH + body.len(),
        Work::Quarantine(row) => EACH + row.reason.len(),
        Work::Transaction(transaction, _) => {
            let operations = transaction.operations.iter().map(|operation| match operation {
                // It is written once for each log, so a batch stays within its bound however many want it.
                Operation::Publish(publish) => EACH + publish.body.len() * publish.targets.logs.len().max(1),
                Operation::Hold { body, .. } => EACH + body.len(),
                Operation::SaveOutbound(outbound) => EACH + outbound.open.len() * 48,
                Operation::Subscribe(subscriptions) => EACH * (1 + subscriptions.len()),
                Operation::Unsubscribe(filters) => EACH * (1 + filters.len()),
                Operation::Attach(attach) => {
                    EACH + attach.will.as_ref().map_or(0, |will| will.message.payload.len())
                }
                _ => EACH,
            });
            EACH + operations.sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescue(body: &'static [u8]) -> Work {
        Work::Rescue { session: SessionId(1), packet_id: 1, lsn: Lsn(1), body: Bytes::from_static(body) }
    }

    #[test]
    fn gives_what_fits_and_counts_what_is_not_answered() {
        let queue = Queue::default();
        for _ in 0..3 {
            assert!(queue.push(rescue(&[0; 72])).is_ok());
        }
        assert_eq!(queue.pending_bytes(), 600);
        let taken = queue.take(201, None).expect("work waits");
        assert_eq!((taken.work.len(), taken.bytes), (2, 400));
        queue.settle(taken.bytes);
        assert_eq!(queue.pending_bytes(), 200);
        let rest = queue.take(201, Some(Instant::now())).expect("work waits");
        assert_eq!((rest.work.len(), rest.bytes), (1, 200));
        let none = queue.take(201, Some(Instant::now())).expect("it is not closed");
        assert_eq!((none.work.len(), none.bytes), (0, 0));
        assert!(queue.push(rescue(&[0; 72])).is_ok());
        queue.close();
        assert!(queue.push(rescue(b"")).is_err());
        assert_eq!(queue.take(1, None).expect("what waited is still given").work.len(), 1);
        assert!(queue.take(1, None).is_none());
    }
}
