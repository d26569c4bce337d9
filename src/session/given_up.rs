//! Filters that were given up at QoS 1 or 2 on this connection: what they matched before then is in the session's logs, whatever
//! else it has subscribed to. A subscription at QoS 0 that is left would let the mailbox bring it a second time.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::topics::topic_matches;

/// So many are told apart. Behind that the oldest count as filters that match everything: what they keep from the mailbox is at
/// QoS 0, and long past.
const MOST: usize = 64;

/// What the logs had.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Filter, and the LSNs that it was held at QoS 1 or 2: above the first, up to the second. Oldest first.
    filters: VecDeque<(ByteString, u64, u64)>,
    /// Up to here, whatever the topic.
    everything_through: u64,
}

impl GivenUp {
    /// A filter was held at QoS 1 or 2 for messages above `start`, and is no more behind `through`.
    pub(super) fn insert(&mut self, filter: ByteString, start: u64, through: u64) {
        if self.filters.len() == MOST
            && let Some((_, _, oldest)) = self.filters.pop_front()
        {
            self.everything_through = self.everything_through.max(oldest);
        }
        self.filters.push_back((filter, start, through));
    }

    /// Whether the logs had a message of QoS 1 or 2 because of one of them.
    pub(super) fn had(&self, topic: &str, lsn: u64) -> bool {
        lsn <= self.everything_through
            || self.filters.iter().any(|(filter, start, through)| {
                *start < lsn && lsn <= *through && topic_matches(filter, topic)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_matched_while_it_was_held_was_in_the_logs() {
        let mut given_up = GivenUp::default();
        given_up.insert("t/+".into(), 10, 20);
        given_up.insert("t/+".into(), 30, 40);
        let had: Vec<u64> = (1..=50).filter(|lsn| given_up.had("t/1", *lsn)).collect();
        assert_eq!(had, (11..=20).chain(31..=40).collect::<Vec<u64>>());
        assert!(!given_up.had("u/1", 15));
    }

    #[test]
    fn however_many_were_given_up_a_few_are_kept_and_nothing_comes_twice() {
        let mut given_up = GivenUp::default();
        (0..10_000).for_each(|number| given_up.insert(format!("t/{number}").into(), number, number + 1));
        assert_eq!(given_up.filters.len(), MOST);
        assert!((0..10_000).all(|number| given_up.had(&format!("t/{number}"), number + 1)));
        assert!(!given_up.had("t/9999", 10_001));
    }
}
