//! The store as others see it.

mod groups;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;

use crate::backlog::Reading;
use crate::committer::{self, Apply, Work};
use crate::engine::{self, EngineError, Opened, WriteBatch};
use crate::floors::Floors;
use crate::keys;
use crate::mark::Mark;
use crate::reader::Wake;
use crate::record::{self, State};
use crate::recovery::{self, Loaded, SCHEMA};
use crate::shared::Shared;
use crate::space;
use crate::statistics::add;
use crate::trim;
use crate::{
    Backlog, Budget, Clock, CloseError, CommitError, DropReason, Dropped, Drops, Durability, Excess,
    Exchange, GroupMember, Health, Lsn, Message, OpenError, Operation, Options, Outcome, Pass, Policy,
    Pulled, ReadError, Reader, Recovery, RetainedPage, RetainedScan, SessionId, Statistics, Stepper, Targets,
    Transaction, Watch,
};

/// The open store. Cheap to clone; when the last clone is dropped without [`Store::close`], it stops as it would in a crash:
/// what was acknowledged is kept, what still waited is refused.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// How many of what the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Stored sessions.
    pub sessions: usize,
    /// Those with a connection.
    pub connected: usize,
    /// Subscriptions of stored sessions.
    pub subscriptions: usize,
    /// Filters that they hold with QoS 1 or 2.
    pub filters: usize,
}

struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `options.directory`, and tells what it has found there.
    ///
    /// # Errors
    ///
    /// When the directory is in use, holds something else or data of a newer version, or cannot be read.
    pub fn open(options: Options) -> Result<(Store, Recovery), OpenError> {
        let (shared, recovery) = open(options, Time::Hands)?;
        let threads = Mutex::new(start_threads(&shared));
        Ok((Store { handle: Arc::new(Handle { shared, threads }) }, recovery))
    }

    /// Opens a store that has no threads and reads no clock: transactions wait until [`Stepper::commit`] is called, and it is
    /// `now_millis`, in milliseconds since the Unix epoch, when the store is opened.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_stepped(options: Options, now_millis: u64) -> Result<(Store, Stepper, Recovery), OpenError> {
        Store::stepped(options, Time::Stands(now_millis))
    }

    /// The same with a time that goes on, as the clocks of the options have it: for a simulator that drives a whole broker.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_stepped_by_clocks(options: Options) -> Result<(Store, Stepper, Recovery), OpenError> {
        Store::stepped(options, Time::Hands)
    }

    fn stepped(options: Options, time: Time) -> Result<(Store, Stepper, Recovery), OpenError> {
        let (shared, recovery) = open(options, time)?;
        let stepper = Stepper::new(shared.clone());
        let store = Store { handle: Arc::new(Handle { shared, threads: Mutex::default() }) };
        Ok((store, stepper, recovery))
    }

    /// Gives the committer a transaction. Never blocks. `done` is called once, on the thread that commits, with what
    /// became of it: it must be quick, and must not wait for the store.
    ///
    /// # Panics
    ///
    /// When an operation that works on a session is in a transaction without a fence: a bug of the caller.
    pub fn submit(
        &self,
        transaction: Transaction,
        done: impl FnOnce(Result<Outcome, CommitError>) + Send + 'static,
    ) {
        let fenced = transaction.fence.is_some();
        assert!(
            fenced || !transaction.operations.iter().any(Operation::needs_fence),
            "an operation on a session names it in the transaction's fence"
        );
        let shared = &self.handle.shared;
        if let Err(Work::Transaction(_, done)) =
            shared.queue.push(Work::Transaction(transaction, Box::new(done)))
        {
            done(Err(shared.failure().unwrap_or(CommitError::Closed)));
        }
    }

    /// Has all fall away ([`crate::Outcome::Withdrawn`]) that this source has submitted before, and that is set aside because the disk
    /// does not give what it needs. What else it has submitted before takes effect, or has. Never blocks.
    pub fn withdraw(&self, source: u64) {
        // A store that is closed has answered everything.
        let _ = self.handle.shared.queue.push(Work::Withdraw(source));
    }

    /// Bytes of transactions that were submitted and not yet answered.
    pub fn pending_bytes(&self) -> usize {
        self.handle.shared.queue.pending_bytes()
    }

    /// The logs that a publish of QoS 1 or 2 on this topic goes to, as of now. Quick, and shared among threads.
    pub fn route(&self, topic: &str) -> Targets {
        self.handle.shared.routes.read().targets(topic)
    }

    /// Whether it reads from memory: then nothing that it is asked for waits for a disk.
    pub fn is_in_memory(&self) -> bool {
        self.handle.shared.options.memory.is_some()
    }

    /// The last published LSN: everything at or below is readable.
    pub fn head(&self) -> Lsn {
        self.handle.shared.head()
    }

    /// One pass of the merge over the reader's logs, from above `position` up to the head when it began. May read from the
    /// disk, and wait for it. A reader of an attachment that is over gets nothing.
    ///
    /// # Errors
    ///
    /// When a log is damaged or RocksDB fails; nothing of the pass is then given.
    pub fn read(&self, reader: &Reader, position: Lsn, budget: Budget) -> Result<Pass, ReadError> {
        let pass = self.noted(self.handle.shared.pass(reader, position, budget, true))?;
        Ok(pass.expect("with the disk, a pass reaches everything"))
    }

    /// The same as [`Store::read`], if all that it would yield is in memory; it never waits for the disk.
    pub fn read_tail(&self, reader: &Reader, position: Lsn, budget: Budget) -> Option<Pass> {
        // Blocks in memory are as we wrote them; should one not decode, the disk has the last word.
        self.handle.shared.pass(reader, position, budget, false).ok().flatten()
    }

    /// The message of an open exchange: its own copy, or else what the log has. `None`: nowhere, because the exchange is
    /// not open any more.
    ///
    /// # Errors
    ///
    /// When the record is damaged or RocksDB fails.
    pub fn read_exchange(
        &self,
        session: SessionId,
        exchange: &Exchange,
    ) -> Result<Option<Message>, ReadError> {
        self.noted(self.handle.shared.read_exchange(session, exchange))
    }

    /// Retained messages that a filter matches, in the order of their topics, with an LSN up to `scan.through` and behind
    /// `scan.after_topic`. One call does bounded work: a page may be empty and not the last.
    ///
    /// # Errors
    ///
    /// When a record is damaged or RocksDB fails.
    pub fn read_retained(
        &self,
        filter: &str,
        scan: &RetainedScan,
        budget: Budget,
    ) -> Result<RetainedPage, ReadError> {
        self.noted(self.handle.shared.retained_page(filter, scan, budget))
    }

    /// Counts a read for which the disk gave nothing, and has the store's health tell of it.
    fn noted<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(ReadError::Engine(reason)) = &read {
            add(&self.handle.shared.counters.failed_reads, 1);
            self.handle.shared.board.note_unreadable(reason);
        }
        read
    }

    /// Has `wake` called whenever a log of the reader has got entries, until the watch is dropped. What was there
    /// before wakes nobody: watch first, then read. A newer watch on the same reader replaces the older.
    pub fn watch(&self, reader: &Reader, wake: Wake) -> Watch {
        Watch::new(reader, wake)
    }

    /// A connection becomes able to pull from a group that it, or its session, is a member of; `None` when there is no
    /// such group. `wake` is called when there may be something again, after a pull has found nothing.
    pub fn group_member(&self, filter: &str, member: u64, wake: Wake) -> Option<GroupMember> {
        let pool = self.handle.shared.pools.find(filter)?;
        Some(GroupMember::join(pool, member, wake))
    }

    /// The log of a group, if there is such a group. One that ends with its last member and is made again has another.
    pub fn group_log(&self, filter: &str) -> Option<crate::LogId> {
        self.handle.shared.pools.find(filter).map(|pool| pool.log)
    }

    /// Reserves the next messages of a group and reads them. May wait for the disk.
    ///
    /// # Errors
    ///
    /// When the log is damaged or RocksDB fails; nothing is then reserved.
    pub fn pull(&self, member: &GroupMember, budget: Budget) -> Result<Vec<Pulled>, ReadError> {
        let pulled = self.noted(self.handle.shared.pull(member, budget, true))?;
        Ok(pulled.expect("with the disk, a pull reaches everything"))
    }

    /// The same as [`Store::pull`], if what comes next is in memory; it never waits for the disk.
    pub fn pull_tail(&self, member: &GroupMember, budget: Budget) -> Option<Vec<Pulled>> {
        self.handle.shared.pull(member, budget, false).ok().flatten()
    }

    /// How many sessions, subscriptions and filters there are.
    pub fn counts(&self) -> Counts {
        counts(&self.handle.shared)
    }

    /// When the next session expires or the next will is due, in milliseconds since the Unix epoch on the store's clock; see
    /// [`Operation::ExpireSessions`] and [`Operation::PublishDueWills`].
    pub fn next_deadline(&self) -> Option<u64> {
        self.handle.shared.next_deadline()
    }

    /// The clock that all deadlines go by.
    pub fn clock(&self) -> Clock {
        self.handle.shared.clock
    }

    /// What was dropped, of all sessions that there ever were.
    pub fn drops(&self) -> Drops {
        self.handle.shared.catalog.lock().drops.clone()
    }

    /// What was dropped of a stored session's messages; `None` if there is no such session. Drop-oldest counts when it
    /// drops, which may be a little after a message has come to be beyond the limit. What a session of shared logs passes
    /// over while it is full is here at once, and in the total when it has room again.
    pub fn session_drops(&self, client_id: &str) -> Option<Drops> {
        let shared = &self.handle.shared;
        let catalog = shared.catalog.lock();
        let session = &catalog.sessions[&catalog.of_client(client_id)?];
        let mut drops = session.rare.drops.as_deref().cloned().unwrap_or_default();
        for (log, began) in session.rare.gaps.iter().flat_map(|gaps| &gaps.began) {
            let known = catalog.heads.get(log).copied();
            let head = known.map_or_else(|| shared.end_of_log(*log), Ok).unwrap_or_default();
            let passed = head.load().beyond(*began).messages;
            drops.add(DropReason::SessionLimit, Dropped { exactly: 0, shared_at_most: passed });
        }
        Some(drops)
    }

    /// Counts drops of a session that is not stored. They are in the total at once, and kept with the next batch that
    /// counts any.
    pub fn note_drops(&self, reason: DropReason, messages: u64) {
        self.handle.shared.catalog.lock().drops.add(reason, Dropped::exactly(messages));
    }

    /// What waits for a stored session, from its saved position on; `None` if there is no such session.
    ///
    /// # Errors
    ///
    /// When a log is damaged or RocksDB fails.
    pub fn backlog(&self, client_id: &str) -> Result<Option<Backlog>, ReadError> {
        let shared = &self.handle.shared;
        let head = shared.head();
        let reading = {
            let catalog = shared.catalog.lock();
            let Some(id) = catalog.of_client(client_id) else { return Ok(None) };
            Reading::of(&catalog, id, catalog.sessions[&id].position)
        };
        reading.map(|reading| reading.backlog(shared, head)).transpose()
    }

    /// What of a reader's backlog above `position` is beyond its session's limit, where that is to drop the oldest. Whoever
    /// passes it over counts it ([`Operation::CountDrops`]) in the transaction that saves the position.
    ///
    /// # Errors
    ///
    /// When a log is damaged or RocksDB fails.
    pub fn excess(&self, reader: &Reader, position: Lsn) -> Result<Option<Excess>, ReadError> {
        let shared = &self.handle.shared;
        if reader.is_fenced() {
            return Ok(None);
        }
        let head = shared.head();
        let Some(reading) = Reading::of(&shared.catalog.lock(), reader.session(), position) else {
            return Ok(None);
        };
        let limit = &shared.options.limits.session;
        let own = match limit.policy {
            Policy::DropOldest => reading.excess(shared, head, limit)?,
            Policy::DropNewest | Policy::Reject => None,
        };
        match own {
            Some(excess) => Ok(Some(excess)),
            None => reading.up_to(shared, head, reader.floor().min(head)),
        }
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        self.handle.shared.board.health()
    }

    /// Whether it should get nothing that takes much space: the disk is full by the watermark of [`crate::Space`], writing fails, or
    /// too much waits for a part that the disk does not give. What comes all the same is committed when that is possible. Quick.
    pub fn is_full(&self) -> bool {
        self.handle.shared.board.is_full()
    }

    /// Has `wake` called whenever [`Store::is_full`] changes, as long as the store lives.
    pub fn watch_health(&self, wake: Wake) {
        self.handle.shared.board.watch(wake);
    }

    /// What the store has done since it was opened.
    pub fn statistics(&self) -> Statistics {
        self.handle.shared.counters.snapshot()
    }

    /// Looks for space to make free, now and on this thread, as the store does by itself now and then.
    pub fn trim(&self) {
        trim::turn(&self.handle.shared);
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Closes the store: what waits is committed, everything is brought to the disk and marked as closed in order. Other clones
    /// take no transactions any more; the directory is free when the last of them is gone.
    ///
    /// # Errors
    ///
    /// When the store had failed, or fails now; what was acknowledged is safe all the same.
    pub fn close(self) -> Result<(), CloseError> {
        let shared = &self.handle.shared;
        shared.queue.close();
        self.handle.join();
        // A store without threads has nobody who would have done it.
        committer::finish(shared);
        match shared.failure() {
            Some(CommitError::Failed(reason)) => return Err(CloseError::Failed(reason)),
            Some(CommitError::Closed) | None => {}
        }
        mark_closed(shared).map_err(|error| CloseError::Engine(error.reason))
    }
}

