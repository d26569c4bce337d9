//! One client's side of a connection: what it has been told, and what it may rely on.

use std::collections::{BTreeMap, HashMap, VecDeque};

use barnacle_wire::{Ack, Packet, Property, Publish, Version, kind, parse};

/// Holds the broker to what it owes this client.
#[derive(Debug)]
pub(super) struct Witness {
    version: Version,
    bounds: Bounds,
    received: Vec<u8>,
    greeted: bool,
    /// Nothing may follow: it was refused, or told DISCONNECT.
    over: bool,
    /// Exchanges of the broker's that are open, by packet identifier, and their QoS.
    open: BTreeMap<u16, u8>,
    aliases: HashMap<u16, String>,
    /// Answers that are due: the type of packet, the identifier.
    due: VecDeque<(u8, u16)>,
    /// The client has said what it should not: what is open, the broker and it need not agree on.
    confused: bool,
}

/// What the client takes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) receive_maximum: usize,
    pub(super) maximum_packet_size: usize,
    pub(super) topic_alias_maximum: u16,
}

impl Witness {
    pub(super) fn new(version: Version, bounds: Bounds) -> Self {
        Self {
            version,
            bounds,
            received: Vec::new(),
            greeted: false,
            over: false,
            open: BTreeMap::new(),
            aliases: HashMap::new(),
            due: VecDeque::new(),
            confused: false,
        }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// The client says what nobody should: from here on only the form of the answers is judged.
    pub(super) fn confuse(&mut self) {
        self.confused = true;
    }

    /// Where bytes that come are to be put, before it is told to [`Self::hear`].
    pub(super) fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// Bytes came.
    pub(super) fn hear(&mut self) {
        let mut taken = 0;
        loop {
            let rest = &self.received[taken..];
            match parse(self.version, rest) {
                Ok(Some((packet, length))) => {
                    taken += length;
                    self.judge(&packet, length);
                }
                Ok(None) => break,
                Err(error) => panic!("{error}: no packet of {:?}: {rest:02x?}", self.version),
            }
        }
        self.received.drain(..taken);
    }

    /// The connection has ended.
    pub(super) fn ended(&self) {
        assert!(self.received.is_empty(), "it ends inside a packet: {:02x?}", self.received);
    }

    /// The next answer that is due; the exchange goes on, or is over.
    pub(super) fn answer(&mut self) -> Option<Vec<u8>> {
        let (answer, id) = self.due.pop_front()?;
        if answer != kind::PUBREC {
            self.open.remove(&id);
        }
        Some(Ack::new(id).encode(answer, self.version))
    }

    fn judge(&mut self, packet: &Packet, length: usize) {
        assert!(!self.over, "{packet:?} after the last word");
        let fits = length <= self.bounds.maximum_packet_size;
        assert!(fits, "{packet:?} has {length} bytes [MQTT-3.1.2-24]");
        let connack = matches!(packet, Packet::ConnAck(_));
        assert_ne!(connack, self.greeted, "{packet:?}: CONNACK comes first, and once [MQTT-3.2.0-1]");
        match packet {
            Packet::ConnAck(connack) => {
                self.greeted = true;
                self.over = connack.reason != 0;
                let present = connack.session_present && connack.reason != 0;
                assert!(!present, "a session is present in a refusal [MQTT-3.2.2-6]");
            }
            Packet::Publish(publish) => self.delivered(publish),
            Packet::PubRel(ack) => self.due.push_back((kind::PUBCOMP, ack.packet_id)),
            Packet::Disconnect(_) => self.over = true,
            Packet::SubAck(suback) | Packet::UnsubAck(suback) => {
                assert!(suback.packet_id != 0 || self.confused, "it answers the identifier 0: {suback:?}");
            }
            _ => {}
        }
    }

    fn delivered(&mut self, publish: &Publish) {
        self.resolve_alias(publish);
        assert!(!publish.topic.contains(['#', '+']), "a topic name with a wildcard: {publish:?}");
        if publish.qos == 0 {
            assert!(!publish.dup, "DUP with QoS 0 [MQTT-3.3.1-2]");
            return;
        }
        assert_ne!(publish.packet_id, 0, "the packet identifier is zero [MQTT-2.2.1-3]");
        let answer = if publish.qos == 1 { kind::PUBACK } else { kind::PUBREC };
        self.due.push_back((answer, publish.packet_id));
        let in_use = self.open.insert(publish.packet_id, publish.qos).is_some();
        if !self.confused {
            assert!(!in_use, "packet identifier {} is in use [MQTT-2.2.1-4]", publish.packet_id);
            let limit = self.bounds.receive_maximum;
            assert!(self.open.len() <= limit, "more than {limit} exchanges are open [MQTT-3.3.4-9]");
        }
    }

    fn resolve_alias(&mut self, publish: &Publish) {
        let alias = publish.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(*alias),
            _ => None,
        });
        match alias {
            None => assert!(!publish.topic.is_empty(), "neither topic nor alias: {publish:?}"),
            Some(alias) => {
                assert!(
                    (1..=self.bounds.topic_alias_maximum).contains(&alias),
                    "topic alias {alias} [MQTT-3.1.2-26]"
                );
                if publish.topic.is_empty() {
                    assert!(self.aliases.contains_key(&alias), "topic alias {alias} stands for nothing");
                } else {
                    self.aliases.insert(alias, publish.topic.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use barnacle_wire::Disconnect;

    use super::*;

    const V5: Version = Version::V5;
    /// CONNACK that accepts.
    const ACCEPTED: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// A client that has been let in, takes 60 bytes, two exchanges and one alias, and then hears these packets.
    fn heard(packets: &[Vec<u8>]) -> Witness {
        let mut witness = greeted();
        packets.iter().for_each(|packet| told(&mut witness, packet));
        witness
    }

    fn greeted() -> Witness {
        let mut witness = new();
        told(&mut witness, &ACCEPTED);
        witness
    }

    fn new() -> Witness {
        Witness::new(V5, Bounds { receive_maximum: 2, maximum_packet_size: 60, topic_alias_maximum: 1 })
    }

    fn told(witness: &mut Witness, bytes: &[u8]) {
        witness.received().extend_from_slice(bytes);
        witness.hear();
    }

    fn publish(qos: u8, id: u16) -> Publish {
        Publish::new("t", "v").qos(qos, id)
    }

    fn alias(topic: &str, alias: u16) -> Vec<u8> {
        Publish::new(topic, "v").property(Property::TopicAlias(alias)).encode(V5)
    }

    /// A fuzz target that finds nothing may be one that sees nothing: each rule is broken once.
    #[test]
    fn what_a_broker_must_not_do_is_seen() {
        type Broken = (&'static str, fn());
        let broken: &[Broken] = &[
            ("CONNACK again", || drop(heard(&[ACCEPTED.to_vec()]))),
            ("PUBLISH before CONNACK", || told(&mut new(), &publish(0, 0).encode(V5))),
            ("a session in a refusal", || told(&mut new(), &[0x20, 3, 1, 0x80, 0])),
            ("an answer behind a refusal", || {
                let mut refused = new();
                told(&mut refused, &[0x20, 3, 0, 0x80, 0]);
                told(&mut refused, &[0xd0, 0]);
            }),
            ("an answer behind DISCONNECT", || {
                drop(heard(&[
                    Disconnect { reason: 0x81, properties: Vec::new() }.encode(V5),
                    Ack::new(1).encode(kind::PUBCOMP, V5),
                ]));
            }),
            ("a packet that is too large", || drop(heard(&[Publish::new("t", [b'x'; 60]).encode(V5)]))),
            ("no packet", || drop(heard(&[vec![0xff, 0xff, 0xff, 0xff, 0xff]]))),
            ("half a packet", || heard(&[vec![0x30, 5, 0]]).ended()),
            ("DUP at QoS 0", || drop(heard(&[vec![0x38, 5, 0, 1, b't', 0, b'v']]))),
            ("the identifier 0", || drop(heard(&[publish(1, 0).encode(V5)]))),
            ("an identifier twice", || drop(heard(&[publish(1, 7).encode(V5), publish(2, 7).encode(V5)]))),
            ("too many exchanges", || drop(heard(&[1, 2, 3].map(|id| publish(1, id).encode(V5))))),
            ("a wildcard", || drop(heard(&[Publish::new("a/#", "v").encode(V5)]))),
            ("no topic", || drop(heard(&[Publish::new("", "v").encode(V5)]))),
            ("an alias beyond the maximum", || drop(heard(&[alias("t", 2)]))),
            ("an alias that was not set", || drop(heard(&[alias("", 1)]))),
            ("SUBACK for the identifier 0", || drop(heard(&[vec![0x90, 4, 0, 0, 0, 0]]))),
        ];
        for (name, broken) in broken {
            assert!(std::panic::catch_unwind(broken).is_err(), "{name}: nobody has seen it");
        }
    }

    #[test]
    fn what_a_broker_may_do_is_let_pass() {
        let mut witness = heard(&[
            publish(1, 1).encode(V5),
            publish(2, 2).encode(V5),
            alias("t", 1),
            alias("", 1),
            vec![0xd0, 0],
        ]);
        assert_eq!(witness.answer(), Some(Ack::new(1).encode(kind::PUBACK, V5)));
        assert_eq!(witness.answer(), Some(Ack::new(2).encode(kind::PUBREC, V5)));
        told(&mut witness, &publish(1, 1).encode(V5));
        told(&mut witness, &Ack::new(2).encode(kind::PUBREL, V5));
        assert_eq!(witness.answer(), Some(Ack::new(1).encode(kind::PUBACK, V5)));
        assert_eq!(witness.answer(), Some(Ack::new(2).encode(kind::PUBCOMP, V5)));
        told(&mut witness, &Disconnect { reason: 0x8b, properties: Vec::new() }.encode(V5));
        witness.ended();
    }
}
