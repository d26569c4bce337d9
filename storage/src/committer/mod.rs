//! The committer: the one thread that changes the store.
//!
//! It takes everything that queued up while the last sync ran, bounded in bytes, and applies the transactions in order to
//! the catalog while it puts together one batch. The batch is written, with one sync if the mode asks for it;
//! only then anything of it is published: the tail first, then the head, then the answers in order, and then those who
//! read the logs are woken. It never waits to make a batch larger. A batch that changes nothing is not written.
//!
//! A write or a sync that fails is tried again, once the engine has opened itself anew: see `persist`. Until it succeeds
//! nothing is published and nothing later is taken; the catalog is ahead of the disk by that one batch. When it cannot
//! succeed any more, the batch and all later ones are refused.
//!
//! A transaction that needs to read what the disk does not give is set aside, and does not hold up the others: see `aside`.

mod apply;
mod aside;
mod attach;
mod batch;
mod deadlines;
mod foresee;
mod group_limit;
mod groups;
mod late;
mod limit;
mod patience;
mod persist;
mod queue;
mod replace;
#[cfg(test)]
mod replace_tests;
mod subscribe;

use std::panic::AssertUnwindSafe;

pub(crate) use apply::Apply;
pub(crate) use aside::Aside;
use batch::Prepared;
pub(crate) use foresee::hold_back_overdue;
pub(crate) use limit::Settle;
pub(crate) use patience::Patience;
pub(crate) use persist::Background;
use persist::{give_up, persist};
use queue::Taken;
pub(crate) use queue::{Done, Queue, Work};

use crate::engine::WriteBatch;
use crate::outcome::Durable;
use crate::shared::Shared;
use crate::statistics::add;
use crate::{Answer, CommitError, Committed, Durability, LogId, Lsn, Outcome, PublishedWill};

/// What one batch takes from the queue.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A transaction that has been applied, and waits for its batch.
pub(crate) enum Applied {
    Fenced,
    Withdrawn,
    Taken { lsn: Lsn, answers: Vec<Answer>, refused: Vec<usize>, wills: Vec<PublishedWill> },
}

/// What a batch has made visible.
pub(crate) struct Published {
    head: Lsn,
    commit: u64,
    /// Those that have got entries.
    logs: Vec<LogId>,
}

/// The committer's thread: works until the queue is closed and empty.
pub(crate) fn run(shared: &Shared) {
    let due_at = || shared.aside.lock().due_at();
    while let Some(taken) = shared.queue.take(BATCH_BYTES, due_at()) {
        safe_turn(shared, taken, false);
    }
    finish_with(shared, safe_turn);
}

/// One turn of the committer on the caller's thread; `false` when nothing waits. A panic goes through.
pub(crate) fn step(shared: &Shared) -> bool {
    let taken = shared.queue.take_waiting(BATCH_BYTES);
    if taken.is_none() && shared.aside.lock().due_at().is_none() {
        return false;
    }
    turn(shared, taken.unwrap_or_default(), true);
    true
}

/// The end, on the caller's thread: what waits is committed; what is aside is tried once more, and else refused.
pub(crate) fn finish(shared: &Shared) {
    finish_with(shared, turn);
}

/// Refuses what is aside: nobody wants it any more.
pub(crate) fn refuse_aside(shared: &Shared) {
    let (aside, _) = shared.aside.lock().abandon();
    refuse_all(shared, aside, &CommitError::Closed);
}

fn finish_with(shared: &Shared, turn: fn(&Shared, Taken, bool)) {
    while let Some(taken) = shared.queue.take_waiting(BATCH_BYTES) {
        turn(shared, taken, true);
    }
    if shared.aside.lock().due_at().is_some() {
        turn(shared, Taken::default(), true);
    }
    let (aside, reason) = shared.aside.lock().abandon();
    if !aside.work.is_empty() {
        refuse_all(shared, aside, &give_up(shared, reason));
    }
}

fn refuse_all(shared: &Shared, taken: Taken, error: &CommitError) {
    let mut waiting = Vec::new();
    refuse(taken.work, &mut waiting);
    answer(waiting, &Err(error.clone()));
    shared.queue.settle(taken.bytes);
}

