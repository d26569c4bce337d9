//! RocksDB alone: one writer, one sync for each batch. What a store on it could do at best.

use crate::client::pace::in_time;
use crate::client::payload::Filler;
use crate::error::{During, LoadError};
use crate::measure::recorder::{latency_histogram, record};
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;
use hdrhistogram::Histogram;
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// RocksDB alone.
#[derive(Args, Clone, Debug)]
pub(crate) struct RawStore {
    /// Records in a batch.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256,1024")]
    batches: Vec<u32>,
    /// Bytes of a record.
    #[arg(long, default_value_t = 300)]
    size: usize,
    /// Ranges of keys that the records are spread over, each record in another than the one before.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    ranges: u64,
    /// Seconds for each batch size.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where the database is made; without it the system's temporary directory.
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

/// Writes batches of each size for some seconds.
pub(crate) fn run(raw: &RawStore, output: &mut Output) -> Result<(), LoadError> {
    for &batch in &raw.batches {
        let directory = match &raw.work_dir {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .during("making a directory for the database")?;
        let (database, synced) = open(directory.path())?;
        let (mut records, mut latency) = (Records::new(raw.size, raw.ranges), latency_histogram());
        let (begin, duration) = (Instant::now(), Duration::from_secs_f64(raw.seconds));
        while begin.elapsed() < duration {
            let batch = records.batch(batch);
            let written = Instant::now();
            database.write_opt(batch, &synced)?;
            record(&mut latency, written.elapsed());
        }
        let seconds = begin.elapsed().as_secs_f64();
        let mut record = Record::new("rocksdb", case(batch, raw.ranges), "RocksDB");
        record.add("records", records.number as f64 / seconds, "records/s");
        record.add("synced commits", latency.len() as f64 / seconds, "commits/s");
        record.add_latency("commit", &latency);
        output.push(record)?;
    }
    Ok(())
}

fn case(batch: u32, ranges: u64) -> String {
    match ranges {
        1 => format!("{batch} a batch"),
        ranges => format!("{batch} a batch, over {ranges} ranges"),
    }
}

/// Writes `count` records one by one to the database in `directory`, each synced, `per_second` or one after another. Returns what each
/// took, in microseconds.
pub(crate) fn single_writes(
    directory: &Path,
    count: u64,
    size: usize,
    per_second: f64,
) -> Result<Histogram<u64>, LoadError> {
    let (database, synced) = open(directory)?;
    let (mut records, mut latency) = (Records::new(size, 1), latency_histogram());
    in_time(count, per_second, || {
        let batch = records.batch(1);
        let begin = Instant::now();
        database.write_opt(batch, &synced)?;
        record(&mut latency, begin.elapsed());
        Ok(())
    })?;
    Ok(latency)
}

fn open(directory: &Path) -> Result<(DB, WriteOptions), LoadError> {
    let mut options = Options::default();
    options.create_if_missing(true);
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    Ok((DB::open(&options, directory)?, synced))
}

/// Records that do not compress, with keys in order within each range.
struct Records {
    filler: Filler,
    record: Vec<u8>,
    number: u64,
    ranges: u64,
}

impl Records {
    fn new(size: usize, ranges: u64) -> Records {
        Records { filler: Filler::new(size), record: Vec::with_capacity(size), number: 0, ranges }
    }

    fn batch(&mut self, records: u32) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for _ in 0..records {
            self.record.clear();
            self.filler.put(0, self.number, &mut self.record);
            let mut key = [0; 16];
            key[..8].copy_from_slice(&(self.number % self.ranges).to_be_bytes());
            key[8..].copy_from_slice(&self.number.to_be_bytes());
            batch.put(key, &self.record);
            self.number += 1;
        }
        batch
    }
}
