//! Clients whose sessions expire: they come, subscribe, leave, are sent something while they are away, and come back before
//! their expiry or behind it.

use crate::books::finding::{Kind, Wrong};
use crate::books::lease::{Lease, Shown};
use crate::clients::link::{Attempt, Link, ReadEnd};
use crate::clients::trail::{Event, Trail};
use crate::random::Random;
use crate::trap::Point;
use crate::world::{Mode, World};
use barnacle_wire::{Connect, Disconnect, Packet, Property, Publish, Subscribe, Version, kind};
use std::time::{Duration, Instant};

/// The Session Expiry Interval: the shortest that there is.
const EXPIRES_AFTER: Duration = Duration::from_secs(1);

/// Messages of one absence.
const MESSAGES: u64 = 3;

/// How long who finds an expired session listens for what must not come.
const LISTEN: Duration = Duration::from_millis(40);

/// Nothing that is owed takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One client, and who sends to it.
pub(crate) struct Absent<'w> {
    world: &'w World,
    name: usize,
    random: Random,
    lease: Lease,
    last: u64,
    /// The breaks at its last good-bye.
    breaks: u64,
    trail: Trail,
}

/// Why a visit is over.
enum End {
    Broken,
    Stopped,
    Wrong(Wrong),
}

impl From<ReadEnd> for End {
    fn from(end: ReadEnd) -> End {
        match end {
            ReadEnd::Lost => End::Broken,
            ReadEnd::Malformed(error) => End::Wrong(Kind::Malformed.says(error)),
        }
    }
}

impl<'w> Absent<'w> {
    /// Client `name`, whose choices follow from `random`.
    pub(crate) fn new(world: &'w World, name: usize, random: Random) -> Absent<'w> {
        let (lease, trail) = (Lease::new(EXPIRES_AFTER), Trail::new(world.begin));
        Absent { world, name, random, lease, last: 0, breaks: 0, trail }
    }

    /// Comes and goes until the trial stops.
    pub(crate) fn run(mut self) {
        while self.world.mode() != Mode::Stop {
            let sent = self.now();
            if let Some(link) = self.come(sent) {
                self.visit(link, sent);
                self.stay_away();
            }
            // Only who tries again sees that the broker is back.
            self.world.rest(Duration::from_millis(5));
        }
    }

    fn now(&self) -> Duration {
        self.world.begin.elapsed()
    }

    fn topic(&self) -> String {
        format!("absent/{}", self.name)
    }

    fn come(&mut self, sent: Duration) -> Option<Link<'w>> {
        let interval = u32::try_from(EXPIRES_AFTER.as_secs()).expect("a second");
        let mut connect = Connect::new(Version::V5, &format!("absent-{}", self.name)).clean_start(false);
        connect = connect.property(Property::SessionExpiryInterval(interval));
        match Link::connect(self.world, &connect, &mut self.trail, || {}) {
            Attempt::Connected(link) => {
                let shown = self.lease.connected(link.present, sent, self.now());
                match shown {
                    Ok(shown) => self.count(shown),
                    Err(wrong) => self.wrong(wrong),
                }
                return Some(link);
            }
            Attempt::NotSent => {}
            Attempt::Unanswered => self.lease.unanswered(self.now()),
            Attempt::Wrong(wrong) => self.wrong(Kind::Answer.says(wrong)),
        }
        None
    }

    fn count(&self, shown: Shown) {
        let coverage = &mut self.world.books().coverage;
        match shown {
            Shown::Kept => coverage.kept_until_expiry += 1,
            Shown::Expired => {
                coverage.expired += 1;
                coverage.expired_across_breaks += u64::from(self.breaks != self.world.breaks());
            }
            Shown::Nothing => {}
        }
    }

    /// Takes what is owed, or sees that nothing comes; subscribes; and leaves.
    fn visit(&mut self, mut link: Link<'w>, sent: Duration) {
        match self.receive(&mut link) {
            Ok(()) => {}
            // It was there when CONNECT was sent; when the broker has seen the end of it, is not known here.
            Err(End::Broken) => return self.lease.left(sent, None),
            Err(End::Stopped) => return,
            Err(End::Wrong(wrong)) => self.wrong(wrong),
        }
        let leaves = self.now();
        let closed = link.disconnect(&Disconnect::default().encode(Version::V5), &mut self.trail);
        // A store in trouble does not keep a connection open that it cannot keep the end of.
        match closed && !self.world.is_in_trouble() {
            true => self.lease.left(leaves, Some(self.now())),
            false => self.lease.left(sent, None),
        }
        self.breaks = self.world.breaks();
    }

