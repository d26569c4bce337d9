//! The oracle: what was said to whom, and what follows from it. It knows nothing of the broker's ways.
//!
//! Every event has a number, and what is asked here is only ever which of two was first. Where a crash or a cut link leaves
//! open what the broker has seen, both are allowed; everything else is judged at once, or when all has come to a rest
//! ([`Oracle::missing`]).

mod delivery;
mod missing;
mod retained;

pub(crate) use missing::Books;

use std::collections::{BTreeMap, BTreeSet};

/// The oracle's complaint.
pub(crate) type Judged<T = ()> = Result<T, String>;

/// Complains unless it holds.
pub(crate) fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(complaint()) }
}

/// Added to a client's number, the publisher of its wills.
pub(crate) const WILLS: usize = 1000;

/// A message, and what its publisher knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// It clears the topic's retained message.
    pub(crate) clears: bool,
    /// When it was first sent; of a will: when its CONNECT was.
    pub(crate) sent: u64,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// When it was last sent.
    pub(crate) last_sent: u64,
    /// When the broker took it over, as its publisher knows.
    pub(crate) acknowledged: Option<u64>,
    /// The broker has said that it does not take it.
    pub(crate) refused: bool,
    /// The broker took nothing that it would have to store while this was on its way, and may have said so; nobody has heard it.
    pub(crate) may_be_refused: bool,
    /// It is a will: it comes when its connection has ended, in no order.
    pub(crate) is_will: bool,
    /// A will that its client took back, and knows that it did.
    pub(crate) cancelled: bool,
    /// Its Message Expiry Interval, in seconds, and the virtual millisecond in which it was sent first.
    pub(crate) expiry: Option<(u32, u64)>,
}

impl Message {
    /// A message that is sent at `sent`, and of which nothing else is known yet.
    pub(crate) fn new(publisher: usize, topic: impl Into<String>, qos: u8, sent: u64) -> Message {
        Message {
            publisher,
            topic: topic.into(),
            qos,
            retain: false,
            clears: false,
            sent,
            attempts: 1,
            last_sent: sent,
            acknowledged: None,
            refused: false,
            may_be_refused: false,
            is_will: false,
            cancelled: false,
            expiry: None,
        }
    }
}

/// A session, from the CONNACK that began it to the one that began another.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) client: usize,
    pub(crate) durable: bool,
    /// It was resumed, or may have been.
    pub(crate) resumed: bool,
    pub(crate) ended: bool,
    held: Vec<Held>,
    received: BTreeMap<usize, Received>,
    /// Messages that came at QoS 0.
    heard: BTreeSet<usize>,
    /// Messages that came with RETAIN to who wants it as published: as they were published, or as they were retained.
    as_retained: BTreeSet<usize>,
    /// The newest message of each publisher, topic and QoS.
    newest: BTreeMap<(usize, String, u8), usize>,
    /// Exchanges that the client has not yet answered to the end.
    open: BTreeMap<u16, usize>,
    /// Messages that it has answered to the end.
    done: BTreeSet<usize>,
    /// QoS 2 messages that wait for PUBREL.
    unreleased: BTreeMap<u16, usize>,
}

/// What a SUBSCRIBE asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

impl Wish {
    pub(crate) fn of(qos: u8) -> Wish {
        Wish { qos, no_local: false, retain_as_published: false }
    }

    /// The Subscription Options.
    pub(crate) fn byte(self) -> u8 {
        self.qos | u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3
    }
}

/// A subscription. It may have been asked for several times, and which of them a message has met is open.
#[derive(Debug)]
struct Held {
    filter: String,
    wishes: Vec<Wish>,
    /// SUBSCRIBE was sent, for the first time.
    asked: u64,
    granted: Option<u64>,
    /// UNSUBSCRIBE was sent.
    left: Option<u64>,
    /// UNSUBACK has come.
    gone: Option<u64>,
}

#[derive(Debug)]
struct Received {
    packet_id: u16,
    connection: u64,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) messages: Vec<Message>,
    pub(crate) sessions: Vec<Session>,
    /// When a member of a group last ended or left, as the broker sees it: until it notices, it sends to a member that is gone.
    group_left: BTreeMap<String, u64>,
    /// Who has got a QoS 2 message through a group.
    divided: BTreeMap<(String, usize), usize>,
}