/// A turn on a thread of the store's own.
fn safe_turn(shared: &Shared, mut taken: Taken, at_once: bool) {
    let mut waiting = Vec::with_capacity(taken.work.len());
    let worked =
        std::panic::catch_unwind(AssertUnwindSafe(|| commit(shared, &mut taken, at_once, &mut waiting)));
    // A panic is a bug of ours; nobody is to wait for an answer because of it.
    let result = worked.unwrap_or_else(|_| {
        shared.fail("the committer has panicked".to_owned());
        Err(shared.failure().expect("it has just failed"))
    });
    settle(shared, waiting, result, taken.bytes);
}

fn turn(shared: &Shared, mut taken: Taken, at_once: bool) {
    let mut waiting = Vec::with_capacity(taken.work.len());
    let result = commit(shared, &mut taken, at_once, &mut waiting);
    settle(shared, waiting, result, taken.bytes);
}

/// Answers, and wakes those who read what the batch has made visible.
fn settle(
    shared: &Shared,
    waiting: Vec<(Done, Option<Applied>)>,
    result: Result<Published, CommitError>,
    bytes: usize,
) {
    answer(waiting, &result);
    shared.queue.settle(bytes);
    if let Ok(published) = result {
        shared.readers.wake(&published.logs, published.commit);
        shared.pools.wake(&published.logs);
    }
}

/// Applies, writes and publishes; `taken` then weighs what is to be answered, which is put into `waiting` before anything can
/// fail.
fn commit(
    shared: &Shared,
    taken: &mut Taken,
    at_once: bool,
    waiting: &mut Vec<(Done, Option<Applied>)>,
) -> Result<Published, CommitError> {
    if let Some(error) = shared.failure() {
        let (aside, _) = shared.aside.lock().abandon();
        taken.bytes += aside.bytes;
        refuse(aside.work, waiting);
        refuse(std::mem::take(&mut taken.work), waiting);
        return Err(error);
    }
    *taken = aside::sort_out(shared, std::mem::take(taken), at_once);
    let mut work = std::mem::take(&mut taken.work);
    if work.is_empty() {
        return Ok(Published { head: shared.head(), commit: shared.written_commit(), logs: Vec::new() });
    }
    let prepared = {
        // What is read meanwhile is found.
        let _open = shared.mending.lock();
        let mut catalog = shared.catalog.lock();
        let mut apply = Apply::new(&mut catalog, shared);
        apply.settle_groups();
        // First, for it goes by what the disk has, and what this batch puts there must come behind it.
        for sweep in work.extract_if(.., |(work, _)| matches!(work, Work::ForgetRetained(_))) {
            if let (Work::ForgetRetained(expired), _) = sweep {
                apply.forget_retained(&expired);
            }
        }
        for (work, _) in work {
            match work {
                Work::Transaction(transaction, done) => {
                    waiting.push((done, None));
                    let applied = apply.transaction(transaction);
                    waiting.last_mut().expect("just pushed").1 = Some(applied);
                }
                Work::Withdrawn(done) => waiting.push((done, Some(Applied::Withdrawn))),
                Work::Rescue { session, packet_id, lsn, body } => {
                    apply.rescue(session, packet_id, lsn, &body)
                }
                Work::Quarantine(row) => apply.put_quarantine(&row),
                Work::Settle(settle) => apply.settle(&settle),
                Work::DropFromGroups(through) => apply.drop_from_groups(through),
                // It has happened.
                Work::SettleGroups | Work::Withdraw(_) => {}
                Work::ForgetRetained(_) => unreachable!("taken above"),
                Work::NoteTime => apply.batch.notes_time = true,
            }
        }
        apply.finish()
    };
    add(&shared.counters.transactions, waiting.len() as u64);
    if crate::planted!(AckBeforeCommit) {
        acknowledge_before_commit(shared, waiting, &prepared);
    }
    write_and_publish(shared, prepared)
}

