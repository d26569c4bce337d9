//! User Properties: pairs of strings, kept as they stand on the wire.

use bytes::{BufMut, Bytes, BytesMut};

use super::PropertyId;

/// User Properties of a packet in their order; a name may be there many times. Kept encoded, because hardly anybody
/// reads them, and because as strings of their own they would take many times the packet's size.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserProperties(Bytes);

impl UserProperties {
    /// Of properties that were checked: nothing but User Properties, whose strings are valid.
    pub(super) fn validated(properties: Bytes) -> Self {
        Self(properties)
    }

    /// Encodes pairs.
    ///
    /// # Errors
    /// A string is longer than 65,535 bytes or has a null character.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidUserProperty> {
        let mut encoded = BytesMut::new();
        for (name, value) in pairs {
            encoded.put_u8(PropertyId::UserProperty as u8);
            for text in [name, value] {
                let length = u16::try_from(text.len()).map_err(|_| InvalidUserProperty)?;
                if text.as_bytes().contains(&0) {
                    return Err(InvalidUserProperty);
                }
                encoded.put_u16(length);
                encoded.put_slice(text.as_bytes());
            }
        }
        Ok(Self(encoded.freeze()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (_identifier, pair) = rest.split_first()?;
            let (name, after_name) = split_string(pair);
            let (value, after_value) = split_string(after_name);
            rest = after_value;
            Some((name, value))
        })
    }

    /// As they stand on the wire, without a length in front.
    pub(super) fn encoded(&self) -> &Bytes {
        &self.0
    }
}

/// Splits a string with its length off the front of checked properties.
fn split_string(bytes: &[u8]) -> (&str, &[u8]) {
    let (length, rest) = bytes.split_first_chunk().expect("a user property was checked: it has a length");
    let (text, rest) = rest.split_at(u16::from_be_bytes(*length).into());
    (str::from_utf8(text).expect("a user property was checked: it is UTF-8"), rest)
}

impl std::fmt::Debug for UserProperties {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// A name or value that no packet can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name or value of a user property is longer than 65535 bytes or has a null character")]
pub struct InvalidUserProperty;
