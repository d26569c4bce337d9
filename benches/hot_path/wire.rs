//! Decode and encode.

use std::hint::black_box;

use barnacle::protocol::{Decoder, OutgoingPublish, PacketId, ProtocolVersion, QoS};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput};

const PAYLOAD: [u8; 256] = [7; 256];

/// A PUBLISH of 256 bytes, in and out, in both versions; and a read buffer full of them.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish of 256 bytes");
    group.throughput(Throughput::Elements(1));
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let mut packet = BytesMut::new();
        publish(version, &mut packet);
        let packet = packet.freeze();
        group.bench_function(format!("decode, {version}"), |bencher| {
            let mut decoder = Decoder::new(1 << 20);
            decoder.set_version(version);
            let read = || BytesMut::from(&packet[..]);
            bencher.iter_batched_ref(
                read,
                |read| black_box(decoder.decode(read).expect("a valid packet")),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("encode, {version}"), |bencher| {
            let mut out = BytesMut::with_capacity(1 << 16);
            bencher.iter(|| {
                if out.len() > 1 << 15 {
                    out.clear();
                }
                publish(version, black_box(&mut out));
            });
        });
    }
    group.finish();
}

fn publish(version: ProtocolVersion, out: &mut BytesMut) {
    let publish = OutgoingPublish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        packet_id: PacketId::try_from(7).ok(),
        topic: "plant/line-4/press-2/pressure",
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        forwarded: &[],
        payload: &PAYLOAD,
    };
    publish.encode(version, out);
}