/// The planted fault of this name. A store with threads takes its time then, as one that writes behind does.
fn acknowledge_before_commit(
    shared: &Shared,
    waiting: &mut Vec<(Done, Option<Applied>)>,
    prepared: &Prepared,
) {
    let published = Published { head: prepared.head, commit: prepared.commit, logs: Vec::new() };
    answer(std::mem::take(waiting), &Ok(published));
    if shared.options.memory.is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Writes a batch and publishes it.
pub(crate) fn write_and_publish(shared: &Shared, mut prepared: Prepared) -> Result<Published, CommitError> {
    late::fetch(shared, &mut prepared)?;
    if let Some(writes) = prepared.writes {
        write(shared, &writes, prepared.commit)?;
    }
    let counters = &shared.counters;
    add(&counters.messages, prepared.messages);
    add(&counters.appends, prepared.appended);
    add(&counters.blocks, prepared.blocks.len() as u64);

    let dropped = shared.tail.write().push(prepared.blocks, prepared.head);
    drop(dropped);
    shared.publish_head(prepared.head);
    for reader in prepared.over {
        reader.look_again();
    }
    shared.set_next_deadline(prepared.next_deadline);
    if !prepared.ended_logs.is_empty() {
        let ended = prepared.ended_logs.into_iter().map(|log| (prepared.commit, log));
        shared.ended_logs.lock().extend(ended);
    }
    Ok(Published { head: prepared.head, commit: prepared.commit, logs: prepared.logs })
}

fn write(shared: &Shared, writes: &WriteBatch, commit: u64) -> Result<(), CommitError> {
    let sync = shared.options.durability == Durability::Fsync;
    persist(shared, |engine| {
        // What a damaged file took with it comes first: this batch may have changed it.
        let mut restored = shared.restored.lock();
        if restored.is_empty() {
            return engine.write(writes, sync);
        }
        engine.write(&restored.followed_by(writes), sync)?;
        *restored = WriteBatch::default();
        Ok(())
    })?;
    shared.set_written_commit(commit);
    add(&shared.counters.commits, 1);
    add(&shared.counters.wal_bytes, writes.bytes() as u64);
    shared.note_written(writes.bytes() as u64);
    if sync {
        add(&shared.counters.syncs, 1);
    }
    if !matches!(shared.options.durability, Durability::Interval(_)) {
        shared.set_durable_commit(commit);
    }
    if let Err(error) = shared.engine.set_mark(commit) {
        // Not a reason to refuse what is on the disk: only less is known after a crash.
        tracing::warn!(%error, "the commit mark was not written");
    }
    Ok(())
}

fn refuse(work: Vec<(Work, usize)>, waiting: &mut Vec<(Done, Option<Applied>)>) {
    for (work, _) in work {
        if let Work::Transaction(_, done) | Work::Withdrawn(done) = work {
            waiting.push((done, None));
        }
    }
}

/// Calls everyone back, in order.
fn answer(waiting: Vec<(Done, Option<Applied>)>, result: &Result<Published, CommitError>) {
    for (done, applied) in waiting {
        let outcome = match (result, applied) {
            (Err(error), _) => Err(error.clone()),
            (Ok(_), Some(Applied::Fenced)) => Ok(Outcome::Fenced),
            (Ok(_), Some(Applied::Withdrawn)) => Ok(Outcome::Withdrawn),
            (Ok(published), Some(Applied::Taken { lsn, answers, refused, wills })) => {
                let durable = Durable { _made_by_the_committer: () };
                let head = published.head;
                Ok(Outcome::Committed(Committed { durable, head, lsn, answers, refused, wills }))
            }
            (Ok(_), None) => unreachable!("a batch is written when all its transactions have been applied"),
        };
        if std::panic::catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a callback of the store has panicked");
        }
    }
}

/// The interval mode's thread: brings to the disk what was written.
pub(crate) fn sync_at_intervals(shared: &Shared) {
    let Durability::Interval(interval) = shared.options.durability else { return };
    while shared.wait_for_turn(interval) {
        sync_now(shared);
    }
}

/// Brings to the disk what was written.
pub(crate) fn sync_now(shared: &Shared) {
    let written = shared.written_commit();
    if written == shared.durable_commit() || shared.failure().is_some() {
        return;
    }
    // A store that has failed says so itself.
    if persist(shared, |engine| engine.sync()).is_ok() {
        add(&shared.counters.syncs, 1);
        shared.set_durable_commit(written);
    }
}
