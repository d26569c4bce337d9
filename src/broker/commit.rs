//! A transaction that somebody waits for.

use barnacle_storage as storage;
use tokio::sync::oneshot;

use super::Broker;

/// A transaction did not take effect.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// Another connection has taken the session over, or takes it over, or it is gone.
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
            Ok(Ok(storage::Outcome::Fenced | storage::Outcome::Withdrawn)) => Err(NotCommitted::Fenced),
            Ok(Err(error)) => Err(NotCommitted::Failed(error.to_string())),
            Err(_) => Err(NotCommitted::Failed("it was closed".to_owned())),
        }
    }
}
