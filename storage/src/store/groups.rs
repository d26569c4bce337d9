//! What can be seen of a group.

use super::Store;
use crate::{Drops, Load, ReadError};

impl Store {
    /// What was dropped of a group's messages, by the whole filter of the shared subscription; `None` if there is no such
    /// group. Drop-oldest counts when it drops, which may be a little after a message has come to be beyond the limit.
    pub fn group_drops(&self, filter: &str) -> Option<Drops> {
        let catalog = self.handle.shared.catalog.lock();
        catalog.groups.get(filter).map(|group| group.drops.clone())
    }

    /// What waits in a group, by the whole filter of the shared subscription: see [`crate::Limits::group`]. `None` if there is
    /// no such group.
    ///
    /// # Errors
    ///
    /// When its log is damaged or RocksDB fails.
    pub fn group_backlog(&self, filter: &str) -> Result<Option<Load>, ReadError> {
        let shared = &self.handle.shared;
        let head = shared.head();
        let (log, open) = {
            let catalog = shared.catalog.lock();
            let Some(group) = catalog.groups.get(filter) else { return Ok(None) };
            (group.log, group.open.as_slice().to_vec())
        };
        let mut waiting = Load::default();
        for span in open.iter().filter(|span| span.after < head) {
            let end = shared.load_at(log, span.through.min(head))?;
            waiting = waiting.plus(end.beyond(shared.load_at(log, span.after)?));
        }
        Ok(Some(waiting))
    }
}
