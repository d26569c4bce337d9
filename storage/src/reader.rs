//! Readers: the logs that an attached session reads, and who is to be woken when they grow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use foldhash::fast::FixedState;
use parking_lot::{Condvar, Mutex, RwLock};

use crate::record::{Gap, Membership};
use crate::{LogId, Lsn, SessionId};

/// So many readers the committer wakes itself; more are the notifier's work.
const WAKE_DIRECTLY: usize = 64;

/// What is called when a log has got entries. It must be quick and must not block: it sets a flag, or wakes a task.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A handle on a session's own log and on the logs of filters that it shares with others. Cheap to clone. It belongs to
/// one attachment: when the session is attached again, or ends, it yields nothing any more.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    session: SessionId,
    /// Parts of the logs of shared filters. The committer changes them before it publishes the head from which on
    /// the change matters; a pass loads the head first, then this.
    parts: RwLock<Arc<Parts>>,
    /// How far the connection has got, as far as it has said.
    taken: AtomicU64,
    /// More waits than the session's limit allows.
    over: AtomicBool,
    /// Up to here it has to go, because more waits in total than is allowed.
    floor: AtomicU64,
    fenced: AtomicBool,
    wake: Mutex<Option<Wake>>,
    /// The last commit that woke this reader, so that several logs wake it once.
    woken: AtomicU64,
}

/// What a reader reads beside its session's own log, and what of all of it it passes over.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) memberships: Vec<Membership>,
    pub(crate) gaps: Vec<Gap>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reader").field("session", &self.inner.session).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(session: SessionId) -> Reader {
        let inner = Inner {
            session,
            parts: RwLock::default(),
            taken: AtomicU64::new(0),
            over: AtomicBool::new(false),
            floor: AtomicU64::new(0),
            fenced: AtomicBool::new(false),
            wake: Mutex::new(None),
            woken: AtomicU64::new(0),
        };
        Reader { inner: Arc::new(inner) }
    }

    /// The session that it reads for.
    pub fn session(&self) -> SessionId {
        self.inner.session
    }

    /// Whether the session was attached again, or has ended.
    pub fn is_fenced(&self) -> bool {
        self.inner.fenced.load(Relaxed)
    }

    pub(crate) fn fence(&self) {
        self.inner.fenced.store(true, Relaxed);
    }

    /// The connection has taken everything up to an LSN, saved or not. It counts against a limit that would refuse or leave
    /// out messages: what was taken does not wait any more.
    pub fn set_taken(&self, lsn: Lsn) {
        self.inner.taken.fetch_max(lsn.0, Relaxed);
    }

    pub(crate) fn taken(&self) -> Lsn {
        Lsn(self.inner.taken.load(Relaxed))
    }

    /// Whether more may wait than the session's limit allows: then [`crate::Store::excess`] tells. Says so once each time.
    pub fn take_over_limit(&self) -> bool {
        self.inner.over.load(Relaxed) && self.inner.over.swap(false, Relaxed)
    }

    /// The same, and goes on saying so.
    pub fn is_over_limit(&self) -> bool {
        self.inner.over.load(Relaxed)
    }

    /// Has [`Reader::take_over_limit`] say so once more.
    pub fn look_again(&self) {
        self.inner.over.store(true, Relaxed);
    }

    /// All that waits is beyond its limit: of this session's, everything up to an LSN is to go.
    pub(crate) fn set_floor(&self, floor: Lsn) {
        self.inner.floor.fetch_max(floor.0, Relaxed);
        self.look_again();
    }

    pub(crate) fn floor(&self) -> Lsn {
        Lsn(self.inner.floor.load(Relaxed))
    }

    pub(crate) fn parts(&self) -> Arc<Parts> {
        self.inner.parts.read().clone()
    }

    fn logs(&self) -> impl Iterator<Item = LogId> {
        let shared: Vec<LogId> = self.parts().memberships.iter().map(|membership| membership.log).collect();
        std::iter::once(self.inner.session.own_log()).chain(shared)
    }

    fn wake(&self, commit: u64) {
        if self.inner.woken.swap(commit, Relaxed) == commit {
            return;
        }
        let wake = self.inner.wake.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

/// Somebody is woken when a reader's logs grow, until this is dropped.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    reader: Reader,
    wake: Wake,
}

