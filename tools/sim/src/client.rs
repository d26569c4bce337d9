//! A simulated client: what it asks for, what it answers, and what it believes.
//!
//! It keeps to the standard, so whatever goes wrong is the broker's doing. Its wire code is `barnacle-wire`, not the broker's.

mod publishing;
mod receiving;
mod subscribing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use barnacle_wire::packets::{Disconnect, ping};
use barnacle_wire::{Connect, Property, Version, Will};
use tokio::time::Instant;

use crate::network::Link;
use crate::oracle::{Judged, Message, Oracle, WILLS, ensure};
use crate::random::Random;
use crate::scenario::Role;
use crate::trace::Trace;

use publishing::Outgoing;
use subscribing::Asked;

/// What a client works with beside itself.
pub(crate) struct Surroundings<'a> {
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) trace: &'a mut Trace,
    /// Everything comes to a rest: answers are prompt.
    pub(crate) resting: bool,
}

/// A client.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) role: Role,
    seed: u64,
    random: Random,
    link: Option<Link>,
    /// The last link, if it was left behind before CONNACK.
    unanswered_link: Option<Link>,
    /// Links that it has left behind, and the broker has not.
    old_links: Vec<Link>,
    /// Sessions that have ended for the client, and may go on for the broker as long as these links do.
    lingering: Vec<(usize, Vec<Link>)>,
    inbox: Vec<u8>,
    /// Number of the connection, of all that it ever had.
    connection: u64,
    /// CONNACK has come.
    pub(crate) online: bool,
    /// CONNECT asked for a clean start, and the answer to one that did has not come yet.
    wants_clean: bool,
    known: Known,
    /// When it saw the broker close behind DISCONNECT.
    said_good_bye: Option<Instant>,
    /// So long ago that was, when CONNECT was sent.
    away: Option<Duration>,
    /// The session in the oracle's books.
    pub(crate) session: Option<usize>,
    outgoing: Vec<Outgoing>,
    asked: Vec<Asked>,
    /// Acknowledgements not yet sent, in order.
    answers: VecDeque<(u8, u16)>,
    aliases: BTreeMap<u16, String>,
    /// For so many looks it does not read.
    stalled: u32,
    leaving: bool,
    last_sent: Instant,
    /// It was never silent for longer than its keep-alive.
    punctual: bool,
    will: Option<usize>,
    /// What it got as retained, by topic.
    pub(crate) retained: BTreeMap<String, usize>,
    /// When its session began.
    began: u64,
    /// Exchanges that the broker has begun on this connection, and the client has not ended.
    unanswered: BTreeSet<u16>,
}

/// The store's clock counts whole milliseconds, at each of its starts.
const CLOCK_MILLIS: u128 = 100;

/// What it knows of its session at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// There is none.
    Absent,
    /// It was there when the broker was last heard.
    Present(Instant),
    /// A CONNECT was not answered.
    Unsure,
}

