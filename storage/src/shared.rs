//! What the store's threads share, and in which order its locks are taken: catalog, routes, readers, tail.

use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::catalog::{Catalog, Routes};
use crate::committer::{Aside, Patience, Queue};
use crate::engine::{Engine, WriteBatch};
use crate::floors::Floors;
use crate::groups::Pools;
use crate::health::Board;
use crate::quarantine::Quarantine;
use crate::reader::Readers;
use crate::space::SpaceWatch;
use crate::statistics::Counters;
use crate::sweep::{NextRetainedExpiry, Sweep};
use crate::tail::Tail;
use crate::trim::Trimmer;
use crate::{Clock, CommitError, LogId, Lsn, Options};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) queue: Queue,
    /// The committer's own.
    pub(crate) aside: Mutex<Aside>,
    /// The committer's own, too.
    pub(crate) patience: Mutex<Patience>,
    pub(crate) catalog: Mutex<Catalog>,
    pub(crate) routes: RwLock<Routes>,
    pub(crate) readers: Readers,
    pub(crate) tail: RwLock<Tail>,
    pub(crate) pools: Pools,
    pub(crate) floors: Floors,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    /// The last published LSN.
    head: AtomicU64,
    /// The last batch that was written.
    written_commit: AtomicU64,
    /// The last batch that was found or written; 0: none. It must come back whenever the engine is opened again.
    acknowledged_commit: AtomicU64,
    /// The last batch that is as durable as the mode will make it.
    durable_commit: AtomicU64,
    /// When the next session expires or the next will is due, in milliseconds since the Unix epoch; `u64::MAX`: never.
    next_deadline: AtomicU64,
    /// Logs that ended, and the batch that must be durable before they are dead.
    pub(crate) ended_logs: Mutex<Vec<(u64, LogId)>>,
    pub(crate) trimmer: Mutex<Trimmer>,
    pub(crate) board: Board,
    pub(crate) space: SpaceWatch,
    /// Held by the one that opens the engine again, and by the committer while it must find it open.
    pub(crate) mending: Mutex<()>,
    pub(crate) quarantine: Quarantine,
    /// Rows that a damaged file took with it, to be written before the next batch.
    pub(crate) restored: Mutex<WriteBatch>,
    pub(crate) sweep: Mutex<Sweep>,
    pub(crate) next_retained_expiry: NextRetainedExpiry,
    /// Nobody can stop the store yet, or use it.
    opening: AtomicBool,
    failure: OnceLock<Arc<str>>,
    stop: Mutex<bool>,
    stopping: Condvar,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        engine: Box<dyn Engine>,
        catalog: Catalog,
        routes: Routes,
        floors: Floors,
        clock: Clock,
    ) -> Shared {
        let pools = Pools::default();
        for (filter, group) in &catalog.groups {
            pools.insert(filter, group.pool.clone());
        }
        Shared {
            head: AtomicU64::new(catalog.last.0),
            tail: RwLock::new(Tail::new(options.tail_cache_bytes, catalog.last)),
            written_commit: AtomicU64::new(catalog.commit),
            durable_commit: AtomicU64::new(catalog.commit),
            next_deadline: AtomicU64::new(u64::MAX),
            queue: Queue::default(),
            aside: Mutex::default(),
            patience: Mutex::default(),
            catalog: Mutex::new(catalog),
            routes: RwLock::new(routes),
            readers: Readers::default(),
            pools,
            counters: Counters::default(),
            ended_logs: Mutex::default(),
            trimmer: Mutex::default(),
            board: Board::default(),
            space: match options.memory {
                Some(_) => SpaceWatch::endless(),
                None => SpaceWatch::new(&options.directory, options.space),
            },
            mending: Mutex::default(),
            acknowledged_commit: AtomicU64::new(0),
            quarantine: Quarantine::default(),
            restored: Mutex::default(),
            sweep: Mutex::default(),
            next_retained_expiry: NextRetainedExpiry::default(),
            opening: AtomicBool::new(true),
            failure: OnceLock::new(),
            stop: Mutex::new(false),
            stopping: Condvar::new(),
            options,
            engine,
            floors,
            clock,
        }
    }

    pub(crate) fn head(&self) -> Lsn {
        Lsn(self.head.load(Acquire))
    }

    /// What is at or below becomes readable. The tail has it, and the readers have their logs.
    pub(crate) fn publish_head(&self, head: Lsn) {
        self.head.store(head.0, Release);
    }

    pub(crate) fn written_commit(&self) -> u64 {
        self.written_commit.load(Acquire)
    }

    pub(crate) fn set_written_commit(&self, commit: u64) {
        self.written_commit.store(commit, Release);
        self.acknowledged_commit.store(commit, Release);
    }

    /// What was found when the store was opened had been acknowledged too.
    pub(crate) fn set_recovered_commit(&self, commit: u64) {
        self.acknowledged_commit.store(commit, Release);
    }

    /// The last batch that was written, in this life of the store or in an earlier one.
    pub(crate) fn last_written(&self) -> Option<u64> {
        Some(self.acknowledged_commit.load(Acquire)).filter(|commit| *commit > 0)
    }

    pub(crate) fn durable_commit(&self) -> u64 {
        self.durable_commit.load(Acquire)
    }

    pub(crate) fn set_durable_commit(&self, commit: u64) {
        self.durable_commit.fetch_max(commit, AcqRel);
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        Some(self.next_deadline.load(Relaxed)).filter(|millis| *millis != u64::MAX)
    }

    pub(crate) fn set_next_deadline(&self, millis: Option<u64>) {
        self.next_deadline.store(millis.unwrap_or(u64::MAX), Relaxed);
    }

    /// The store is open: it is used from here on, and can be stopped.
    pub(crate) fn opened(&self) {
        self.opening.store(false, Relaxed);
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.opening.load(Relaxed)
    }

    /// The first failure is the one that counts: nothing is committed from here on.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the store has failed and takes nothing more");
        let reason: Arc<str> = reason.into();
        let _ = self.failure.set(reason.clone());
        self.board.set_failed(reason);
    }

    pub(crate) fn failure(&self) -> Option<CommitError> {
        self.failure.get().map(|reason| CommitError::Failed(reason.clone()))
    }

    /// Ends the threads that wait between their turns.
    pub(crate) fn stop(&self) {
        *self.stop.lock() = true;
        self.stopping.notify_all();
        self.readers.stop();
    }

    /// Waits for a thread's next turn; `false` when there is none.
    pub(crate) fn wait_for_turn(&self, interval: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop {
            self.stopping.wait_for(&mut stop, interval);
        }
        !*stop
    }
}
