//! CONNECT (section 3.1).

use std::num::NonZeroU32;

use super::super::forwarded::gather;
use super::super::property::{Gathered, PropertyBlock};
use super::super::reader::Reader;
use super::super::{
    Connect, ConnectProperties, Fault, PropertyId, ProtocolVersion, QoS, TopicError, Will, WillProperties,
};
use super::check_remaining_length;

/// The connect flags (section 3.1.2.3), known to agree with each other.
#[derive(Clone, Copy, Debug)]
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

/// What a CONNECT says of how it may be answered, as far as it was read: also when what follows is refused.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) version: Option<ProtocolVersion>,
    /// Maximum Packet Size, in bytes.
    pub(super) maximum_packet_size: Option<NonZeroU32>,
}

/// Reads a CONNECT.
pub(super) fn connect(mut reader: Reader, minimal: bool, heard: &mut Heard) -> Result<Connect, Fault> {
    let reader = &mut reader;
    let found = *heard.version.insert(protocol_version(reader)?);
    check_remaining_length(minimal, found)?;
    let flags = connect_flags(reader.u8("connect flags")?, found)?;
    let keep_alive = reader.u16("keep alive")?;
    let v5 = found == ProtocolVersion::V5;
    let properties = if v5 { properties(reader, heard)? } else { ConnectProperties::default() };
    let client_id = reader.string("client identifier")?;
    let will = flags.will.map(|(qos, retain)| will(reader, qos, retain, v5)).transpose()?;
    // MQTT 3.1: the remaining length takes precedence over these flags; the strings may be missing.
    let missing = |reader: &Reader| found == ProtocolVersion::V31 && reader.remaining() == 0;
    let username = (flags.username && !missing(reader)).then(|| reader.string("user name")).transpose()?;
    let password = (flags.password && !missing(reader)).then(|| reader.binary("password")).transpose()?;
    reader.finish()?;
    if found == ProtocolVersion::V31 && client_id.is_empty() {
        return Err(Fault::NoClientIdentifier);
    }
    let clean_start = flags.clean_start;
    Ok(Connect { version: found, clean_start, keep_alive, properties, client_id, will, username, password })
}

fn protocol_version(reader: &mut Reader) -> Result<ProtocolVersion, Fault> {
    let name = reader.string("protocol name")?;
    if !matches!(&*name, "MQTT" | "MQIsdp") {
        return Err(Fault::ProtocolName);
    }
    let level = reader.u8("protocol level")?;
    let version = match level {
        3 => ProtocolVersion::V31,
        4 => ProtocolVersion::V311,
        5 => ProtocolVersion::V5,
        _ => return Err(Fault::ProtocolLevel(level)),
    };
    if name == version.protocol_name() { Ok(version) } else { Err(Fault::ProtocolName) }
}

fn connect_flags(bits: u8, version: ProtocolVersion) -> Result<Flags, Fault> {
    let is_set = |bit: u8| bits & (1 << bit) != 0;
    if is_set(0) {
        return Err(Fault::ReservedConnectFlag);
    }
    let qos = QoS::try_from(bits >> 3 & 0b11).map_err(|_| Fault::QoS3("will QoS"))?;
    let retain = is_set(5);
    let will = is_set(2).then_some((qos, retain));
    if will.is_none() && (retain || qos != QoS::AtMostOnce) {
        return Err(Fault::WillFlags);
    }
    let (password, username) = (is_set(6), is_set(7));
    if password && !username && version != ProtocolVersion::V5 {
        return Err(Fault::PasswordAlone);
    }
    Ok(Flags { clean_start: is_set(1), will, username, password })
}

fn properties(reader: &mut Reader, heard: &mut Heard) -> Result<ConnectProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = ConnectProperties::default();
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::SessionExpiryInterval => properties.session_expiry_interval = Some(block.u32()?),
            PropertyId::ReceiveMaximum => properties.receive_maximum = Some(block.non_zero_u16()?),
            PropertyId::MaximumPacketSize => {
                properties.maximum_packet_size = Some(block.non_zero_u32()?);
                heard.maximum_packet_size = properties.maximum_packet_size;
            }
            PropertyId::TopicAliasMaximum => properties.topic_alias_maximum = Some(block.u16()?),
            PropertyId::RequestResponseInformation => {
                properties.request_response_information = Some(block.boolean()?);
            }
            PropertyId::RequestProblemInformation => {
                properties.request_problem_information = Some(block.boolean()?);
            }
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            PropertyId::AuthenticationMethod => properties.authentication_method = Some(block.string()?),
            PropertyId::AuthenticationData => properties.authentication_data = Some(block.binary()?),
            _ => return block.misplaced(),
        }
    }
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Fault::AuthenticationDataAlone);
    }
    properties.user_properties = user_properties.into_user_properties(block);
    Ok(properties)
}

fn will(reader: &mut Reader, qos: QoS, retain: bool, v5: bool) -> Result<Will, Fault> {
    let properties = if v5 { will_properties(reader)? } else { WillProperties::default() };
    let topic = reader.topic_name("will topic")?.ok_or(Fault::TopicName("will topic", TopicError::Empty))?;
    let payload = reader.binary("will payload")?;
    Ok(Will { qos, retain, topic, payload, properties })
}

fn will_properties(reader: &mut Reader) -> Result<WillProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = WillProperties::default();
    let mut forwarded = Gathered::default();
    while let Some(property) = block.next()? {
        if gather(property, &mut block, &mut forwarded)? {
            continue;
        }
        match property {
            PropertyId::WillDelayInterval => properties.delay_interval = block.u32()?,
            PropertyId::MessageExpiryInterval => properties.message_expiry_interval = Some(block.u32()?),
            _ => return block.misplaced(),
        }
    }
    properties.forwarded = forwarded.into_bytes(block);
    Ok(properties)
}
