//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).

use super::super::property::{Gathered, PropertyBlock};
use super::super::reader::Reader;
use super::super::{
    AckProperties, Fault, PacketType, PropertyId, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, UnsubAck, Unsubscribe, UserProperties,
};
use super::acknowledgement;

pub(super) fn subscribe(mut reader: Reader, v5: bool) -> Result<Subscribe, Fault> {
    let packet_id = reader.packet_id()?;
    let (subscription_identifier, user_properties) =
        if v5 { subscribe_properties(&mut reader)? } else { (None, UserProperties::default()) };
    let filters = filters(&mut reader, |reader| subscribe_filter(reader, v5))?;
    Ok(Subscribe { packet_id, subscription_identifier, user_properties, filters })
}

pub(super) fn unsubscribe(mut reader: Reader, v5: bool) -> Result<Unsubscribe, Fault> {
    let packet_id = reader.packet_id()?;
    let user_properties = if v5 { unsubscribe_properties(&mut reader)? } else { UserProperties::default() };
    let filters = filters(&mut reader, Reader::topic_filter)?;
    Ok(Unsubscribe { packet_id, user_properties, filters })
}

/// Reads to the end of the packet.
fn filters<T>(
    reader: &mut Reader,
    mut read: impl FnMut(&mut Reader) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut filters = Vec::new();
    while reader.remaining() > 0 {
        filters.push(read(reader)?);
    }
    if filters.is_empty() { Err(Fault::NoFilter) } else { Ok(filters) }
}

fn subscribe_filter(reader: &mut Reader, v5: bool) -> Result<SubscribeFilter, Fault> {
    let filter = reader.topic_filter()?;
    let options = reader.u8("subscription options")?;
    let reserved = if v5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(Fault::SubscriptionOptions(options));
    }
    let qos = QoS::try_from(options & 0b11).map_err(|_| Fault::QoS3("maximum QoS"))?;
    let no_local = options & 0b100 != 0;
    let retain_as_published = options & 0b1000 != 0;
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::SendAtSubscribe,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(Fault::RetainHandling3),
    };
    if no_local && filter.shared().is_some() {
        return Err(Fault::NoLocalOfShared);
    }
    Ok(SubscribeFilter { filter, qos, no_local, retain_as_published, retain_handling })
}

fn subscribe_properties(reader: &mut Reader) -> Result<(Option<u32>, UserProperties), Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut subscription_identifier = None;
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::SubscriptionIdentifier => {
                block.once()?;
                subscription_identifier = Some(block.subscription_identifier()?);
            }
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            _ => return block.misplaced(),
        }
    }
    Ok((subscription_identifier, user_properties.into_user_properties(block)))
}

fn unsubscribe_properties(reader: &mut Reader) -> Result<UserProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            _ => return block.misplaced(),
        }
    }
    Ok(user_properties.into_user_properties(block))
}

pub(super) fn suback(mut reader: Reader, v5: bool) -> Result<SubAck, Fault> {
    let packet_id = reader.packet_id()?;
    let properties = if v5 { acknowledgement::properties(&mut reader)? } else { AckProperties::default() };
    let reasons = reasons(&mut reader, |reader| {
        let reason = acknowledgement::reason_code(reader, PacketType::SubAck)?;
        // Before MQTT 5 there is one failure [MQTT-3.9.3-2 of 3.1.1].
        let known = v5 || !reason.is_error() || reason == ReasonCode::UnspecifiedError;
        if known { Ok(reason) } else { Err(Fault::ReasonCode(reason.value())) }
    })?;
    Ok(SubAck { packet_id, reasons, properties })
}

pub(super) fn unsuback(mut reader: Reader, v5: bool) -> Result<UnsubAck, Fault> {
    let packet_id = reader.packet_id()?;
    if !v5 {
        reader.finish()?;
        return Ok(UnsubAck { packet_id, reasons: Vec::new(), properties: AckProperties::default() });
    }
    let properties = acknowledgement::properties(&mut reader)?;
    let reasons = reasons(&mut reader, |reader| acknowledgement::reason_code(reader, PacketType::UnsubAck))?;
    Ok(UnsubAck { packet_id, reasons, properties })
}

/// Reads to the end of the packet. There was at least one filter, so there is at least one reason code.
fn reasons(
    reader: &mut Reader,
    read: impl Fn(&mut Reader) -> Result<ReasonCode, Fault>,
) -> Result<Vec<ReasonCode>, Fault> {
    let mut reasons = Vec::with_capacity(reader.remaining());
    while reader.remaining() > 0 {
        reasons.push(read(reader)?);
    }
    if reasons.is_empty() { Err(Fault::NoReasonCode) } else { Ok(reasons) }
}