impl Oracle {
    pub(crate) fn begin_session(&mut self, client: usize, durable: bool) -> usize {
        self.sessions.push(Session { client, durable, ..Session::default() });
        self.sessions.len() - 1
    }

    /// A session has ended for its client. `true`: it was a member of a group, and leaves QoS 1 messages of it to the others.
    pub(crate) fn end_session(&mut self, session: usize, now: u64) -> bool {
        self.sessions[session].ended = true;
        self.leave_groups(session, now);
        let session = &self.sessions[session];
        let mut leaves = false;
        for held in session.held.iter().filter(|held| group_of(&held.filter).is_some()) {
            let mut open = session.open.values().filter_map(|number| self.messages.get(*number));
            leaves |= open.any(|message| message.qos == 1 && matches(&held.filter, &message.topic));
        }
        leaves
    }

    /// To the broker the session is a member of its groups until now.
    pub(crate) fn leave_groups(&mut self, session: usize, now: u64) {
        for held in self.sessions[session].held.iter().filter(|held| group_of(&held.filter).is_some()) {
            self.group_left.insert(held.filter.clone(), now);
        }
    }

    /// SUBSCRIBE is sent.
    pub(crate) fn subscribe(&mut self, session: usize, filter: &str, wish: Wish, now: u64) {
        let held = &mut self.sessions[session].held;
        match held.iter_mut().find(|held| held.filter == filter && held.left.is_none()) {
            Some(again) => again.wishes.push(wish),
            None => held.push(Held {
                filter: filter.to_owned(),
                wishes: vec![wish],
                asked: now,
                granted: None,
                left: None,
                gone: None,
            }),
        }
    }

    /// SUBACK has come, for the SUBSCRIBE of the moment `sent`.
    pub(crate) fn subscribed(&mut self, session: usize, filter: &str, sent: u64, now: u64) {
        let held = self.sessions[session].held.iter_mut().filter(|held| held.filter == filter);
        for held in held.filter(|held| held.left.is_none() && held.asked <= sent) {
            held.granted.get_or_insert(now);
        }
    }

    /// UNSUBSCRIBE is sent.
    pub(crate) fn unsubscribe(&mut self, session: usize, filter: &str, now: u64) {
        for held in self.sessions[session].held.iter_mut().filter(|held| held.filter == filter) {
            held.left.get_or_insert(now);
        }
        if group_of(filter).is_some() {
            self.group_left.insert(filter.to_owned(), now);
        }
    }

    /// UNSUBACK has come, for the UNSUBSCRIBE of the moment `sent`.
    pub(crate) fn unsubscribed(&mut self, session: usize, filter: &str, sent: u64, now: u64) {
        let held = self.sessions[session].held.iter_mut().filter(|held| held.filter == filter);
        for held in held.filter(|held| held.left.is_some_and(|left| left <= sent)) {
            held.gone.get_or_insert(now);
        }
    }

    /// The client has sent its last answer to an exchange.
    pub(crate) fn answered(&mut self, session: usize, packet_id: u16) {
        let session = &mut self.sessions[session];
        session.done.extend(session.open.remove(&packet_id));
    }

    /// PUBREL has come. `true`: an exchange waited for it.
    pub(crate) fn released(&mut self, session: usize, packet_id: u16) -> bool {
        self.sessions[session].unreleased.remove(&packet_id).is_some()
    }
}

/// Whether a session's own client has published it, or had it as its will: No Local may keep it from it [MQTT-3.8.3-3].
fn is_own(session: &Session, message: &Message) -> bool {
    message.publisher % WILLS == session.client
}

/// The filter that a shared subscription divides.
fn group_of(filter: &str) -> Option<&str> {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map(|(_, divided)| divided)
}

/// Whether a topic matches a filter: the standard's rules, told anew.
fn matches(filter: &str, topic: &str) -> bool {
    let filter = group_of(filter).unwrap_or(filter);
    let (mut levels, mut names) = (filter.split('/'), topic.split('/'));
    loop {
        match (levels.next(), names.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_has_it() {
        for (filter, topic, expected) in [
            ("t/#", "t/1", true),
            ("t/#", "t", true),
            ("t/+", "t/1", true),
            ("t/+", "t/1/2", false),
            ("$share/a/g/#", "g/1", true),
            ("t/1", "t/2", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
