//! A message's bytes: a few fields, then topic, publisher, properties and payload.
//!
//! The bytes carry neither version nor checksum of their own: they are always inside a record that does.

use bincode::{Decode, Encode};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::{slice_of, take_fields};
use crate::{DecodeError, Message};

#[derive(Encode, Decode)]
struct Fields {
    /// QoS in bits 0 and 1, RETAIN in bit 2.
    flags: u8,
    published_at_millis: u64,
    expires_at_millis: Option<u64>,
    topic_length: u32,
    publisher_length: u32,
    properties_length: u32,
}

const RETAIN: u8 = 0b100;

/// No fields take more.
const FIELDS_LENGTH: usize = 48;
/// Working space that is taken at once.
const BUFFER_LENGTH: usize = 8 * 1024;

/// Encodes a message for a [`crate::Publish`] or a [`crate::Operation::Hold`]. Connections do this in parallel; the committer
/// only puts the bytes together. `out` is working space: what is returned is split off it.
pub fn encode_message(message: &Message, out: &mut BytesMut) -> Bytes {
    debug_assert!(message.qos <= 2);
    let fields = Fields {
        flags: message.qos | if message.retain { RETAIN } else { 0 },
        published_at_millis: message.published_at_millis,
        expires_at_millis: message.expires_at_millis,
        topic_length: length(message.topic.len()),
        publisher_length: length(message.publisher.len()),
        properties_length: length(message.properties.len()),
    };
    let parts: [&[u8]; 4] =
        [message.topic.as_ref(), message.publisher.as_ref(), &message.properties, &message.payload];
    let needed = FIELDS_LENGTH + parts.iter().map(|part| part.len()).sum::<usize>();
    if out.capacity() < needed {
        // Room for the next ones as well: the committer copies the bytes and lets go of the buffer.
        out.reserve(needed.max(BUFFER_LENGTH));
    }
    bincode_into(&fields, out);
    for part in parts {
        out.put_slice(part);
    }
    out.split().freeze()
}

/// Fields are few: they go through the stack, so that `out` is written without growing checks byte by byte.
fn bincode_into(fields: &Fields, out: &mut BytesMut) {
    let mut buffer = [0; FIELDS_LENGTH];
    let written = bincode::encode_into_slice(fields, &mut buffer, super::CONFIGURATION)
        .expect("the largest fields take 1 + 9 + 10 + 3 × 5 bytes");
    out.put_slice(&buffer[..written]);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("MQTT bounds a packet, and with it each part, to 256 MiB")
}

/// The message that `body`, a part of `whole`, holds; its parts are slices of `whole`.
pub(crate) fn decode_message(whole: &Bytes, body: &[u8]) -> Result<Message, DecodeError> {
    let (fields, rest) = take_fields::<Fields>(body, "message")?;
    let (topic, rest) = part(rest, fields.topic_length)?;
    let (publisher, rest) = part(rest, fields.publisher_length)?;
    let (properties, payload) = part(rest, fields.properties_length)?;
    let qos = fields.flags & 0b11;
    if qos == 3 || fields.flags & !(RETAIN | 0b11) != 0 {
        return Err(DecodeError::Malformed("message flags"));
    }
    Ok(Message {
        qos,
        retain: fields.flags & RETAIN != 0,
        published_at_millis: fields.published_at_millis,
        expires_at_millis: fields.expires_at_millis,
        publisher: text(whole, publisher)?,
        topic: text(whole, topic)?,
        properties: slice_of(whole, properties),
        payload: slice_of(whole, payload),
    })
}

fn part(bytes: &[u8], length: u32) -> Result<(&[u8], &[u8]), DecodeError> {
    let length = usize::try_from(length).map_err(|_| DecodeError::Malformed("message length"))?;
    bytes.split_at_checked(length).ok_or(DecodeError::Malformed("message length"))
}

fn text(whole: &Bytes, part: &[u8]) -> Result<ByteString, DecodeError> {
    ByteString::try_from(slice_of(whole, part)).map_err(|_| DecodeError::Malformed("text"))
}
