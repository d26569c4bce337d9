//! What has happened: a hash of all of it, and the last lines for people.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

/// Lines that are kept for a failure.
const KEPT: usize = 60;

/// What has happened so far.
pub(crate) struct Trace {
    began: Instant,
    /// FNV-1a over all lines.
    pub(crate) hash: u64,
    pub(crate) events: u64,
    last: VecDeque<String>,
    prints: bool,
    /// How often what the simulator is there for has happened.
    pub(crate) coverage: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(crate) fn new(prints: bool) -> Trace {
        Trace {
            began: Instant::now(),
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            last: VecDeque::with_capacity(KEPT),
            prints,
            coverage: BTreeMap::new(),
        }
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes an event; returns its number, which orders all of them.
    pub(crate) fn note(&mut self, event: std::fmt::Arguments<'_>) -> u64 {
        self.events += 1;
        let line = format!("{:>7} ms  {event}", self.millis());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.prints {
            println!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
        self.events
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    pub(crate) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
