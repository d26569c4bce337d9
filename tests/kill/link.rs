//! One connection of one client of the campaign, and the trail of what was last sent and received on it.

use super::message::MessageId;
use super::world::World;
use barnacle_wire::{Ack, Client, ClientError, Connect, Packet, Publish, Version, kind};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// The last events of a client, over all its connections; printed when something is wrong.
#[derive(Debug)]
pub(crate) struct Trail {
    begin: Instant,
    events: VecDeque<(Instant, Event)>,
}

/// Something that a client did or saw.
#[derive(Debug)]
pub(crate) enum Event {
    /// It sent this kind of packet, with this identifier.
    Sent(u8, u16),
    /// It sent a message.
    Published { id: MessageId, packet_id: u16, qos: u8, dup: bool },
    /// It received a message.
    Received { id: MessageId, packet_id: u16, qos: u8, dup: bool, retain: bool },
    /// It received another packet.
    Packet(Packet),
    /// Anything else.
    Note(String),
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = |way: &str, id, packet_id, qos, dup, retain| {
            let (dup, retain) = (if dup { " DUP" } else { "" }, if retain { " RETAIN" } else { "" });
            write!(formatter, "{way} PUBLISH {packet_id} QoS {qos}{dup}{retain}: {id}")
        };
        match *self {
            Event::Published { id, packet_id, qos, dup } => message(">", id, packet_id, qos, dup, false),
            Event::Received { id, packet_id, qos, dup, retain } => {
                message("<", id, packet_id, qos, dup, retain)
            }
            Event::Sent(packet_kind, packet_id) => {
                let names = ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"];
                let name =
                    names.get(usize::from(packet_kind.wrapping_sub(kind::PUBACK))).unwrap_or(&"DISCONNECT");
                write!(formatter, "> {name} {packet_id}")
            }
            Event::Packet(ref packet) => write!(formatter, "< {packet:?}"),
            Event::Note(ref note) => write!(formatter, "{note}"),
        }
    }
}

impl Trail {
    /// A trail whose times count from `begin`.
    pub(crate) fn new(begin: Instant) -> Trail {
        Trail { begin, events: VecDeque::new() }
    }

    /// Adds an event and forgets the oldest.
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == 60 {
            self.events.pop_front();
        }
        self.events.push_back((Instant::now(), event));
    }

    /// The events, a line each.
    pub(crate) fn tell(&self) -> String {
        let line = |(at, event): &(Instant, Event)| {
            format!("    {:>10.3} ms {event}\n", at.duration_since(self.begin).as_secs_f64() * 1e3)
        };
        self.events.iter().map(line).collect()
    }
}

/// How a connection ended, which the client did not want.
#[derive(Debug)]
pub(crate) struct Lost;

/// A connection with an accepted CONNECT.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    /// The kills that there had been when the connection was made.
    pub(crate) kills: u64,
    /// Session Present.
    pub(crate) present: bool,
    /// The broker's Receive Maximum.
    pub(crate) receive_maximum: u16,
}

/// What came of an attempt to connect.
pub(crate) enum Attempt {
    /// CONNACK accepted it.
    Connected(Link),
    /// No connection, so that no CONNECT was sent.
    NotSent,
    /// CONNECT was sent, and the connection ended before CONNACK.
    Unanswered,
    /// CONNACK refused it, or the broker answered nothing or something else.
    Wrong(String),
}

impl Link {
    /// Connects once. `sending` is called before CONNECT is sent.
    pub(crate) fn connect(
        world: &World,
        connect: &Connect,
        trail: &mut Trail,
        sending: impl FnOnce(),
    ) -> Attempt {
        let kills = world.kills();
        let Ok(mut client) = Client::open(world.address, connect.version) else { return Attempt::NotSent };
        // A broker that reads nothing for this long is stuck.
        if client.stream().set_write_timeout(Some(Duration::from_secs(20))).is_err() {
            return Attempt::NotSent;
        }
        sending();
        trail.push(Event::Note(format!("CONNECT, clean start {}", connect.clean_start)));
        if client.send(&connect.encode()).is_err() {
            return Attempt::Unanswered;
        }
        match client.read(Duration::from_secs(20)) {
            Ok(Packet::ConnAck(connack)) if connack.reason == 0 => {
                trail.push(Event::Note(format!("CONNACK, session present {}", connack.session_present)));
                let receive_maximum = connack.receive_maximum();
                Attempt::Connected(Link { client, kills, present: connack.session_present, receive_maximum })
            }
            Ok(other) => Attempt::Wrong(format!("CONNECT was answered with {other:?}")),
            Err(ClientError::Closed | ClientError::Io(_)) => Attempt::Unanswered,
            Err(error) => Attempt::Wrong(format!("CONNECT was not answered: {error}")),
        }
    }

    /// Whether the broker was killed since the connection was made.
    pub(crate) fn was_killed(&self, world: &World) -> bool {
        world.kills() != self.kills
    }

    /// The protocol of the connection.
    pub(crate) fn version(&self) -> Version {
        self.client.version()
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.client.send(bytes).map_err(|_| Lost)
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
        self.client.publish(publish).map_err(|_| Lost)
    }

    /// Sends a PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(crate) fn ack(&mut self, packet_kind: u8, packet_id: u16, trail: &mut Trail) -> Result<(), Lost> {
        trail.push(Event::Sent(packet_kind, packet_id));
        self.client.send(&Ack::new(packet_id).encode(packet_kind, self.client.version())).map_err(|_| Lost)
    }

    /// The next packet, `None` if none comes for `patience`. A DISCONNECT of the broker is the end.
    pub(crate) fn read(&mut self, patience: Duration, trail: &mut Trail) -> Result<Option<Packet>, ReadEnd> {
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

    /// Sends `disconnect` and waits for the broker to close. True if it did, and was not killed meanwhile.
    pub(crate) fn disconnect(mut self, disconnect: &[u8], world: &World, trail: &mut Trail) -> bool {
        trail.push(Event::Sent(kind::DISCONNECT, 0));
        if self.client.send(disconnect).is_err() {
            return false;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.read(left) {
                Ok(_) => {}
                Err(ClientError::Timeout(_)) => return false,
                Err(_) => return !self.was_killed(world),
            }
        }
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