impl Handle {
    /// Ends the threads and waits for them, but for the one that this runs on.
    fn join(&self) {
        self.shared.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.refuse();
        committer::refuse_aside(&self.shared);
        self.shared.queue.close();
        self.join();
    }
}

/// Where an open store has its time from.
enum Time {
    /// The clocks of its options.
    Hands,
    /// It is this moment, in milliseconds since the Unix epoch, as long as the store is open.
    Stands(u64),
}

/// Opens the engine, recovers what it has, and settles what a crash has interrupted.
fn open(options: Options, time: Time) -> Result<(Arc<Shared>, Recovery), OpenError> {
    let began = Instant::now();
    let floors = Floors::default();
    let Opened { engine, mark, in_doubt } = open_engine(&options, &floors)?;
    let marked = mark.number();
    let Loaded { mut catalog, routes, state, new } = recovery::load(&*engine, &options, &floors)?;
    let lost = (marked > state.commit).then_some((state.commit + 1, marked));
    // A number that was given out once is not given out again.
    catalog.commit = catalog.commit.max(marked);
    let interrupted_sessions = catalog.connected;

    let directory = options.directory.clone();
    let clock = match time {
        Time::Stands(now_millis) => Clock::standing(now_millis),
        Time::Hands => {
            Clock::resume((!new).then_some(state.time), options.wall_clock, options.monotonic_clock)
        }
    };
    let shared = Arc::new(Shared::new(options, engine, catalog, routes, floors, clock));
    shared.set_recovered_commit(state.commit);
    shared.quarantine.load(recovery::quarantined(&*shared.engine));
    let ended = begin(&shared).map_err(|error| OpenError::Engine { directory, reason: error.to_string() })?;
    let counts = counts(&shared);
    let recovery = Recovery {
        sessions: counts.sessions,
        interrupted_sessions,
        subscriptions: counts.subscriptions,
        filters: counts.filters,
        head: shared.head(),
        commit: shared.written_commit(),
        recovered_commit: state.commit,
        clean: state.clean || new,
        lost,
        mark_unreadable: mark == Mark::Unreadable,
        in_doubt,
        ended,
        elapsed: began.elapsed(),
        fast_checksum: shared.engine.has_fast_checksum(),
    };
    if lost.is_some() || recovery.mark_unreadable || !recovery.in_doubt.is_empty() {
        tracing::error!(%recovery, "acknowledged data is lost, or in doubt");
    }
    shared.opened();
    Ok((shared, recovery))
}

