//! Live subscribers: who gets a message without the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytestring::ByteString;
use parking_lot::RwLock;
use smallvec::SmallVec;

use super::mailbox::{Letter, LiveMessage, Mailbox};
use crate::topics::{TopicTree, shared_filter};

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
    /// Groups, under the filter that they divide.
    groups: RwLock<TopicTree<BTreeMap<ByteString, LiveGroup>>>,
}

/// The connected members of a group. Each QoS 0 message goes to one of them, in turn; all others they pull from the store.
#[derive(Debug, Default)]
struct LiveGroup {
    members: Vec<LiveSubscriber>,
    next: AtomicUsize,
}

impl LiveSubscribers {
    pub(crate) fn insert(&self, filter: &str, subscriber: LiveSubscriber) {
        match shared_filter(filter) {
            Some(divided) => {
                let mut groups = self.groups.write();
                let at_filter = groups.get_or_insert_with(divided, BTreeMap::new);
                let members = &mut at_filter.entry(filter.into()).or_default().members;
                members.retain(|member| member.connection != subscriber.connection);
                members.push(subscriber);
            }
            None => {
                let mut tree = self.tree.write();
                let subscribers = tree.get_or_insert_with(filter, HashMap::new);
                subscribers.insert(subscriber.connection, subscriber);
            }
        }
    }

    pub(crate) fn remove(&self, filter: &str, connection: u64) {
        if let Some(divided) = shared_filter(filter) {
            let mut groups = self.groups.write();
            let Some(at_filter) = groups.get_mut(divided) else { return };
            let Some(group) = at_filter.get_mut(filter) else { return };
            group.members.retain(|member| member.connection != connection);
            if group.members.is_empty() {
                at_filter.remove(filter);
            }
            if at_filter.is_empty() {
                groups.remove(divided);
            }
            return;
        }
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
        self.groups.read().for_each_match(topic, |_| reaches = true);
        reaches
    }

    /// Puts a message into the mailbox of each connection that wants it, once, and of one member of each group. Returns
    /// whether any subscription, live or reached through the store, matched. `message` is made only if someone wants it.
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
        let mut in_groups: SmallVec<[(ByteString, Arc<Mailbox>); 2]> = SmallVec::new();
        self.groups.read().for_each_match(topic, |groups: &BTreeMap<ByteString, LiveGroup>| {
            matched = true;
            if qos == 0 {
                in_groups.extend(groups.iter().map(|(filter, group)| (filter.clone(), group.next())));
            }
        });
        if wanted.is_empty() && in_groups.is_empty() {
            return matched;
        }
        wanted.sort_unstable_by_key(|(connection, _)| *connection);
        wanted.dedup_by_key(|(connection, _)| *connection);
        let message = message();
        for (_, mailbox) in wanted {
            mailbox.push(Letter { message: Arc::clone(&message), lsn, group: None });
        }
        for (filter, mailbox) in in_groups {
            mailbox.push(Letter { message: Arc::clone(&message), lsn, group: Some(filter) });
        }
        true
    }
}

impl LiveGroup {
    /// The member whose turn it is.
    fn next(&self) -> Arc<Mailbox> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.members[turn % self.members.len()].mailbox)
    }
}
