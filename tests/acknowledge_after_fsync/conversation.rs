//! What was said on each connection: which send carries which acknowledgement, and what it stands for.

use std::collections::{BTreeMap, HashMap};

use barnacle_wire::kind;

use super::token::{Token, tokens};
use super::trace::{Action, Call};

/// An acknowledgement that promises something to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    /// PUBACK and so on, by its name.
    pub(super) name: &'static str,
    /// The client it went to.
    pub(super) client: String,
    /// What it stands for.
    pub(super) promise: Promise,
    /// The line on which the send of its first byte begins.
    pub(super) sent: usize,
}

/// What an acknowledgement stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// A record that contains each of these.
    Tokens(Vec<Token>),
    /// A record in which a QoS 2 identifier of the session is not open any more, written after its PUBREL was read.
    Released { packet_id: u16, read: usize },
}

/// One connection, from its CONNECT on.
#[derive(Default)]
struct Connection {
    received: Vec<u8>,
    sent: Vec<u8>,
    /// For each byte of `sent`, the line on which its send begins.
    sent_at: Vec<usize>,
    client: Option<Client>,
    /// What a PUBLISH or a SUBSCRIBE with this identifier holds.
    asked: HashMap<u16, Vec<Token>>,
    /// The lines on which a PUBREL with this identifier was read.
    released: HashMap<u16, usize>,
}

struct Client {
    identifier: String,
    /// Its session outlives the connection.
    lasting: bool,
}

/// All acknowledgements of a trace, in the order sent.
pub(super) fn acknowledgements(calls: &[Call]) -> Vec<Acknowledgement> {
    let mut talk: Vec<(usize, &Call)> = calls
        .iter()
        .filter(|call| call.file.starts_with("socket:") && call.succeeded)
        .map(|call| (if call.action == Action::Read { call.end } else { call.begin }, call))
        .collect();
    talk.sort_by_key(|(line, _)| *line);
    let mut connections: BTreeMap<&str, Connection> = BTreeMap::new();
    let mut found = Vec::new();
    for (line, call) in talk {
        let connection = connections.entry(&call.file).or_default();
        match call.action {
            Action::Read => connection.read(&call.bytes, line),
            Action::Write => connection.send(&call.bytes, line, &mut found),
            Action::WriteAt | Action::Sync { .. } => panic!("{:?} on a socket", call.action),
        }
    }
    found
}

impl Connection {
    fn read(&mut self, bytes: &[u8], line: usize) {
        self.received.extend_from_slice(bytes);
        while let Some((first, body, length)) = frame(&self.received) {
            let packet = self.received[length - body..length].to_vec();
            self.received.drain(..length);
            self.packet_read(first, &packet, line);
        }
    }

    fn packet_read(&mut self, first: u8, body: &[u8], line: usize) {
        match first >> 4 {
            kind::CONNECT => self.client = Some(connect(body)),
            kind::PUBLISH if first & 0b110 != 0 => {
                let topic_length = number(body, 0);
                let packet_id = number(body, 2 + usize::from(topic_length));
                self.asked.insert(packet_id, tokens(&body[2 + usize::from(topic_length)..]));
            }
            kind::SUBSCRIBE => drop(self.asked.insert(number(body, 0), tokens(body))),
            kind::PUBREL => drop(self.released.insert(number(body, 0), line)),
            _ => {}
        }
    }

    fn send(&mut self, bytes: &[u8], line: usize, found: &mut Vec<Acknowledgement>) {
        self.sent.extend_from_slice(bytes);
        self.sent_at.resize(self.sent.len(), line);
        while let Some((first, body, length)) = frame(&self.sent) {
            let line = self.sent_at[0];
            let packet = self.sent[length - body..length].to_vec();
            self.sent.drain(..length);
            self.sent_at.drain(..length);
            found.extend(self.packet_sent(first, &packet, line));
        }
    }

    /// The acknowledgement that a packet is, if it stands for something that is kept. A session that ends with its
    /// connection is not, nor are its subscriptions and identifiers; what it publishes is.
    fn packet_sent(&self, first: u8, body: &[u8], sent: usize) -> Option<Acknowledgement> {
        let Client { identifier, lasting } = self.client.as_ref()?;
        let asked = || {
            let packet_id = number(body, 0);
            let tokens = self.asked.get(&packet_id).cloned().unwrap_or_default();
            assert!(
                !tokens.is_empty(),
                "{identifier} got an acknowledgement of {packet_id}, which names nothing"
            );
            Promise::Tokens(tokens)
        };
        let (name, promise) = match first >> 4 {
            // Session Present is 0: the session is new.
            kind::CONNACK if *lasting && body[0] == 0 => {
                ("CONNACK", Promise::Tokens(tokens(identifier.as_bytes())))
            }
            kind::PUBACK => ("PUBACK", asked()),
            kind::PUBREC => ("PUBREC", asked()),
            kind::SUBACK if *lasting => ("SUBACK", asked()),
            kind::PUBCOMP if *lasting => {
                let packet_id = number(body, 0);
                let read = self.released.get(&packet_id);
                let read = *read.unwrap_or_else(|| panic!("PUBCOMP of {packet_id} before its PUBREL"));
                ("PUBCOMP", Promise::Released { packet_id, read })
            }
            _ => return None,
        };
        Some(Acknowledgement { name, client: identifier.clone(), promise, sent })
    }
}

fn connect(body: &[u8]) -> Client {
    let mut at = 2 + usize::from(number(body, 0));
    let (level, flags) = (body[at], body[at + 1]);
    at += 4;
    let mut lasting = flags & 2 == 0;
    if level == 5 {
        // The clients of this test send at most one property, the Session Expiry Interval, 0x11.
        let properties = &body[at + 1..at + 1 + usize::from(body[at])];
        lasting = matches!(properties, [0x11, interval @ ..] if interval != [0; 4]);
        at += 1 + properties.len();
    }
    let length = usize::from(number(body, at));
    let identifier = String::from_utf8(body[at + 2..at + 2 + length].to_vec());
    Client { identifier: identifier.expect("a client identifier is text"), lasting }
}

fn number(body: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([body[at], body[at + 1]])
}

/// First byte, length of the body and of the whole packet that `bytes` begin with, if it is whole.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (mut body, mut header) = (0, 1);
    loop {
        let byte = *bytes.get(header)?;
        body |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (bytes.len() >= header + body).then(|| (bytes[0], body, header + body))
}
