//! A publisher: keeps messages in flight, holds PUBRELs back now and then, reconnects and sends again.

use crate::books::finding::{Kind, Wrong};
use crate::books::message::MessageId;
use crate::books::session::Session;
use crate::books::topics::{plain_topic, retained_qos, retained_topic, topics};
use crate::clients::link::{Attempt, Link, ReadEnd};
use crate::clients::outbound::{Outbound, Resend};
use crate::clients::trail::{Event, Trail};
use crate::random::Random;
use crate::world::{Mode, World};
use barnacle_wire::{Ack, Connect, Packet, Property, Publish, Version, kind};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One publisher with what it keeps across connections.
pub(crate) struct Publisher<'w> {
    world: &'w World,
    index: usize,
    version: Version,
    random: Random,
    outbound: Outbound,
    session: Session,
    releases: VecDeque<(Instant, u16)>,
    trail: Trail,
}

impl<'w> Publisher<'w> {
    /// Publisher `index`, whose choices follow from `random`.
    pub(crate) fn new(world: &'w World, index: usize, random: Random) -> Publisher<'w> {
        Publisher {
            world,
            index,
            version: if world.speaks.v5 && index.is_multiple_of(2) { Version::V5 } else { Version::V311 },
            random,
            outbound: Outbound::default(),
            session: Session::default(),
            releases: VecDeque::new(),
            trail: Trail::new(world.begin),
        }
    }

    /// Connects, publishes and connects again until the trial stops.
    pub(crate) fn run(mut self) {
        while self.world.mode() != Mode::Stop {
            let Some(mut link) = self.connect() else {
                self.world.rest(Duration::from_millis(5));
                continue;
            };
            let end = self.publish_over(&mut link);
            if link.was_broken() {
                let mut books = self.world.books();
                let open = self.outbound.flights().iter().filter(|flight| flight.received).count();
                books.coverage.inbound_open += open as u64;
                books.coverage.publishes_in_flight += (self.outbound.flights().len() - open) as u64;
            }
            if let Err(ReadEnd::Malformed(error)) = end {
                self.wrong(Kind::Malformed.says(error));
            }
            link.abort();
        }
    }

    fn connect(&mut self) -> Option<Link<'w>> {
        let connect = Connect::persistent(self.version, &format!("publisher-{}", self.index));
        let now = self.world.books().ledger.tick();
        let session = &mut self.session;
        let attempt =
            Link::connect(self.world, &connect, &mut self.trail, || session.connect_sent(false, now));
        match attempt {
            Attempt::Connected(link) => {
                if let Err(wrong) = self.session.connected(link.present, now) {
                    self.wrong(wrong);
                }
                Some(link)
            }
            Attempt::NotSent => None,
            Attempt::Unanswered => {
                self.session.connect_unanswered();
                None
            }
            Attempt::Wrong(wrong) => {
                self.wrong(Kind::Answer.says(wrong));
                None
            }
        }
    }

    fn publish_over(&mut self, link: &mut Link<'_>) -> Result<(), ReadEnd> {
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
    fn burst(&mut self, link: &mut Link<'_>, window: usize) -> Result<(), ReadEnd> {
        for _ in 0..self.random.below(9) {
            if self.outbound.flights().len() >= window {
                return Ok(());
            }
            let retain = self.random.chance(700) && self.world.speaks.retained;
            let clear = retain && self.random.chance(4_000);
            let choice = self.random.below(16);
            let topic =
                if retain { retained_topic(self.index, choice) } else { plain_topic(self.index, choice) };
            let either = if self.random.chance(5_000) { 1 } else { 2 };
            let qos = if retain { retained_qos(topic) } else { either }.min(self.world.speaks.qos);
            // Some messages are gone before anybody fetches them, or are not: both are right.
            let fleeting = self.version == Version::V5 && !retain && self.random.chance(300);
            let filler = usize::try_from(self.random.below(400)).expect("a small number");
            let id = {
                let mut books = self.world.books();
                let id = books.ledger.publish_sent(self.index, topic, qos, retain, clear);
                if fleeting {
                    books.ledger.may_expire(id);
                }
                id
            };
            let mut publish = Publish::new(&topics()[topic], id.payload(filler)).qos(qos, 0).retain(retain);
            if self.version == Version::V5 && !retain && (fleeting || self.random.chance(300)) {
                publish = publish.property(Property::MessageExpiryInterval(if fleeting { 1 } else { 3_600 }));
            }
            let publish = self.outbound.begin(id, publish);
            link.publish(id, &publish, &mut self.trail)?;
        }
        Ok(())
    }

    fn release_what_is_due(&mut self, link: &mut Link<'_>) -> Result<(), ReadEnd> {
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
            Packet::PubAck(Ack { packet_id, .. }) if self.world.is_in_trouble() => {
                self.outbound.puback(packet_id).map(|id| self.refused(id))
            }
            Packet::PubRec(Ack { packet_id, .. }) if self.world.is_in_trouble() => {
                self.outbound.refused(packet_id).map(|id| self.refused(id))
            }
            Packet::PubComp(Ack { packet_id, reason, .. }) => {
                self.outbound.pubcomp(packet_id, reason).map(|id| self.completed(id))
            }
            other => Err(format!("{other:?} is nothing that a publisher should get")),
        };
        if let Err(text) = result {
            self.wrong(Kind::Answer.says(text));
        }
    }

    fn acknowledged(&self, id: MessageId, completed: bool) {
        let mut books = self.world.books();
        books.acknowledged_at.push((Instant::now(), id));
        books.ledger.publish_acknowledged(id);
        books.steps += 1;
        if completed {
            books.ledger.publish_completed(id);
        }
    }

    fn completed(&self, id: MessageId) {
        let mut books = self.world.books();
        books.ledger.publish_completed(id);
        books.steps += 1;
    }

    /// The broker said that it cannot keep the message: nobody is owed it.
    fn refused(&self, id: MessageId) {
        let mut books = self.world.books();
        books.ledger.publish_refused(id);
        books.coverage.refused += 1;
        books.steps += 1;
    }

    fn wrong(&self, wrong: Wrong) {
        let name = format!("publisher-{} ({:?})", self.index, self.version);
        self.world.found(&name, wrong, self.trail.tell());
    }
}
