//! Retained messages that a SUBSCRIBE asked for: scans, one after the other, before anything newer.

use std::collections::VecDeque;

use bytestring::ByteString;

/// A scan of the retained messages that match one subscription, in the order of their topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The subscription's filter.
    pub filter: ByteString,
    /// Messages at or below this LSN go out as retained; newer ones arrive live.
    pub through: u64,
    /// Last topic handed out; empty: none yet.
    pub after_topic: ByteString,
}

/// The scans a session has still to do.
#[derive(Debug, Default)]
pub(super) struct Scans {
    queue: VecDeque<Scan>,
}

impl Scans {
    pub(super) fn new(scans: impl IntoIterator<Item = Scan>) -> Self {
        Self { queue: scans.into_iter().collect() }
    }

    /// A subscription was made: its scan replaces an older one of the same filter.
    pub(super) fn push(&mut self, scan: Scan) {
        self.cancel(&scan.filter);
        self.queue.push_back(scan);
    }

    /// A subscription has gone.
    pub(super) fn cancel(&mut self, filter: &str) {
        self.queue.retain(|scan| scan.filter != filter);
    }

    /// The one to be gone on with.
    pub(super) fn current(&self) -> Option<&Scan> {
        self.queue.front()
    }

    /// The current scan has come to a topic, or to its end.
    pub(super) fn advance(&mut self, after_topic: Option<ByteString>) {
        match after_topic {
            Some(topic) => {
                if let Some(scan) = self.queue.front_mut() {
                    scan.after_topic = topic;
                }
            }
            None => {
                self.queue.pop_front();
            }
        }
    }
}
