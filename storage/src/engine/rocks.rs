//! RocksDB as the engine: opening it, and the few calls that the store makes.

pub(crate) mod closed;
pub(crate) mod directory;
mod filter;
mod tuning;

use std::fs::File;
use std::io::{BufRead, BufReader};

use bytes::Bytes;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, ReadOptions, WriteOptions,
};

use super::{Cursor, Engine, EngineError, FailureKind, Opened, View, WriteBatch};
use crate::floors::Floors;
use crate::keys::{self, Family};
use crate::mark::CommitMark;
use crate::{OpenError, Options};

/// The folder of the data directory that is RocksDB's.
pub(crate) const FOLDER: &str = "rocksdb";

/// The family that every database has, and that we leave empty.
pub(crate) const DEFAULT_FAMILY: &str = "default";

/// The open database, and the mark beside it.
pub(super) struct RocksDb {
    db: DB,
    mark: CommitMark,
}

impl RocksDb {
    /// Opens the database of a data directory. Damage in its write-ahead log is left out first.
    pub(super) fn open(options: &Options, floors: &Floors) -> Result<Opened, OpenError> {
        directory::check(options)?;
        closed::check(&options.directory)?;
        let in_doubt = crate::repair::leave_out_damaged_batches(&options.directory)?;
        let path = options.directory.join(FOLDER);
        let cache = Cache::new_lru_cache(tuning::BLOCK_CACHE_BYTES);
        let families =
            keys::FAMILIES.iter().map(|family| family.name()).chain([DEFAULT_FAMILY]).map(|name| {
                ColumnFamilyDescriptor::new(name, tuning::family_options(name, &cache, floors.clone()))
            });
        let db = DB::open_cf_descriptors(&tuning::database_options(), &path, families)
            .map_err(|error| directory::refusal(&options.directory, &path, error.into_string()))?;
        let (mark, found) = CommitMark::open(&options.directory)
            .map_err(|error| OpenError::Io { directory: options.directory.clone(), error })?;
        directory::sync(options)?;
        Ok(Opened { engine: Box::new(RocksDb { db, mark }), mark: found, in_doubt })
    }
}

fn handle(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("every family was opened with the database")
}

impl Engine for RocksDb {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(Open(&self.db))
    }

    fn write(&self, batch: &WriteBatch, sync: bool) -> Result<(), EngineError> {
        // RocksDB takes its own kind of batch, and takes it for good.
        let mut writes = rocksdb::WriteBatch::with_capacity_bytes(batch.bytes() + BATCH_HEADER);
        for change in batch.changes() {
            let family = handle(&self.db, change.family);
            match &change.value {
                Some(value) => writes.put_cf(family, &change.key, value),
                None => writes.delete_cf(family, &change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        Ok(self.db.write_opt(writes, &options)?)
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(self.db.flush_wal(true)?)
    }

    fn flush(&self) -> Result<(), EngineError> {
        let families: Vec<_> = keys::FAMILIES.iter().map(|family| handle(&self.db, *family)).collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default())?;
        // Whoever opens it next knows what has to be there.
        if let Err(error) = closed::write(&self.db) {
            tracing::debug!(%error, "the list of files was not written");
        }
        Ok(())
    }

    fn set_mark(&self, commit: u64) -> std::io::Result<()> {
        self.mark.set(commit)
    }

    fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64 {
        let range = rocksdb::Range::new(from, to);
        let sizes = self.db.get_approximate_sizes_cf(handle(&self.db, keys::LOG), &[range]);
        sizes.first().copied().unwrap_or(0)
    }

    /// Drops the files that lie between the keys, and rewrites those that overlap them.
    fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        let family = handle(&self.db, keys::LOG);
        self.db.delete_file_in_range_cf(family, from, to)?;
        let mut options = rocksdb::CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(family, Some(from), Some(to), &options);
        Ok(())
    }

    /// Whether RocksDB computes CRC32C in hardware.
    fn has_fast_checksum(&self) -> Option<bool> {
        let log = File::open(self.db.path().join("LOG")).ok()?;
        let says = BufReader::new(log)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("Fast CRC32 supported: ").map(|(_, says)| says.to_owned()))?;
        Some(says.starts_with("Supported"))
    }
}

/// What a batch of RocksDB begins with.
const BATCH_HEADER: usize = 12;

struct Open<'a>(&'a DB);

impl View for Open<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.get_cf(handle(self.0, family), key)?.map(Bytes::from))
    }

    fn cursor<'a>(&'a self, family: Family, from: &[u8], to: Option<&[u8]>) -> Box<dyn Cursor + 'a> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        Box::new(Rows(self.0.raw_iterator_cf_opt(handle(self.0, family), options)))
    }
}

struct Rows<'a>(DBRawIterator<'a>);

impl Cursor for Rows<'_> {
    fn seek_to_first(&mut self) {
        self.0.seek_to_first();
    }

    fn seek_to_last(&mut self) {
        self.0.seek_to_last();
    }

    fn seek(&mut self, key: &[u8]) {
        self.0.seek(key);
    }

    fn next(&mut self) {
        self.0.next();
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.0.item()
    }

    fn status(&self) -> Result<(), EngineError> {
        Ok(self.0.status()?)
    }
}

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> EngineError {
        use rocksdb::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::IOError if error.as_ref().contains("No space left on device") => FailureKind::NoSpace,
            ErrorKind::IOError => FailureKind::Io,
            ErrorKind::Corruption => FailureKind::Corruption,
            _ => FailureKind::Other,
        };
        EngineError { kind, reason: error.into_string() }
    }
}
