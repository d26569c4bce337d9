//! Towards the client: its protocol version, its limits and the bytes that wait to be written.

use bytes::BytesMut;

use super::topic_alias::{OutboundAliases, TopicReference};
use super::{Delivery, Now};
use crate::protocol::{self, OutgoingPublish, Packet, PacketId, ProtocolVersion, ReasonCode};

/// The encoding side of one connection.
#[derive(Debug)]
pub(super) struct Wire {
    version: ProtocolVersion,
    /// Maximum Packet Size of the client, in bytes [MQTT-3.1.2-24].
    maximum_packet_size: usize,
    aliases: OutboundAliases,
    output: BytesMut,
    /// The last packet has been said [MQTT-3.14.4-1]: what is still on its way is kept, and not told.
    ended: bool,
}

/// What a PUBLISH carries besides its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishHeader<'a> {
    pub(super) duplicate: bool,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) packet_id: Option<PacketId>,
    pub(super) identifiers: &'a [u32],
}

/// The client does not take packets of this size. A message is then as if it had been sent [MQTT-3.1.2-25]; an answer that
/// is owed ends the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Wire {
    pub(super) fn new(
        version: ProtocolVersion,
        maximum_packet_size: Option<u32>,
        alias_maximum: u16,
    ) -> Self {
        let maximum_packet_size = maximum_packet_size.map_or(usize::MAX, |size| size as usize);
        Self {
            version,
            maximum_packet_size,
            aliases: OutboundAliases::new(alias_maximum),
            output: BytesMut::new(),
            ended: false,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Encodes a PUBLISH, unless it is too large for the client.
    pub(super) fn publish(
        &mut self,
        header: PublishHeader<'_>,
        delivery: &Delivery<'_>,
        now: Now,
    ) -> Result<(), TooLarge> {
        let mut publish = self.outgoing(header, delivery, now);
        let named = publish.encoded_len(self.version);
        // An alias property takes three bytes: where those make the difference, the name goes alone.
        if named + 3 <= self.maximum_packet_size {
            match self.aliases.refer(delivery.topic) {
                TopicReference::Name => {}
                TopicReference::NameAndAlias(alias) => publish.topic_alias = Some(alias),
                TopicReference::Alias(alias) => {
                    publish.topic = "";
                    publish.topic_alias = Some(alias);
                }
            }
        } else if named > self.maximum_packet_size {
            return Err(TooLarge);
        }
        publish.encode(self.version, &mut self.output);
        Ok(())
    }

    fn outgoing<'a>(
        &self,
        header: PublishHeader<'a>,
        delivery: &Delivery<'a>,
        now: Now,
    ) -> OutgoingPublish<'a> {
        OutgoingPublish {
            dup: header.duplicate,
            qos: protocol::QoS::try_from(header.qos).expect("a QoS is 0, 1 or 2"),
            retain: header.retain,
            packet_id: header.packet_id,
            topic: delivery.topic,
            topic_alias: None,
            message_expiry_interval: delivery.remaining_expiry_seconds(now.unix_millis),
            subscription_identifiers: header.identifiers,
            forwarded: delivery.forwarded,
            payload: delivery.payload,
        }
    }

    /// Whether a PUBLISH fits the client's Maximum Packet Size.
    pub(super) fn fits(&self, header: &PublishHeader<'_>, delivery: &Delivery<'_>, now: Now) -> bool {
        self.maximum_packet_size == usize::MAX
            || self.outgoing(*header, delivery, now).encoded_len(self.version) <= self.maximum_packet_size
    }

    /// Encodes an acknowledgement without properties.
    pub(super) fn acknowledge(&mut self, kind: protocol::AckKind, packet_id: u16, reason: ReasonCode) {
        if self.ended {
            return;
        }
        let packet_id = PacketId::try_from(packet_id).expect("an identifier in use is not 0");
        protocol::encode_ack(kind, packet_id, reason, self.version, &mut self.output);
    }

    /// Bytes that were encoded before and held back.
    pub(super) fn release(&mut self, held: BytesMut) {
        if !self.ended {
            self.output.unsplit(held);
        }
    }

    /// Encodes the last packet of the connection, unless it is too large for the client: nothing follows it
    /// [MQTT-3.14.4-1].
    pub(super) fn last(&mut self, packet: &Packet) -> Result<(), TooLarge> {
        let written = self.packet(packet);
        self.ended = true;
        written
    }

    /// Encodes any other packet, unless it is too large for the client.
    pub(super) fn packet(&mut self, packet: &Packet) -> Result<(), TooLarge> {
        if self.ended {
            return Ok(());
        }
        let before = self.output.len();
        protocol::encode(packet, self.version, &mut self.output)
            .expect("packets of our own making are valid");
        if self.output.len() - before > self.maximum_packet_size {
            self.output.truncate(before);
            return Err(TooLarge);
        }
        Ok(())
    }
}
