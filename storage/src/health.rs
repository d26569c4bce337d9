//! How the store is, as those who look after it see it: said once when it changes, and told to who watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Wake;

/// So long a read that has failed is told of: longer than anybody waits before it is tried again.
const UNREADABLE_FOR: Duration = Duration::from_secs(15);

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes everything.
    Ok,
    /// It takes everything, but the disk fills up.
    Low {
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// A read has failed within the last quarter of a minute, and is tried again: what was to be delivered waits.
    Unreadable {
        /// What the engine said.
        reason: Arc<str>,
    },
    /// The disk is full, or nearly: it should get nothing that takes much space.
    Full {
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// A write or a sync has failed: nothing is committed until one succeeds, which it tries again and again. Or the disk does
    /// not give what a transaction needs: that one waits, and whatever is submitted behind it by the same source.
    Failing {
        /// What the engine said.
        reason: Arc<str>,
    },
    /// It has failed for good: only opening it again helps.
    Failed {
        /// What the engine said.
        reason: Arc<str>,
    },
}

/// The space that is left, judged by the watermarks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Level {
    #[default]
    Enough,
    Low,
    Full,
}

/// Where the store's threads note how it is.
#[derive(Default)]
pub(crate) struct Board {
    noted: Mutex<Noted>,
    /// Nothing that takes much space should come.
    full: AtomicBool,
    watchers: Mutex<Vec<Wake>>,
}

#[derive(Default)]
struct Noted {
    level: Level,
    free_bytes: u64,
    failing: Option<Arc<str>>,
    withheld: Option<Arc<str>>,
    crowded: bool,
    failed: Option<Arc<str>>,
    unreadable: Option<(Instant, Arc<str>)>,
}

impl Board {
    pub(crate) fn health(&self) -> Health {
        let noted = self.noted.lock();
        let unreadable = noted.unreadable.as_ref().filter(|(at, _)| at.elapsed() < UNREADABLE_FOR);
        match (&noted.failed, noted.failing.as_ref().or(noted.withheld.as_ref()), noted.level) {
            (Some(reason), ..) => Health::Failed { reason: reason.clone() },
            (None, Some(reason), _) => Health::Failing { reason: reason.clone() },
            (None, None, Level::Full) => Health::Full { free_bytes: noted.free_bytes },
            (None, None, level) => match (unreadable, level) {
                (Some((_, reason)), _) => Health::Unreadable { reason: reason.clone() },
                (None, Level::Enough) => Health::Ok,
                (None, _) => Health::Low { free_bytes: noted.free_bytes },
            },
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    pub(crate) fn level(&self) -> Level {
        self.noted.lock().level
    }

    /// Has `wake` called whenever it turns full, and whenever it is no longer.
    pub(crate) fn watch(&self, wake: Wake) {
        self.watchers.lock().push(wake);
    }

    /// So much space is left. `true`: the level is another than before.
    pub(crate) fn set_space(&self, level: Level, free_bytes: u64) -> bool {
        self.change(|noted| {
            noted.free_bytes = free_bytes;
            std::mem::replace(&mut noted.level, level) != level
        })
    }

    /// A write or a sync has failed, or (`None`) one has succeeded. `true`: that is new.
    pub(crate) fn set_failing(&self, reason: Option<Arc<str>>) -> bool {
        self.change(|noted| {
            let is_new = reason.is_some() != noted.failing.is_some();
            noted.failing = reason;
            is_new
        })
    }

    /// The disk does not give what transactions need that are set aside; `None`: none is. `true`: that is new.
    pub(crate) fn set_withheld(&self, reason: Option<Arc<str>>) -> bool {
        self.change(|noted| {
            let is_new = reason.is_some() != noted.withheld.is_some();
            noted.withheld = reason;
            is_new
        })
    }

    /// So much waits for what the disk does not give that no more of it should come; or it does not.
    pub(crate) fn set_crowded(&self, crowded: bool) {
        self.change(|noted| std::mem::replace(&mut noted.crowded, crowded) != crowded);
    }

    /// A read has failed.
    pub(crate) fn note_unreadable(&self, reason: &str) {
        self.noted.lock().unreadable = Some((Instant::now(), reason.into()));
    }

    /// Nothing is committed from here on. The first reason counts; `true`: this is the one.
    pub(crate) fn set_failed(&self, reason: Arc<str>) -> bool {
        self.change(|noted| {
            let is_new = noted.failed.is_none();
            noted.failed.get_or_insert(reason);
            is_new
        })
    }

    fn change(&self, change: impl FnOnce(&mut Noted) -> bool) -> bool {
        let (is_new, turned) = {
            let mut noted = self.noted.lock();
            let is_new = change(&mut noted);
            let fails = noted.failing.is_some() || noted.failed.is_some();
            let full = noted.level == Level::Full || noted.crowded || fails;
            (is_new, self.full.swap(full, Relaxed) != full)
        };
        if turned {
            let watchers = self.watchers.lock().clone();
            watchers.iter().for_each(|wake| wake());
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn the_worst_counts_and_watchers_hear_of_turns_only() {
        let board = Board::default();
        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        board.watch(Arc::new(move || {
            count.fetch_add(1, Relaxed);
        }));
        assert_eq!(board.health(), Health::Ok);
        assert!(board.set_space(Level::Low, 7));
        assert_eq!((board.health(), board.is_full()), (Health::Low { free_bytes: 7 }, false));
        assert_eq!(heard.load(Relaxed), 0);
        assert!(board.set_space(Level::Full, 6));
        assert!(!board.set_space(Level::Full, 5));
        assert_eq!((board.health(), board.is_full()), (Health::Full { free_bytes: 5 }, true));
        assert!(board.set_failing(Some("no space".into())));
        assert!(!board.set_failing(Some("still none".into())));
        assert_eq!(board.health(), Health::Failing { reason: "still none".into() });
        assert_eq!(heard.load(Relaxed), 1, "it was full already");
        board.set_space(Level::Enough, 100);
        assert!(board.is_full(), "it still fails");
        assert!(board.set_withheld(Some("a part".into())));
        assert!(board.set_failing(None));
        assert_eq!((board.health(), board.is_full()), (Health::Failing { reason: "a part".into() }, false));
        board.set_crowded(true);
        board.set_crowded(true);
        assert_eq!((board.is_full(), heard.load(Relaxed)), (true, 3));
        board.set_crowded(false);
        assert!(board.set_withheld(None));
        assert_eq!((board.health(), board.is_full(), heard.load(Relaxed)), (Health::Ok, false, 4));
        assert!(board.set_failed("gone".into()));
        assert!(!board.set_failed("gone again".into()));
        assert_eq!(board.health(), Health::Failed { reason: "gone".into() });
    }
}
