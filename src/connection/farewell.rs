//! The end of a connection: the session's last state, and what becomes of the will, as one transaction.
//!
//! It stands behind all that the connection has submitted, and that may wait for a part of the disk that gives nothing. The next
//! connection of the client does not wait for that: what waits is withdrawn, and was never acknowledged. The session is then left as
//! a crash would leave it, with what becomes of the will.

use std::collections::BTreeMap;
use std::pin::pin;

use barnacle_storage::{
    CommitError, Detach, DropReason, Dropped, LogId, Lsn, Operation, Outcome, Transaction, WillFate,
};
use tokio::sync::oneshot;

use super::running::Running;
use crate::broker::{self, Broker, Claim};
use crate::protocol::ReasonCode;
use crate::session::{Close, Place};

/// The last transaction of a connection, on its way.
pub(super) struct Farewell {
    told: oneshot::Receiver<Result<Outcome, CommitError>>,
    /// What is said instead if it is withdrawn.
    instead: Transaction,
}

/// Waits until all that the connection has submitted is kept, or never will be; `false`: the store has failed. When the next
/// connection of the client waits for it, it waits no longer for what the disk does not give.
pub(super) async fn finish(running: &mut Running, farewell: Option<Farewell>, claim: &mut Claim) -> bool {
    let (broker, source) = (running.broker.clone(), running.owner.connection);
    let mut kept = pin!(async {
        running.finish_in_flight().await;
        match farewell {
            Some(farewell) => farewell.kept(&broker).await,
            None => true,
        }
    });
    tokio::select! {
        biased;
        is_kept = &mut kept => is_kept,
        () = claim.taken_over() => {
            broker.store.withdraw(source);
            kept.await
        }
    }
}

impl Farewell {
    /// Waits until it is kept. A will then goes to the live subscribers: to be called when everything that the connection
    /// published before has gone to them, so that "offline" does not overtake "online". `false`: the store has failed, and
    /// nothing of it is kept.
    async fn kept(self, broker: &Broker) -> bool {
        let Farewell { told, instead } = self;
        let mut outcome = told.await;
        if let Ok(Ok(Outcome::Withdrawn)) = outcome {
            outcome = submit(broker, instead).await;
        }
        match outcome {
            Ok(Ok(Outcome::Committed(committed))) => broker.deliver_wills(committed.wills),
            // Another connection has taken the session over.
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
        true
    }
}

/// Submits the last transaction of a connection; `None` if nothing is kept of it. What follows it in the store's order
/// sees it. `unroomed` messages found no room in the mailbox.
pub(super) fn say(running: &mut Running, close: Close, unroomed: u64) -> Option<Farewell> {
    let (mut operations, mut instead) = (Vec::new(), Vec::new());
    let refused = running.session.take_refused();
    if !refused.is_empty() {
        operations.push(Operation::CountRefused(refused.into_iter().map(LogId).collect()));
    }
    if let Some(mut record) = running.session.last_record() {
        let unsent = running.session.unsent_from_groups();
        record.open.retain(|exchange| !unsent.contains(&exchange.place));
        operations.extend(return_to_groups(unsent));
        operations.push(Operation::SaveOutbound(broker::outbound_to_store(&record)));
        operations.extend(broker::count_drops(&running.session.take_dropped()));
        operations.extend(last_words(running, close, unroomed));
        instead.push(Operation::NoteUnsaved);
        instead.extend(last_words(running, close, unroomed));
    } else {
        let store = &running.broker.store;
        for (reason, dropped) in broker::drops(&running.session.take_dropped()) {
            store.note_drops(reason, dropped.exactly);
        }
        store.note_drops(DropReason::Mailbox, unroomed);
        operations.extend(last_words(running, close, 0));
        instead.extend(last_words(running, close, 0));
    }
    if operations.is_empty() {
        return None;
    }
    // Behind all that the connection has submitted.
    let (source, fence) = (Some(running.owner.connection), running.fence);
    let told = submit(&running.broker, Transaction { source, fence, operations });
    Some(Farewell { told, instead: Transaction { source, fence, operations: instead } })
}

fn submit(broker: &Broker, transaction: Transaction) -> oneshot::Receiver<Result<Outcome, CommitError>> {
    let (tell, told) = oneshot::channel();
    broker.store.submit(transaction, move |result| {
        // The transaction stands whether or not anybody waits for it.
        let _ = tell.send(result);
    });
    told
}

/// What is said in any case, whatever is known of what the client has got.
fn last_words(running: &Running, close: Close, unroomed: u64) -> Vec<Operation> {
    let mut operations = Vec::new();
    if unroomed > 0 {
        let dropped = Dropped::exactly(unroomed);
        operations.push(Operation::CountDrops { reason: DropReason::Mailbox, dropped });
    }
    if running.fence.is_some() {
        operations.push(Operation::Detach(Detach {
            session_expiry_interval: close.session_expiry_interval,
            will: fate_of_will(close),
            now_millis: running.broker.clock.now().unix_millis,
        }));
    }
    operations.extend(running.last_words_to_groups());
    operations
}

/// What was taken for a stored session and never sent goes back to its groups: the client knows nothing of it.
fn return_to_groups(unsent: &[Place]) -> impl Iterator<Item = Operation> {
    let mut by_log: BTreeMap<u64, Vec<Lsn>> = BTreeMap::new();
    for place in unsent {
        by_log.entry(place.log).or_default().push(Lsn(place.lsn));
    }
    by_log.into_iter().map(|(log, unsent)| Operation::ReturnToGroup { log: LogId(log), unsent })
}

/// Only the client's good-bye takes a will back. When it is the broker that ends, its clients are to find it again before
/// anybody is told that they are gone.
fn fate_of_will(close: Close) -> WillFate {
    if close.forget_will {
        WillFate::Forget // [MQTT-3.1.2-10]
    } else if close.reason == ReasonCode::ServerShuttingDown && !close.by_client {
        WillFate::Keep
    } else {
        WillFate::Publish
    }
}
