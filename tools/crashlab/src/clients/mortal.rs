//! Clients that live for a moment and have a will; and the heir, who waits for the wills.

use crate::books::estate::Fate;
use crate::books::finding::{Kind, Wrong};
use crate::books::message::MessageId;
use crate::clients::inbound::{Inbound, Receipt};
use crate::clients::link::{Attempt, Link, ReadEnd};
use crate::clients::trail::{Event, Trail};
use crate::random::Random;
use crate::trap::Point;
use crate::world::{Mode, World};
use barnacle_wire::{Connect, Disconnect, Packet, Property, Publish, Subscribe, Version, Will, kind};
use std::time::{Duration, Instant};

/// Of all mortals, in seconds: short, so that wills are due soon after a restart.
const KEEP_ALIVE: u16 = 1;

/// How long a life lasts at most, in milliseconds; less than a keep-alive.
const LIFE_MILLIS: u64 = 400;

/// One thread that lives one life after the other.
pub(crate) struct Mortal<'w> {
    world: &'w World,
    name: usize,
    random: Random,
    trail: Trail,
}

impl Mortal<'_> {
    /// Mortal `name`, whose choices follow from `random`.
    pub(crate) fn new(world: &World, name: usize, random: Random) -> Mortal<'_> {
        Mortal { world, name, random, trail: Trail::new(world.begin) }
    }

    /// Lives and dies until the trial stops.
    pub(crate) fn run(mut self) {
        while self.world.mode() != Mode::Stop {
            if self.world.mode() == Mode::Load {
                self.live();
            }
            self.world.rest(Duration::from_millis(5));
        }
    }

    fn live(&mut self) {
        let will = self.world.books().estate.make();
        let version =
            if self.world.speaks.v5 && self.random.chance(5_000) { Version::V5 } else { Version::V311 };
        let connect = self.connect(version, will);
        let decide = |fate| self.world.books().estate.decide(will, fate);
        let mut link = match Link::connect(self.world, &connect, &mut self.trail, || {}) {
            Attempt::Connected(link) => link,
            Attempt::NotSent => return decide(Fate::InDoubt),
            Attempt::Unanswered => return decide(Fate::InDoubt),
            Attempt::Wrong(wrong) => {
                let trail = self.trail.tell();
                return self.world.found(&format!("mortal-{}", self.name), Kind::Answer.says(wrong), trail);
            }
        };
        let delayed = connect.will.as_ref().is_some_and(|will| !will.properties.is_empty());
        self.world.books().coverage.wills_delayed += u64::from(delayed);
        let until = Instant::now() + Duration::from_millis(self.random.below(LIFE_MILLIS));
        while Instant::now() < until && self.world.mode() == Mode::Load {
            if link.read(Duration::from_millis(5), &mut self.trail).is_err() {
                // The broker died, and the client with it: nobody comes back.
                self.world.books().coverage.wills_orphaned += 1;
                let promised = self.world.speaks.wills_after_crash || !link.was_broken();
                return decide(if promised { Fate::Due } else { Fate::InDoubt });
            }
        }
        if self.random.chance(6_000) {
            let promised = self.world.speaks.wills_after_crash || !link.was_broken();
            link.abort();
            return decide(if promised { Fate::Due } else { Fate::InDoubt });
        }
        let breaks = link.breaks;
        let disconnect = Disconnect::default().encode(version);
        let closed = link.disconnect(&disconnect, &mut self.trail);
        let fate = if closed { Fate::Withdrawn { breaks } } else { Fate::InDoubt };
        self.world.books().coverage.wills_withdrawn += u64::from(closed);
        decide(fate);
    }

    fn connect(&mut self, version: Version, will: usize) -> Connect {
        let id = format!("mortal-{}-{will}", self.name);
        let lasting = self.random.chance(5_000);
        let connect = if lasting { Connect::persistent(version, &id) } else { Connect::new(version, &id) };
        let qos = (1 + u8::from(self.random.chance(5_000))).min(self.world.speaks.qos);
        let mut properties = Vec::new();
        if version == Version::V5 && lasting && self.random.chance(3_000) {
            properties.push(Property::WillDelayInterval(1));
        }
        let payload = will.to_string().into_bytes();
        let topic = "w".to_owned();
        connect.keep_alive(KEEP_ALIVE).will(Will { topic, payload, qos, retain: false, properties })
    }
}

/// The one who gets the wills: a stored session that is always there when it can be.
pub(crate) struct Heir<'w> {
    world: &'w World,
    inbound: Inbound,
    subscribed: bool,
    trail: Trail,
}