impl Watch {
    pub(crate) fn new(reader: &Reader, wake: Wake) -> Watch {
        *reader.inner.wake.lock() = Some(wake.clone());
        Watch { reader: reader.clone(), wake }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut current = self.reader.inner.wake.lock();
        // A newer watch on the same reader stays.
        if current.as_ref().is_some_and(|wake| Arc::ptr_eq(wake, &self.wake)) {
            *current = None;
        }
    }
}

/// Which readers read which log.
#[derive(Default)]
pub(crate) struct Readers {
    by_log: RwLock<ByLog>,
    crowd: Mutex<Crowd>,
    crowd_came: Condvar,
}

/// What the notifier has to do.
#[derive(Default)]
struct Crowd {
    /// Each with the last commit that appended to it.
    logs: HashMap<LogId, u64, FixedState>,
    stopped: bool,
}

impl Readers {
    /// Gives a reader the parts of logs that it reads beside its own log.
    pub(crate) fn set_parts(&self, reader: &Reader, memberships: Vec<Membership>, gaps: &[Gap]) {
        let mut by_log = self.by_log.write();
        let before: Vec<LogId> = reader.logs().collect();
        *reader.inner.parts.write() = Arc::new(Parts { memberships, gaps: gaps.to_vec() });
        for log in before {
            take_out(&mut by_log, log, reader);
        }
        for log in reader.logs() {
            by_log.entry(log).or_default().insert(reader.session(), reader.clone());
        }
    }

    /// A reader is not to be woken any more.
    pub(crate) fn remove(&self, reader: &Reader) {
        let mut by_log = self.by_log.write();
        for log in reader.logs() {
            take_out(&mut by_log, log, reader);
        }
    }

    /// Wakes those who read any of these logs, which have got entries in a commit.
    pub(crate) fn wake(&self, logs: &[LogId], commit: u64) {
        let mut few: Vec<Reader> = Vec::new();
        let mut crowded = Vec::new();
        {
            let by_log = self.by_log.read();
            for log in logs {
                let Some(readers) = by_log.get(log) else { continue };
                if few.len() + readers.len() > WAKE_DIRECTLY {
                    crowded.push((*log, commit));
                } else {
                    few.extend(readers.values().cloned());
                }
            }
        }
        for reader in few {
            reader.wake(commit);
        }
        if !crowded.is_empty() {
            self.crowd.lock().logs.extend(crowded);
            self.crowd_came.notify_one();
        }
    }

    /// The notifier's thread: wakes crowds until it is stopped.
    pub(crate) fn notify_crowds(&self) {
        loop {
            {
                let mut crowd = self.crowd.lock();
                while crowd.logs.is_empty() && !crowd.stopped {
                    self.crowd_came.wait(&mut crowd);
                }
                if crowd.stopped {
                    return;
                }
            }
            self.notify_waiting_crowds();
        }
    }

    /// Wakes the crowds that wait for the notifier.
    pub(crate) fn notify_waiting_crowds(&self) {
        let logs = std::mem::take(&mut self.crowd.lock().logs);
        for (log, commit) in logs {
            let readers: Vec<Reader> = self
                .by_log
                .read()
                .get(&log)
                .map(|readers| readers.values().cloned().collect())
                .unwrap_or_default();
            for reader in readers {
                reader.wake(commit);
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.crowd.lock().stopped = true;
        self.crowd_came.notify_all();
    }
}

type ByLog = HashMap<LogId, HashMap<SessionId, Reader, FixedState>, FixedState>;

/// Takes a reader out of a log's, unless a newer one of the same session has its place.
fn take_out(by_log: &mut ByLog, log: LogId, reader: &Reader) {
    let Some(readers) = by_log.get_mut(&log) else { return };
    if readers.get(&reader.session()).is_some_and(|known| Arc::ptr_eq(&known.inner, &reader.inner)) {
        readers.remove(&reader.session());
    }
    if readers.is_empty() {
        by_log.remove(&log);
    }
}
