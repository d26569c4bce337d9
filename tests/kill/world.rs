//! What the threads of the campaign share.

use super::crew::Crew;
use super::estate::Estate;
use super::ledger::Ledger;
use super::report::Report;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

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
    pub(crate) report: Report,
    /// When messages of this round were acknowledged.
    pub(crate) acknowledged_at: Vec<Instant>,
    /// For each session what it still waits for; `None` when it is settled.
    pub(crate) unsettled: Vec<Option<String>>,
    /// What went wrong.
    pub(crate) violations: Vec<String>,
}

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct World {
    /// Where the broker listens.
    pub(crate) address: SocketAddr,
    /// When the campaign began.
    pub(crate) begin: Instant,
    mode: AtomicU8,
    kills: AtomicU64,
    books: Mutex<Books>,
}

impl World {
    /// A world before the first message.
    pub(crate) fn new(address: SocketAddr, sessions: usize) -> World {
        let books = Books {
            ledger: Ledger::new(sessions),
            crew: Crew::default(),
            estate: Estate::default(),
            report: Report::default(),
            acknowledged_at: Vec::new(),
            unsettled: vec![Some("not started".to_owned()); sessions],
            violations: Vec::new(),
        };
        World {
            address,
            begin: Instant::now(),
            mode: AtomicU8::new(Mode::Load as u8),
            kills: AtomicU64::new(0),
            books: Mutex::new(books),
        }
    }

    /// The books. A thread that panicked with them open has failed the test already.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What the clients are to do now.
    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Load,
            1 => Mode::Settle,
            _ => Mode::Stop,
        }
    }

    /// Tells the clients what to do.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How many kills there were, the one about to happen included.
    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Notes a kill, before it happens.
    pub(crate) fn killing(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }
}