impl Client {
    pub(crate) fn new(number: usize, role: Role, seed: u64) -> Client {
        Client {
            number,
            role,
            seed,
            random: Random::of(seed, "client", number as u64),
            link: None,
            unanswered_link: None,
            old_links: Vec::new(),
            lingering: Vec::new(),
            inbox: Vec::new(),
            connection: 0,
            online: false,
            wants_clean: false,
            known: Known::Absent,
            said_good_bye: None,
            away: None,
            session: None,
            outgoing: Vec::new(),
            asked: Vec::new(),
            answers: VecDeque::new(),
            aliases: BTreeMap::new(),
            stalled: 0,
            leaving: false,
            last_sent: Instant::now(),
            punctual: true,
            will: None,
            retained: BTreeMap::new(),
            began: 0,
            unanswered: BTreeSet::new(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// It is connected, and nothing that it has begun is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.online
            && !self.leaving
            && self.has_published()
            && self.has_subscribed()
            && self.answers.is_empty()
    }

    fn lasts(&self) -> bool {
        self.role.session_expiry > 0
    }

    /// Sends CONNECT on a new link. What it had before is left behind as it is.
    pub(crate) fn connect(&mut self, link: Link, clean: bool, around: &mut Surroundings<'_>) {
        self.leave_behind(around);
        // A CONNECT that is not answered does not arrive any more: behind this one, it would take over from it.
        if let Some(unanswered) = self.unanswered_link.take() {
            unanswered.lose_what_flies();
        }
        self.connection += 1;
        self.away = self.said_good_bye.take().map(|at| at.elapsed());
        // It was away for so long that it cannot tell a session that it has made by a CONNECT without an answer from the one
        // that it had: it asks for a new one.
        let expires = self.lasts() && self.role.session_expiry < u32::MAX;
        self.wants_clean |= expires && self.known == Known::Unsure;
        self.random = Random::of(self.seed, "connection", self.connection << 8 | self.number as u64);
        self.wants_clean |= clean;
        let clean_start = self.wants_clean || (!self.lasts() && self.role.version == Version::V311);
        if self.wants_clean {
            self.forget_session(around);
        }
        let mut connect = Connect::new(self.role.version, &format!("c{}", self.number))
            .clean_start(clean_start)
            .keep_alive(self.role.keep_alive);
        if self.role.version == Version::V5 {
            connect = connect
                .property(Property::SessionExpiryInterval(self.role.session_expiry))
                .property(Property::ReceiveMaximum(self.role.receive_maximum))
                .property(Property::TopicAliasMaximum(4));
        }
        let sent = around.trace.note(format_args!(
            "c{} CONNECT {:?} clean {clean_start} expiry {}",
            self.number, self.role.version, self.role.session_expiry
        ));
        self.will = self.role.will.then(|| {
            let number = around.oracle.messages.len();
            let topic = format!("w/{}", self.number);
            let message = Message { is_will: true, ..Message::new(WILLS + self.number, topic, 1, sent) };
            around.oracle.messages.push(message);
            number
        });
        if let Some(number) = self.will {
            connect = connect.will(Will {
                topic: format!("w/{}", self.number),
                payload: format!("m{number}").into_bytes(),
                qos: 1,
                ..Will::default()
            });
        }
        self.link = Some(link);
        self.punctual = true;
        self.last_sent = Instant::now();
        self.send(&connect.encode());
    }

    fn end_session(&mut self, session: usize, now: u64, around: &mut Surroundings<'_>) {
        if around.oracle.end_session(session, now) {
            around.trace.count("messages of a group left to others");
        }
        self.lingering.push((session, self.old_links.clone()));
    }

    /// As long as the broker has not noticed the end of a connection, the session that has ended with it is a member of its
    /// groups, and what it is sent at QoS 2 goes to nobody else [MQTT-4.8.2-5].
    fn look_after_old_links(&mut self, around: &mut Surroundings<'_>) {
        self.old_links.retain(|link| !link.is_left());
        let now = around.trace.events;
        self.lingering.retain_mut(|(session, links)| {
            around.oracle.leave_groups(*session, now);
            links.retain(|link| !link.is_left());
            !links.is_empty()
        });
    }

    /// Everything that it knows of its session goes: it has asked for another, or has been told that there is none.
    fn forget_session(&mut self, around: &mut Surroundings<'_>) {
        self.outgoing.clear();
        self.known = if self.known == Known::Absent { Known::Absent } else { Known::Unsure };
        if let Some(session) = self.session.take() {
            let now = around.trace.note(format_args!("c{} gives its session up", self.number));
            self.end_session(session, now, around);
        }
    }

    /// The connection is over for the client, for whatever reason.
    fn leave_behind(&mut self, around: &mut Surroundings<'_>) {
        let Some(link) = self.link.take() else { return };
        self.old_links.push(link.clone());
        self.unanswered_link = Some(link).filter(|_| !self.online);
        if let (Some(number), false) = (self.will.take(), self.leaving) {
            let will = &mut around.oracle.messages[number];
            // Only where the session ends with its connection it is sure to come.
            if self.online && !self.lasts() && !will.cancelled {
                will.acknowledged = Some(around.trace.events);
                around.trace.count("wills that are due");
            }
        }
        if !self.online && self.lasts() {
            self.known = Known::Unsure;
        }
        if self.online && (!self.lasts() || (self.role.version == Version::V311 && self.wants_clean)) {
            // The session has ended with the connection.
            self.forget_session(around);
            self.known = Known::Absent;
        }
        if self.online {
            self.wants_clean = false;
        }
        self.online = false;
        self.leaving = false;
        self.inbox.clear();
        self.answers.clear();
        self.aliases.clear();
        self.asked.clear();
        self.unanswered.clear();
        self.stalled = 0;
    }

    /// The link breaks under both.
    pub(crate) fn cut(&mut self, around: &mut Surroundings<'_>) {
        if let Some(link) = &self.link {
            link.cut();
            around.trace.note(format_args!("c{} is cut off", self.number));
            around.trace.count("links cut");
        }
        self.leave_behind(around);
    }

    /// The client is gone, and the broker does not notice.
    pub(crate) fn vanish(&mut self, around: &mut Surroundings<'_>) {
        if let Some(link) = &self.link {
            link.vanish();
            around.trace.note(format_args!("c{} vanishes", self.number));
            around.trace.count("links half-open");
        }
        self.leave_behind(around);
    }

    /// DISCONNECT; the client then waits for the end of the link.
    pub(crate) fn disconnect(&mut self, around: &mut Surroundings<'_>) {
        if self.online && !self.leaving {
            around.trace.note(format_args!("c{} DISCONNECT", self.number));
            self.send(&Disconnect::default().encode(self.role.version));
            self.leaving = true;
        }
    }

    /// Does not read for some time.
    pub(crate) fn stall(&mut self, looks: u32) {
        self.stalled = looks;
    }

    /// Looks at what has come, and answers.
    pub(crate) fn look(&mut self, around: &mut Surroundings<'_>) -> Judged {
        self.look_after_old_links(around);
        let Some(link) = self.link.clone() else { return Ok(()) };
        if self.stalled > 0 && !around.resting {
            self.stalled -= 1;
            return Ok(());
        }
        self.inbox.extend(link.receive());
        self.take_packets(around)?;
        self.answer(around);
        self.keep_alive(around.resting);
        if link.has_ended() && self.link.is_some() {
            around.trace.note(format_args!("c{} sees the end of its link", self.number));
            self.confirm_good_bye(&link, around);
            self.leave_behind(around);
        }
        Ok(())
    }

    /// The broker has closed behind DISCONNECT, in order and not for another reason: the will is taken back, and a session that lasts
    /// expires from then on at the latest.
    fn confirm_good_bye(&mut self, link: &Link, around: &mut Surroundings<'_>) {
        if self.leaving && self.punctual && link.ended_in_order() && self.lasts() {
            self.said_good_bye = Some(Instant::now());
        }
        if let (true, true, true, Some(number)) =
            (self.leaving, self.punctual, link.ended_in_order(), self.will)
        {
            around.oracle.messages[number].cancelled = true;
            around.trace.count("wills taken back");
        }
    }

    /// The session was there when the broker last sent something, if it lasts at all.
    pub(super) fn heard(&mut self) {
        if let Some(link) = self.link.as_ref().filter(|_| self.lasts()) {
            self.known = Known::Present(link.last_written());
        }
    }

    fn note_silence(&mut self) {
        let keep_alive = u128::from(self.role.keep_alive) * 1000;
        self.punctual &= keep_alive == 0 || self.last_sent.elapsed().as_millis() < keep_alive;
    }

    fn keep_alive(&mut self, resting: bool) {
        self.note_silence();
        let silent = self.last_sent.elapsed().as_millis();
        let keep_alive = u128::from(self.role.keep_alive) * 1000;
        if self.online
            && !self.leaving
            && keep_alive > 0
            && (silent * 2 > keep_alive || resting && silent > 1000)
        {
            self.send(&ping());
        }
    }

    /// The broker may end the connection for a reason of its own.
    pub(crate) fn doubt(&mut self) {
        self.punctual = false;
    }

    fn send(&mut self, bytes: &[u8]) {
        self.note_silence();
        if let Some(link) = self.link.as_ref().filter(|_| !self.leaving) {
            link.send(bytes);
            self.last_sent = Instant::now();
        }
    }

    /// CONNACK has come.
    fn connected(&mut self, present: bool, reason: u8, around: &mut Surroundings<'_>) -> Judged {
        ensure(!self.online, || "a second CONNACK".to_owned())?;
        ensure(reason == 0, || format!("CONNACK with reason {reason:#x}"))?;
        let now = around.trace.note(format_args!("c{} CONNACK present {present}", self.number));
        self.online = true;
        let clean = self.wants_clean || !self.lasts();
        ensure(!(present && clean), || "Session Present, and there can be none".to_owned())?;
        let expiry = u128::from(self.role.session_expiry) * 1000;
        if self.away.take().is_some_and(|away| away.as_millis() > expiry + CLOCK_MILLIS) {
            ensure(!present, || "Session Present, though it has expired".to_owned())?;
            around.trace.count("sessions that have expired");
        }
        match self.known {
            Known::Absent => ensure(!present, || "Session Present, and there never was one".to_owned())?,
            Known::Present(heard) if !clean && heard.elapsed().as_millis() < expiry => {
                ensure(present, || "no Session Present, though it has not expired".to_owned())?;
            }
            _ => {}
        }
        self.heard();
        if present && let Some(session) = self.session {
            around.oracle.sessions[session].resumed = true;
            around.trace.count("sessions resumed");
            self.resume(around);
            return Ok(());
        }
        if let Some(session) = self.session.take() {
            self.end_session(session, now, around);
        }
        self.outgoing.clear();
        let durable = self.lasts() && !(self.role.version == Version::V311 && self.wants_clean);
        let session = around.oracle.begin_session(self.number, durable);
        around.oracle.sessions[session].resumed = present;
        self.session = Some(session);
        self.began = now;
        if self.role.version == Version::V5 {
            self.wants_clean = false;
        }
        Ok(())
    }
}
