//! CONNACK, DISCONNECT and AUTH (sections 3.2, 3.14 and 3.15).

use super::super::property::{Gathered, PropertyBlock};
use super::super::reader::Reader;
use super::super::{
    Auth, AuthProperties, ConnAck, ConnAckProperties, Disconnect, DisconnectProperties, Fault, PacketType,
    PropertyId, ProtocolVersion, QoS, ReasonCode,
};
use super::acknowledgement::reason_code;

/// In MQTT 3.1 the first byte has no meaning yet.
pub(super) fn connack(mut reader: Reader, version: ProtocolVersion) -> Result<ConnAck, Fault> {
    let v5 = version == ProtocolVersion::V5;
    let flags = reader.u8("acknowledge flags")?;
    if flags > 1 && version != ProtocolVersion::V31 {
        return Err(Fault::AcknowledgeFlags(flags));
    }
    let reason = if v5 {
        reason_code(&mut reader, PacketType::ConnAck)?
    } else {
        let code = reader.u8("return code")?;
        ReasonCode::of_connect_return_code(code).ok_or(Fault::ReasonCode(code))?
    };
    let session_present = flags == 1 && version != ProtocolVersion::V31;
    if session_present && reason != ReasonCode::Success {
        return Err(Fault::SessionPresentInRefusal);
    }
    let properties = if v5 { connack_properties(&mut reader)? } else { ConnAckProperties::default() };
    reader.finish()?;
    Ok(ConnAck { session_present, reason, properties })
}

fn connack_properties(reader: &mut Reader) -> Result<ConnAckProperties, Fault> {
    use PropertyId as Id;
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = ConnAckProperties::default();
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        let properties = &mut properties;
        match property {
            Id::SessionExpiryInterval => properties.session_expiry_interval = Some(block.u32()?),
            Id::ReceiveMaximum => properties.receive_maximum = Some(block.non_zero_u16()?),
            Id::MaximumQoS => {
                let one = block.boolean()?;
                properties.maximum_qos = Some(if one { QoS::AtLeastOnce } else { QoS::AtMostOnce });
            }
            Id::RetainAvailable => properties.retain_available = Some(block.boolean()?),
            Id::MaximumPacketSize => properties.maximum_packet_size = Some(block.non_zero_u32()?),
            Id::AssignedClientIdentifier => properties.assigned_client_identifier = Some(block.string()?),
            Id::TopicAliasMaximum => properties.topic_alias_maximum = Some(block.u16()?),
            Id::ReasonString => properties.reason_string = Some(block.string()?),
            Id::UserProperty => block.user_property(&mut user_properties)?,
            Id::WildcardSubscriptionAvailable => {
                properties.wildcard_subscription_available = Some(block.boolean()?);
            }
            Id::SubscriptionIdentifiersAvailable => {
                properties.subscription_identifiers_available = Some(block.boolean()?);
            }
            Id::SharedSubscriptionAvailable => {
                properties.shared_subscription_available = Some(block.boolean()?);
            }
            Id::ServerKeepAlive => properties.server_keep_alive = Some(block.u16()?),
            Id::ResponseInformation => properties.response_information = Some(block.string()?),
            Id::ServerReference => properties.server_reference = Some(block.string()?),
            Id::AuthenticationMethod => properties.authentication_method = Some(block.string()?),
            Id::AuthenticationData => properties.authentication_data = Some(block.binary()?),
            _ => return block.misplaced(),
        }
    }
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Fault::AuthenticationDataAlone);
    }
    properties.user_properties = user_properties.into_user_properties(block);
    Ok(properties)
}

/// The reason code may be left out when it is Success, the properties when there are none; both only from the end.
pub(super) fn disconnect(mut reader: Reader, v5: bool) -> Result<Disconnect, Fault> {
    let mut disconnect = Disconnect::default();
    if v5 && reader.remaining() > 0 {
        disconnect.reason = reason_code(&mut reader, PacketType::Disconnect)?;
        if reader.remaining() > 0 {
            disconnect.properties = disconnect_properties(&mut reader)?;
        }
    }
    reader.finish()?;
    Ok(disconnect)
}

fn disconnect_properties(reader: &mut Reader) -> Result<DisconnectProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = DisconnectProperties::default();
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::SessionExpiryInterval => properties.session_expiry_interval = Some(block.u32()?),
            PropertyId::ReasonString => properties.reason_string = Some(block.string()?),
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            PropertyId::ServerReference => properties.server_reference = Some(block.string()?),
            _ => return block.misplaced(),
        }
    }
    properties.user_properties = user_properties.into_user_properties(block);
    Ok(properties)
}

/// Reason code and properties may be left out together only, for Success.
pub(super) fn auth(mut reader: Reader) -> Result<Auth, Fault> {
    if reader.remaining() == 0 {
        return Ok(Auth::default());
    }
    let reason = reason_code(&mut reader, PacketType::Auth)?;
    let properties = auth_properties(&mut reader)?;
    reader.finish()?;
    Ok(Auth { reason, properties })
}

fn auth_properties(reader: &mut Reader) -> Result<AuthProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = AuthProperties::default();
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::AuthenticationMethod => properties.authentication_method = Some(block.string()?),
            PropertyId::AuthenticationData => properties.authentication_data = Some(block.binary()?),
            PropertyId::ReasonString => properties.reason_string = Some(block.string()?),
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            _ => return block.misplaced(),
        }
    }
    if properties.authentication_method.is_none() {
        return Err(Fault::NoAuthenticationMethod);
    }
    properties.user_properties = user_properties.into_user_properties(block);
    Ok(properties)
}
