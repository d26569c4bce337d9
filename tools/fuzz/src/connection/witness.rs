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

    /// Bytes came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
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
        // Of a CONNECT that is malformed, or wrong in itself, as in its will's topic, nothing counts: its size neither.
        let unread =
            matches!(packet, Packet::ConnAck(connack) if [0x81, 0x82, 0x90].contains(&connack.reason));
        let fits = length <= self.bounds.maximum_packet_size || unread;
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
