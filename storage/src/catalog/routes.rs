//! Where publishes go: the filters that stored sessions hold, by what they match.

use smallvec::SmallVec;

use crate::topics::TopicTree;
use crate::{LogId, SessionId, Targets};

/// A filter that durable sessions hold, or have held while its log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The log that it writes to: its own, or that of its only holder.
    pub(crate) log: LogId,
    /// Sessions that subscribe to it with QoS 1 or 2.
    pub(crate) holders: u32,
    /// It has a log of its own.
    pub(crate) has_log: bool,
}

impl Filter {
    /// A filter that one session holds.
    pub(crate) fn sole(holder: SessionId) -> Filter {
        Filter { log: holder.own_log(), holders: 1, has_log: false }
    }

    /// Its own log.
    pub(crate) fn own_log(&self) -> Option<LogId> {
        self.has_log.then_some(self.log)
    }
}

/// The log that each filter writes to, as of one version. There is an entry for each filter of each session: nothing of
/// it is kept twice.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Grows whenever some message would go elsewhere than before.
    pub(crate) version: u64,
    tree: TopicTree<Filter>,
    /// Logs of groups: a filter may have several.
    groups: TopicTree<SmallVec<[LogId; 2]>>,
}

impl Routes {
    /// How many filters there are, but for those of groups.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    /// What is known of exactly this filter.
    pub(crate) fn get(&self, filter: &str) -> Option<Filter> {
        self.tree.get(filter).copied()
    }

    /// Sets what is known of a filter; `None`: nobody holds it, and it has no log.
    pub(crate) fn set(&mut self, filter: &str, known: Option<Filter>) {
        let before = match known {
            Some(known) => self.tree.insert(filter, known),
            None => self.tree.remove(filter),
        };
        let target = |known: Option<Filter>| known.filter(|known| known.holders > 0).map(|known| known.log);
        self.version += u64::from(target(before) != target(known));
    }

    /// One more holder, of a filter that was looked up already when the store opens.
    pub(crate) fn recover(&mut self, filter: &str, new: Filter) -> &mut Filter {
        self.tree.get_or_insert_with(filter, || new)
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
        self.tree.for_each_match(topic, |known| {
            // One that nobody holds has a log whose readers have not read all of it yet.
            if known.holders > 0 {
                logs.push(known.log);
            }
        });
        self.groups.for_each_match(topic, |groups| logs.extend_from_slice(groups));
        if logs.len() > 1 {
            logs.sort_unstable();
            logs.dedup();
        }
        Targets { version: self.version, logs }
    }
}
