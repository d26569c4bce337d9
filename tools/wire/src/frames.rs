//! Frames read in place, without allocation: what a load generator can afford.
//!
//! A [`FrameBuffer`] is filled by one read of the socket and then hands out the whole frames in it, as slices of
//! itself. [`fill`] does the read on a tokio socket.

use crate::parse::{Packet, ParseError, Reader, frame_length, parse_body};
use crate::{Version, kind};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes received and not yet looked at.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameBuffer {
    /// A buffer that takes up to `capacity` bytes with one read; it grows for a frame that is larger.
    pub fn new(capacity: usize) -> FrameBuffer {
        FrameBuffer { bytes: vec![0; capacity.max(16)], start: 0, end: 0 }
    }

    /// Where the next bytes go. Call [`FrameBuffer::filled`] with how many came.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == self.bytes.len() {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that `count` bytes were put at the front of [`FrameBuffer::space`].
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "more bytes filled than there was space");
    }

    /// The next whole frame, if one is there.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ParseError> {
        let waiting = &self.bytes[self.start..self.end];
        let Some((header, length)) = frame_length(waiting)? else { return Ok(None) };
        if waiting.len() < header + length {
            return Ok(None);
        }
        let begin = self.start;
        self.start += header + length;
        Ok(Some(Frame {
            first: self.bytes[begin],
            body: &self.bytes[begin + header..begin + header + length],
        }))
    }
}

/// Reads once from `stream` into `buffer`. Returns how many bytes came, 0 at the end of the stream.
pub async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut FrameBuffer,
) -> Result<usize, std::io::Error> {
    let count = stream.read(buffer.space()).await?;
    buffer.filled(count);
    Ok(count)
}

/// One frame in place.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The first byte: type and flags.
    pub first: u8,
    /// What follows the remaining length.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The packet type, see [`crate::kind`].
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The packet, parsed strictly into a value of its own.
    pub fn packet(&self, version: Version) -> Result<Packet, ParseError> {
        parse_body(version, self.first, Reader::new(self.body))
    }

    /// Packet identifier and reason code of a PUBACK, PUBREC, PUBREL, PUBCOMP.
    pub fn ack(&self) -> Result<(u16, u8), ParseError> {
        let [high, low, rest @ ..] = self.body else { return Err(ParseError::Truncated) };
        Ok((u16::from_be_bytes([*high, *low]), rest.first().copied().unwrap_or(0)))
    }

    /// The fields of a PUBLISH.
    pub fn publish(&self, version: Version) -> Result<PublishFrame<'a>, ParseError> {
        debug_assert_eq!(self.kind(), kind::PUBLISH);
        let qos = self.first >> 1 & 3;
        let (length, rest) = self.body.split_at_checked(2).ok_or(ParseError::Truncated)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (topic, mut rest) = rest.split_at_checked(length).ok_or(ParseError::Truncated)?;
        let mut packet_id = 0;
        if qos > 0 {
            let (id, behind) = rest.split_at_checked(2).ok_or(ParseError::Truncated)?;
            packet_id = u16::from_be_bytes([id[0], id[1]]);
            rest = behind;
        }
        if version.has_properties() {
            let (header, length) = match rest.first() {
                None => return Err(ParseError::Truncated),
                Some(0) => (1, 0),
                Some(_) => property_length(rest)?,
            };
            rest = rest.get(header + length..).ok_or(ParseError::Truncated)?;
        }
        Ok(PublishFrame { dup: self.first & 8 != 0, qos, topic, packet_id, payload: rest })
    }
}

fn property_length(bytes: &[u8]) -> Result<(usize, usize), ParseError> {
    let mut value = 0;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok((position + 1, value));
        }
    }
    Err(ParseError::Variable)
}

/// A PUBLISH in place; its properties are skipped.
#[derive(Clone, Copy, Debug)]
pub struct PublishFrame<'a> {
    /// DUP flag.
    pub dup: bool,
    /// QoS.
    pub qos: u8,
    /// Topic name.
    pub topic: &'a [u8],
    /// Packet identifier, 0 with QoS 0.
    pub packet_id: u16,
    /// Payload.
    pub payload: &'a [u8],
}
