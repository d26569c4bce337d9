//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), and what all acknowledgements have in common.

use super::super::property::{Gathered, PropertyBlock};
use super::super::reader::Reader;
use super::super::{Ack, AckProperties, Fault, PacketType, PropertyId, ReasonCode};

/// In MQTT 5 the reason code may be left out when it is Success and the properties when there are none; both only from
/// the end.
pub(super) fn ack(packet_type: PacketType, mut reader: Reader, v5: bool) -> Result<Ack, Fault> {
    let packet_id = reader.packet_id()?;
    let mut ack = Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() };
    if v5 && reader.remaining() > 0 {
        ack.reason = reason_code(&mut reader, packet_type)?;
        if reader.remaining() > 0 {
            ack.properties = properties(&mut reader)?;
        }
    }
    reader.finish()?;
    Ok(ack)
}

pub(super) fn reason_code(reader: &mut Reader, packet_type: PacketType) -> Result<ReasonCode, Fault> {
    let value = reader.u8("reason code")?;
    let reason = ReasonCode::try_from(value).ok().filter(|reason| reason.fits(packet_type));
    reason.ok_or(Fault::ReasonCode(value))
}

/// Reason String and User Properties, which is all that acknowledgements have.
pub(super) fn properties(reader: &mut Reader) -> Result<AckProperties, Fault> {
    let mut block = PropertyBlock::read(reader)?;
    let mut properties = AckProperties::default();
    let mut user_properties = Gathered::default();
    while let Some(property) = block.next()? {
        match property {
            PropertyId::ReasonString => properties.reason_string = Some(block.string()?),
            PropertyId::UserProperty => block.user_property(&mut user_properties)?,
            _ => return block.misplaced(),
        }
    }
    properties.user_properties = user_properties.into_user_properties(block);
    Ok(properties)
}
