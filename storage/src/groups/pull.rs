//! Pulling: a member reserves what its window has room for, and reads it.

use std::sync::Arc;

use super::{Pool, Span};
use crate::shared::Shared;
use crate::{Budget, Entry, LogId, ReadError, Wake};

/// A connected member of a group, under the number of its connection. Dropped, it leaves free what it has reserved and
/// not taken: after all its transactions have been answered, so that nothing is handed out twice.
#[derive(Debug)]
pub struct GroupMember {
    pool: Arc<Pool>,
    member: u64,
}

/// An entry that was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The entry.
    pub entry: Entry,
    /// What is taken with it: the entry, and what lies before it and has none.
    pub span: Span,
}

impl GroupMember {
    pub(crate) fn join(pool: Arc<Pool>, member: u64, wake: Wake) -> GroupMember {
        pool.join(member, wake);
        GroupMember { pool, member }
    }

    /// The group's log.
    pub fn log(&self) -> LogId {
        self.pool.log
    }

    /// Gives back what was pulled and finds no room now.
    pub fn put_back(&self, spans: impl IntoIterator<Item = Span>) {
        spans.into_iter().for_each(|span| self.pool.release(self.member, span));
    }

    /// It was woken and has no room: another one may.
    pub fn pass_on(&self) {
        self.pool.wake_next();
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.pool.leave(self.member);
    }
}

impl Shared {
    /// Reserves and reads the next entries of a group; `None` if that needs the disk and `disk` is false. Nothing there:
    /// the member is woken when there is.
    pub(crate) fn pull(
        &self,
        member: &GroupMember,
        budget: Budget,
        disk: bool,
    ) -> Result<Option<Vec<Pulled>>, ReadError> {
        let GroupMember { pool, member } = member;
        loop {
            let head = self.head();
            let Some(span) = pool.reserve(*member, head) else {
                // What was published while it did not wait yet would wake nobody.
                if self.head() > head {
                    continue;
                }
                return Ok(Some(Vec::new()));
            };
            let read = match self.read_span(pool.log, span, budget, disk) {
                Ok(Some(read)) => read,
                Ok(None) => {
                    pool.release(*member, span);
                    return Ok(None);
                }
                Err(error) => {
                    pool.release(*member, span);
                    return Err(error);
                }
            };
            pool.release(*member, Span::new(read.through, span.through));
            if read.entries.is_empty() {
                pool.found_void(*member, Span::new(span.after, read.through));
                continue;
            }
            let mut after = span.after;
            let mut pulled = Vec::with_capacity(read.entries.len());
            for entry in read.entries {
                let span = Span::new(after, entry.lsn);
                after = entry.lsn;
                pulled.push(Pulled { entry, span });
            }
            if let Some(last) = pulled.last_mut() {
                last.span.through = read.through;
            }
            return Ok(Some(pulled));
        }
    }
}
