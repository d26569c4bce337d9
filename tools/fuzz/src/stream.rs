//! An input for the codec: a first byte that says how, and a stream of packets.

use barnacle::protocol::{DecodeError, Decoder, Packet, ProtocolVersion};
use bytes::BytesMut;

/// Packets above this are refused, so that an input need not be long to be too large.
const MAXIMUM_PACKET_SIZE: usize = 4096;

/// How a stream of bytes is to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// The version that is known from the beginning; `None`: CONNECT tells.
    pub(crate) version: Option<ProtocolVersion>,
    /// Bytes that come at a time.
    pub(crate) piece: usize,
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    /// Its packets, each with the version that it was decoded in.
    pub(crate) packets: Vec<(Packet, ProtocolVersion)>,
    pub(crate) error: Option<DecodeError>,
    /// Bytes of a packet that is not complete.
    pub(crate) rest: usize,
}

/// Splits an input.
pub(crate) fn parts(input: &[u8]) -> Option<(How, &[u8])> {
    let (&how, stream) = input.split_first()?;
    let version = match how & 3 {
        0 => None,
        1 => Some(ProtocolVersion::V31),
        2 => Some(ProtocolVersion::V311),
        _ => Some(ProtocolVersion::V5),
    };
    Some((How { version, piece: usize::from(how >> 2) + 1 }, stream))
}

/// A decoder as a connection has it.
pub(crate) fn decoder(version: Option<ProtocolVersion>) -> Decoder {
    let mut decoder = Decoder::new(MAXIMUM_PACKET_SIZE);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    decoder
}

/// Decodes a stream that comes in pieces of so many bytes.
pub(crate) fn decode_all(how: How, stream: &[u8]) -> Decoded {
    let mut decoder = decoder(how.version);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in stream.chunks(how.piece) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => {
                    assert!(buffer.len() < before, "a packet that takes no bytes: {packet:?}");
                    packets.push((packet, decoder.version().expect("a packet was decoded")));
                }
                Ok(None) => {
                    assert_eq!(buffer.len(), before, "bytes were taken, and no packet given");
                    break;
                }
                Err(error) => {
                    assert_eq!(
                        decoder.decode(&mut buffer),
                        Err(error.clone()),
                        "an error that does not stay"
                    );
                    return Decoded { packets, error: Some(error), rest: 0 };
                }
            }
        }
    }
    Decoded { packets, error: None, rest: buffer.len() }
}
