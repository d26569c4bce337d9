//! What a batch will need of the disk, read before anything of it takes effect.
//!
//! A disk that gives nothing says nothing of what is on it, so whoever reads waits until it does. The committer cannot wait in
//! the middle of a batch: the catalog cannot go back, and whoever wants to look into it would wait as well. So it reads before, while
//! the catalog is free: where logs end that get their first message since the store was opened, and the messages of open exchanges
//! that an UNSUBSCRIBE has copied out of logs. While that fails nothing is committed, publishes are refused or held back as for a write
//! that fails, and who reads what is there goes on.
//!
//! What cannot be foreseen, or fails between, is tried again for a moment where it is needed ([`insist`]). Damage is not waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::shared::Shared;
use crate::statistics::add;
use crate::{CommitError, LogId, Lsn, Operation, Publish, ReadError, SessionId, Transaction};

use super::Work;
use super::persist::{give_up, pauses};

/// In the middle of a batch it is tried so many times …
const ATTEMPTS: usize = 50;
/// … with as much time between.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be read.
#[derive(Debug, Default)]
struct Wanted {
    /// Logs whose end is not known.
    ends: BTreeSet<LogId>,
    /// Messages of open exchanges.
    messages: Vec<(LogId, Lsn)>,
}

/// Reads what some work will need, until it can be read.
///
/// # Errors
///
/// The store was told to stop, or is being opened: it has failed for good.
pub(super) fn foresee(shared: &Shared, work: &[Work]) -> Result<(), CommitError> {
    let (mut pauses, mut is_failing) = (pauses(shared), false);
    while let Err(error) = try_to(shared, work) {
        let reason = error.to_string();
        if shared.board.set_failing(Some(reason.as_str().into())) {
            tracing::error!(reason, "the disk gives nothing; nothing is committed until it does");
        }
        is_failing = true;
        let pause = pauses.next().unwrap_or_default();
        if shared.is_opening() || !shared.wait_for_turn(pause) {
            return Err(give_up(shared, reason));
        }
    }
    if is_failing {
        shared.board.set_failing(None);
        tracing::warn!("the disk can be read again");
    }
    Ok(())
}

/// One attempt; an error only if it may pass.
fn try_to(shared: &Shared, work: &[Work]) -> Result<(), ReadError> {
    let wanted = Wanted::by(&shared.catalog.lock(), work);
    if wanted.ends.is_empty() && wanted.messages.is_empty() {
        return Ok(());
    }
    // A damaged file may not be replaced in between: where logs end would be another then.
    let _open = shared.mending.lock();
    for (log, lsn) in wanted.messages {
        let found = shared.find_entry(log, lsn);
        noted(shared, found.map(drop))?;
    }
    for log in wanted.ends {
        if let Some(head) = noted(shared, shared.end_of_log(log))? {
            shared.catalog.lock().heads.entry(log).or_insert(head);
        }
    }
    Ok(())
}

/// Whoever needs it meets damage himself (`None`); a read that may succeed later is counted and told of.
fn noted<T>(shared: &Shared, read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.passing() {
            Some(reason) => {
                add(&shared.counters.failed_reads, 1);
                shared.board.note_unreadable(reason);
                Err(error)
            }
            None => Ok(None),
        },
    }
}

impl Wanted {
    fn by(catalog: &Catalog, work: &[Work]) -> Wanted {
        let mut wanted = Wanted::default();
        for work in work {
            if let Work::Transaction(Transaction { fence, operations }, _) = work {
                operations
                    .iter()
                    .for_each(|operation| wanted.add(catalog, fence.map(|(id, _)| id), operation));
            }
        }
        wanted
    }

    fn add(&mut self, catalog: &Catalog, session: Option<SessionId>, operation: &Operation) {
        match operation {
            // If subscriptions have changed since it was routed, most of its logs are the same.
            Operation::Publish(Publish { targets, qos: 1.., .. }) => {
                let unknown = targets.logs.iter().filter(|log| !catalog.heads.contains_key(log));
                self.ends.extend(unknown.filter(|log| {
                    let own = catalog.sessions.get(&SessionId(log.0));
                    own.is_some_and(|session| !session.is_new) || catalog.logs.contains_key(log)
                }));
            }
            Operation::Unsubscribe(_) => {
                let Some((id, session)) = session.and_then(|id| Some((id, catalog.sessions.get(&id)?)))
                else {
                    return;
                };
                let elsewhere = session.exchanges_in_logs().filter(|exchange| exchange.log != id.own_log());
                self.messages.extend(elsewhere.map(|exchange| (exchange.log, exchange.lsn)));
            }
            _ => {}
        }
    }
}

/// Reads what was not foreseen, in the middle of a batch: for a moment, until it can be read.
pub(super) fn insist<T>(shared: &Shared, read: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
    for _ in 0..ATTEMPTS {
        match read() {
            Err(error) if error.passing().is_some() => {
                add(&shared.counters.failed_reads, 1);
                if shared.options.memory.is_none() {
                    std::thread::sleep(PAUSE);
                }
            }
            found => return found,
        }
    }
    read()
}
