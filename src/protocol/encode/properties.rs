//! Writes properties (section 2.2.2).

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::super::{MAXIMUM_VARIABLE_INTEGER, PropertyId, UserProperties};
use super::{EncodeError, put_binary, put_string, put_variable_integer};

/// Writes properties one after the other, those that are there.
pub(in super::super) struct PropertyWriter<'a> {
    block: &'a mut BytesMut,
}

impl<'a> PropertyWriter<'a> {
    pub(in super::super) fn new(block: &'a mut BytesMut) -> Self {
        Self { block }
    }

    fn identifier(&mut self, property: PropertyId) {
        self.block.put_u8(property as u8);
    }

    pub(in super::super) fn boolean(&mut self, property: PropertyId, value: Option<bool>) {
        if let Some(value) = value {
            self.identifier(property);
            self.block.put_u8(value.into());
        }
    }

    pub(super) fn u16(&mut self, property: PropertyId, value: Option<impl Into<u16>>) {
        if let Some(value) = value {
            self.identifier(property);
            self.block.put_u16(value.into());
        }
    }

    pub(super) fn u32(&mut self, property: PropertyId, value: Option<impl Into<u32>>) {
        if let Some(value) = value {
            self.identifier(property);
            self.block.put_u32(value.into());
        }
    }

    pub(super) fn subscription_identifier(&mut self, value: Option<u32>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        let value = value as usize;
        if !(1..=MAXIMUM_VARIABLE_INTEGER).contains(&value) {
            return Err(EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier));
        }
        self.identifier(PropertyId::SubscriptionIdentifier);
        put_variable_integer(value, self.block);
        Ok(())
    }

    pub(in super::super) fn string(
        &mut self,
        property: PropertyId,
        value: Option<&ByteString>,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.identifier(property);
        put_string(value, property.name(), self.block)
    }

    pub(in super::super) fn binary(
        &mut self,
        property: PropertyId,
        value: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.identifier(property);
        put_binary(value, property.name(), self.block)
    }

    pub(super) fn user_properties(&mut self, properties: &UserProperties) {
        self.encoded(properties.encoded());
    }

    /// Properties that stand encoded already.
    pub(super) fn encoded(&mut self, properties: &[u8]) {
        self.block.put_slice(properties);
    }
}

/// Writes a block of properties with its length in front.
pub(super) fn put_properties(
    body: &mut BytesMut,
    write: impl FnOnce(&mut PropertyWriter<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut block = BytesMut::new();
    write(&mut PropertyWriter::new(&mut block))?;
    if block.len() > MAXIMUM_VARIABLE_INTEGER {
        return Err(EncodeError::TooLarge);
    }
    put_variable_integer(block.len(), body);
    body.put_slice(&block);
    Ok(())
}
