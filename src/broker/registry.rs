//! Who is connected, by client identifier; and how a second connection with the same identifier takes over.

use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::watch;

/// All connected clients.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    claims: Mutex<HashMap<ByteString, Entry>>,
    next: std::sync::atomic::AtomicU64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    taken_over: watch::Sender<bool>,
    /// Closes when the claim is dropped.
    finished: watch::Receiver<()>,
}

/// A connection's claim to a client identifier. While it lives, a later claim waits for it to be dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    client_id: ByteString,
    number: u64,
    taken_over: watch::Receiver<bool>,
    _finished: watch::Sender<()>,
}

/// Another connection claimed the identifier before this one was let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenOver;

impl Registry {
    /// Claims an identifier: an older connection is told to go, and waited for, so that its last state is in the store
    /// before this one attaches [MQTT-3.1.4-3].
    pub(crate) async fn claim(self: &Arc<Self>, client_id: &ByteString) -> Result<Claim, TakenOver> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (taken_over, taken_over_receiver) = watch::channel(false);
        let (finished, finished_receiver) = watch::channel(());
        let entry = Entry { number, taken_over, finished: finished_receiver };
        let older = self.claims.lock().insert(client_id.clone(), entry);
        let mut claim = Claim {
            registry: Arc::clone(self),
            client_id: client_id.clone(),
            number,
            taken_over: taken_over_receiver,
            _finished: finished,
        };
        if let Some(mut older) = older {
            older.taken_over.send_replace(true);
            tokio::select! {
                biased;
                () = claim.taken_over() => {
                    // The one that takes over from this one must wait for the older one too.
                    let _ = older.finished.changed().await;
                    return Err(TakenOver);
                }
                // An error says that the sender, and with it the older claim, is gone.
                _ = older.finished.changed() => {}
            }
        }
        Ok(claim)
    }

    /// How many clients are connected, or about to be.
    pub(crate) fn len(&self) -> usize {
        self.claims.lock().len()
    }
}

impl Claim {
    /// A number that no other claim of this run has.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Resolves when another connection claims the identifier.
    pub(crate) async fn taken_over(&mut self) {
        // The sender lives in the registry for as long as this claim stands there; once replaced, it has sent `true`.
        let _ = self.taken_over.wait_for(|taken_over| *taken_over).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.registry.claims.lock();
        if claims.get(&self.client_id).is_some_and(|entry| entry.number == self.number) {
            claims.remove(&self.client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_later_claim_waits_until_the_older_one_is_dropped() {
        let registry = Arc::new(Registry::default());
        let client_id = ByteString::from_static("c");
        let mut first = registry.claim(&client_id).await.expect("nobody else");
        let second = tokio::spawn({
            let (registry, client_id) = (Arc::clone(&registry), client_id.clone());
            async move { registry.claim(&client_id).await.map(|claim| claim.number()) }
        });
        first.taken_over().await;
        tokio::time::timeout(Duration::from_millis(20), async {
            while !second.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await
        .expect_err("it waits");
        drop(first);
        assert_eq!(second.await.expect("no panic"), Ok(1));
        assert_eq!(registry.len(), 0);
    }

    #[tokio::test]
    async fn a_claim_that_waits_can_itself_be_taken_over() {
        let registry = Arc::new(Registry::default());
        let client_id = ByteString::from_static("c");
        let first = registry.claim(&client_id).await.expect("nobody else");
        let claim = |registry: Arc<Registry>, client_id: ByteString| async move {
            registry.claim(&client_id).await.map(drop)
        };
        let second = tokio::spawn(claim(Arc::clone(&registry), client_id.clone()));
        while registry.claims.lock()[&client_id].number != 1 {
            tokio::task::yield_now().await;
        }
        let third = tokio::spawn(claim(Arc::clone(&registry), client_id.clone()));
        while registry.claims.lock()[&client_id].number != 2 {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert_eq!(second.await.expect("no panic"), Err(TakenOver));
        assert_eq!(third.await.expect("no panic"), Ok(()));
    }
}
