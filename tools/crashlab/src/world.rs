//! What the threads of a trial share: the books, what the clients are to do, and the trap that a client springs.

use crate::books::coverage::Coverage;
use crate::books::crew::Crew;
use crate::books::estate::Estate;
use crate::books::finding::{Finding, Wrong};
use crate::books::ledger::Ledger;
use crate::books::message::MessageId;
use crate::trap::{Point, Trap};
use barnacle_brokers::Speaks;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Findings of one kind from one client that are written down in full.
const IN_FULL: usize = 3;

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Publish, come and go.
    Load,
    /// Publish nothing new, finish what was begun, be connected.
    Settle,
    /// End.
    Stop,
}

/// What everybody may look at and write into.
#[derive(Debug)]
pub(crate) struct Books {
    /// What was sent and received.
    pub(crate) ledger: Ledger,
    /// What the group of the shared subscription took.
    pub(crate) crew: Crew,
    /// What became of wills.
    pub(crate) estate: Estate,
    /// What was hit.
    pub(crate) coverage: Coverage,
    /// When messages of this round were acknowledged.
    pub(crate) acknowledged_at: Vec<(Instant, MessageId)>,
    /// When messages of this round were delivered.
    pub(crate) delivered_at: Vec<Instant>,
    /// Messages that sessions were owed when they were found to be gone.
    pub(crate) went_with_session: u64,
    /// Counts everything that a client brought to an end: while it moves, nobody is stuck.
    pub(crate) steps: u64,
    /// For each session what it still waits for; `None` when it is settled.
    pub(crate) unsettled: Vec<Option<String>>,
    /// What went wrong in this round.
    pub(crate) findings: Vec<Finding>,
}

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct World {
    /// Where clients connect: the broker, or the proxy before it.
    pub(crate) address: SocketAddr,
    /// What the broker is said to understand.
    pub(crate) speaks: Speaks,
    /// When the trial of this store began.
    pub(crate) begin: Instant,
    /// Strikes when a client sends something.
    pub(crate) trap: Trap,
    mode: Mutex<Mode>,
    /// They are told something else.
    turned: Condvar,
    breaks: AtomicU64,
    /// Connections made before this many breaks are to be given up.
    give_up: AtomicU64,
    trouble: AtomicBool,
    books: Mutex<Books>,
}

impl World {
    /// A world before the first message.
    pub(crate) fn new(address: SocketAddr, speaks: Speaks, sessions: usize) -> World {
        let books = Books {
            ledger: Ledger::new(sessions),
            crew: Crew::default(),
            estate: Estate::default(),
            coverage: Coverage::default(),
            acknowledged_at: Vec::new(),
            delivered_at: Vec::new(),
            went_with_session: 0,
            steps: 0,
            unsettled: vec![Some("not started".to_owned()); sessions],
            findings: Vec::new(),
        };
        World {
            address,
            speaks,
            begin: Instant::now(),
            trap: Trap::default(),
            mode: Mutex::new(Mode::Load),
            turned: Condvar::new(),
            breaks: AtomicU64::new(0),
            give_up: AtomicU64::new(0),
            trouble: AtomicBool::new(false),
            books: Mutex::new(books),
        }
    }

    /// The books. A thread that panicked with them open has failed the trial already.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clients are to do now.
    pub(crate) fn mode(&self) -> Mode {
        *self.told()
    }

    /// Tells the clients what to do.
    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.told() = mode;
        self.turned.notify_all();
    }

    /// Waits for so long, or until the clients are told something else.
    pub(crate) fn rest(&self, time: Duration) {
        let told = self.told();
        let before = *told;
        let waited = self.turned.wait_timeout_while(told, time, |told| *told == before);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn told(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the broker was killed or the network broken, the time about to come included.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::SeqCst)
    }

    /// Notes a kill or a break of the network, before it happens.
    pub(crate) fn breaking(&self) {
        self.breaks.fetch_add(1, Ordering::SeqCst);
    }

    /// Tells the clients to give up the connections that they have, as their keep-alive would tell them later.
    pub(crate) fn give_up_connections(&self) {
        self.give_up.store(self.breaks(), Ordering::SeqCst);
    }

    /// Whether a connection that was made after `breaks` is to be given up.
    pub(crate) fn is_given_up(&self, breaks: u64) -> bool {
        breaks < self.give_up.load(Ordering::SeqCst)
    }

    /// Whether the broker's disk is in trouble, so that it may refuse what it cannot keep.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.load(Ordering::SeqCst)
    }

    /// Says whether the broker may refuse.
    pub(crate) fn set_trouble(&self, trouble: bool) {
        self.trouble.store(trouble, Ordering::SeqCst);
    }

    /// A client has just sent something: the trap may be set for that.
    pub(crate) fn sent(&self, point: Point) {
        if self.trap.is_set() && self.trap.springs(point) {
            self.breaking();
            self.trap.strike();
        }
    }

    /// Writes down what went wrong, with the last events of the client that saw it.
    /// Of one kind from one client a few are written down in full, and the rest counted.
    pub(crate) fn found(&self, who: &str, wrong: Wrong, trail: String) {
        let mut books = self.books();
        let known = books.findings.iter().filter(|one| one.kind == wrong.kind && one.who == who).count();
        if known >= IN_FULL
            && let Some(last) =
                books.findings.iter_mut().rfind(|one| one.kind == wrong.kind && one.who == who)
        {
            last.count += wrong.count;
            return;
        }
        let finding = Finding {
            kind: wrong.kind,
            count: wrong.count,
            at_ms: self.millis(self.begin.elapsed()),
            who: who.to_owned(),
            text: wrong.text,
            trail,
        };
        books.findings.push(finding);
    }

    /// Milliseconds with three decimals.
    pub(crate) fn millis(&self, time: Duration) -> f64 {
        (time.as_secs_f64() * 1e6).round() / 1e3
    }
}
