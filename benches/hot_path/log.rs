//! Reading: one log from the disk, the merge of many, and the tail in memory.

use barnacle_storage::{AttachedSession, Budget, Lsn, Store};
use criterion::{Criterion, Throughput};
use tempfile::TempDir;

use crate::store::{commit, open, publishes, session};

/// Messages in the store.
const MESSAGES: usize = 100_000;
/// Logs that are merged.
const LOGS: usize = 16;
/// What a connection asks for at a time.
const BUDGET: Budget = Budget { messages: 256, bytes: 256 * 1024 };

/// Everything once, pass by pass, or the last pass.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.sample_size(20);
    for (name, logs) in [("one log", 1), ("merge of 16 logs", LOGS)] {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let filters: Vec<String> = (0..logs).map(|log| format!("plant/{log}")).collect();
        fill(&directory, &filters);
        // Opened again, nothing of it is in the tail cache.
        let store = open(directory.path());
        let reader = session(&store, "reader", &[]);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        group.bench_function(format!("{name} of {MESSAGES} messages, from the disk"), |bencher| {
            bencher.iter(|| drain(&store, &reader));
        });
        let before = store.head();
        commit(&store, None, publishes(&store, "plant/0", 256));
        group.throughput(Throughput::Elements(256));
        group.bench_function(format!("{name}, the last 256 messages from the tail"), |bencher| {
            bencher.iter(|| {
                let pass = store.read_tail(&reader.reader, before, BUDGET).expect("it is in memory");
                assert_eq!(pass.entries.len(), 256);
                pass
            });
        });
    }
    group.finish();
}

/// Queues the messages for two sessions that hold the same filters, so that each filter has a log of its own.
fn fill(directory: &TempDir, filters: &[String]) {
    let store = open(directory.path());
    session(&store, "reader", filters);
    session(&store, "other", filters);
    for batch in 0..MESSAGES / 1000 {
        let each = 1000 / filters.len();
        let mut operations = Vec::new();
        for filter in filters {
            operations.extend(publishes(&store, filter, each));
        }
        operations.extend(publishes(&store, &filters[batch % filters.len()], 1000 - each * filters.len()));
        commit(&store, None, operations);
    }
    store.close().expect("the store closes");
}

fn drain(store: &Store, reader: &AttachedSession) -> usize {
    let (mut position, mut count) = (Lsn(0), 0);
    loop {
        let pass = store.read(&reader.reader, position, BUDGET).expect("the store is whole");
        count += pass.entries.len();
        position = pass.through;
        if !pass.more {
            assert!(count >= MESSAGES, "only {count} messages");
            return count;
        }
    }
}
