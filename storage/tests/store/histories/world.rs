//! A store and the oracle, side by side: every transaction is given to both, and their answers compared.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use barnacle_storage::*;
use parking_lot::Mutex;

use super::coverage::Coverage;
use super::model::{self, Model};
use super::session::Session;

/// The oracle's complaint.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) String);

pub(super) type Judged<T = ()> = Result<T, Wrong>;

/// Complains unless both are the same.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Judged {
    if found == expected {
        return Ok(());
    }
    Err(Wrong(format!("{what}: the store has\n  {found:?}\nand it should be\n  {expected:?}")))
}

pub(super) fn ensure(what: impl FnOnce() -> String, holds: bool) -> Judged {
    if holds { Ok(()) } else { Err(Wrong(what())) }
}

/// Where the store is.
pub(super) enum Place {
    Memory(Memory),
    Directory(PathBuf),
}

/// How the store of a history is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) tail_cache_bytes: usize,
    pub(super) trimming: Trimming,
}

/// A client's connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) fence: (SessionId, Epoch),
    /// `None`: the session ends with the connection, and only its will is stored.
    pub(super) reader: Option<Reader>,
}

pub(super) struct World {
    pub(super) place: Place,
    pub(super) settings: Settings,
    pub(super) now_millis: u64,
    /// `None` while it is closed.
    store: Option<(Store, Stepper)>,
    pub(super) model: Model,
    /// What a store may come back with, by the number of its last batch.
    pub(super) possible: BTreeMap<u64, Vec<Model>>,
    /// The last batch that was acknowledged.
    pub(super) commit: u64,
    /// The last batch that was acknowledged as durable: what comes back does not end before it.
    pub(super) durable: u64,
    /// Batches that the store had written when `commit` was set.
    written: u64,
    pub(super) clients: BTreeMap<String, Connection>,
    /// Attachments that are over, of this opening.
    pub(super) fenced: Vec<(SessionId, Epoch)>,
    /// A write has failed: the store takes nothing more.
    pub(super) failed: bool,
    /// So many writes and syncs are going to fail.
    pub(super) errors_planned: usize,
    pub(super) messages: u64,
    pub(super) coverage: Coverage,
}

impl World {
    /// A world whose store is not open yet.
    pub(super) fn new(place: Place, settings: Settings) -> World {
        World {
            place,
            settings,
            now_millis: 1_000_000,
            store: None,
            model: Model::new(),
            possible: BTreeMap::from([(0, vec![Model::new()])]),
            commit: 0,
            durable: 0,
            written: 0,
            clients: BTreeMap::new(),
            fenced: Vec::new(),
            failed: false,
            errors_planned: 0,
            messages: 0,
            coverage: Coverage::default(),
        }
    }

    pub(super) fn options(&self) -> Options {
        let options = match &self.place {
            Place::Memory(memory) => Options::in_memory(memory),
            Place::Directory(directory) => Options::new(directory),
        };
        let Settings { durability, tail_cache_bytes, trimming } = self.settings;
        Options { durability, tail_cache_bytes, trimming, ..options }
    }

