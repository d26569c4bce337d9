//! PUBLISH (section 3.3): the packet that is decoded most.

use super::super::forwarded::gather;
use super::super::property::{Gathered, PropertyBlock};
use super::super::reader::Reader;
use super::super::{Fault, PropertyId, Publish, PublishProperties, QoS};

#[inline]
pub(super) fn publish(first_byte: u8, mut reader: Reader, v5: bool) -> Result<Publish, Fault> {
    let (dup, retain) = (first_byte & 0b1000 != 0, first_byte & 0b0001 != 0);
    let qos = QoS::try_from(first_byte >> 1 & 0b11).map_err(|_| Fault::QoS3("QoS"))?;
    if dup && qos == QoS::AtMostOnce {
        return Err(Fault::DupAtQoS0);
    }
    let topic = reader.topic_name("topic name")?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
    let properties = if v5 && !reader.skip_empty_block() {
        properties(&mut reader)?
    } else {
        PublishProperties::default()
    };
    if topic.is_none() && properties.topic_alias.is_none() {
        return Err(Fault::NoTopic);
    }
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: reader.into_rest() })
}

fn properties(reader: &mut Reader) -> Result<PublishProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = PublishProperties::default();
    let mut forwarded = Gathered::default();
    while let Some(property) = block.next()? {
        if gather(property, &mut block, &mut forwarded)? {
            continue;
        }
        match property {
            PropertyId::MessageExpiryInterval => properties.message_expiry_interval = Some(block.u32()?),
            PropertyId::TopicAlias => properties.topic_alias = Some(block.non_zero_u16()?),
            PropertyId::SubscriptionIdentifier => {
                properties.subscription_identifiers.push(block.subscription_identifier()?);
            }
            _ => return block.misplaced(),
        }
    }
    properties.forwarded = forwarded.into_bytes(block);
    Ok(properties)
}
