//! The trail of what a client last sent and received, over all its connections.

use crate::books::message::MessageId;
use barnacle_wire::{Packet, kind};
use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

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
