//! What a client gets: packets, and the exchanges that they belong to.

use barnacle_wire::packets::Ack;
use barnacle_wire::{Packet, Property, Publish, kind, parse};

use super::{Client, Surroundings};
use crate::oracle::{Judged, ensure};

impl Client {
    pub(super) fn take_packets(&mut self, around: &mut Surroundings<'_>) -> Judged {
        let complain = |number: usize, complaint: String| format!("client {number}: {complaint}");
        while let Some((packet, length)) =
            parse(self.role.version, &self.inbox).map_err(|error| complain(self.number, error.to_string()))?
        {
            self.inbox.drain(..length);
            self.take(packet, around).map_err(|error| complain(self.number, error))?;
            if self.link.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet, around: &mut Surroundings<'_>) -> Judged {
        if let Packet::ConnAck(connack) = packet {
            return self.connected(connack.session_present, connack.reason, around);
        }
        ensure(self.online, || format!("{packet:?} comes before CONNACK"))?;
        self.heard();
        match packet {
            Packet::Publish(publish) => self.receive(&publish, around),
            Packet::PubAck(ack) => self.acknowledged(kind::PUBACK, &ack, around),
            Packet::PubRec(ack) => self.acknowledged(kind::PUBREC, &ack, around),
            Packet::PubComp(ack) => self.acknowledged(kind::PUBCOMP, &ack, around),
            Packet::PubRel(ack) => {
                around.trace.note(format_args!("c{} gets PUBREL {}", self.number, ack.packet_id));
                let session = self.session.expect("who is online has a session");
                around.oracle.released(session, ack.packet_id);
                self.answers.push_back((kind::PUBCOMP, ack.packet_id));
                Ok(())
            }
            Packet::SubAck(ack) => self.granted(false, &ack, around),
            Packet::UnsubAck(ack) => self.granted(true, &ack, around),
            Packet::PingResp => Ok(()),
            Packet::Disconnect(disconnect) => {
                around.trace.note(format_args!("c{} gets DISCONNECT {:#x}", self.number, disconnect.reason));
                self.doubt();
                // Taken over, silent for too long, the broker stops, or its store does.
                let known = [0x80, 0x8b, 0x8d, 0x8e].contains(&disconnect.reason);
                ensure(known, || format!("DISCONNECT with reason {:#x}", disconnect.reason))
            }
            Packet::Auth(_) | Packet::ConnAck(_) => Err("a packet that nobody has asked for".to_owned()),
        }
    }

    fn receive(&mut self, publish: &Publish, around: &mut Surroundings<'_>) -> Judged {
        let topic = self.topic_of(publish)?;
        around.trace.note(format_args!(
            "c{} gets {} on {topic} QoS {} id {} dup {} retain {}",
            self.number,
            String::from_utf8_lossy(&publish.payload),
            publish.qos,
            publish.packet_id,
            publish.dup,
            publish.retain
        ));
        around.trace.count(if publish.dup { "messages delivered again" } else { "messages delivered" });
        let session = self.session.expect("who is online has a session");
        let number = around.oracle.deliver(session, self.connection, publish, &topic)?;
        if let (true, Some(number)) = (publish.retain, number) {
            self.retained.insert(topic, number);
            // A retained message may have been read for any SUBSCRIBE of the session.
            around.oracle.judge_retained(number, self.began)?;
        }
        match publish.qos {
            1 => self.answers.push_back((kind::PUBACK, publish.packet_id)),
            2 => self.answers.push_back((kind::PUBREC, publish.packet_id)),
            _ => {}
        }
        let open = self.answers_of_connection(publish);
        let most = usize::from(self.role.receive_maximum);
        ensure(open <= most, || format!("{open} exchanges are open, and Receive Maximum is {most}"))
    }

    fn topic_of(&mut self, publish: &Publish) -> Judged<String> {
        let alias = publish.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(*alias),
            _ => None,
        });
        match alias {
            Some(alias) if publish.topic.is_empty() => {
                self.aliases.get(&alias).cloned().ok_or_else(|| format!("topic alias {alias} was never set"))
            }
            Some(alias) => {
                ensure((1..=4).contains(&alias), || format!("topic alias {alias}, and 4 is the maximum"))?;
                self.aliases.insert(alias, publish.topic.clone());
                Ok(publish.topic.clone())
            }
            None => Ok(publish.topic.clone()),
        }
    }

    /// Exchanges that the broker has begun on this connection, and the client has not ended.
    fn answers_of_connection(&mut self, publish: &Publish) -> usize {
        if publish.qos > 0 {
            self.unanswered.insert(publish.packet_id);
        }
        self.unanswered.len()
    }

    /// Sends what it owes, now or a little later, in order [MQTT-4.6.0-2].
    pub(super) fn answer(&mut self, around: &mut Surroundings<'_>) {
        while !self.answers.is_empty()
            && !self.leaving
            && (around.resting || self.random.percent(self.role.answers_percent))
        {
            let Some((packet_kind, packet_id)) = self.answers.pop_front() else { return };
            around.trace.note(format_args!("c{} answers {packet_kind} of id {packet_id}", self.number));
            if let (kind::PUBACK | kind::PUBCOMP, Some(session)) = (packet_kind, self.session) {
                around.oracle.answered(session, packet_id);
                self.unanswered.remove(&packet_id);
            }
            self.send(&Ack::new(packet_id).encode(packet_kind, self.role.version));
        }
    }
}
