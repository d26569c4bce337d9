//! The wish to stop, told to everybody who waits for it.
//!
//! Carries nothing but the wish: what stopping means is for each part to know.

use tokio::sync::watch;

/// A pair: the side that asks, and the side that waits.
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { sender }, Shutdown { receiver })
}

/// Asks everybody to stop. Dropping it asks as well: nobody could any more.
#[derive(Debug)]
pub struct ShutdownTrigger {
    sender: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// Asks everybody to stop; asking twice is asking once.
    pub fn trigger(&self) {
        self.sender.send_replace(true);
    }
}

/// Waits for the wish to stop. A clone waits for the same wish.
#[derive(Debug, Clone)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
}

impl Shutdown {
    /// Returns as soon as somebody asked, at once if somebody has. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error says that the trigger is gone, which is a wish to stop too.
        let _ = self.receiver.wait_for(|requested| *requested).await;
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_early_late_and_twice() {
        let (trigger, mut early) = channel();
        let mut late = early.clone();
        assert!(!early.is_requested());
        let waiting = tokio::spawn(async move { early.requested().await });
        trigger.trigger();
        trigger.trigger();
        waiting.await.expect("it was woken");
        assert!(late.is_requested());
        late.requested().await;
        late.requested().await;
    }

    #[tokio::test]
    async fn a_dropped_trigger_is_a_wish_to_stop() {
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        assert!(shutdown.is_requested());
        shutdown.requested().await;
    }
}
