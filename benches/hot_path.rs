//! What happens to every message between socket and store: decode, match, the session's window, encode.

use std::hint::black_box;

use barnacle::protocol::{Decoder, OutgoingPublish, PacketId, ProtocolVersion, QoS};
use barnacle::topics::TopicTree;
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PAYLOAD: [u8; 256] = [7; 256];

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

fn wire(criterion: &mut Criterion) {
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

fn topics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic tree");
    for filters in [1_u32, 10_000, 1_000_000] {
        let mut tree = TopicTree::new();
        for number in 0..filters {
            tree.insert(&format!("plant/line-{}/press-{number}/+", number % 100), number);
        }
        let topic = format!("plant/line-{}/press-{}/pressure", (filters / 2) % 100, filters / 2);
        group.bench_function(format!("match among {filters}"), |bencher| {
            bencher.iter(|| {
                let mut found = 0;
                tree.for_each_match(black_box(&topic), |_| found += 1);
                found
            });
        });
        group.bench_function(format!("insert and remove among {filters}"), |bencher| {
            bencher.iter(|| {
                tree.insert("plant/line-7/press-new/+", 1);
                tree.remove("plant/line-7/press-new/+")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, wire, topics);
criterion_main!(benches);
