//! Live subscribers: who gets a message without the store.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::mailbox::{Letter, LiveMessage, Mailbox};
use crate::topics::TopicTree;

/// A connection's subscription to one filter.
#[derive(Clone, Debug)]
pub(crate) struct LiveSubscriber {
    pub(crate) connection: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    /// QoS 1 and 2 messages of this filter reach it through the store.
    pub(crate) from_logs: bool,
}

/// Every filter that some connection subscribes to.
#[derive(Debug, Default)]
pub(crate) struct LiveSubscribers {
    tree: RwLock<TopicTree<HashMap<u64, LiveSubscriber>>>,
}

impl LiveSubscribers {
    pub(crate) fn insert(&self, filter: &str, subscriber: LiveSubscriber) {
        self.tree.write().get_or_insert_with(filter, HashMap::new).insert(subscriber.connection, subscriber);
    }

    pub(crate) fn remove(&self, filter: &str, connection: u64) {
        let mut tree = self.tree.write();
        let Some(subscribers) = tree.get_mut(filter) else { return };
        subscribers.remove(&connection);
        if subscribers.is_empty() {
            tree.remove(filter);
        }
    }

    /// Whether some live subscription has its QoS 1 and 2 messages from the store. Its SUBSCRIBE may not be committed
    /// yet.
    pub(crate) fn reaches_logs(&self, topic: &str) -> bool {
        let mut reaches = false;
        self.tree.read().for_each_match(topic, |subscribers: &HashMap<u64, LiveSubscriber>| {
            reaches |= subscribers.values().any(|subscriber| subscriber.from_logs);
        });
        reaches
    }

    /// Puts a message into the mailbox of each connection that wants it, once. Returns whether any subscription,
    /// live or reached through the store, matched. `message` is made only if someone wants it.
    pub(crate) fn deliver(
        &self,
        topic: &str,
        qos: u8,
        lsn: u64,
        message: impl FnOnce() -> Arc<LiveMessage>,
    ) -> bool {
        let mut wanted: SmallVec<[(u64, Arc<Mailbox>); 8]> = SmallVec::new();
        let mut matched = false;
        self.tree.read().for_each_match(topic, |subscribers: &HashMap<u64, LiveSubscriber>| {
            matched |= !subscribers.is_empty();
            let through_mailbox = subscribers.values().filter(|subscriber| qos == 0 || !subscriber.from_logs);
            wanted.extend(through_mailbox.map(|live| (live.connection, Arc::clone(&live.mailbox))));
        });
        if wanted.is_empty() {
            return matched;
        }
        wanted.sort_unstable_by_key(|(connection, _)| *connection);
        wanted.dedup_by_key(|(connection, _)| *connection);
        let message = message();
        for (_, mailbox) in wanted {
            mailbox.push(Letter { message: Arc::clone(&message), lsn });
        }
        true
    }
}
