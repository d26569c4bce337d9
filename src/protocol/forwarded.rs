//! The properties of a message that go from publisher to subscriber unchanged, for those who want to look into them.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::encode::properties::PropertyWriter;
use super::property::{Gathered, PropertyBlock};
use super::topic::check_name;
use super::{DecodeError, EncodeError, Fault, PropertyId, UserProperties};

/// What [`PublishProperties::forwarded`](super::PublishProperties::forwarded) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedProperties {
    /// Payload Format Indicator; true: the payload is UTF-8.
    pub payload_format_indicator: Option<bool>,
    /// Content Type.
    pub content_type: Option<ByteString>,
    /// Response Topic; has no wildcards [MQTT-3.3.2-14].
    pub response_topic: Option<ByteString>,
    /// Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// User Properties.
    pub user_properties: UserProperties,
}

impl ForwardedProperties {
    /// Reads a block of forwarded properties.
    ///
    /// # Errors
    /// The block is not one; one that was decoded from a packet always is.
    pub fn decode(forwarded: &Bytes) -> Result<Self, DecodeError> {
        Self::read(PropertyBlock::of(forwarded.clone())).map_err(|fault| DecodeError::new(fault, None))
    }

    fn read(mut block: PropertyBlock) -> Result<Self, Fault> {
        let mut properties = Self::default();
        let mut user_properties = Gathered::default();
        while let Some(property) = block.next()? {
            match property {
                PropertyId::PayloadFormatIndicator => {
                    properties.payload_format_indicator = Some(block.boolean()?);
                }
                PropertyId::ContentType => properties.content_type = Some(block.string()?),
                PropertyId::ResponseTopic => {
                    let topic = block.string()?;
                    check_name(&topic).map_err(|error| Fault::TopicName("response topic", error))?;
                    properties.response_topic = Some(topic);
                }
                PropertyId::CorrelationData => properties.correlation_data = Some(block.binary()?),
                PropertyId::UserProperty => block.user_property(&mut user_properties)?,
                _ => return block.misplaced(),
            }
        }
        properties.user_properties = user_properties.into_user_properties(block);
        Ok(properties)
    }

    /// Encodes them as a block of forwarded properties.
    ///
    /// # Errors
    /// A string that no packet can carry, or a response topic that is no topic name.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut block = BytesMut::new();
        let mut writer = PropertyWriter::new(&mut block);
        writer.boolean(PropertyId::PayloadFormatIndicator, self.payload_format_indicator);
        writer.string(PropertyId::ContentType, self.content_type.as_ref())?;
        if let Some(topic) = &self.response_topic {
            check_name(topic).map_err(|_| EncodeError::ResponseTopic)?;
            writer.string(PropertyId::ResponseTopic, Some(topic))?;
        }
        writer.binary(PropertyId::CorrelationData, self.correlation_data.as_ref())?;
        block.put_slice(self.user_properties.encoded());
        Ok(block.freeze())
    }
}

/// Checks and gathers a property that is forwarded; false: it is none of them.
pub(super) fn gather(
    property: PropertyId,
    block: &mut PropertyBlock,
    forwarded: &mut Gathered,
) -> Result<bool, Fault> {
    match property {
        PropertyId::PayloadFormatIndicator => block.boolean().map(drop)?,
        PropertyId::ContentType => block.check_string().map(drop)?,
        PropertyId::ResponseTopic => {
            let topic = block.check_string()?;
            check_name(topic).map_err(|error| Fault::TopicName("response topic", error))?;
        }
        PropertyId::CorrelationData => block.check_binary()?,
        PropertyId::UserProperty => block.check_pair()?,
        _ => return Ok(false),
    }
    forwarded.add(block);
    Ok(true)
}