/// Opens the engine; on a full disk, with the room that the ballast has kept.
fn open_engine(options: &Options, floors: &Floors) -> Result<Opened, OpenError> {
    match engine::open(options, floors) {
        Err(OpenError::NoSpace { .. }) if space::remove_ballast(&options.directory) => {
            engine::open(options, floors)
        }
        opened => opened,
    }
}

/// The first batches: they settle the sessions that were interrupted, take back the mark of an orderly end, and do what fell
/// due while the store was closed.
fn begin(shared: &Shared) -> Result<Vec<crate::EndedSession>, CommitError> {
    let now_millis = shared.clock.now_millis();
    let mut ended = Vec::new();
    let settle = |apply: &mut Apply<'_>| {
        apply.put_schema(SCHEMA);
        apply.measure_all();
        apply.settle_groups();
        apply.settle_sessions(now_millis)
    };
    ended.extend(commit_alone(shared, settle)?);
    while shared.next_deadline().is_some_and(|deadline| deadline <= now_millis) {
        committer::hold_back_overdue(shared, now_millis);
        let overdue = |apply: &mut Apply<'_>| {
            apply.publish_due_wills(now_millis);
            apply.expire_sessions(now_millis)
        };
        ended.extend(commit_alone(shared, overdue)?);
    }
    Ok(ended)
}

