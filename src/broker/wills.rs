//! Wills: published when a connection ends without good-bye, at once or after their delay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use barnacle_storage as storage;
use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::{Broker, Owner, batch, translate};

/// Wills that wait for their delay.
#[derive(Debug, Default)]
pub(crate) struct Wills {
    waiting: Mutex<HashMap<ByteString, AbortHandle>>,
}

impl Wills {
    /// The client is back, or its session has ended: its will waits no longer [MQTT-3.1.3-9].
    pub(crate) fn cancel(&self, client_id: &str) {
        if let Some(waiting) = self.waiting.lock().remove(client_id) {
            waiting.abort();
        }
    }
}

/// A transaction did not take effect.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// Another connection has taken the session over, or it is gone.
    Fenced,
    /// The store has failed, for this reason.
    Failed(String),
}

impl Broker {
    /// Commits a transaction and waits for it.
    pub(crate) async fn commit(
        &self,
        transaction: storage::Transaction,
    ) -> Result<storage::Committed, NotCommitted> {
        let (tell, told) = oneshot::channel();
        self.store.submit(transaction, move |result| {
            // Nobody waits any more when the connection is gone: the transaction stands all the same.
            let _ = tell.send(result);
        });
        match told.await {
            Ok(Ok(storage::Outcome::Committed(committed))) => Ok(committed),
            Ok(Ok(storage::Outcome::Fenced)) => Err(NotCommitted::Fenced),
            Ok(Err(error)) => Err(NotCommitted::Failed(error.to_string())),
            Err(_) => Err(NotCommitted::Failed("it was closed".to_owned())),
        }
    }

    /// Publishes a will after its delay, unless the client comes back before. Publishing it and forgetting it is one
    /// transaction, and falls away when the session has been attached again.
    pub(crate) fn publish_will_later(self: &Arc<Self>, owner: Owner, will: storage::Will, delay: Duration) {
        let client_id = owner.client_id.clone();
        let broker = Arc::clone(self);
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            broker.wills.waiting.lock().remove(&owner.client_id);
            broker.publish_will(&owner, will).await;
        });
        let older = self.wills.waiting.lock().insert(client_id, task.abort_handle());
        if let Some(older) = older {
            older.abort();
        }
    }

    /// Publishes a will now.
    pub(crate) async fn publish_will(&self, owner: &Owner, will: storage::Will) {
        let message = translate::will_message(will, self.clock.now());
        let forget = owner.stored.map(|_| storage::Operation::SaveWill(None));
        let mut operations = vec![self.publish_operation(&message)];
        operations.extend(forget);
        let transaction = storage::Transaction { fence: owner.stored, operations };
        if let Ok(committed) = self.commit(transaction).await {
            self.deliver_live(message, committed.lsn.0);
        }
    }

    /// Publishes what the sessions had left that a transaction has ended.
    pub(crate) async fn publish_wills_of_ended(&self, committed: &storage::Committed) {
        for answer in &committed.answers {
            if let storage::Answer::Ended(sessions) = answer {
                self.publish_wills(sessions).await;
            }
        }
    }

    /// Publishes what ended sessions had left.
    pub(crate) async fn publish_wills(&self, sessions: &[storage::EndedSession]) {
        for ended in sessions {
            self.wills.cancel(&ended.client_id);
            if let Some(will) = ended.will.clone() {
                let owner = Owner { client_id: ended.client_id.clone(), stored: None, connection: 0 };
                self.publish_will(&owner, will).await;
            }
        }
    }

    /// The operation that keeps a message of the broker's own.
    pub(crate) fn publish_operation(&self, message: &storage::Message) -> storage::Operation {
        let targets = self.store.route(&message.topic);
        let publish = translate::publish(message, targets, &mut bytes::BytesMut::new());
        storage::Operation::Publish(publish)
    }

    /// Hands a message that is kept to the live subscribers.
    pub(crate) fn deliver_live(&self, message: storage::Message, lsn: u64) {
        let topic = message.topic.clone();
        self.live.deliver(&topic, message.qos, lsn, || batch::live(message));
    }
}
