//! What the members of a shared subscription owe together: each message reaches one of them, and one that is published
//! and taken at QoS 2 reaches one of them only. Knows no socket and no clock.

use crate::books::finding::{Kind, Wrong};
use crate::books::ledger::Ledger;
use crate::books::message::MessageId;
use crate::books::session::Moment;
use crate::books::topics::{CREW_PUBLISHER, Topic, topics};
use std::collections::HashMap;

/// The group of a trial. Two members stay in it for good, so that it never ends.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    /// The first SUBACK.
    since: Option<Moment>,
    taken: HashMap<MessageId, Taken>,
    /// Messages before this number were settled at a checkpoint.
    settled: usize,
}

#[derive(Debug, Default)]
struct Taken {
    /// The members that it came to.
    members: Vec<usize>,
    exactly_once: u32,
}

impl Crew {
    /// A member's SUBACK was read.
    pub(crate) fn joined(&mut self, now: Moment) {
        self.since.get_or_insert(now);
    }

    /// A message came to a member as a new one. Says whether another member had it before; errs if that must not be.
    pub(crate) fn delivered(
        &mut self,
        member: usize,
        id: MessageId,
        exactly_once: bool,
    ) -> Result<bool, Wrong> {
        let taken = self.taken.entry(id).or_default();
        taken.exactly_once += u32::from(exactly_once);
        if taken.exactly_once > 1 {
            let text = format!("{id} came to the group twice at QoS 2; members {:?} have it", taken.members);
            return Err(Kind::Twice.says(text));
        }
        let handed_on = taken.members.iter().any(|other| *other != member);
        taken.members.push(member);
        Ok(handed_on)
    }

    /// What is owed to the group and has come to no member.
    pub(crate) fn missing(&self, ledger: &Ledger) -> Vec<(MessageId, Topic)> {
        let Some(since) = self.since else { return Vec::new() };
        let owed = ledger.owed_to_all(CREW_PUBLISHER).skip_while(|(id, ..)| number_of(*id) < self.settled);
        owed.filter(|(id, topic, sent)| {
            *sent > since
                && topics()[*topic].starts_with(&format!("k/p{CREW_PUBLISHER}/"))
                && !self.taken.contains_key(id)
        })
        .map(|(id, topic, _)| (id, topic))
        .collect()
    }

    /// Forgets what is settled.
    pub(crate) fn checkpoint(&mut self, ledger: &Ledger) {
        self.settled = ledger.sent_by(CREW_PUBLISHER);
    }
}

fn number_of(id: MessageId) -> usize {
    match id {
        MessageId::Numbered { number, .. } => number,
        MessageId::Cleared(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::topics::plain_topic;

    fn publish(ledger: &mut Ledger) -> MessageId {
        let id = ledger.publish_sent(CREW_PUBLISHER, plain_topic(CREW_PUBLISHER, 0), 2, false, false);
        ledger.publish_acknowledged(id);
        ledger.publish_completed(id);
        id
    }

    #[test]
    fn planted_faults_of_a_group_are_found() {
        let (mut ledger, mut crew) = (Ledger::new(0), Crew::default());
        assert_eq!(crew.missing(&ledger).len(), 0, "nobody is there");
        publish(&mut ledger);
        crew.joined(ledger.tick());
        let ids: Vec<MessageId> = (0..3).map(|_| publish(&mut ledger)).collect();
        assert_eq!(crew.missing(&ledger).len(), 3, "the first was before the group");
        assert_eq!(crew.delivered(1, ids[0], true), Ok(false));
        assert_eq!(crew.delivered(1, ids[1], false), Ok(false));
        assert_eq!(crew.delivered(2, ids[1], false), Ok(true), "handed on at QoS 1");
        assert!(crew.delivered(2, ids[0], true).is_err(), "twice at QoS 2");
        assert_eq!(crew.missing(&ledger).len(), 1);
        crew.checkpoint(&ledger);
        assert_eq!(crew.missing(&ledger).len(), 0);
    }
}
