//! Many seeds, on several threads, and what came of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::steps::Steps;
use crate::world::{self, Told};

/// What a campaign has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    /// Seeds that failed, in order.
    pub(crate) failures: BTreeMap<u64, Told>,
    pub(crate) coverage: BTreeMap<&'static str, u64>,
}

/// Runs seeds from `from` to before `to`, until the time is over or `most_failures` were found.
pub(crate) fn run(from: u64, to: u64, time: Option<Duration>, threads: usize, most_failures: usize) -> Found {
    let (next, over, found) = (AtomicU64::new(from), AtomicBool::new(false), Mutex::new(Found::default()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !over.load(Relaxed) && time.is_none_or(|time| began.elapsed() < time) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= to {
                        return;
                    }
                    let told = world::run(seed, &Steps::default(), false);
                    let mut found = found.lock();
                    found.add(seed, told);
                    if found.failures.len() >= most_failures {
                        over.store(true, Relaxed);
                    }
                }
            });
        }
    });
    found.into_inner()
}

impl Found {
    fn add(&mut self, seed: u64, told: Told) {
        self.seeds += 1;
        self.events += told.events;
        for (what, times) in &told.coverage {
            *self.coverage.entry(what).or_default() += times;
        }
        if told.failure.is_some() {
            self.failures.insert(seed, told);
        }
    }
}
