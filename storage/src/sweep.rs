//! Sweeping: retained messages that have expired are removed.
//!
//! Nobody is sent one any more, but it takes its place on the disk and in every scan. A pass over all of them begins when one
//! may have expired, and goes on turn by turn, a bounded part at a time. What it finds the committer removes, unless the
//! topic has another message by then.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::committer::Work;
use crate::keys;
use crate::record;
use crate::shared::Shared;
use crate::{Damaged, Lsn};

/// What one turn looks at, at most: records, and their bytes.
const VISITS: usize = 4096;
const BYTES: usize = 4 * 1024 * 1024;

/// What one turn removes, at most. The committer looks at each of them again.
const REMOVED: usize = 256;

/// A retained message that had expired when it was looked at.
#[derive(Debug)]
pub(crate) struct ExpiredRetained {
    pub(crate) topic: Vec<u8>,
    pub(crate) lsn: Lsn,
}

/// When retained messages expire that were published since the last pass began, in milliseconds since the Unix epoch: the
/// first of them.
#[derive(Debug)]
pub(crate) struct NextRetainedExpiry(AtomicU64);

impl Default for NextRetainedExpiry {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl NextRetainedExpiry {
    pub(crate) fn note(&self, expires_at_millis: u64) {
        self.0.fetch_min(expires_at_millis, Relaxed);
    }
}

/// What goes on from turn to turn.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Where the pass goes on; `None`: none is under way.
    from: Option<Vec<u8>>,
    /// When the next pass begins, as far as is known from what the passes have seen. Nothing at first: the first begins at once.
    next_pass_at_millis: u64,
}

pub(crate) fn turn(shared: &Shared) {
    let now_millis = shared.clock.now_millis();
    let mut sweep = shared.sweep.lock();
    if !sweep.under_way(&shared.next_retained_expiry, now_millis) {
        return;
    }
    match sweep.look(shared, now_millis) {
        Ok(expired) if expired.is_empty() => {}
        // A closed queue means that the next start will find them.
        Ok(expired) => drop(shared.queue.push(Work::ForgetRetained(expired))),
        Err(error) => tracing::warn!(%error, "expired retained messages were not looked for"),
    }
}

impl Sweep {
    /// Whether there is a pass to go on with, or one begins.
    fn under_way(&mut self, next: &NextRetainedExpiry, now_millis: u64) -> bool {
        if self.from.is_some() {
            return true;
        }
        if self.next_pass_at_millis.min(next.0.load(Relaxed)) > now_millis {
            return false;
        }
        // One that is on its way to the disk may not be seen by this pass: there is another behind it.
        self.next_pass_at_millis = next.0.swap(u64::MAX, Relaxed).max(now_millis + 1);
        self.from = Some(Vec::new());
        true
    }

    fn look(&mut self, shared: &Shared, now_millis: u64) -> Result<Vec<ExpiredRetained>, crate::ReadError> {
        let from = self.from.take().unwrap_or_default();
        let view = shared.engine.view();
        let mut cursor = view.cursor(keys::RETAINED, &from, None);
        cursor.seek(&from);
        let (mut expired, mut bytes) = (Vec::new(), 0);
        for _ in 0..VISITS {
            let Some((topic, row)) = cursor.item() else {
                cursor.status()?;
                return Ok(expired);
            };
            if bytes >= BYTES || expired.len() >= REMOVED {
                self.from = Some(topic.to_vec());
                return Ok(expired);
            }
            bytes += row.len();
            match record::decode_retained_deadline(row) {
                Ok((_, None)) => {}
                Ok((lsn, Some(deadline))) if deadline <= now_millis => {
                    expired.push(ExpiredRetained { topic: topic.to_vec(), lsn });
                }
                Ok((_, Some(deadline))) => {
                    self.next_pass_at_millis = self.next_pass_at_millis.min(deadline);
                }
                Err(reason) => {
                    let damaged = Damaged::new(keys::RETAINED, topic, reason);
                    tracing::error!(%damaged, "a retained message cannot be read");
                }
            }
            cursor.next();
        }
        self.from = cursor.item().map(|(topic, _)| topic.to_vec());
        Ok(expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_begins_when_something_may_have_expired_and_then_goes_on() {
        let next = NextRetainedExpiry::default();
        let mut sweep = Sweep::default();
        assert!(sweep.under_way(&next, 100), "nothing is known at first");
        assert!(sweep.under_way(&next, 100), "it goes on");
        sweep.from = None;
        sweep.next_pass_at_millis = 500;
        assert!(!sweep.under_way(&next, 499));
        next.note(300);
        next.note(400);
        assert!(sweep.under_way(&next, 300), "a new one expires sooner");
        sweep.from = None;
        assert!(sweep.under_way(&next, 301), "it may have been on its way to the disk");
        sweep.from = None;
        assert!(!sweep.under_way(&next, u64::MAX - 2), "nothing is left that expires");
    }
}
