//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).

use bytes::{BufMut, BytesMut};

use super::super::{PacketType, ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe};
use super::acknowledgement::{ack_properties, check_reason};
use super::properties::put_properties;
use super::{EncodeError, put_string};

pub(super) fn subscribe(subscribe: &Subscribe, v5: bool, body: &mut BytesMut) -> Result<(), EncodeError> {
    if subscribe.filters.is_empty() {
        return Err(EncodeError::NoFilter);
    }
    body.put_u16(subscribe.packet_id.get());
    if v5 {
        put_properties(body, |writer| {
            writer.subscription_identifier(subscribe.subscription_identifier)?;
            writer.user_properties(&subscribe.user_properties);
            Ok(())
        })?;
    }
    for filter in &subscribe.filters {
        if filter.no_local && filter.filter.shared().is_some() {
            return Err(EncodeError::NoLocalOfShared);
        }
        put_string(filter.filter.as_str(), "topic filter", body)?;
        body.put_u8(if v5 { options(filter) } else { filter.qos.into() });
    }
    Ok(())
}

fn options(filter: &SubscribeFilter) -> u8 {
    u8::from(filter.qos)
        | u8::from(filter.no_local) << 2
        | u8::from(filter.retain_as_published) << 3
        | u8::from(filter.retain_handling) << 4
}

pub(super) fn unsubscribe(
    unsubscribe: &Unsubscribe,
    v5: bool,
    body: &mut BytesMut,
) -> Result<(), EncodeError> {
    if unsubscribe.filters.is_empty() {
        return Err(EncodeError::NoFilter);
    }
    body.put_u16(unsubscribe.packet_id.get());
    if v5 {
        put_properties(body, |writer| {
            writer.user_properties(&unsubscribe.user_properties);
            Ok(())
        })?;
    }
    for filter in &unsubscribe.filters {
        put_string(filter.as_str(), "topic filter", body)?;
    }
    Ok(())
}

pub(super) fn suback(suback: &SubAck, v5: bool, body: &mut BytesMut) -> Result<(), EncodeError> {
    body.put_u16(suback.packet_id.get());
    if v5 {
        put_properties(body, |writer| ack_properties(&suback.properties, writer))?;
    }
    put_reasons(PacketType::SubAck, &suback.reasons, v5, body)
}

pub(super) fn unsuback(unsuback: &UnsubAck, v5: bool, body: &mut BytesMut) -> Result<(), EncodeError> {
    body.put_u16(unsuback.packet_id.get());
    if !v5 {
        return Ok(());
    }
    put_properties(body, |writer| ack_properties(&unsuback.properties, writer))?;
    put_reasons(PacketType::UnsubAck, &unsuback.reasons, v5, body)
}

fn put_reasons(
    packet_type: PacketType,
    reasons: &[ReasonCode],
    v5: bool,
    body: &mut BytesMut,
) -> Result<(), EncodeError> {
    if reasons.is_empty() {
        return Err(EncodeError::NoReasonCode);
    }
    for &reason in reasons {
        check_reason(packet_type, reason)?;
        // Before MQTT 5 there is one failure [MQTT-3.9.3-2 of 3.1.1].
        let sent = if reason.is_error() && !v5 { ReasonCode::UnspecifiedError } else { reason };
        body.put_u8(sent.value());
    }
    Ok(())
}
