//! A subscribing session: comes and goes, is taken over, ended and made anew, subscribes and unsubscribes, and holds
//! its acknowledgements back now and then, so that a kill finds exchanges in every phase.

use super::inbound::{Inbound, Phase, Receipt};
use super::link::{Attempt, Event, Link, ReadEnd, Trail};
use super::message::MessageId;
use super::random::Random;
use super::session::Moment;
use super::topics::{Filter, crew_filter, filters};
use super::world::{Mode, World};
use barnacle_wire::{
    Ack, Connect, Disconnect, Packet, Property, Publish, Subscribe, Unsubscribe, Version, kind,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How a session behaves: chances in 10,000 for each turn, which is a few milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Protocol version.
    pub(crate) version: Version,
    /// Filters that it holds all the time, with their QoS.
    pub(crate) stable: Vec<(Filter, u8)>,
    /// Subscribes or unsubscribes something.
    pub(crate) churn: u64,
    /// Goes away, by DISCONNECT or without a word.
    pub(crate) leave: u64,
    /// How long it stays away, in milliseconds at most.
    pub(crate) away: u64,
    /// Connects again while the old connection is still there.
    pub(crate) take_over: u64,
    /// Ends the session and makes a new one.
    pub(crate) reset: u64,
    /// Is a member of the group and nothing else.
    pub(crate) crew: bool,
    /// Its session ends with its connection.
    pub(crate) passing: bool,
}

/// One session with what the client keeps across connections.
pub(crate) struct Subscriber<'a> {
    world: &'a World,
    index: usize,
    habits: Habits,
    random: Random,
    inbound: Inbound,
    /// Acknowledgements to be sent, in order, not before their time.
    answers: VecDeque<(Instant, u8, u16)>,
    /// What it wants to hold; what SUBACK confirmed of it; what it wants to be rid of.
    wanted: BTreeMap<Filter, u8>,
    confirmed: BTreeSet<Filter>,
    unwanted: BTreeSet<Filter>,
    requests: HashMap<u16, Request>,
    last_request: u16,
    /// The next CONNECT is to have Clean Start until one is acknowledged.
    clean_start: bool,
    /// The kills at the time of a DISCONNECT that ended the session.
    ended_at_kill: Option<u64>,
    connected_at: Moment,
    told_at: Instant,
    trail: Trail,
}

enum Request {
    Subscribe(Filter, u8),
    Unsubscribe(Filter),
}

/// How a connection is left.
enum Leave {
    Disconnect,
    Abort,
    TakeOver,
    Reset,
}

