//! A commit by the size of its batch, and raw RocksDB with the same bytes in the same batches as the limit.

use barnacle_storage::encode_message;
use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use tempfile::TempDir;

use crate::store::{commit, message, open, publishes, session};

const BATCHES: [usize; 5] = [1, 16, 64, 256, 1024];
const TOPIC: &str = "plant/line-4/press-2/pressure";

/// Both with one sync for each batch.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let store = open(directory.path());
    session(&store, "reader", &["plant/#".to_owned()]);
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("store, messages", batch), |bencher| {
            bencher.iter_batched(
                || publishes(&store, TOPIC, batch),
                |operations| commit(&store, None, operations),
                BatchSize::PerIteration,
            );
        });
    }
    drop(store);
    let raw = Raw::open();
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("raw RocksDB, records", batch), |bencher| {
            let mut number = (batch as u64) << 40;
            bencher.iter(|| raw.write(batch, &mut number));
        });
    }
    group.finish();
}

/// RocksDB with its defaults, records as long as an encoded message.
struct Raw {
    database: DB,
    synced: WriteOptions,
    record: Vec<u8>,
    _directory: TempDir,
}

impl Raw {
    fn open() -> Raw {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let mut options = Options::default();
        options.create_if_missing(true);
        let database = DB::open(&options, directory.path()).expect("the database opens");
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let record = encode_message(&message(TOPIC), &mut BytesMut::new()).to_vec();
        Raw { database, synced, record, _directory: directory }
    }

    fn write(&self, records: usize, number: &mut u64) {
        let mut batch = WriteBatch::default();
        for _ in 0..records {
            *number += 1;
            let mut key = [0; 16];
            key[8..].copy_from_slice(&number.to_be_bytes());
            batch.put(key, &self.record);
        }
        self.database.write_opt(batch, &self.synced).expect("it is written");
    }
}
