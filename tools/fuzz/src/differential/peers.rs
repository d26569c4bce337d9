//! The codecs that ours is compared with.

use bytes::BytesMut;

use super::Verdict;

/// Packets above this are refused by all.
const MAXIMUM_PACKET_SIZE: u32 = 4096;

/// Another codec.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Reads one packet of a version and writes it again.
    pub(super) read: fn(v5: bool, frame: &[u8]) -> Verdict,
}

pub(super) const PEERS: [Peer; 2] =
    [Peer { name: "rumqttc", read: rumqttc }, Peer { name: "mqtt-proto", read: mqtt_proto }];

fn rumqttc(v5: bool, frame: &[u8]) -> Verdict {
    let mut input = BytesMut::from(frame);
    let mut again = BytesMut::new();
    if v5 {
        use rumqttc::v5::mqttbytes::{Error, v5::Packet};
        match Packet::read(&mut input, Some(MAXIMUM_PACKET_SIZE)) {
            Ok(packet) => written(packet.write(&mut again, None), again),
            Err(Error::InsufficientBytes(_)) => Verdict::Incomplete,
            Err(error) => Verdict::Refuses(error.to_string()),
        }
    } else {
        use rumqttc::mqttbytes::{Error, v4::Packet};
        match Packet::read(&mut input, MAXIMUM_PACKET_SIZE as usize) {
            Ok(packet) => written(packet.write(&mut again, usize::MAX), again),
            Err(Error::InsufficientBytes(_)) => Verdict::Incomplete,
            Err(error) => Verdict::Refuses(error.to_string()),
        }
    }
}

fn written<E>(result: Result<usize, E>, bytes: BytesMut) -> Verdict {
    if result.is_ok() { Verdict::Accepts(bytes.to_vec()) } else { Verdict::AcceptsUnwritable }
}

fn mqtt_proto(v5: bool, frame: &[u8]) -> Verdict {
    macro_rules! read {
        ($version:ident) => {
            match mqtt_proto::$version::Packet::decode(frame) {
                Ok(Some(packet)) => match packet.encode() {
                    Ok(bytes) => Verdict::Accepts(bytes.as_ref().to_vec()),
                    Err(_) => Verdict::AcceptsUnwritable,
                },
                Ok(None) => Verdict::Incomplete,
                Err(error) => Verdict::Refuses(error.to_string()),
            }
        };
    }
    if v5 { read!(v5) } else { read!(v3) }
}
