//! What must hold for one session: Session Present, and for each subscription when it was in force.

use crate::books::finding::{Kind, Wrong};
use crate::books::topics::{Filter, Topic, matches};

/// A place in the order of everything that a trial noted.
pub(crate) type Moment = u64;

/// Whether the server has the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It cannot have it.
    Absent,
    /// It acknowledged that it has it.
    Present,
    /// Something that makes or ends it was sent and never answered.
    InDoubt,
}

/// One stretch of time in which the session held a filter.
#[derive(Clone, Debug)]
struct Holding {
    filter: Filter,
    suback_seen: Option<Moment>,
    /// Something that ends it was sent: UNSUBSCRIBE, Clean Start, a DISCONNECT with expiry 0.
    end_sent: Option<Moment>,
    /// The end was acknowledged.
    end_seen: Option<Moment>,
}

/// One session over a trial.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    presence: Presence,
    clean: bool,
    holdings: Vec<Holding>,
}

impl Default for Session {
    fn default() -> Session {
        Session { presence: Presence::Absent, clean: false, holdings: Vec::new() }
    }
}

impl Session {
    /// Whether the server acknowledged that it has the session, and nothing is on its way to end it.
    pub(crate) fn is_present(&self) -> bool {
        self.presence == Presence::Present
    }

    /// CONNECT is being sent.
    pub(crate) fn connect_sent(&mut self, clean_start: bool, now: Moment) {
        self.clean = clean_start;
        if clean_start {
            self.end_all(now);
        }
    }

    /// CONNACK accepted the connection. Errs if Session Present is not what it must be.
    pub(crate) fn connected(&mut self, present: bool, now: Moment) -> Result<(), Wrong> {
        let expected = if self.clean { Presence::Absent } else { self.presence };
        if !present {
            for holding in &mut self.holdings {
                holding.end_sent.get_or_insert(now);
                holding.end_seen.get_or_insert(now);
            }
        }
        self.presence = Presence::Present;
        match (expected, present) {
            (Presence::Absent, true) => {
                Err(Kind::SessionFalse.says("Session Present is 1 where no session can be"))
            }
            (Presence::Present, false) => {
                Err(Kind::SessionLost.says("Session Present is 0: an acknowledged session is gone"))
            }
            _ => Ok(()),
        }
    }

    /// A CONNECT was sent and its connection ended without CONNACK.
    pub(crate) fn connect_unanswered(&mut self) {
        if self.clean || self.presence == Presence::Absent {
            self.presence = Presence::InDoubt;
        }
    }

    /// A DISCONNECT that ends the session, or one of a 3.1.1 clean session, is being sent.
    pub(crate) fn ending(&mut self, now: Moment) {
        self.end_all(now);
        self.presence = Presence::InDoubt;
    }

    /// The server saw the end of the session, or cannot have the session any more.
    pub(crate) fn ended(&mut self) {
        self.presence = Presence::Absent;
    }

    /// SUBSCRIBE is being sent.
    pub(crate) fn subscribe_sent(&mut self, filter: Filter) {
        if self.holdings.iter().any(|one| one.filter == filter && one.end_sent.is_none()) {
            return;
        }
        self.holdings.push(Holding { filter, suback_seen: None, end_sent: None, end_seen: None });
    }

    /// SUBACK granted the filter.
    pub(crate) fn subscribed(&mut self, filter: Filter, now: Moment) {
        for holding in self.holdings.iter_mut().filter(|one| one.filter == filter && one.end_sent.is_none()) {
            holding.suback_seen.get_or_insert(now);
        }
    }

    /// UNSUBSCRIBE is being sent.
    pub(crate) fn unsubscribe_sent(&mut self, filter: Filter, now: Moment) {
        for holding in self.holdings.iter_mut().filter(|one| one.filter == filter) {
            holding.end_sent.get_or_insert(now);
        }
    }

    /// UNSUBACK was read.
    pub(crate) fn unsubscribed(&mut self, filter: Filter, now: Moment) {
        for holding in self.holdings.iter_mut().filter(|one| one.filter == filter && one.end_sent.is_some()) {
            holding.end_seen.get_or_insert(now);
        }
    }

    /// Whether a message on `topic` that was first sent at `sent` must reach the session.
    pub(crate) fn is_owed(&self, topic: Topic, sent: Moment) -> bool {
        self.holdings.iter().any(|holding| {
            holding.end_sent.is_none()
                && holding.suback_seen.is_some_and(|seen| seen < sent)
                && matches(holding.filter, topic)
        })
    }

    /// Whether a message on `topic` that was first sent at `sent` may reach the session at all.
    pub(crate) fn may_get(&self, topic: Topic, sent: Moment) -> bool {
        self.holdings
            .iter()
            .any(|holding| holding.end_seen.is_none_or(|seen| seen > sent) && matches(holding.filter, topic))
    }

    fn end_all(&mut self, now: Moment) {
        for holding in &mut self.holdings {
            holding.end_sent.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::topics::{filters, plain_topic};

    fn filter(text: &str) -> Filter {
        filters().iter().position(|filter| filter == text).expect("a filter of a trial")
    }

    #[test]
    fn session_present_must_be_true_to_what_was_acknowledged() {
        let mut session = Session::default();
        session.connect_sent(false, 1);
        assert!(session.clone().connected(true, 2).is_err(), "nothing was there");
        session.connect_unanswered();
        assert!(session.clone().connected(true, 3).is_ok(), "in doubt");
        assert!(session.connected(false, 3).is_ok(), "in doubt");
        session.connect_sent(false, 4);
        assert!(session.clone().connected(false, 5).is_err(), "it was acknowledged");
        assert!(session.connected(true, 5).is_ok());
        session.connect_sent(true, 6);
        assert!(session.clone().connected(true, 7).is_err(), "Clean Start");
        assert!(session.connected(false, 7).is_ok());
        session.ending(8);
        session.connect_sent(false, 9);
        assert!(session.clone().connected(true, 9).is_ok(), "the end may be lost");
        session.ended();
        assert!(session.connected(true, 10).is_err(), "it had ended");
    }

    #[test]
    fn messages_are_owed_from_suback_until_the_end_is_sent() {
        let topic = plain_topic(0, 0);
        let mut session = Session::default();
        session.subscribe_sent(filter("k/p0/#"));
        assert!(!session.is_owed(topic, 11), "SUBACK was not seen");
        assert!(session.may_get(topic, 11));
        session.subscribed(filter("k/p0/#"), 20);
        assert!(session.is_owed(topic, 21));
        assert!(!session.is_owed(topic, 19), "sent before SUBACK was seen");
        assert!(!session.is_owed(plain_topic(1, 0), 21), "no filter matches");
        session.unsubscribe_sent(filter("k/p0/#"), 30);
        assert!(!session.is_owed(topic, 21));
        assert!(session.may_get(topic, 21));
        session.unsubscribed(filter("k/p0/#"), 40);
        assert!(session.may_get(topic, 39));
        assert!(!session.may_get(topic, 41), "sent after UNSUBACK was seen");
        session.subscribe_sent(filter("k/#"));
        session.subscribed(filter("k/#"), 60);
        assert!(session.is_owed(topic, 61));
        session.connect_sent(true, 70);
        assert!(!session.is_owed(topic, 61), "Clean Start was sent");
    }
}