impl Subscriber<'_> {
    /// Session `index`, whose choices follow from `random`.
    pub(crate) fn new(world: &World, index: usize, habits: Habits, random: Random) -> Subscriber<'_> {
        Subscriber {
            world,
            index,
            wanted: habits.stable.iter().copied().collect(),
            habits,
            random,
            inbound: Inbound::default(),
            answers: VecDeque::new(),
            confirmed: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            requests: HashMap::new(),
            last_request: 0,
            clean_start: false,
            ended_at_kill: None,
            connected_at: 0,
            told_at: world.begin,
            trail: Trail::new(world.begin),
        }
    }

    /// Connects, receives and connects again until the campaign stops.
    pub(crate) fn run(mut self) {
        let mut old: Option<Link> = None;
        while self.world.mode() != Mode::Stop {
            self.settled(Some("not connected".to_owned()));
            let link = self.connect();
            // The old connection ends only when the new one has taken over, or failed to.
            if old.take().is_some() && link.is_some() {
                self.world.books().report.taken_over += 1;
            }
            let Some(mut link) = link else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            match self.receive_over(&mut link) {
                Ok(Some(Leave::TakeOver)) => old = Some(link),
                Ok(Some(leave)) => self.leave(link, leave),
                Ok(None) => {}
                Err(end) => self.lost(&link, &end),
            }
        }
    }

    fn connect(&mut self) -> Option<Link> {
        let version = self.habits.version;
        self.clean_start |= self.habits.passing;
        let mut connect = match self.habits.passing {
            true => Connect::new(version, &self.client_id()),
            false => Connect::persistent(version, &self.client_id()).clean_start(self.clean_start),
        };
        let receive_maximum = 1 + u16::try_from(self.random.below(60)).expect("a small number");
        if version == Version::V5 {
            connect = connect.property(Property::ReceiveMaximum(receive_maximum));
        }
        let (world, index, clean_start) = (self.world, self.index, self.clean_start);
        let attempt = Link::connect(world, &connect, &mut self.trail, || {
            let mut books = world.books();
            let (session, now) = books.ledger.session(index);
            session.connect_sent(clean_start, now);
        });
        let link = match attempt {
            Attempt::Connected(link) => link,
            Attempt::NotSent => return None,
            Attempt::Unanswered => {
                self.ended_at_kill = None;
                world.books().ledger.session(index).0.connect_unanswered();
                return None;
            }
            Attempt::Wrong(wrong) => {
                self.violation(&wrong);
                return None;
            }
        };
        self.connected(&link, if version == Version::V5 { receive_maximum } else { u16::MAX });
        Some(link)
    }

    fn connected(&mut self, link: &Link, receive_maximum: u16) {
        let result = {
            let mut books = self.world.books();
            let (session, now) = books.ledger.session(self.index);
            // The broker that saw the session end is the one that answers now.
            if self.ended_at_kill.take() == Some(link.kills) {
                session.ended();
            }
            let result = session.connected(link.present, now);
            // A clean session of 3.1.1 ends with its connection, whatever happens.
            if self.clean_start && self.habits.version != Version::V5 {
                session.ended();
            }
            books.report.resumed += u64::from(link.present);
            books.report.made += u64::from(!link.present);
            self.connected_at = now;
            result
        };
        if let Err(wrong) = result {
            self.violation(&wrong);
        }
        self.inbound.connected(link.present, receive_maximum);
        self.answers.clear();
        self.requests.clear();
        if !link.present {
            self.confirmed.clear();
            self.unwanted.clear();
        }
    }

    /// Runs one connection until the client leaves it, or the campaign stops.
    fn receive_over(&mut self, link: &mut Link) -> Result<Option<Leave>, ReadEnd> {
        if std::mem::take(&mut self.clean_start) && self.habits.version != Version::V5 {
            return Ok(Some(Leave::Abort));
        }
        // Most clients subscribe again whenever they connect.
        let again = self.random.chance(3_000);
        for (filter, qos) in self.wanted.clone() {
            if again || !self.confirmed.contains(&filter) {
                self.subscribe(link, filter, qos)?;
            }
        }
        for filter in self.unwanted.clone() {
            self.unsubscribe(link, filter)?;
        }
        loop {
            match self.world.mode() {
                Mode::Stop => return Ok(None),
                Mode::Settle => self.tell_whether_settled(),
                Mode::Load => {
                    if let Some(leave) = self.maybe_leave() {
                        return Ok(Some(leave));
                    }
                    if self.requests.is_empty() && self.random.chance(self.habits.churn) {
                        self.churn(link)?;
                    }
                }
            }
            self.answer_what_is_due(link)?;
            let mut patience = Duration::from_millis(2);
            let mut packets = 0;
            while packets < 200
                && let Some(packet) = link.read(patience, &mut self.trail)?
            {
                self.take(packet);
                patience = Duration::from_micros(1);
                packets += 1;
            }
        }
    }

    fn maybe_leave(&mut self) -> Option<Leave> {
        if self.random.chance(self.habits.leave) {
            return Some(if self.random.chance(5_000) { Leave::Disconnect } else { Leave::Abort });
        }
        if self.random.chance(self.habits.take_over) {
            return Some(Leave::TakeOver);
        }
        self.random.chance(self.habits.reset).then_some(Leave::Reset)
    }

    fn leave(&mut self, link: Link, leave: Leave) {
        let version = link.version();
        match leave {
            Leave::TakeOver => unreachable!("the old connection is kept for that"),
            Leave::Abort => link.abort(),
            Leave::Disconnect => {
                link.disconnect(&Disconnect::default().encode(version), self.world, &mut self.trail);
            }
            Leave::Reset => {
                {
                    let mut books = self.world.books();
                    books.report.ended += 1;
                    books.report.group_ended += u64::from(self.habits.crew);
                }
                if version == Version::V5 && self.random.chance(5_000) {
                    let kills = self.world.kills();
                    {
                        let mut books = self.world.books();
                        let (session, now) = books.ledger.session(self.index);
                        session.ending(now);
                    }
                    self.confirmed.clear();
                    let expiry = vec![Property::SessionExpiryInterval(0)];
                    let disconnect = Disconnect { reason: 0, properties: expiry }.encode(version);
                    if link.disconnect(&disconnect, self.world, &mut self.trail) {
                        self.ended_at_kill = Some(kills);
                    }
                } else {
                    link.abort();
                    self.clean_start = true;
                }
                // A new session begins with what the client always holds.
                self.wanted = self.habits.stable.iter().copied().collect();
                return;
            }
        }
        let until = Instant::now() + Duration::from_millis(self.random.below(self.habits.away.max(1)));
        while Instant::now() < until && self.world.mode() == Mode::Load {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn lost(&mut self, link: &Link, end: &ReadEnd) {
        if let ReadEnd::Malformed(error) = end {
            self.violation(&format!("malformed packet: {error}"));
        }
        if link.was_killed(self.world) {
            let mut books = self.world.books();
            if self.habits.crew {
                books.report.group_open += self.inbound.open().len() as u64;
            }
            for exchange in self.inbound.open().values() {
                match exchange.phase {
                    Phase::Received => books.report.publish_sent += 1,
                    Phase::RecSent => books.report.pubrec_sent += 1,
                    Phase::RelSeen => books.report.pubrel_seen += 1,
                }
            }
        }
    }

    /// Subscribes to something, perhaps again with another QoS, or unsubscribes from something.
    fn churn(&mut self, link: &mut Link) -> Result<(), ReadEnd> {
        // All but the shared one.
        let filter = usize::try_from(self.random.below(crew_filter() as u64)).expect("a small number");
        let is_stable = self.habits.stable.iter().any(|(stable, _)| *stable == filter);
        if self.wanted.contains_key(&filter) && !is_stable && self.random.chance(6_000) {
            self.wanted.remove(&filter);
            self.unwanted.insert(filter);
            return self.unsubscribe(link, filter);
        }
        let qos = if self.random.chance(5_000) { 1 } else { 2 };
        self.wanted.insert(filter, qos);
        self.unwanted.remove(&filter);
        self.subscribe(link, filter, qos)
    }

    fn subscribe(&mut self, link: &mut Link, filter: Filter, qos: u8) -> Result<(), ReadEnd> {
        self.world.books().ledger.session(self.index).0.subscribe_sent(filter);
        let packet_id = self.next_request(Request::Subscribe(filter, qos));
        self.trail.push(Event::Note(format!("SUBSCRIBE {packet_id} to {} at {qos}", filters()[filter])));
        Ok(link.send(&Subscribe::new(packet_id, &filters()[filter], qos).encode(link.version()))?)
    }

    fn unsubscribe(&mut self, link: &mut Link, filter: Filter) -> Result<(), ReadEnd> {
        {
            let mut books = self.world.books();
            let (session, now) = books.ledger.session(self.index);
            session.unsubscribe_sent(filter, now);
        }
        self.confirmed.remove(&filter);
        let packet_id = self.next_request(Request::Unsubscribe(filter));
        self.trail.push(Event::Note(format!("UNSUBSCRIBE {packet_id} from {}", filters()[filter])));
        Ok(link.send(&Unsubscribe::new(packet_id, &filters()[filter]).encode(link.version()))?)
    }

    fn next_request(&mut self, request: Request) -> u16 {
        self.last_request = self.last_request % u16::MAX + 1;
        self.requests.insert(self.last_request, request);
        self.last_request
    }

    fn answer_what_is_due(&mut self, link: &mut Link) -> Result<(), ReadEnd> {
        let now = Instant::now();
        while self.answers.front().is_some_and(|(due, ..)| *due <= now) {
            let (_, packet_kind, packet_id) = self.answers.pop_front().expect("the front was just seen");
            match packet_kind {
                kind::PUBACK => self.inbound.puback_sent(packet_id),
                kind::PUBREC => self.inbound.pubrec_sent(packet_id),
                _ => self.inbound.pubcomp_sent(packet_id),
            }
            link.ack(packet_kind, packet_id, &mut self.trail)?;
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet) {
        let result = match packet {
            Packet::Publish(publish) => self.take_message(&publish),
            Packet::PubRel(Ack { packet_id, reason: 0, .. }) => {
                self.trail.push(Event::Packet(packet));
                self.inbound.release(packet_id).map(|()| self.answer(kind::PUBCOMP, packet_id))
            }
            Packet::SubAck(suback) => self.take_suback(suback.packet_id, &suback.reasons),
            Packet::UnsubAck(unsuback) => self.take_unsuback(unsuback.packet_id, &unsuback.reasons),
            other => Err(format!("{other:?} is nothing that a subscriber should get")),
        };
        if let Err(wrong) = result {
            self.violation(&wrong);
        }
    }

    fn take_message(&mut self, publish: &Publish) -> Result<(), String> {
        let Publish { dup, qos, retain, packet_id, .. } = *publish;
        let Some((id, topic)) = MessageId::parse(&publish.topic, &publish.payload) else {
            return Err(format!("a message on {} that nobody sent", publish.topic));
        };
        self.trail.push(Event::Received { id, packet_id, qos, dup, retain });
        if qos == 0 {
            return Err(format!("{id} came at QoS 0, which no publisher and no subscription has"));
        }
        let receipt = self.inbound.publish(packet_id, id, qos, dup)?;
        self.answer(if qos == 1 { kind::PUBACK } else { kind::PUBREC }, packet_id);
        let mut books = self.world.books();
        if receipt == Receipt::Again {
            books.report.redeliveries += 1;
            return Ok(());
        }
        if dup && books.ledger.sent_at(id).is_some_and(|sent| sent > self.connected_at) {
            return Err(format!("{id} came with DUP, but was published after this connection was made"));
        }
        if retain {
            return Ok(());
        }
        books.report.delivered += 1;
        if self.habits.crew {
            let exactly_once = qos == 2 && books.ledger.qos_of(id) == Some(2);
            let handed_on = books.crew.delivered(self.index, id, exactly_once)?;
            books.report.group_delivered += 1;
            books.report.group_handed_on += u64::from(handed_on);
            return Ok(());
        }
        books.ledger.delivered(self.index, id, topic, qos)
    }

    /// Queues an acknowledgement, sometimes for later; those behind it wait too, as order demands.
    fn answer(&mut self, packet_kind: u8, packet_id: u16) {
        let held = if self.random.chance(150) { self.random.below(25) } else { 0 };
        self.answers.push_back((Instant::now() + Duration::from_millis(held), packet_kind, packet_id));
    }

    fn take_suback(&mut self, packet_id: u16, reasons: &[u8]) -> Result<(), String> {
        self.trail.push(Event::Note(format!("SUBACK {packet_id} {reasons:?}")));
        let Some(Request::Subscribe(filter, qos)) = self.requests.remove(&packet_id) else {
            return Err(format!("SUBACK of {packet_id}, which was not asked"));
        };
        if reasons != [qos] {
            return Err(format!("SUBACK {reasons:?} for {} at QoS {qos}", filters()[filter]));
        }
        self.confirmed.insert(filter);
        let mut books = self.world.books();
        books.report.subscribed += 1;
        let (session, now) = books.ledger.session(self.index);
        session.subscribed(filter, now);
        if self.habits.crew {
            books.crew.joined(now);
        }
        Ok(())
    }

    fn take_unsuback(&mut self, packet_id: u16, reasons: &[u8]) -> Result<(), String> {
        self.trail.push(Event::Note(format!("UNSUBACK {packet_id} {reasons:?}")));
        let Some(Request::Unsubscribe(filter)) = self.requests.remove(&packet_id) else {
            return Err(format!("UNSUBACK of {packet_id}, which was not asked"));
        };
        self.unwanted.remove(&filter);
        let mut books = self.world.books();
        books.report.unsubscribed += 1;
        let (session, now) = books.ledger.session(self.index);
        session.unsubscribed(filter, now);
        Ok(())
    }

    fn tell_whether_settled(&mut self) {
        let is_settled =
            self.inbound.open().is_empty() && self.answers.is_empty() && self.requests.is_empty();
        if is_settled {
            self.settled(None);
        } else if self.told_at.elapsed() > Duration::from_millis(200) {
            self.told_at = Instant::now();
            let open: Vec<String> =
                self.inbound.open().iter().map(|(packet_id, one)| format!("{packet_id} {one:?}")).collect();
            let requests = self.requests.len();
            let trail = self.trail.tell();
            let waits =
                format!("{requests} requests without answer, open exchanges {open:?}, last events:\n{trail}");
            self.settled(Some(waits));
        } else {
            self.settled(Some("just became unsettled".to_owned()));
        }
    }

    fn settled(&self, unsettled: Option<String>) {
        let mut books = self.world.books();
        let told = &mut books.unsettled[self.index];
        // A fuller account stays until there is a newer one.
        if told.is_none() || unsettled.as_ref().is_none_or(|text| text.len() > 30) {
            *told = unsettled;
        }
    }

    fn client_id(&self) -> String {
        format!("session-{}", self.index)
    }

    fn violation(&self, text: &str) {
        let (name, trail) = (self.client_id(), self.trail.tell());
        let version = self.habits.version;
        self.world
            .books()
            .violations
            .push(format!("{name} ({version:?}): {text}\n  its last events:\n{trail}"));
    }
}
