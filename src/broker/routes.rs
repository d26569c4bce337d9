//! Where a batch's messages go: a publisher keeps to a few topics, and each is matched once a batch.

use barnacle_storage::{Store, Targets};
use bytestring::ByteString;
use smallvec::SmallVec;

/// So many topics are remembered: a look through them costs less than a match.
const REMEMBERED: usize = 4;

/// The store's logs for the topics of one batch. It lives no longer than the batch takes: what the subscriptions are by
/// the time of the commit, the committer asks for itself.
pub(super) struct Routes<'a> {
    store: &'a Store,
    known: SmallVec<[(ByteString, Targets); REMEMBERED]>,
    /// Which of them is forgotten next.
    oldest: usize,
}

impl<'a> Routes<'a> {
    pub(super) fn new(store: &'a Store) -> Routes<'a> {
        Routes { store, known: SmallVec::new(), oldest: 0 }
    }

    /// Where a publish on `topic` goes.
    pub(super) fn targets(&mut self, topic: &ByteString) -> Targets {
        if let Some((_, targets)) = self.known.iter().find(|(known, _)| known == topic) {
            return targets.clone();
        }
        let targets = self.store.route(topic);
        let entry = (topic.clone(), targets.clone());
        if self.known.len() < REMEMBERED {
            self.known.push(entry);
        } else {
            self.known[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        targets
    }
}
