//! CONNACK, DISCONNECT and AUTH (sections 3.2, 3.14 and 3.15).

use bytes::{BufMut, BytesMut};

use super::super::{
    Auth, AuthProperties, ConnAck, ConnAckProperties, Disconnect, DisconnectProperties, PacketType,
    PropertyId, ProtocolVersion, QoS, ReasonCode,
};
use super::EncodeError;
use super::acknowledgement::check_reason;
use super::properties::{PropertyWriter, put_properties};

pub(super) fn connack(
    connack: &ConnAck,
    version: ProtocolVersion,
    body: &mut BytesMut,
) -> Result<(), EncodeError> {
    check_reason(PacketType::ConnAck, connack.reason)?;
    if connack.session_present && connack.reason != ReasonCode::Success {
        return Err(EncodeError::SessionPresentInRefusal);
    }
    // In MQTT 3.1 the first byte has no meaning yet.
    body.put_u8(u8::from(connack.session_present && version != ProtocolVersion::V31));
    if version != ProtocolVersion::V5 {
        body.put_u8(connack.reason.connect_return_code_v3());
        return Ok(());
    }
    body.put_u8(connack.reason.value());
    put_properties(body, |writer| connack_properties(&connack.properties, writer))
}

fn connack_properties(
    properties: &ConnAckProperties,
    writer: &mut PropertyWriter<'_>,
) -> Result<(), EncodeError> {
    use PropertyId as Id;
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(EncodeError::AuthenticationDataAlone);
    }
    if properties.maximum_qos == Some(QoS::ExactlyOnce) {
        return Err(EncodeError::PropertyValue(Id::MaximumQoS));
    }
    let maximum_qos_is_one = properties.maximum_qos.map(|qos| qos == QoS::AtLeastOnce);
    writer.u32(Id::SessionExpiryInterval, properties.session_expiry_interval);
    writer.u16(Id::ReceiveMaximum, properties.receive_maximum);
    writer.boolean(Id::MaximumQoS, maximum_qos_is_one);
    writer.boolean(Id::RetainAvailable, properties.retain_available);
    writer.u32(Id::MaximumPacketSize, properties.maximum_packet_size);
    writer.string(Id::AssignedClientIdentifier, properties.assigned_client_identifier.as_ref())?;
    writer.u16(Id::TopicAliasMaximum, properties.topic_alias_maximum);
    writer.string(Id::ReasonString, properties.reason_string.as_ref())?;
    writer.user_properties(&properties.user_properties);
    writer.boolean(Id::WildcardSubscriptionAvailable, properties.wildcard_subscription_available);
    writer.boolean(Id::SubscriptionIdentifiersAvailable, properties.subscription_identifiers_available);
    writer.boolean(Id::SharedSubscriptionAvailable, properties.shared_subscription_available);
    writer.u16(Id::ServerKeepAlive, properties.server_keep_alive);
    writer.string(Id::ResponseInformation, properties.response_information.as_ref())?;
    writer.string(Id::ServerReference, properties.server_reference.as_ref())?;
    writer.string(Id::AuthenticationMethod, properties.authentication_method.as_ref())?;
    writer.binary(Id::AuthenticationData, properties.authentication_data.as_ref())
}

/// Writes the short form where it says the same.
pub(super) fn disconnect(disconnect: &Disconnect, v5: bool, body: &mut BytesMut) -> Result<(), EncodeError> {
    if !v5 {
        return Ok(());
    }
    check_reason(PacketType::Disconnect, disconnect.reason)?;
    let without_properties = disconnect.properties == DisconnectProperties::default();
    if disconnect.reason == ReasonCode::Success && without_properties {
        return Ok(());
    }
    body.put_u8(disconnect.reason.value());
    if without_properties {
        return Ok(());
    }
    let properties = &disconnect.properties;
    put_properties(body, |writer| {
        writer.u32(PropertyId::SessionExpiryInterval, properties.session_expiry_interval);
        writer.string(PropertyId::ReasonString, properties.reason_string.as_ref())?;
        writer.user_properties(&properties.user_properties);
        writer.string(PropertyId::ServerReference, properties.server_reference.as_ref())
    })
}

pub(super) fn auth(auth: &Auth, body: &mut BytesMut) -> Result<(), EncodeError> {
    check_reason(PacketType::Auth, auth.reason)?;
    let properties = &auth.properties;
    if auth.reason == ReasonCode::Success && *properties == AuthProperties::default() {
        return Ok(());
    }
    if properties.authentication_method.is_none() {
        return Err(EncodeError::NoAuthenticationMethod);
    }
    body.put_u8(auth.reason.value());
    put_properties(body, |writer| {
        writer.string(PropertyId::AuthenticationMethod, properties.authentication_method.as_ref())?;
        writer.binary(PropertyId::AuthenticationData, properties.authentication_data.as_ref())?;
        writer.string(PropertyId::ReasonString, properties.reason_string.as_ref())?;
        writer.user_properties(&properties.user_properties);
        Ok(())
    })
}