/// Commits a batch of the store's own, before there is a committer.
fn commit_alone<R>(shared: &Shared, change: impl FnOnce(&mut Apply<'_>) -> R) -> Result<R, CommitError> {
    let (result, prepared) = {
        let mut catalog = shared.catalog.lock();
        let mut apply = Apply::new(&mut catalog, shared);
        let result = change(&mut apply);
        (result, apply.finish())
    };
    committer::write_and_publish(shared, prepared)?;
    Ok(result)
}

fn start_threads(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let start = |name: &str, work: fn(&Shared)| {
        let shared = shared.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&shared))
            .expect("the system starts a few threads")
    };
    let mut threads = vec![
        start("committer", committer::run),
        start("notifier", |shared| shared.readers.notify_crowds()),
        start("trimmer", trim::run),
        start("space", space::run),
    ];
    if let Durability::Interval(_) = shared.options.durability {
        threads.push(start("syncer", committer::sync_at_intervals));
    }
    threads
}

fn counts(shared: &Shared) -> Counts {
    let catalog = shared.catalog.lock();
    Counts {
        sessions: catalog.sessions.len(),
        connected: catalog.connected,
        subscriptions: catalog.subscriptions,
        filters: shared.routes.read().len(),
    }
}

fn mark_closed(shared: &Shared) -> Result<(), EngineError> {
    if shared.board.is_full() {
        // The end needs room like everything else, and the next start makes it again.
        shared.space.release_ballast();
    }
    let mut catalog = shared.catalog.lock();
    catalog.commit += 1;
    let state = State {
        commit: catalog.commit,
        last: catalog.last,
        next_id: catalog.next_id,
        clean: true,
        time: shared.clock.mark(),
    };
    let mut writes = WriteBatch::default();
    writes.put(keys::META, keys::STATE, record::encode_state(&state));
    shared.engine.write(&writes, true)?;
    if let Err(error) = shared.engine.set_mark(state.commit) {
        tracing::warn!(%error, "the commit mark was not written");
    }
    shared.engine.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Attach, CloseError};

    #[test]
    fn a_store_that_has_failed_refuses_everything_and_publishes_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (store, _) = Store::open(Options::new(directory.path())).expect("opens");
        let before = store.statistics();
        store.handle.shared.fail("the disk is gone".to_owned());
        store.handle.shared.fail("a later failure".to_owned());
        let (answer, answered) = mpsc::channel();
        for _ in 0..2 {
            let attach = Attach {
                client_id: "a".into(),
                clean_start: false,
                session_expiry_interval: 1,
                protocol_level: 5,
                keep_alive: 0,
                will: None,
                now_millis: 0,
            };
            let answer = answer.clone();
            let operations = vec![Operation::Attach(attach), Operation::TakePosition];
            store.submit(Transaction { source: None, fence: None, operations }, move |outcome| {
                answer.send(outcome).expect("the test waits");
            });
        }
        let failed = CommitError::Failed("the disk is gone".into());
        for outcome in answered.iter().take(2) {
            assert_eq!(outcome.err(), Some(failed.clone()));
        }
        assert_eq!((store.statistics(), store.counts().sessions), (before, 0));
        assert_eq!(store.close(), Err(CloseError::Failed("the disk is gone".into())));
    }
}