impl<'w> Heir<'w> {
    /// The heir, before its first connection.
    pub(crate) fn new(world: &'w World) -> Heir<'w> {
        Heir { world, inbound: Inbound::default(), subscribed: false, trail: Trail::new(world.begin) }
    }

    /// Subscribes before anybody makes a will. Errs if that fails.
    pub(crate) fn prepare(&mut self) -> Result<(), String> {
        let mut link = self.connect().ok_or("the heir is not let in")?;
        link.send(&Subscribe::new(1, "w", self.qos()).encode(link.version()), Point::Subscribe)
            .map_err(|_| "the heir lost its connection")?;
        match link.read(Duration::from_secs(20), &mut self.trail) {
            Ok(Some(Packet::SubAck(_))) => self.subscribed = true,
            other => return Err(format!("the heir got {other:?}")),
        }
        link.abort();
        Ok(())
    }

    /// Takes what comes until the trial stops.
    pub(crate) fn run(mut self) {
        assert!(self.subscribed, "the heir is prepared first");
        while self.world.mode() != Mode::Stop {
            let Some(mut link) = self.connect() else {
                self.world.rest(Duration::from_millis(5));
                continue;
            };
            while self.world.mode() != Mode::Stop {
                match link.read(Duration::from_millis(10), &mut self.trail) {
                    Ok(None) => {}
                    Ok(Some(packet)) => {
                        let taken = self.take(&mut link, packet);
                        if let Err(wrong) = taken {
                            self.world.found("heir", wrong, self.trail.tell());
                        }
                    }
                    Err(ReadEnd::Lost) => break,
                    Err(ReadEnd::Malformed(error)) => {
                        self.world.found("heir", Kind::Malformed.says(error), self.trail.tell());
                        break;
                    }
                }
            }
        }
    }

    fn connect(&mut self) -> Option<Link<'w>> {
        let connect =
            Connect::persistent(if self.world.speaks.v5 { Version::V5 } else { Version::V311 }, "heir");
        match Link::connect(self.world, &connect, &mut self.trail, || {}) {
            Attempt::Connected(link) => {
                if self.subscribed && !link.present {
                    let gone = Kind::SessionLost.says("the session of the heir is gone");
                    self.world.found("heir", gone, self.trail.tell());
                }
                self.inbound.connected(link.present, u16::MAX);
                Some(link)
            }
            Attempt::NotSent | Attempt::Unanswered => None,
            Attempt::Wrong(wrong) => {
                self.world.found("heir", Kind::Answer.says(wrong), self.trail.tell());
                None
            }
        }
    }

    fn take(&mut self, link: &mut Link<'_>, packet: Packet) -> Result<(), Wrong> {
        match packet {
            Packet::Publish(publish) => self.take_will(link, &publish),
            Packet::PubRel(release) => {
                let result = self.inbound.release(release.packet_id);
                self.inbound.pubcomp_sent(release.packet_id);
                // A connection that is lost shows when it is read.
                let _ = link.ack(kind::PUBCOMP, release.packet_id, &mut self.trail);
                result.map_err(|text| Kind::Redelivery.says(text))
            }
            other => Err(Kind::Answer.says(format!("{other:?} is nothing that an heir should get"))),
        }
    }

    fn qos(&self) -> u8 {
        self.world.speaks.qos
    }

    fn take_will(&mut self, link: &mut Link<'_>, publish: &Publish) -> Result<(), Wrong> {
        let will = std::str::from_utf8(&publish.payload).ok().and_then(|text| text.parse::<usize>().ok());
        let will = will.ok_or_else(|| Kind::Phantom.says(format!("{publish:?} is no will")))?;
        // As the rules for a receiving client want it: a message with a number.
        let id = MessageId::Numbered { publisher: 0, number: will };
        let Publish { packet_id, qos, dup, retain, .. } = *publish;
        self.trail.push(Event::Received { id, packet_id, qos, dup, retain });
        let receipt =
            self.inbound.publish(packet_id, id, qos, dup).map_err(|text| Kind::Redelivery.says(text))?;
        let answer = if qos == 1 { kind::PUBACK } else { kind::PUBREC };
        match qos {
            1 => self.inbound.puback_sent(packet_id),
            _ => self.inbound.pubrec_sent(packet_id),
        }
        let _ = link.ack(answer, packet_id, &mut self.trail);
        if receipt == Receipt::New {
            let breaks = self.world.breaks();
            let mut books = self.world.books();
            books.coverage.wills_published += 1;
            books.steps += 1;
            books.estate.published(will, breaks)?;
        }
        Ok(())
    }
}
