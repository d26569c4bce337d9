//! Random packets there and back, random bytes, and packets damaged at random.

mod packets;

use bytes::BytesMut;
use proptest::prelude::*;

use super::super::{Decoder, Packet, ProtocolVersion, encode};
use super::notation::bytes;
use super::valid::{V5, V31, V311, all, decoder};
use packets::{connect, packet};

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(V31), Just(V311), Just(V5)]
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    out
}

/// Decodes all there is; what is decoded can be encoded, and decodes to the same again.
fn decode_all(decoder: &mut Decoder, buffer: &mut BytesMut) {
    while let Ok(Some(packet)) = decoder.decode(buffer) {
        let version = decoder.version().expect("a packet was decoded");
        let mut again = encoded(&packet, version);
        let mut other = super::valid::decoder(packet.packet_type(), version);
        assert_eq!(other.decode(&mut again), Ok(Some(packet)));
    }
}

/// The packets that come of bytes in pieces, with each piece's length as chosen.
fn decode_in_pieces(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Packet> {
    let mut decoder = Decoder::new(1024 * 1024);
    let (mut buffer, mut packets, mut rest) = (BytesMut::new(), Vec::new(), stream);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        buffer.extend_from_slice(now);
        while let Some(packet) = decoder.decode(&mut buffer).expect("the packets are valid") {
            packets.push(packet);
        }
        rest = later;
    }
    assert!(buffer.is_empty(), "{buffer:?} is left");
    packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_there_and_back(
        (version, packet) in version().prop_flat_map(|version| (Just(version), packet(version))),
    ) {
        let mut buffer = encoded(&packet, version);
        let decoded = decoder(packet.packet_type(), version).decode(&mut buffer);
        prop_assert_eq!(decoded, Ok(Some(packet)));
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn a_stream_of_packets_in_any_pieces(
        (version, packets) in version().prop_flat_map(|version| {
            let packets = prop::collection::vec(packet(version), 0..6);
            (Just(version), (connect(version), packets).prop_map(|(connect, mut packets)| {
                packets.insert(0, connect);
                packets
            }))
        }),
        pieces in prop::collection::vec(1usize..40, 1..20),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
        let mut pieces = pieces.iter().cycle();
        let decoded = decode_in_pieces(&stream, || *pieces.next().expect("a cycle does not end"));
        prop_assert_eq!(decoded, packets);
    }

    #[test]
    fn a_stream_cut_in_two_anywhere(packets in prop::collection::vec(packet(V5), 1..3), connect in connect(V5)) {
        let packets: Vec<Packet> = std::iter::once(connect).chain(packets).collect();
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, V5)).collect();
        for cut in 1..stream.len() {
            let mut pieces = [cut, stream.len()].into_iter();
            let decoded = decode_in_pieces(&stream, || pieces.next().expect("two pieces are all"));
            prop_assert_eq!(&decoded, &packets, "cut at {}", cut);
        }
    }

    #[test]
    fn random_bytes_of_a_known_version(version in version(), stream in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut decoder = Decoder::new(1024);
        decoder.set_version(version);
        decode_all(&mut decoder, &mut BytesMut::from(&stream[..]));
    }

    #[test]
    fn random_bytes_at_first(stream in prop::collection::vec(any::<u8>(), 0..64)) {
        decode_all(&mut Decoder::new(1024), &mut BytesMut::from(&stream[..]));
    }

    /// A header that promises as much as there is, so that it is the body that is read.
    #[test]
    fn random_bodies(version in version(), first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..48)) {
        let mut decoder = Decoder::new(1024);
        decoder.set_version(version);
        let mut buffer = BytesMut::from(&[first, body.len() as u8][..]);
        buffer.extend_from_slice(&body);
        decode_all(&mut decoder, &mut buffer);
    }

    #[test]
    fn damaged_packets(
        choice in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let cases = all();
        let case = choice.get(&cases);
        let mut buffer = bytes(case.bytes);
        for (place, value) in damage {
            let place = place.index(buffer.len());
            buffer[place] = value;
        }
        decode_all(&mut decoder(case.packet.packet_type(), case.version), &mut buffer);
    }
}

/// Every byte of every packet of the tables, with every value.
#[test]
fn every_single_byte_damaged() {
    for case in all() {
        let whole = bytes(case.bytes);
        for place in 0..whole.len().min(64) {
            for value in 0..=u8::MAX {
                let mut buffer = whole.clone();
                buffer[place] = value;
                decode_all(&mut decoder(case.packet.packet_type(), case.version), &mut buffer);
            }
        }
    }
}
