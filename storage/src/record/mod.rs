//! The written form of everything: version, checksum, body.
//!
//! ```text
//! record := version (1 byte) checksum (4 bytes, CRC-32 of version and body, little endian) body
//! ```
//!
//! A body begins with fields written by bincode, variable-length integers, little endian. Payloads stand behind them, outside
//! bincode, so that they are copied once when written and not at all when read. This module is the only one that
//! calls bincode: another encoder that writes the same bytes can take its place here.
//!
//! Nothing that a disk can give back makes decoding panic, allocate without bound or succeed by chance.

mod block;
mod limits;
mod message;
mod rows;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use bytes::Bytes;

pub(crate) use block::{BlockBuilder, BlockEntries, FinishedBlock, RawEntry};
pub(crate) use limits::{GROWING, Gap, GapsRow, decode_drops, decode_gaps, encode_drops, encode_gaps};
pub(crate) use message::decode_message;
pub use message::encode_message;
pub(crate) use rows::{
    GroupRow, Membership, QuarantineRow, SessionRow, State, SubscriptionRow, decode_filter, decode_group,
    decode_held, decode_held_lsn, decode_inbound, decode_inbound_of_schema_0, decode_outbound,
    decode_quarantine, decode_retained, decode_retained_deadline, decode_schema, decode_session,
    decode_state, decode_subscription, encode_filter, encode_group, encode_held, encode_inbound,
    encode_outbound, encode_quarantine, encode_retained, encode_schema, encode_session, encode_state,
    encode_subscription,
};
#[cfg(test)]
pub(crate) use rows::{encode_group_of_schema_1, encode_inbound_of_schema_0};

use crate::DecodeError;

/// The version that records are written with.
const VERSION: u8 = 1;

/// Bytes before the body.
const FRAME_LENGTH: usize = 5;

/// What the decoded fields of one record may claim, in bytes. 65,535 open exchanges with their identifiers fit.
const FIELDS_LIMIT: usize = 16 * 1024 * 1024;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<FIELDS_LIMIT>> =
    bincode::config::standard().with_limit::<FIELDS_LIMIT>();

/// Starts a record: room for version and checksum.
fn begin(capacity: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(FRAME_LENGTH + capacity);
    record.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    record
}

/// Ends a record: everything behind the frame is its body.
fn seal(record: &mut [u8]) {
    let checksum = checksum(record[0], &record[FRAME_LENGTH..]);
    record[1..FRAME_LENGTH].copy_from_slice(&checksum.to_le_bytes());
}

/// The body of a record whose version is known and whose checksum holds.
fn open(record: &[u8]) -> Result<&[u8], DecodeError> {
    let (frame, body) = record.split_first_chunk::<FRAME_LENGTH>().ok_or(DecodeError::Truncated)?;
    let [version, written @ ..] = *frame;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    if u32::from_le_bytes(written) != checksum(version, body) {
        return Err(DecodeError::Checksum);
    }
    Ok(body)
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

/// Appends fields.
fn put_fields<T: Encode>(fields: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(fields, out, CONFIGURATION.with_no_limit())
        .expect("plain fields always encode, and a vector takes them all");
}

/// Reads fields from the front; the rest is what stands behind them.
fn take_fields<'a, T: Decode<()>>(body: &'a [u8], what: &'static str) -> Result<(T, &'a [u8]), DecodeError> {
    let (fields, taken) =
        bincode::decode_from_slice(body, CONFIGURATION).map_err(|_| DecodeError::Malformed(what))?;
    Ok((fields, &body[taken..]))
}

/// Reads fields that are the whole body.
fn only_fields<T: Decode<()>>(body: &[u8], what: &'static str) -> Result<T, DecodeError> {
    match take_fields(body, what)? {
        (fields, []) => Ok(fields),
        _ => Err(DecodeError::Malformed(what)),
    }
}

/// A record that is nothing but fields.
fn fields_record<T: Encode>(fields: &T) -> Vec<u8> {
    let mut record = begin(64);
    put_fields(fields, &mut record);
    seal(&mut record);
    record
}

/// A record that is fields and then bytes.
fn bytes_record<T: Encode>(fields: &T, bytes: &[u8]) -> Vec<u8> {
    let mut record = begin(32 + bytes.len());
    put_fields(fields, &mut record);
    record.extend_from_slice(bytes);
    seal(&mut record);
    record
}

/// The part of `whole` that `part`, a slice of it, covers.
fn slice_of(whole: &Bytes, part: &[u8]) -> Bytes {
    whole.slice_ref(part)
}

#[cfg(test)]
mod tests;