    pub(super) fn memory(&self) -> Option<&Memory> {
        match &self.place {
            Place::Memory(memory) => Some(memory),
            Place::Directory(_) => None,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store.as_ref().expect("open between the steps").0
    }

    pub(super) fn opened(&mut self, store: Store, stepper: Stepper) {
        self.written = store.statistics().commits;
        self.store = Some((store, stepper));
    }

    /// Whatever was open is gone, and with it all connections: nothing late comes from them.
    pub(super) fn abandon(&mut self) {
        self.store = None;
        self.failed = false;
        self.clients.clear();
        self.fenced.clear();
    }

    /// Commits transactions as one batch, and compares what is answered. No outcomes: the store has failed.
    pub(super) fn commit(&mut self, group: Vec<Transaction>) -> Judged<Vec<Outcome>> {
        let mut after = self.model.clone();
        let expected: Vec<_> = group.iter().map(|transaction| after.apply(transaction)).collect();
        after.publish_head();
        let names: Vec<_> = group.iter().map(attached_name).collect();
        // What a crash interrupts may be there afterwards.
        self.possible.insert(self.commit + 1, vec![after.clone()]);
        let reopenings = self.store().statistics().reopenings;
        let answers = self.turn(group);
        if self.store().statistics().reopenings > reopenings {
            self.coverage.count("batches written again after a failure");
        }
        same("answers to a batch", answers.len(), expected.len())?;
        if answers.iter().all(Result::is_err) {
            self.failed = true;
            self.coverage.count("batches that failed");
            self.expect_error(&format!("{answers:?}"))?;
            return Ok(Vec::new());
        }
        self.model = after;
        let mut outcomes = Vec::new();
        for ((answer, expected), name) in answers.into_iter().zip(expected).zip(names) {
            let outcome = answer.map_err(|error| Wrong(format!("a part of a batch was refused: {error}")))?;
            if let Outcome::Committed(committed) = &outcome {
                self.coverage.add("wills published", committed.wills.len() as u64);
            }
            same("an answer", model::told(&outcome), expected)?;
            if let Some(name) = name {
                self.attached(name, &outcome)?;
            }
            outcomes.push(outcome);
        }
        self.forget_detached();
        self.note_written();
        self.compare()?;
        Ok(outcomes)
    }

    /// Commits what the store itself has put into the queue.
    pub(super) fn commit_nothing(&mut self) -> Judged {
        let nothing = Transaction { source: None, fence: None, operations: vec![Operation::TakePosition] };
        self.commit(vec![nothing]).map(drop)
    }

    /// Errors come only where they were planned.
    pub(super) fn expect_error(&mut self, error: &str) -> Judged {
        ensure(|| format!("it has failed: {error}"), self.errors_planned > 0)?;
        self.errors_planned -= 1;
        Ok(())
    }

    /// One turn of the committer.
    fn turn(&mut self, group: Vec<Transaction>) -> Vec<Result<Outcome, CommitError>> {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (store, stepper) = self.store.as_mut().expect("open between the steps");
        for transaction in group {
            let answers = answers.clone();
            store.submit(transaction, move |outcome| answers.lock().push(outcome));
        }
        stepper.commit();
        std::mem::take(&mut *answers.lock())
    }

    /// The batch was acknowledged; if it was written, it is what may come back from here on.
    fn note_written(&mut self) {
        let written = self.store().statistics().commits;
        if written == self.written {
            self.coverage.count("batches that change nothing");
            self.possible.remove(&(self.commit + 1));
            return;
        }
        self.written = written;
        self.commit += 1;
        self.possible.insert(self.commit, vec![self.model.clone()]);
        if self.settings.durability == Durability::Fsync {
            self.note_synced();
        }
    }

    pub(super) fn note_synced(&mut self) {
        self.durable = self.commit;
        self.possible = self.possible.split_off(&self.durable);
    }

    /// What the interval mode does now and then.
    pub(super) fn sync(&mut self) -> Judged {
        let (store, stepper) = self.store.as_mut().expect("open between the steps");
        let before = store.statistics();
        stepper.sync();
        let after = store.statistics();
        if after.syncs > before.syncs {
            self.note_synced();
        } else if after.reopenings > before.reopenings {
            // What a failed sync covered did not come back: the store has failed, and holds less than it said.
            self.failed = true;
            self.coverage.count("syncs that failed");
            self.expect_error("a sync")?;
        }
        Ok(())
    }

    /// Closes the store in order. Once that has begun, its last batch may be there.
    pub(super) fn close(&mut self) -> Judged {
        // What the trimmer has asked for is a batch of its own.
        self.commit_nothing()?;
        if self.failed {
            return Ok(());
        }
        self.possible.insert(self.commit + 1, vec![self.model.clone()]);
        let (store, stepper) = self.store.take().expect("open between the steps");
        drop(stepper);
        match store.close() {
            Ok(()) => {
                self.commit += 1;
                self.note_synced();
                Ok(())
            }
            Err(error) => self.expect_error(&error.to_string()),
        }
    }

    fn attached(&mut self, name: String, outcome: &Outcome) -> Judged {
        let Outcome::Committed(committed) = outcome else { return Ok(()) };
        let Some(Answer::Attached(attached)) = committed.answers.first() else { return Ok(()) };
        self.fenced.extend(self.clients.remove(&name).map(|client| client.fence));
        let Some(session) = self.model.sessions.get_mut(&name) else {
            return ensure(
                || format!("{name} gets {:?} for nothing", attached.fence),
                attached.fence.is_none(),
            );
        };
        let Some(fence) = attached.fence else { return Err(Wrong(format!("{name} gets no fence"))) };
        match session.id {
            Some(id) => same("the number of a session that was resumed", fence.0, id)?,
            None if attached.present => {}
            None => {
                let newest = self.model.newest_session;
                ensure(|| format!("{:?} is given out again, after {newest:?}", fence.0), fence.0 > newest)?;
            }
        }
        session.id = Some(fence.0);
        self.model.newest_session = self.model.newest_session.max(fence.0);
        let reader = attached.session.as_ref().map(|session| session.reader.clone());
        self.clients.insert(name, Connection { fence, reader });
        Ok(())
    }

    /// Who has no connection any more reads nothing any more.
    fn forget_detached(&mut self) {
        let (sessions, fenced) = (&self.model.sessions, &mut self.fenced);
        self.clients.retain(|name, client| {
            let is_connected = |session: &Session| session.connected && session.id == Some(client.fence.0);
            let stays = sessions.get(name).is_some_and(is_connected);
            if !stays {
                fenced.push(client.fence);
            }
            stays
        });
    }

    /// What the store says about itself.
    pub(super) fn compare(&self) -> Judged {
        let (store, model) = (self.store(), &self.model);
        let counts = store.counts();
        same("the head", store.head(), model.head)?;
        same("the number of sessions", counts.sessions, model.sessions.len())?;
        same("the number of connections", counts.connected, model.connected())?;
        same("the number of subscriptions", counts.subscriptions, model.subscriptions())?;
        same("the next deadline", store.next_deadline(), model.next_deadline())
    }
}

/// The client that a transaction attaches.
fn attached_name(transaction: &Transaction) -> Option<String> {
    transaction.operations.iter().find_map(|operation| match operation {
        Operation::Attach(attach) => Some(attach.client_id.to_string()),
        _ => None,
    })
}

/// What ran until the disk crashed under it.
pub(super) struct Interrupted;

/// Runs what a planned crash may interrupt.
pub(super) fn interruptible<T>(run: impl FnOnce() -> T) -> Result<T, Interrupted> {
    match std::panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => Ok(done),
        Err(payload) if Crashed::is(&*payload) => Err(Interrupted),
        Err(payload) => std::panic::resume_unwind(payload),
    }
}
