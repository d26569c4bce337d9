//! Reads the data types of section 1.5 from a frame, and checks them.

use std::ops::Range;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::{Fault, PacketId, TopicError, TopicFilter, TopicName};

/// What is left of a frame, or of a part of it. Every method names the field that it reads, for the error.
#[derive(Debug)]
pub(super) struct Reader {
    bytes: Bytes,
    position: usize,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Bytes that were read, by their positions.
    pub(super) fn part(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// All of the bytes, from the first to the last.
    pub(super) fn into_all(self) -> Bytes {
        self.bytes
    }

    /// The bytes that were not read.
    #[inline]
    pub(super) fn into_rest(mut self) -> Bytes {
        self.bytes.advance(self.position);
        self.bytes
    }

    pub(super) fn finish(&self) -> Result<(), Fault> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(Fault::TrailingBytes(left)),
        }
    }

    /// The next bytes, borrowed.
    #[inline]
    fn raw(&mut self, length: usize, field: &'static str) -> Result<&[u8], Fault> {
        if self.remaining() < length {
            return Err(Fault::Truncated(field));
        }
        let start = self.position;
        self.position += length;
        Ok(&self.bytes[start..self.position])
    }

    /// The next bytes, as a slice of the frame.
    #[inline]
    fn slice(&mut self, length: usize, field: &'static str) -> Result<Bytes, Fault> {
        let start = self.position;
        self.raw(length, field)?;
        Ok(self.bytes.slice(start..self.position))
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Fault> {
        Ok(self.raw(N, field)?.try_into().expect("as many bytes as asked for"))
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Fault> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Fault> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Fault> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Variable byte integer (section 1.5.5).
    pub(super) fn variable_integer(&mut self, field: &'static str) -> Result<u32, Fault> {
        match variable_integer(&self.bytes[self.position..]) {
            VariableInteger::Complete { minimal: false, .. } => Err(Fault::VariableIntegerNotMinimal(field)),
            VariableInteger::Complete { value, length, .. } => {
                self.position += length;
                Ok(value)
            }
            VariableInteger::Incomplete => Err(Fault::Truncated(field)),
            VariableInteger::TooLong => Err(Fault::VariableIntegerTooLong(field)),
        }
    }

    /// Binary data (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self, field: &'static str) -> Result<Bytes, Fault> {
        let length = self.u16(field)?;
        self.slice(length.into(), field)
    }

    /// A string (section 1.5.4).
    pub(super) fn string(&mut self, field: &'static str) -> Result<ByteString, Fault> {
        let string = self.string_with_nulls(field)?;
        if string.as_bytes().contains(&0) {
            return Err(Fault::NullCharacter(field));
        }
        Ok(string)
    }

    /// A string that is searched for U+0000 elsewhere.
    #[inline]
    fn string_with_nulls(&mut self, field: &'static str) -> Result<ByteString, Fault> {
        ByteString::try_from(self.binary(field)?).map_err(|_| Fault::NotUtf8(field))
    }

    /// A string that is only checked and not kept by itself.
    pub(super) fn check_string(&mut self, field: &'static str) -> Result<&str, Fault> {
        let length = self.u16(field)?;
        let bytes = self.raw(length.into(), field)?;
        if bytes.contains(&0) {
            return Err(Fault::NullCharacter(field));
        }
        simdutf8::basic::from_utf8(bytes).map_err(|_| Fault::NotUtf8(field))
    }

    pub(super) fn check_binary(&mut self, field: &'static str) -> Result<(), Fault> {
        let length = self.u16(field)?;
        self.raw(length.into(), field).map(drop)
    }

    /// A topic name; `None`: it is empty.
    #[inline]
    pub(super) fn topic_name(&mut self, field: &'static str) -> Result<Option<TopicName>, Fault> {
        match TopicName::try_from(self.string_with_nulls(field)?) {
            Ok(topic) => Ok(Some(topic)),
            Err(TopicError::Empty) => Ok(None),
            Err(error) => Err(Fault::TopicName(field, error)),
        }
    }

    pub(super) fn topic_filter(&mut self) -> Result<TopicFilter, Fault> {
        let filter = self.string_with_nulls("topic filter")?;
        TopicFilter::try_from(filter).map_err(Fault::TopicFilter)
    }

    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, Fault> {
        PacketId::try_from(self.u16("packet identifier")?).map_err(|_| Fault::PacketIdZero)
    }

    /// Skips a block of length zero, if the next is one.
    #[inline]
    pub(super) fn skip_empty_block(&mut self) -> bool {
        let empty = self.bytes.get(self.position) == Some(&0);
        self.position += usize::from(empty);
        empty
    }

    /// A length and a part of that length: a block of properties.
    pub(super) fn block(&mut self) -> Result<Self, Fault> {
        let length = self.variable_integer("property length")?;
        self.slice(length as usize, "properties").map(Self::new)
    }
}

/// A variable byte integer at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VariableInteger {
    /// It is all there.
    Complete {
        value: u32,
        /// Bytes that it takes, 1 to 4.
        length: usize,
        /// It could not be said in fewer bytes [MQTT-1.5.5-1].
        minimal: bool,
    },
    /// The bytes end before it does.
    Incomplete,
    /// It takes more than four bytes.
    TooLong,
}

/// Reads a variable byte integer.
pub(super) fn variable_integer(bytes: &[u8]) -> VariableInteger {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let minimal = byte != 0 || index == 0;
            return VariableInteger::Complete { value, length: index + 1, minimal };
        }
    }
    if bytes.len() < 4 { VariableInteger::Incomplete } else { VariableInteger::TooLong }
}
