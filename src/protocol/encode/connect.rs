//! CONNECT (section 3.1).

use bytes::{BufMut, BytesMut};

use super::super::{
    Connect, ConnectProperties, ForwardedProperties, PropertyId, ProtocolVersion, Will, WillProperties,
};
use super::properties::{PropertyWriter, put_properties};
use super::{EncodeError, put_binary, put_string};

pub(super) fn connect(connect: &Connect, body: &mut BytesMut) -> Result<(), EncodeError> {
    let v5 = connect.version == ProtocolVersion::V5;
    if connect.password.is_some() && connect.username.is_none() && !v5 {
        return Err(EncodeError::PasswordAlone);
    }
    if connect.client_id.is_empty() && connect.version == ProtocolVersion::V31 {
        return Err(EncodeError::NoClientIdentifier);
    }
    put_string(connect.version.protocol_name(), "protocol name", body)?;
    body.put_u8(connect.version.level());
    body.put_u8(flags(connect));
    body.put_u16(connect.keep_alive);
    if v5 {
        put_properties(body, |writer| properties(&connect.properties, writer))?;
    }
    put_string(&connect.client_id, "client identifier", body)?;
    if let Some(will) = &connect.will {
        put_will(will, v5, body)?;
    }
    if let Some(username) = &connect.username {
        put_string(username, "user name", body)?;
    }
    if let Some(password) = &connect.password {
        put_binary(password, "password", body)?;
    }
    Ok(())
}

fn flags(connect: &Connect) -> u8 {
    let bit = |set: bool, bit: u8| u8::from(set) << bit;
    let will =
        connect.will.as_ref().map_or(0, |will| bit(true, 2) | (will.qos as u8) << 3 | bit(will.retain, 5));
    bit(connect.clean_start, 1)
        | will
        | bit(connect.password.is_some(), 6)
        | bit(connect.username.is_some(), 7)
}

fn properties(properties: &ConnectProperties, writer: &mut PropertyWriter<'_>) -> Result<(), EncodeError> {
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(EncodeError::AuthenticationDataAlone);
    }
    writer.u32(PropertyId::SessionExpiryInterval, properties.session_expiry_interval);
    writer.u16(PropertyId::ReceiveMaximum, properties.receive_maximum);
    writer.u32(PropertyId::MaximumPacketSize, properties.maximum_packet_size);
    writer.u16(PropertyId::TopicAliasMaximum, properties.topic_alias_maximum);
    writer.boolean(PropertyId::RequestResponseInformation, properties.request_response_information);
    writer.boolean(PropertyId::RequestProblemInformation, properties.request_problem_information);
    writer.user_properties(&properties.user_properties);
    writer.string(PropertyId::AuthenticationMethod, properties.authentication_method.as_ref())?;
    writer.binary(PropertyId::AuthenticationData, properties.authentication_data.as_ref())
}

fn put_will(will: &Will, v5: bool, body: &mut BytesMut) -> Result<(), EncodeError> {
    if v5 {
        ForwardedProperties::decode(&will.properties.forwarded).map_err(|_| EncodeError::Forwarded)?;
        put_properties(body, |writer| {
            will_properties(&will.properties, writer);
            Ok(())
        })?;
    }
    put_string(will.topic.as_str(), "will topic", body)?;
    put_binary(&will.payload, "will payload", body)
}

fn will_properties(properties: &WillProperties, writer: &mut PropertyWriter<'_>) {
    let delay = (properties.delay_interval != 0).then_some(properties.delay_interval);
    writer.u32(PropertyId::WillDelayInterval, delay);
    writer.u32(PropertyId::MessageExpiryInterval, properties.message_expiry_interval);
    writer.encoded(&properties.forwarded);
}
