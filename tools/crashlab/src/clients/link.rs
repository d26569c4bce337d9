//! One connection of one client of a trial.

use crate::books::message::MessageId;
use crate::clients::trail::{Event, Trail};
use crate::trap::Point;
use crate::world::{Mode, World};
use barnacle_wire::{Ack, Client, ClientError, Connect, Packet, Publish, Version, kind};
use std::time::{Duration, Instant};

/// How long a broker may take to answer a CONNECT or to close after a DISCONNECT; one that reads nothing for this long
/// is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often one who waits looks whether it is still worth it.
const GLANCE: Duration = Duration::from_millis(50);

/// How a connection ended, which the client did not want.
#[derive(Debug)]
pub(crate) struct Lost;

/// A connection with an accepted CONNECT.
#[derive(Debug)]
pub(crate) struct Link<'w> {
    world: &'w World,
    client: Client,
    /// The breaks that there had been when the connection was made.
    pub(crate) breaks: u64,
    /// Session Present.
    pub(crate) present: bool,
    /// The broker's Receive Maximum.
    pub(crate) receive_maximum: u16,
}

/// What came of an attempt to connect.
pub(crate) enum Attempt<'w> {
    /// CONNACK accepted it.
    Connected(Link<'w>),
    /// No connection, so that no CONNECT was sent.
    NotSent,
    /// CONNECT was sent, and the connection ended before CONNACK, or CONNACK asked to come back later.
    Unanswered,
    /// CONNACK refused it, or the broker answered nothing or something else.
    Wrong(String),
}

impl<'w> Link<'w> {
    /// Connects once. `sending` is called before CONNECT is sent.
    pub(crate) fn connect(
        world: &'w World,
        connect: &Connect,
        trail: &mut Trail,
        sending: impl FnOnce(),
    ) -> Attempt<'w> {
        let breaks = world.breaks();
        let Ok(mut client) = Client::open(world.address, connect.version) else { return Attempt::NotSent };
        if client.stream().set_write_timeout(Some(PATIENCE)).is_err() {
            return Attempt::NotSent;
        }
        sending();
        trail.push(Event::Note(format!("CONNECT, clean start {}", connect.clean_start)));
        if client.send(&connect.encode()).is_err() {
            return Attempt::Unanswered;
        }
        world.sent(Point::Connect);
        let begin = Instant::now();
        loop {
            match client.read(GLANCE) {
                Ok(Packet::ConnAck(connack)) if connack.reason == 0 => {
                    trail.push(Event::Note(format!("CONNACK, session present {}", connack.session_present)));
                    let receive_maximum = connack.receive_maximum();
                    let present = connack.session_present;
                    return Attempt::Connected(Link { world, client, breaks, present, receive_maximum });
                }
                // Server unavailable: it says so and asks to be tried again.
                Ok(Packet::ConnAck(connack))
                    if world.is_in_trouble() || [3, 0x88].contains(&connack.reason) =>
                {
                    trail.push(Event::Note(format!("CONNACK {:#04x}", connack.reason)));
                    return Attempt::Unanswered;
                }
                Ok(other) => return Attempt::Wrong(format!("CONNECT was answered with {other:?}")),
                Err(ClientError::Closed | ClientError::Io(_)) => return Attempt::Unanswered,
                Err(ClientError::Timeout(_)) if begin.elapsed() < PATIENCE => {
                    if world.is_given_up(breaks) || world.mode() == Mode::Stop {
                        return Attempt::Unanswered;
                    }
                }
                Err(error) => return Attempt::Wrong(format!("CONNECT was not answered: {error}")),
            }
        }
    }

    /// Whether the broker was killed or the network broken since the connection was made.
    pub(crate) fn was_broken(&self) -> bool {
        self.world.breaks() != self.breaks
    }

    /// The protocol of the connection.
    pub(crate) fn version(&self) -> Version {
        self.client.version()
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8], point: Point) -> Result<(), Lost> {
        self.client.send(bytes).map_err(|_| Lost)?;
        self.world.sent(point);
        Ok(())
    }

    /// Sends a PUBLISH that carries `id`.
    pub(crate) fn publish(
        &mut self,
        id: MessageId,
        publish: &Publish,
        trail: &mut Trail,
    ) -> Result<(), Lost> {
        let Publish { packet_id, qos, dup, .. } = *publish;
        trail.push(Event::Published { id, packet_id, qos, dup });
        self.send(&publish.encode(self.client.version()), Point::Publish)
    }

    /// Sends a PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(crate) fn ack(&mut self, packet_kind: u8, packet_id: u16, trail: &mut Trail) -> Result<(), Lost> {
        trail.push(Event::Sent(packet_kind, packet_id));
        let point = if packet_kind == kind::PUBREL { Point::Release } else { Point::Answer };
        self.send(&Ack::new(packet_id).encode(packet_kind, self.client.version()), point)
    }

    /// The next packet, `None` if none comes for `patience`. A DISCONNECT of the broker is the end.
    pub(crate) fn read(&mut self, patience: Duration, trail: &mut Trail) -> Result<Option<Packet>, ReadEnd> {
        if self.world.is_given_up(self.breaks) {
            trail.push(Event::Note("the client gave the connection up".to_owned()));
            return Err(ReadEnd::Lost);
        }
        match self.client.read(patience) {
            Ok(Packet::Disconnect(disconnect)) => {
                trail.push(Event::Note(format!("DISCONNECT {:#04x}", disconnect.reason)));
                Err(ReadEnd::Lost)
            }
            Ok(packet) => Ok(Some(packet)),
            Err(ClientError::Timeout(_)) => Ok(None),
            Err(ClientError::Malformed(error)) => Err(ReadEnd::Malformed(error.to_string())),
            Err(ClientError::Closed | ClientError::Io(_)) => {
                trail.push(Event::Note("the connection ended".to_owned()));
                Err(ReadEnd::Lost)
            }
        }
    }

    /// Sends `disconnect` and waits for the broker to close. True if it did, and nothing broke meanwhile.
    pub(crate) fn disconnect(mut self, disconnect: &[u8], trail: &mut Trail) -> bool {
        trail.push(Event::Sent(kind::DISCONNECT, 0));
        if self.client.send(disconnect).is_err() {
            return false;
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.client.read(GLANCE) {
                Ok(_) => {}
                Err(ClientError::Timeout(_)) => {
                    if self.world.is_given_up(self.breaks) || self.world.mode() == Mode::Stop {
                        return false;
                    }
                }
                Err(_) => return !self.was_broken(),
            }
        }
        false
    }

    /// Ends the connection without a word.
    pub(crate) fn abort(self) {
        self.client.abort();
    }
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The connection ended.
    Lost,
    /// The broker sent something malformed.
    Malformed(String),
}

impl From<Lost> for ReadEnd {
    fn from(_: Lost) -> ReadEnd {
        ReadEnd::Lost
    }
}
