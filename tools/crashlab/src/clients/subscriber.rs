//! A subscribing session: comes and goes, is taken over, ended and made anew, subscribes and unsubscribes, and holds
//! its acknowledgements back now and then, so that a kill finds exchanges in every phase.

use crate::books::finding::{Kind, Wrong};
use crate::books::message::MessageId;
use crate::books::session::Moment;
use crate::books::topics::{Filter, crew_filter, filters};
use crate::clients::habits::Habits;
use crate::clients::inbound::{Inbound, Phase, Receipt};
use crate::clients::link::{Attempt, Link, ReadEnd};
use crate::clients::trail::{Event, Trail};
use crate::random::Random;
use crate::trap::Point;
use crate::world::{Mode, World};
use barnacle_wire::{
    Ack, Connect, Disconnect, Packet, Property, Publish, Subscribe, Unsubscribe, Version, kind,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long after a refusal to ask again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// One session with what the client keeps across connections.
pub(crate) struct Subscriber<'w> {
    world: &'w World,
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
    /// The breaks at the time of a DISCONNECT that ended the session.
    ended_at_break: Option<u64>,
    /// A DISCONNECT that ends the session was sent since the last CONNACK.
    end_sent: bool,
    /// And then a CONNECT that had no answer: it may have made another session.
    may_be_another: bool,
    connected_at: Moment,
    /// When the broker last refused a subscription.
    refused_at: Option<Instant>,
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

impl<'w> Subscriber<'w> {
    /// Session `index`, whose choices follow from `random`.
    pub(crate) fn new(world: &'w World, index: usize, habits: Habits, random: Random) -> Subscriber<'w> {
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
            ended_at_break: None,
            end_sent: false,
            may_be_another: false,
            connected_at: 0,
            refused_at: None,
            told_at: world.begin,
            trail: Trail::new(world.begin),
        }
    }

    /// Connects, receives and connects again until the trial stops.
    pub(crate) fn run(mut self) {
        let mut old: Option<Link<'w>> = None;
        while self.world.mode() != Mode::Stop {
            self.settled(Some("not connected".to_owned()));
            let link = self.connect();
            // The old connection ends only when the new one has taken over, or failed to.
            if old.take().is_some() && link.is_some() {
                self.world.books().coverage.taken_over += 1;
            }
            let Some(mut link) = link else {
                self.world.rest(Duration::from_millis(5));
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

    fn connect(&mut self) -> Option<Link<'w>> {
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
                self.ended_at_break = None;
                self.may_be_another |= self.end_sent;
                world.books().ledger.session(index).0.connect_unanswered();
                return None;
            }
            Attempt::Wrong(wrong) => {
                self.wrong(Kind::Answer.says(wrong));
                return None;
            }
        };
        self.connected(&link, if version == Version::V5 { receive_maximum } else { u16::MAX });
        Some(link)
    }

    fn connected(&mut self, link: &Link<'_>, receive_maximum: u16) {
        let result = {
            let mut books = self.world.books();
            let (session, _) = books.ledger.session(self.index);
            // The broker that saw the session end is the one that answers now.
            if self.ended_at_break.take() == Some(link.breaks) {
                session.ended();
            }
            // Nobody resumes what is gone: what it was owed is lost, whatever comes to its successor.
            let owed: Vec<MessageId> = match link.present {
                true => Vec::new(),
                false => books.ledger.missing_of(self.index).map(|(_, id, _)| id).collect(),
            };
            let (session, now) = books.ledger.session(self.index);
            let result = session.connected(link.present, now);
            if result.as_ref().is_err_and(|wrong| wrong.kind == Kind::SessionLost) {
                books.went_with_session += owed.len() as u64;
            }
            let (session, _) = books.ledger.session(self.index);
            // A clean session of 3.1.1 ends with its connection, whatever happens.
            if self.clean_start && self.habits.version != Version::V5 {
                session.ended();
            }
            books.coverage.resumed += u64::from(link.present);
            books.coverage.made += u64::from(!link.present);
            self.connected_at = now;
            result
        };
        if let Err(wrong) = result {
            self.wrong(wrong);
        }
        self.inbound.connected(link.present, receive_maximum);
        self.end_sent = false;
        if std::mem::take(&mut self.may_be_another) && link.present {
            self.inbound.doubt();
        }
        self.answers.clear();
        self.requests.clear();
        if !link.present {
            self.confirmed.clear();
            self.unwanted.clear();
        }
    }

    /// Runs one connection until the client leaves it, or the trial stops.
    fn receive_over(&mut self, link: &mut Link<'_>) -> Result<Option<Leave>, ReadEnd> {
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
                Mode::Settle => {
                    self.ask_again(link)?;
                    self.tell_whether_settled();
                }
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

    /// Asks once more for what was refused while the broker was in trouble.
    fn ask_again(&mut self, link: &mut Link<'_>) -> Result<(), ReadEnd> {
        if self.requests.is_empty() && self.refused_at.is_some_and(|at| at.elapsed() > ASK_AGAIN) {
            self.refused_at = None;
            for (filter, qos) in self.wanted.clone() {
                if !self.confirmed.contains(&filter) {
                    self.subscribe(link, filter, qos)?;
                }
            }
            for filter in self.unwanted.clone() {
                self.unsubscribe(link, filter)?;
            }
        }
        Ok(())
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

    fn leave(&mut self, link: Link<'_>, leave: Leave) {
        let version = link.version();
        match leave {
            Leave::TakeOver => unreachable!("the old connection is kept for that"),
            Leave::Abort => link.abort(),
            Leave::Disconnect => {
                link.disconnect(&Disconnect::default().encode(version), &mut self.trail);
            }
            Leave::Reset => {
                {
                    let mut books = self.world.books();
                    books.coverage.ended += 1;
                    books.coverage.group_ended += u64::from(self.habits.crew);
                }
                if version == Version::V5 && self.random.chance(5_000) {
                    let breaks = self.world.breaks();
                    {
                        let mut books = self.world.books();
                        let (session, now) = books.ledger.session(self.index);
                        session.ending(now);
                    }
                    self.confirmed.clear();
                    self.end_sent = true;
                    let expiry = vec![Property::SessionExpiryInterval(0)];
                    let disconnect = Disconnect { reason: 0, properties: expiry }.encode(version);
                    if link.disconnect(&disconnect, &mut self.trail) {
                        self.ended_at_break = Some(breaks);
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
            self.world.rest(until.saturating_duration_since(Instant::now()));
        }
    }

    fn lost(&mut self, link: &Link<'_>, end: &ReadEnd) {
        if let ReadEnd::Malformed(error) = end {
            self.wrong(Kind::Malformed.says(error));
        }
        if link.was_broken() {
            let mut books = self.world.books();
            if self.habits.crew {
                books.coverage.group_open += self.inbound.open().len() as u64;
            }
            for exchange in self.inbound.open().values() {
                match exchange.phase {
                    Phase::Received => books.coverage.publish_sent += 1,
                    Phase::RecSent => books.coverage.pubrec_sent += 1,
                    Phase::RelSeen => books.coverage.pubrel_seen += 1,
                }
            }
        }
    }

    /// Subscribes to something, perhaps again with another QoS, or unsubscribes from something.
    fn churn(&mut self, link: &mut Link<'_>) -> Result<(), ReadEnd> {
        // All but the shared one.
        let filter = usize::try_from(self.random.below(crew_filter() as u64)).expect("a small number");
        let is_stable = self.habits.stable.iter().any(|(stable, _)| *stable == filter);
        if self.wanted.contains_key(&filter) && !is_stable && self.random.chance(6_000) {
            self.wanted.remove(&filter);
            self.unwanted.insert(filter);
            return self.unsubscribe(link, filter);
        }
        let qos = if self.random.chance(5_000) { 1 } else { self.world.speaks.qos };
        self.wanted.insert(filter, qos);
        self.unwanted.remove(&filter);
        self.subscribe(link, filter, qos)
    }

    fn subscribe(&mut self, link: &mut Link<'_>, filter: Filter, qos: u8) -> Result<(), ReadEnd> {
        self.world.books().ledger.session(self.index).0.subscribe_sent(filter);
        let packet_id = self.next_request(Request::Subscribe(filter, qos));
        self.trail.push(Event::Note(format!("SUBSCRIBE {packet_id} to {} at {qos}", filters()[filter])));
        let subscribe = Subscribe::new(packet_id, &filters()[filter], qos).encode(link.version());
        Ok(link.send(&subscribe, Point::Subscribe)?)
    }

    fn unsubscribe(&mut self, link: &mut Link<'_>, filter: Filter) -> Result<(), ReadEnd> {
        {
            let mut books = self.world.books();
            let (session, now) = books.ledger.session(self.index);
            session.unsubscribe_sent(filter, now);
        }
        self.confirmed.remove(&filter);
        let packet_id = self.next_request(Request::Unsubscribe(filter));
        self.trail.push(Event::Note(format!("UNSUBSCRIBE {packet_id} from {}", filters()[filter])));
        let unsubscribe = Unsubscribe::new(packet_id, &filters()[filter]).encode(link.version());
        Ok(link.send(&unsubscribe, Point::Subscribe)?)
    }

    fn next_request(&mut self, request: Request) -> u16 {
        self.last_request = self.last_request % u16::MAX + 1;
        self.requests.insert(self.last_request, request);
        self.last_request
    }

    fn answer_what_is_due(&mut self, link: &mut Link<'_>) -> Result<(), ReadEnd> {
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
                let result = self.inbound.release(packet_id);
                self.answer(kind::PUBCOMP, packet_id);
                result.map_err(|text| Kind::Redelivery.says(text))
            }
            Packet::SubAck(suback) => self.take_suback(suback.packet_id, &suback.reasons),
            Packet::UnsubAck(unsuback) => self.take_unsuback(unsuback.packet_id, &unsuback.reasons),
            other => Err(Kind::Answer.says(format!("{other:?} is nothing that a subscriber should get"))),
        };
        if let Err(wrong) = result {
            self.wrong(wrong);
        }
    }

    fn take_message(&mut self, publish: &Publish) -> Result<(), Wrong> {
        let Publish { dup, qos, retain, packet_id, .. } = *publish;
        let Some((id, topic)) = MessageId::parse(&publish.topic, &publish.payload) else {
            return Err(Kind::Phantom.says(format!("a message on {} that nobody sent", publish.topic)));
        };
        self.trail.push(Event::Received { id, packet_id, qos, dup, retain });
        if qos == 0 {
            let text = format!("{id} came at QoS 0, which no publisher and no subscription has");
            return Err(Kind::Phantom.says(text));
        }
        let (receipt, wrong) = match self.inbound.publish(packet_id, id, qos, dup) {
            Ok(receipt) => (receipt, None),
            // A client that is told nonsense takes what it was told: the exchange goes on.
            Err(text) => (self.inbound.adopt(packet_id, id, qos), Some(text)),
        };
        for text in wrong.into_iter().chain(self.inbound.window().err()) {
            self.wrong(Kind::Redelivery.says(text));
        }
        self.answer(if qos == 1 { kind::PUBACK } else { kind::PUBREC }, packet_id);
        let mut books = self.world.books();
        books.steps += 1;
        if receipt == Receipt::Again {
            books.coverage.redeliveries += 1;
            return Ok(());
        }
        if dup && books.ledger.sent_at(id).is_some_and(|sent| sent > self.connected_at) {
            let text = format!("{id} came with DUP, but was published after this connection was made");
            return Err(Kind::Redelivery.says(text));
        }
        if retain {
            return Ok(());
        }
        books.coverage.delivered += 1;
        books.delivered_at.push(Instant::now());
        if self.habits.crew {
            let exactly_once = qos == 2 && books.ledger.qos_of(id) == Some(2);
            let handed_on = books.crew.delivered(self.index, id, exactly_once)?;
            books.coverage.group_delivered += 1;
            books.coverage.group_handed_on += u64::from(handed_on);
            return Ok(());
        }
        books.ledger.delivered(self.index, id, topic, qos)
    }

    /// Queues an acknowledgement, sometimes for later; those behind it wait too, as order demands.
    fn answer(&mut self, packet_kind: u8, packet_id: u16) {
        let slow = if self.world.mode() == Mode::Load { self.habits.slow } else { 0 };
        let held = if self.random.chance(150) { self.random.below(25) } else { slow };
        self.answers.push_back((Instant::now() + Duration::from_millis(held), packet_kind, packet_id));
    }

    fn take_suback(&mut self, packet_id: u16, reasons: &[u8]) -> Result<(), Wrong> {
        self.trail.push(Event::Note(format!("SUBACK {packet_id} {reasons:?}")));
        let Some(Request::Subscribe(filter, qos)) = self.requests.remove(&packet_id) else {
            return Err(Kind::Answer.says(format!("SUBACK of {packet_id}, which was not asked")));
        };
        if reasons != [qos] {
            self.refused_at = Some(Instant::now());
            if self.world.is_in_trouble() && reasons.iter().all(|reason| *reason >= 0x80) {
                return Ok(());
            }
            let text = format!("SUBACK {reasons:?} for {} at QoS {qos}", filters()[filter]);
            return Err(Kind::Answer.says(text));
        }
        self.confirmed.insert(filter);
        let mut books = self.world.books();
        books.coverage.subscribed += 1;
        books.steps += 1;
        let (session, now) = books.ledger.session(self.index);
        session.subscribed(filter, now);
        if self.habits.crew {
            books.crew.joined(now);
        }
        Ok(())
    }

    fn take_unsuback(&mut self, packet_id: u16, reasons: &[u8]) -> Result<(), Wrong> {
        self.trail.push(Event::Note(format!("UNSUBACK {packet_id} {reasons:?}")));
        let Some(Request::Unsubscribe(filter)) = self.requests.remove(&packet_id) else {
            return Err(Kind::Answer.says(format!("UNSUBACK of {packet_id}, which was not asked")));
        };
        if self.world.is_in_trouble() && reasons.iter().any(|reason| *reason >= 0x80) {
            self.refused_at = Some(Instant::now());
            return Ok(());
        }
        self.unwanted.remove(&filter);
        let mut books = self.world.books();
        books.coverage.unsubscribed += 1;
        books.steps += 1;
        let (session, now) = books.ledger.session(self.index);
        session.unsubscribed(filter, now);
        Ok(())
    }

    fn tell_whether_settled(&mut self) {
        let is_settled = self.inbound.open().is_empty()
            && self.answers.is_empty()
            && self.requests.is_empty()
            && self.refused_at.is_none();
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

    fn wrong(&self, wrong: Wrong) {
        let name = format!("{} ({:?})", self.client_id(), self.habits.version);
        self.world.found(&name, wrong, self.trail.tell());
    }
}
