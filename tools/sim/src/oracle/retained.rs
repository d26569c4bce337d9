//! Which message a topic may retain.

use super::{Judged, Message, Oracle, ensure};

impl Oracle {
    /// A message came as retained to a client whose SUBSCRIBE was sent at `asked`: nothing must surely have replaced it
    /// before.
    pub(crate) fn judge_retained(&self, number: usize, asked: u64) -> Judged {
        let message = &self.messages[number];
        let replaced = self.retained(&message.topic).find(|(_, later)| {
            surely_behind(later, message) && later.acknowledged.is_some_and(|at| at < asked)
        });
        ensure(replaced.is_none(), || {
            format!("m{number} comes as retained, and was replaced by {replaced:?}")
        })
    }

    /// What a new subscriber got when all had come to a rest.
    pub(crate) fn judge_at_rest(&self, topic: &str, found: Option<usize>) -> Judged {
        if let Some(number) = found {
            return self.judge_retained(number, u64::MAX);
        }
        let surely_set: Vec<_> = self
            .retained(topic)
            .filter(|(_, set)| !set.clears && !set.refused && set.acknowledged.is_some())
            .collect();
        // Any of those that clear may have come last, unless one that sets surely came behind it.
        let may_be_clear = surely_set.is_empty()
            || self.retained(topic).any(|(_, clear)| {
                clear.clears && !surely_set.iter().any(|(_, set)| surely_behind(set, clear))
            });
        ensure(may_be_clear, || format!("{topic} retains nothing, but has got {surely_set:?}"))
    }

    fn retained(&self, topic: &str) -> impl Iterator<Item = (usize, &Message)> {
        self.messages.iter().enumerate().filter(move |(_, message)| message.retain && message.topic == topic)
    }
}

/// Whether one took effect behind another, for all that anybody can know.
fn surely_behind(later: &Message, earlier: &Message) -> bool {
    !later.refused
        && later.acknowledged.is_some()
        && earlier.acknowledged.is_some_and(|acknowledged| acknowledged < later.sent)
}
