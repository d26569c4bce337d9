//! Deadlines: sessions that expire, wills that fall due.
//!
//! The store keeps the deadlines and does what is due, publishing a will and removing it at once. Here is who asks it to in
//! time, and who tells the live subscribers.

use std::time::Duration;

use barnacle_storage::{Operation, PublishedWill, Transaction};

use super::{Broker, NotCommitted, batch};

impl Broker {
    /// Has the store meet its deadlines as they come. Returns when the store has failed, with the reason.
    pub async fn meet_deadlines(&self) -> String {
        /// So often at least the store is asked whether it still takes anything, and for deadlines that came up meanwhile.
        const EVERY: Duration = Duration::from_secs(1);
        loop {
            let now_millis = self.clock.now().unix_millis;
            let next = self.store.next_deadline();
            let due_in = next.map(|deadline| Duration::from_millis(deadline.saturating_sub(now_millis)));
            tokio::time::sleep(due_in.unwrap_or(EVERY).min(EVERY)).await;
            let now_millis = self.clock.now().unix_millis;
            let due = self.store.next_deadline().is_some_and(|deadline| deadline <= now_millis);
            // A will that is due before its session ends is the older of the two. An empty transaction only asks.
            let what_is_due =
                [Operation::PublishDueWills { now_millis }, Operation::ExpireSessions { now_millis }];
            let operations = if due { what_is_due.into() } else { Vec::new() };
            match self.commit(Transaction { source: None, fence: None, operations }).await {
                Ok(committed) => self.deliver_wills(committed.wills),
                Err(NotCommitted::Failed(reason)) => return reason,
                Err(NotCommitted::Fenced) => unreachable!("a transaction without a fence is not fenced off"),
            }
        }
    }

    /// Hands wills that the store has published to the live subscribers.
    pub(crate) fn deliver_wills(&self, wills: Vec<PublishedWill>) {
        for PublishedWill { lsn, message } in wills {
            let topic = message.topic.clone();
            self.live.deliver(&topic, message.qos, lsn.0, || batch::live(message));
        }
    }
}
