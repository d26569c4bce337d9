//! RocksDB alone: one writer, one sync for each batch. What a store on it could do at best.

use crate::options::RawStore;
use crate::payload::Filler;
use crate::{During, LoadError};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct RawReport {
    scenario: &'static str,
    batch: u32,
    size: usize,
    records_per_second: f64,
    commits_per_second: f64,
}

/// Writes batches of each size for some seconds and prints the rates.
pub(crate) fn run(raw: &RawStore, json: bool) -> Result<(), LoadError> {
    for &batch in &raw.batches {
        let directory = match &raw.work_dir {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .during("making a directory for the database")?;
        let (commits, seconds) = write(raw, batch, directory.path())?;
        let report = RawReport {
            scenario: "rocksdb",
            batch,
            size: raw.size,
            records_per_second: commits as f64 * f64::from(batch) / seconds,
            commits_per_second: commits as f64 / seconds,
        };
        if json {
            println!("{}", serde_json::to_string(&report).expect("a report has no maps with odd keys"));
        } else {
            println!(
                "rocksdb: batches of {batch:>4} records of {} B: {:>9.0} records/s, {:>6.0} synced commits/s",
                raw.size, report.records_per_second, report.commits_per_second
            );
        }
    }
    Ok(())
}

fn write(raw: &RawStore, batch_size: u32, directory: &std::path::Path) -> Result<(u64, f64), LoadError> {
    let mut options = Options::default();
    options.create_if_missing(true);
    let database = DB::open(&options, directory)?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let filler = Filler::new(raw.size);
    let mut record = Vec::with_capacity(raw.size);
    let (begin, duration) = (Instant::now(), Duration::from_secs(raw.seconds));
    let (mut commits, mut number) = (0, 0u64);
    while begin.elapsed() < duration {
        let mut batch = WriteBatch::default();
        for _ in 0..batch_size {
            record.clear();
            filler.put(0, number, &mut record);
            let mut key = [0; 16];
            key[8..].copy_from_slice(&number.to_be_bytes());
            batch.put(key, &record);
            number += 1;
        }
        database.write_opt(batch, &synced)?;
        commits += 1;
    }
    Ok((commits, begin.elapsed().as_secs_f64()))
}
