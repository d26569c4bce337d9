//! Runs the tables of packets that are refused.

use bytes::BytesMut;

use super::super::{Decoder, ProtocolVersion, ReasonCode};
use super::notation::bytes;

/// Version of the connection (`None`: nothing came before), the packet, the reason code and the message.
pub(super) type Row = (Option<ProtocolVersion>, &'static str, ReasonCode, &'static str);

pub(super) const NEW: Option<ProtocolVersion> = None;
pub(super) const V31: Option<ProtocolVersion> = Some(ProtocolVersion::V31);
pub(super) const V311: Option<ProtocolVersion> = Some(ProtocolVersion::V311);
pub(super) const V5: Option<ProtocolVersion> = Some(ProtocolVersion::V5);

pub(super) const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
pub(super) const PROTOCOL: ReasonCode = ReasonCode::ProtocolError;

pub(super) const LIMIT: usize = 1000;

pub(super) fn decoder(version: Option<ProtocolVersion>) -> Decoder {
    let mut decoder = Decoder::new(LIMIT);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    decoder
}

/// Every row is refused as it says, no prefix of it is taken for a packet, and the decoder gives nothing after it.
pub(super) fn check(rows: &[Row]) {
    for (version, notation, reason, message) in rows {
        let mut decoder = decoder(*version);
        let whole = bytes(notation);
        let mut buffer = whole.clone();
        let error = match decoder.decode(&mut buffer) {
            Err(error) => error,
            Ok(packet) => panic!("{notation} is not refused: {packet:?}"),
        };
        assert_eq!((error.reason_code(), error.to_string()), (*reason, (*message).to_owned()), "{notation}");

        let mut after = bytes("C0 00");
        assert_eq!(decoder.decode(&mut after), Err(error.clone()), "{notation}: the error stays");

        for length in 0..whole.len() {
            let decoded = self::decoder(*version).decode(&mut BytesMut::from(&whole[..length]));
            assert!(matches!(decoded, Ok(None) | Err(_)), "{notation} cut at {length}: {decoded:?}");
        }
    }
}
