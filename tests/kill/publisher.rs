//! A publisher: keeps messages in flight, holds PUBRELs back now and then, reconnects and sends again.

use super::link::{Attempt, Event, Link, ReadEnd, Trail};
use super::message::MessageId;
use super::outbound::{Outbound, Resend};
use super::random::Random;
use super::session::Session;
use super::topics::{plain_topic, retained_qos, retained_topic, topics};
use super::world::{Mode, World};
use barnacle_wire::{Ack, Connect, Packet, Publish, Version, kind};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One publisher with what it keeps across connections.
pub(crate) struct Publisher<'a> {
    world: &'a World,
    index: usize,
    version: Version,
    random: Random,
    outbound: Outbound,
    session: Session,
    releases: VecDeque<(Instant, u16)>,
    trail: Trail,
}

impl Publisher<'_> {
    /// Publisher `index`, whose choices follow from `random`.
    pub(crate) fn new(world: &World, index: usize, random: Random) -> Publisher<'_> {
        Publisher {
            world,
            index,
            version: if index.is_multiple_of(2) { Version::V5 } else { Version::V311 },
            random,
            outbound: Outbound::default(),
            session: Session::default(),
            releases: VecDeque::new(),
            trail: Trail::new(world.begin),
        }
    }

    /// Connects, publishes and connects again until the campaign stops.
    pub(crate) fn run(mut self) {
        while self.world.mode() != Mode::Stop {
            let Some(mut link) = self.connect() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let end = self.publish_over(&mut link);
            if link.was_killed(self.world) {
                let mut books = self.world.books();
                let open = self.outbound.flights().iter().filter(|flight| flight.received).count();
                books.report.inbound_open += open as u64;
                books.report.publishes_in_flight += (self.outbound.flights().len() - open) as u64;
            }
            if let Err(ReadEnd::Malformed(error)) = end {
                self.violation(&format!("malformed packet: {error}"));
            }
            link.abort();
        }
    }

    fn connect(&mut self) -> Option<Link> {
        let connect = Connect::persistent(self.version, &format!("publisher-{}", self.index));
        let now = self.world.books().ledger.tick();
        let session = &mut self.session;
        let attempt =
            Link::connect(self.world, &connect, &mut self.trail, || session.connect_sent(false, now));
        match attempt {
            Attempt::Connected(link) => {
                if let Err(wrong) = self.session.connected(link.present, now) {
                    self.violation(&wrong);
                }
                Some(link)
            }
            Attempt::NotSent => None,
            Attempt::Unanswered => {
                self.session.connect_unanswered();
                None
            }
            Attempt::Wrong(wrong) => {
                self.violation(&wrong);
                None
            }
        }
    }

    fn publish_over(&mut self, link: &mut Link) -> Result<(), ReadEnd> {
        self.releases.clear();
        for resend in self.outbound.resend() {
            match resend {
                Resend::Publish(publish) => {
                    let (id, _) =
                        MessageId::parse(&publish.topic, &publish.payload).expect("our own message");
                    link.publish(id, &publish, &mut self.trail)?;
                }
                Resend::Release(packet_id) => link.ack(kind::PUBREL, packet_id, &mut self.trail)?,
            }
        }
        let window = usize::from(link.receive_maximum).min(30);
        loop {
            match self.world.mode() {
                Mode::Stop => return Ok(()),
                // Now and then the network breaks.
                Mode::Load if self.random.chance(10) => return Ok(()),
                Mode::Load => self.burst(link, window)?,
                Mode::Settle => {}
            }
            self.release_what_is_due(link)?;
            let mut patience = Duration::from_millis(2);
            while let Some(packet) = link.read(patience, &mut self.trail)? {
                self.take(packet);
                patience = Duration::from_micros(1);
            }
        }
    }

    /// Sends a few messages, as many as the window allows.
    fn burst(&mut self, link: &mut Link, window: usize) -> Result<(), ReadEnd> {
        for _ in 0..self.random.below(9) {
            if self.outbound.flights().len() >= window {
                return Ok(());
            }
            let retain = self.random.chance(700);
            let clear = retain && self.random.chance(4_000);
            let choice = self.random.below(16);
            let topic =
                if retain { retained_topic(self.index, choice) } else { plain_topic(self.index, choice) };
            let either = if self.random.chance(5_000) { 1 } else { 2 };
            let qos = if retain { retained_qos(topic) } else { either };
            let filler = usize::try_from(self.random.below(400)).expect("a small number");
            let id = self.world.books().ledger.publish_sent(self.index, topic, qos, retain, clear);
            let publish = Publish::new(&topics()[topic], id.payload(filler)).qos(qos, 0).retain(retain);
            let publish = self.outbound.begin(id, publish);
            link.publish(id, &publish, &mut self.trail)?;
        }
        Ok(())
    }

    fn release_what_is_due(&mut self, link: &mut Link) -> Result<(), ReadEnd> {
        let now = Instant::now();
        while self.releases.front().is_some_and(|(due, _)| *due <= now) {
            let (_, packet_id) = self.releases.pop_front().expect("the front was just seen");
            self.outbound.pubrel_sent(packet_id);
            link.ack(kind::PUBREL, packet_id, &mut self.trail)?;
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet) {
        self.trail.push(Event::Packet(packet.clone()));
        let result = match packet {
            Packet::PubAck(Ack { packet_id, reason, .. }) if reason < 0x80 => {
                self.outbound.puback(packet_id).map(|id| self.acknowledged(id, true))
            }
            Packet::PubRec(Ack { packet_id, reason, .. }) if reason < 0x80 => {
                let held = if self.random.chance(1_000) { self.random.below(30) } else { 0 };
                self.releases.push_back((Instant::now() + Duration::from_millis(held), packet_id));
                self.outbound.pubrec(packet_id).map(|id| self.acknowledged(id, false))
            }
            Packet::PubComp(Ack { packet_id, reason, .. }) => self
                .outbound
                .pubcomp(packet_id, reason)
                .map(|_| self.world.books().ledger.publish_completed()),
            other => Err(format!("{other:?} is nothing that a publisher should get")),
        };
        if let Err(wrong) = result {
            self.violation(&wrong);
        }
    }

    fn acknowledged(&self, id: MessageId, completed: bool) {
        let mut books = self.world.books();
        books.acknowledged_at.push(Instant::now());
        books.ledger.publish_acknowledged(id);
        if completed {
            books.ledger.publish_completed();
        }
    }

    fn violation(&self, text: &str) {
        let trail = self.trail.tell();
        let name = format!("publisher-{} ({:?})", self.index, self.version);
        self.world.books().violations.push(format!("{name}: {text}\n  its last events:\n{trail}"));
    }
}
