//! The end of a connection: the session's last state, and what becomes of the will, as one transaction.

use std::collections::BTreeMap;

use barnacle_storage::{
    CommitError, Detach, DropReason, Dropped, LogId, Lsn, Operation, Outcome, Transaction, WillFate,
};
use tokio::sync::oneshot;

use super::running::Running;
use crate::broker::{self, Broker};
use crate::protocol::ReasonCode;
use crate::session::{Close, Place};

/// The last transaction of a connection, on its way.
pub(super) struct Farewell {
    told: oneshot::Receiver<Result<Outcome, CommitError>>,
}

impl Farewell {
    /// Waits until it is kept. A will then goes to the live subscribers: to be called when everything that the connection
    /// published before has gone to them, so that "offline" does not overtake "online". `false`: the store has failed, and
    /// nothing of it is kept.
    pub(super) async fn kept(self, broker: &Broker) -> bool {
        match self.told.await {
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
    let mut operations = Vec::new();
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
        if unroomed > 0 {
            let dropped = Dropped::exactly(unroomed);
            operations.push(Operation::CountDrops { reason: DropReason::Mailbox, dropped });
        }
    } else {
        let store = &running.broker.store;
        for (reason, dropped) in broker::drops(&running.session.take_dropped()) {
            store.note_drops(reason, dropped.exactly);
        }
        store.note_drops(DropReason::Mailbox, unroomed);
    }
    if running.fence.is_some() {
        operations.push(Operation::Detach(Detach {
            session_expiry_interval: close.session_expiry_interval,
            will: fate_of_will(close),
            now_millis: running.broker.clock.now().unix_millis,
        }));
    }
    operations.extend(running.last_words_to_groups());
    if operations.is_empty() {
        return None;
    }
    let (tell, told) = oneshot::channel();
    // Behind all that the connection has submitted.
    let (source, fence) = (Some(running.owner.connection), running.fence);
    running.broker.store.submit(Transaction { source, fence, operations }, move |result| {
        // The transaction stands whether or not anybody waits for it.
        let _ = tell.send(result);
    });
    Some(Farewell { told })
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
