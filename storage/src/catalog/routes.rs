//! Where publishes go: the filters that stored sessions hold, by what they match.

use smallvec::SmallVec;

use crate::topics::TopicTree;
use crate::{LogId, SessionId, Targets};

/// A filter that durable sessions hold, or have held while its log lives.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Sessions that subscribe to it with QoS 1 or 2.
    pub(crate) holders: u32,
    /// While the filter has no log of its own: whose log it writes to.
    pub(crate) sole: SessionId,
    pub(crate) log: Option<LogId>,
}

/// The log that each filter writes to, as of one version.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Grows with every change.
    pub(crate) version: u64,
    tree: TopicTree<LogId>,
    /// Logs of groups: a filter may have several.
    groups: TopicTree<SmallVec<[LogId; 2]>>,
}

impl Routes {
    pub(crate) fn set(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        self.tree.insert(filter, log);
    }

    pub(crate) fn remove(&mut self, filter: &str) {
        self.version += 1;
        self.tree.remove(filter);
    }

    /// A group's log, by the filter that the group divides.
    pub(crate) fn add_group(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        self.groups.get_or_insert_with(filter, SmallVec::new).push(log);
    }

    pub(crate) fn remove_group(&mut self, filter: &str, log: LogId) {
        self.version += 1;
        let Some(logs) = self.groups.get_mut(filter) else { return };
        logs.retain(|known| *known != log);
        if logs.is_empty() {
            self.groups.remove(filter);
        }
    }

    /// Where a publish goes; each log once, however many of its filters match.
    pub(crate) fn targets(&self, topic: &str) -> Targets {
        let mut logs: SmallVec<[LogId; 4]> = SmallVec::new();
        self.tree.for_each_match(topic, |log| logs.push(*log));
        self.groups.for_each_match(topic, |groups| logs.extend_from_slice(groups));
        if logs.len() > 1 {
            logs.sort_unstable();
            logs.dedup();
        }
        Targets { version: self.version, logs }
    }
}