    fn receive(&mut self, link: &mut Link<'w>) -> Result<(), End> {
        let begin = Instant::now();
        while self.lease.missing().next().is_some() || begin.elapsed() < LISTEN {
            if self.world.mode() == Mode::Stop {
                return Err(End::Stopped);
            }
            if begin.elapsed() > PATIENCE {
                let missing: Vec<String> = self.lease.missing().map(|message| message.to_string()).collect();
                self.lease.forgive();
                let mut wrong =
                    Kind::Lost.says(format!("{} did not come before its expiry", missing.join(", ")));
                wrong.count = missing.len() as u64;
                return Err(End::Wrong(wrong));
            }
            self.take(link, Duration::from_millis(5))?;
        }
        if self.lease.is_subscribed() {
            return Ok(());
        }
        let subscribe = Subscribe::new(1, &self.topic(), 1).encode(Version::V5);
        link.send(&subscribe, Point::Subscribe).map_err(|_| End::Broken)?;
        while !self.lease.is_subscribed() {
            if self.world.mode() == Mode::Stop {
                return Err(End::Stopped);
            }
            if begin.elapsed() > PATIENCE {
                return Err(End::Wrong(Kind::Stuck.says("SUBSCRIBE was not answered")));
            }
            self.take(link, Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Reads one packet, if one comes.
    fn take(&mut self, link: &mut Link<'w>, patience: Duration) -> Result<(), End> {
        match link.read(patience, &mut self.trail)? {
            None => Ok(()),
            Some(Packet::Publish(publish)) => {
                let number = std::str::from_utf8(&publish.payload).ok().and_then(|text| text.parse().ok());
                let number: u64 = number
                    .ok_or_else(|| End::Wrong(Kind::Phantom.says(format!("{publish:?} is of nobody"))))?;
                self.trail.push(Event::Note(format!("< PUBLISH {} of {number}", publish.packet_id)));
                let taken = self.lease.delivered(number);
                link.ack(kind::PUBACK, publish.packet_id, &mut self.trail).map_err(|_| End::Broken)?;
                taken.map_err(End::Wrong)
            }
            // What a broker in trouble does not grant is asked for on the next visit.
            Some(Packet::SubAck(suback)) if suback.reasons.iter().all(|reason| *reason < 0x80) => {
                self.lease.subscribed();
                Ok(())
            }
            Some(Packet::SubAck(_)) if self.world.is_in_trouble() => Err(End::Broken),
            Some(other) => {
                Err(End::Wrong(Kind::Answer.says(format!("{other:?} is nothing that it asked for"))))
            }
        }
    }

    /// Somebody sends to it, and it comes back before its expiry or behind it.
    fn stay_away(&mut self) {
        if self.random.chance(8_000) {
            // Who cannot send now, sends nothing.
            let _ = self.send();
        }
        let Some((lives, over)) = self.lease.deadlines() else { return };
        let (now, more) = (self.now(), Duration::from_millis(self.random.below(300)));
        let back = match self.random.chance(5_000) {
            true => over + more,
            false => now + lives.saturating_sub(now).mul_f64(0.9).saturating_sub(more),
        };
        while self.now() < back && self.world.mode() != Mode::Stop {
            self.world.rest(back.saturating_sub(self.now()));
        }
    }

    /// Messages to the topic that only the one who is away has subscribed to, one after the other.
    fn send(&mut self) -> Result<(), End> {
        let connect = Connect::new(Version::V5, &format!("absent-{}-sender", self.name));
        let Attempt::Connected(mut link) = Link::connect(self.world, &connect, &mut self.trail, || {}) else {
            return Err(End::Broken);
        };
        for packet_id in 1..=u16::try_from(1 + self.random.below(MESSAGES)).expect("a few") {
            self.last += 1;
            let message = self.last;
            self.lease.sending(message);
            let publish = Publish::new(&self.topic(), message.to_string()).qos(1, packet_id);
            link.send(&publish.encode(Version::V5), Point::Publish).map_err(|_| End::Broken)?;
            let begin = Instant::now();
            loop {
                match link.read(Duration::from_millis(5), &mut self.trail)? {
                    Some(Packet::PubAck(ack)) if ack.reason < 0x80 => {
                        break self.lease.acknowledged(message, self.now());
                    }
                    Some(_) => return Err(End::Broken),
                    None if begin.elapsed() > PATIENCE || self.world.mode() == Mode::Stop => {
                        return Err(End::Broken);
                    }
                    None => {}
                }
            }
        }
        link.abort();
        Ok(())
    }

    fn wrong(&self, wrong: Wrong) {
        self.world.found(&format!("absent-{}", self.name), wrong, self.trail.tell());
    }
}
