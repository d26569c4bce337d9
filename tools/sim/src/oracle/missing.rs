//! What somebody should have got and has not, when all has come to a rest; and what the broker says that it has dropped.
//!
//! What a limit or an expiry drops, nobody but the broker knows. It counts it, so the oracle holds it to its counts: of what may have
//! been dropped no more is missing than was counted, and no more was counted than is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, Message, Oracle, Session, group_of, is_own, matches};

/// What the broker has counted, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The virtual millisecond.
    pub(crate) now: u64,
    /// Sessions have a limit.
    pub(crate) limits_sessions: bool,
    /// Groups have a limit.
    pub(crate) limits_groups: bool,
    /// Of each client's stored session, for its limit and for expiry: at most, and exactly.
    pub(crate) sessions: BTreeMap<usize, (u64, u64)>,
    /// For limits of groups.
    pub(crate) groups: u64,
}

/// Why a message may be missing.
enum Excuse {
    /// It may not.
    None,
    /// It has expired where nobody has to say so yet.
    Expired,
    /// Its session has dropped and counted it.
    BySession,
    /// Its group has.
    ByGroup,
}

impl Oracle {
    /// Messages that somebody should have got and has not, and counts that do not fit.
    pub(crate) fn missing(&self, books: &Books) -> Vec<String> {
        let mut missing = Vec::new();
        let mut dropped_by_groups = BTreeSet::new();
        for session in self.sessions.iter().filter(|session| !session.ended) {
            let mut dropped = Vec::new();
            for (number, message) in self.messages.iter().enumerate() {
                let Some(held) = self.missing_in(session, number, message) else { continue };
                match books.excuse(session, held, message) {
                    Excuse::None => missing.push(format!(
                        "client {} has not got m{number} by {}: {message:?}",
                        session.client, held.filter
                    )),
                    Excuse::Expired => {}
                    Excuse::BySession => dropped.push(number),
                    Excuse::ByGroup => drop(dropped_by_groups.insert((&held.filter, number))),
                }
            }
            missing.extend(self.check_counts(session, &dropped, books));
        }
        if dropped_by_groups.len() as u64 > books.groups {
            missing.push(format!("{} were dropped of groups: {dropped_by_groups:?}", books.groups));
        }
        missing
    }

    /// The subscription by which a session should have got a message that it has not got.
    fn missing_in<'a>(&self, session: &'a Session, number: usize, message: &Message) -> Option<&'a Held> {
        if message.qos == 0 || message.refused || message.acknowledged.is_none() || message.clears {
            return None;
        }
        let due = |held: &&Held| {
            held.wishes.iter().all(|wish| wish.qos > 0 && !(wish.no_local && is_own(session, message)))
                && held.left.is_none()
                && held.granted.is_some_and(|granted| granted < message.sent)
                && matches(&held.filter, &message.topic)
        };
        if session.received.contains_key(&number) || session.as_retained.contains(&number) {
            return None;
        }
        let held = session.held.iter().find(due)?;
        if group_of(&held.filter).is_some() && self.is_done_in_group(session, held, number, message) {
            return None;
        }
        Some(held)
    }

    /// Somebody of the group has it, or it may have gone with a member that has ended [MQTT-4.8.2-5]. At QoS 1 it goes to
    /// another then, unless the member had acknowledged it.
    fn is_done_in_group(&self, session: &Session, held: &Held, number: usize, message: &Message) -> bool {
        let of_group = |other: &&Session| other.held.iter().any(|of_other| of_other.filter == held.filter);
        let ended = self.group_left.get(&held.filter).is_some_and(|at| *at > message.sent);
        let has_it = |other: &Session| {
            other.received.contains_key(&number) && (!other.ended || other.done.contains(&number))
        };
        !session.durable || (message.qos == 2 && ended) || self.sessions.iter().filter(of_group).any(has_it)
    }

    /// What was counted for a session, against what it has not got.
    fn check_counts(&self, session: &Session, dropped: &[usize], books: &Books) -> Option<String> {
        if !session.durable {
            return None;
        }
        let client = session.client;
        let (at_most, exactly) = books.sessions.get(&client).copied().unwrap_or_default();
        if dropped.len() as u64 > at_most {
            return Some(format!(
                "client {client} has not got {dropped:?}, and at most {at_most} were counted as dropped"
            ));
        }
        // Whatever it may ever have wanted. What was sent twice at QoS 1 is two messages to the broker.
        let wanted =
            |message: &Message| session.held.iter().any(|held| matches(&held.filter, &message.topic));
        let wanted = self.messages.iter().enumerate().filter(|(_, message)| wanted(message));
        let lacking = wanted.map(|(number, message)| {
            let got = session.received.contains_key(&number) || session.heard.contains(&number);
            u64::from(message.attempts) - u64::from(got)
        });
        let lacking: u64 = lacking.sum();
        (exactly > lacking).then(|| {
            format!("client {client} lacks {lacking} messages at most, and {exactly} were counted as dropped")
        })
    }
}

impl Books {
    fn excuse(&self, session: &Session, held: &Held, message: &Message) -> Excuse {
        let (is_shared, expired) = (group_of(&held.filter).is_some(), message.has_expired(self.now));
        match (is_shared, session.durable) {
            // Whoever took it counts it: a session that is not stored at its end.
            (true, _) | (false, false) if expired => Excuse::Expired,
            (true, _) if self.limits_groups => Excuse::ByGroup,
            (false, true) if expired || self.limits_sessions => Excuse::BySession,
            _ => Excuse::None,
        }
    }
}

impl Message {
    /// Whether its publisher would say so. The broker has got it later.
    fn has_expired(&self, now: u64) -> bool {
        self.expiry.is_some_and(|(seconds, sent)| now >= sent + u64::from(seconds) * 1000)
    }
}
