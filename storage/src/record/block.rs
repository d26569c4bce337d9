//! Blocks: what one commit appended to one log, as one record.
//!
//! A record for each message would cost RocksDB an insert for each when writing and a step of its iterator for each
//! when reading, and a frame for each on the disk. A commit usually appends many messages to a log, so a block
//! holds up to 256 of them or about 64 KiB; a larger message is a block of its own.
//!
//! ```text
//! key  := log (8 bytes) last LSN (8 bytes) deadline (8 bytes), all big endian
//! body := fields {first ordinal, running bytes, base LSN} entry*
//! entry := LSN less the one before (varint) length (varint) message
//! ```
//!
//! The key has the last LSN, so that a seek to `(log, position + 1)` lands on the first block with anything to read. The
//! deadline is when the last message of the block expires, 0 if one never does.

use std::ops::Range;

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::{FRAME_LENGTH, begin, open, put_fields, seal, take_fields};
use crate::{DecodeError, Lsn};

/// A block is full when it has this many entries …
const BLOCK_ENTRIES: u32 = 256;
/// … or this many bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The frame, the fields and what precedes an entry are no longer than this.
const FIELDS_BYTES: usize = 64;

#[derive(Encode, Decode)]
struct Fields {
    first_ordinal: u64,
    running_bytes: u64,
    base: Lsn,
}

/// A block being filled.
pub(crate) struct BlockBuilder {
    record: Vec<u8>,
    entries: u32,
    /// The last LSN of the log before this block.
    previous: Lsn,
    last: Lsn,
    deadline: Deadline,
}

/// A block as it is written.
#[derive(Clone, Debug)]
pub(crate) struct FinishedBlock {
    /// The last LSN of the log before this block.
    pub(crate) previous: Lsn,
    pub(crate) last: Lsn,
    /// Milliseconds since the Unix epoch, 0: never.
    pub(crate) deadline: u64,
    pub(crate) record: Bytes,
}

#[derive(Clone, Copy)]
enum Deadline {
    Empty,
    At(u64),
    Never,
}

impl BlockBuilder {
    /// `first_ordinal` and `running_bytes` count what the log had before; `previous` is its last LSN, and
    /// `base` is below the first that will be pushed, which has `body` bytes.
    pub(crate) fn new(
        first_ordinal: u64,
        running_bytes: u64,
        previous: Lsn,
        base: Lsn,
        body: usize,
    ) -> BlockBuilder {
        // Often it stays alone.
        let mut record = begin(FIELDS_BYTES + body);
        put_fields(&Fields { first_ordinal, running_bytes, base }, &mut record);
        BlockBuilder { record, entries: 0, previous, last: base, deadline: Deadline::Empty }
    }

    /// Whether an entry of that length still belongs here.
    pub(crate) fn has_room(&self, body: usize) -> bool {
        self.entries == 0 || (self.entries < BLOCK_ENTRIES && self.record.len() + body <= BLOCK_BYTES)
    }

    pub(crate) fn push(&mut self, lsn: Lsn, body: &[u8], expires_at_millis: Option<u64>) {
        assert!(lsn > self.last, "LSNs ascend within a log");
        put_varint(lsn.0 - self.last.0, &mut self.record);
        put_varint(body.len() as u64, &mut self.record);
        self.record.extend_from_slice(body);
        self.last = lsn;
        self.entries += 1;
        self.deadline = match (self.deadline, expires_at_millis) {
            (Deadline::Never, _) | (_, None) => Deadline::Never,
            (Deadline::Empty, Some(at)) => Deadline::At(at),
            (Deadline::At(latest), Some(at)) => Deadline::At(latest.max(at)),
        };
    }

    pub(crate) fn finish(mut self) -> FinishedBlock {
        assert!(self.entries > 0, "a block is begun for an entry");
        seal(&mut self.record);
        let deadline = match self.deadline {
            Deadline::At(at) => at,
            Deadline::Empty | Deadline::Never => 0,
        };
        FinishedBlock { previous: self.previous, last: self.last, deadline, record: self.record.into() }
    }
}

/// The entries of a block, one after the other.
#[derive(Debug)]
pub(crate) struct BlockEntries {
    record: Bytes,
    /// Where the next entry begins.
    offset: usize,
    last: Lsn,
    next_ordinal: u64,
    running_bytes: u64,
}

/// Where an entry lies in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) lsn: Lsn,
    pub(crate) body: Range<usize>,
}

impl BlockEntries {
    /// A block that comes from the disk.
    pub(crate) fn open(record: Bytes) -> Result<BlockEntries, DecodeError> {
        open(&record)?;
        BlockEntries::trusted(record)
    }

    /// A block that never left memory: its checksum is not computed again.
    pub(crate) fn trusted(record: Bytes) -> Result<BlockEntries, DecodeError> {
        let body = record.get(FRAME_LENGTH..).ok_or(DecodeError::Truncated)?;
        let (fields, entries) = take_fields::<Fields>(body, "block")?;
        let offset = record.len() - entries.len();
        Ok(BlockEntries {
            record,
            offset,
            last: fields.base,
            next_ordinal: fields.first_ordinal,
            running_bytes: fields.running_bytes,
        })
    }

    pub(crate) fn record(&self) -> &Bytes {
        &self.record
    }

    /// Before the first entry was taken: the first entry is above this LSN, and nothing of the log between.
    pub(crate) fn base(&self) -> Lsn {
        self.last
    }

    /// The ordinal of the entry that comes next.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    /// Bytes of all messages that the log has had before the next entry.
    pub(crate) fn running_bytes(&self) -> u64 {
        self.running_bytes
    }

    /// The next entry; `None` at the end.
    pub(crate) fn advance(&mut self) -> Result<Option<RawEntry>, DecodeError> {
        if self.offset == self.record.len() {
            return Ok(None);
        }
        let step = self.take_varint()?;
        let length = self.take_varint()?;
        let lsn = self.last.0.checked_add(step).filter(|_| step > 0).ok_or(DecodeError::Malformed("LSN"))?;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.offset.checked_add(length))
            .filter(|end| *end <= self.record.len())
            .ok_or(DecodeError::Malformed("entry length"))?;
        let body = self.offset..end;
        self.offset = end;
        self.last = Lsn(lsn);
        self.next_ordinal = self.next_ordinal.wrapping_add(1);
        self.running_bytes = self.running_bytes.wrapping_add(length);
        Ok(Some(RawEntry { lsn: self.last, body }))
    }

    fn take_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.record[self.offset..].iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.offset += index + 1;
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("number"))
    }
}

/// LEB128.
fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
