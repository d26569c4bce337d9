//! RocksDB: options, opening, and the few calls that the rest makes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DBRecoveryMode, FlushOptions, ReadOptions, WriteBatch, WriteOptions,
};

use crate::floors::Floors;
use crate::keys;
use crate::{OpenError, Options, ReadError};

/// The folder of the data directory that is RocksDB's.
pub(crate) const FOLDER: &str = "rocksdb";

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Cache for blocks of files, indexes and filters of all families.
const BLOCK_CACHE_BYTES: usize = 32 * MIB;
/// One of up to three write buffers of the `log` family.
const LOG_BUFFER_BYTES: usize = 16 * MIB;
/// One of up to two write buffers of each other family.
const SMALL_BUFFER_BYTES: usize = 4 * MIB;
/// Bound of the write-ahead log, and so of what is to be replayed after a crash.
const WAL_BYTES: u64 = 128 * MIB as u64;
/// Old files of `log` pass the compaction filter at least this often.
const PERIODIC_COMPACTION_SECONDS: u64 = 24 * 60 * 60;

/// The open database.
pub(crate) struct Database {
    db: DB,
}

impl Database {
    pub(crate) fn open(options: &Options, floors: &Floors) -> Result<Database, OpenError> {
        let path = options.directory.join(FOLDER);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = keys::FAMILIES
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache, floors)))
            .into_iter()
            .chain([ColumnFamilyDescriptor::new("default", family_options("default", &cache, floors))]);
        let db = DB::open_cf_descriptors(&database_options(), &path, families)
            .map_err(|error| refusal(&options.directory, &path, error.into_string()))?;
        Ok(Database { db })
    }

    /// The families that a directory's database has; `None` when it has no database.
    pub(crate) fn list_families(options: &Options) -> Result<Option<Vec<String>>, OpenError> {
        let path = options.directory.join(FOLDER);
        if !path.join("CURRENT").exists() {
            return Ok(None);
        }
        DB::list_cf(&rocksdb::Options::default(), &path)
            .map(Some)
            .map_err(|error| refusal(&options.directory, &path, error.into_string()))
    }

    /// The schema of a database that cannot be opened because it has families of which this version knows nothing.
    pub(crate) fn peek_schema(options: &Options) -> Option<u32> {
        peek_schema(&options.directory.join(FOLDER))
    }

    pub(crate) fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family was opened with the database")
    }

    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.db.get_cf(self.family(family), key)?.map(Bytes::from))
    }

    /// An iterator over the keys of a family from `from` to before `to`; not positioned.
    pub(crate) fn iterate(&self, family: &str, from: &[u8], to: Option<&[u8]>) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        self.db.raw_iterator_cf_opt(self.family(family), options)
    }

    pub(crate) fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options)
    }

    pub(crate) fn sync(&self) -> Result<(), rocksdb::Error> {
        self.db.flush_wal(true)
    }

    /// Writes what is in memory to files, so that the next start has nothing to replay.
    pub(crate) fn flush(&self) -> Result<(), rocksdb::Error> {
        let families: Vec<_> = keys::FAMILIES.iter().map(|name| self.family(name)).collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default())
    }

    /// Bytes on the disk between two keys of `log`, roughly.
    pub(crate) fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64 {
        let range = rocksdb::Range::new(from, to);
        self.db.get_approximate_sizes_cf(self.family(keys::LOG), &[range]).first().copied().unwrap_or(0)
    }

    /// Drops the files of `log` that lie between two keys, and rewrites those that overlap them.
    pub(crate) fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), rocksdb::Error> {
        let family = self.family(keys::LOG);
        self.db.delete_file_in_range_cf(family, from, to)?;
        let mut options = rocksdb::CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(family, Some(from), Some(to), &options);
        Ok(())
    }

    /// Whether RocksDB computes CRC32C in hardware; `None` when it does not say.
    pub(crate) fn has_fast_checksum(&self) -> Option<bool> {
        let log = File::open(self.db.path().join("LOG")).ok()?;
        let says = BufReader::new(log)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("Fast CRC32 supported: ").map(|(_, says)| says.to_owned()))?;
        Some(says.starts_with("Supported"))
    }
}

fn database_options() -> rocksdb::Options {
    let mut database = rocksdb::Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    // A torn end of the write-ahead log is what a kill leaves, and no reason to refuse; whether anything that was
    // acknowledged is missing is told by the commit mark.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    database.set_max_total_wal_size(WAL_BYTES);
    // Files of the write-ahead log are not recycled: two stores written to in turn, one with and one without, took the
    // same time for a sync, and the end of a file is plainer when nothing old stands behind it.
    database.set_max_background_jobs(2);
    database.set_max_open_files(512);
    database.set_max_log_file_size(4 * MIB);
    database.set_keep_log_file_num(4);
    // The only writer is the committer.
    database.set_allow_concurrent_memtable_write(false);
    database.set_stats_dump_period_sec(0);
    database
}

fn family_options(name: &str, cache: &Cache, floors: &Floors) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_format_version(5);
    let mut family = rocksdb::Options::default();
    family.set_compression_type(DBCompressionType::None);
    if name == keys::LOG {
        family.set_write_buffer_size(LOG_BUFFER_BYTES);
        family.set_max_write_buffer_number(3);
        family.set_target_file_size_base(32 * MIB as u64);
        family.set_max_bytes_for_level_base(128 * MIB as u64);
        family.set_periodic_compaction_seconds(PERIODIC_COMPACTION_SECONDS);
        family.set_compaction_filter_factory(floors.clone());
        table.set_block_size(16 * KIB);
    } else {
        family.set_write_buffer_size(SMALL_BUFFER_BYTES);
        family.set_max_write_buffer_number(2);
        family.set_target_file_size_base(16 * MIB as u64);
        table.set_bloom_filter(10.0, false);
    }
    if name == keys::LOG || name == keys::RETAINED {
        // What is soon read or trimmed is not compressed; what stays is.
        use DBCompressionType::{Lz4, None};
        family.set_compression_per_level(&[None, None, Lz4, Lz4, Lz4, Lz4, Lz4]);
    }
    family.set_block_based_table_factory(&table);
    family
}

/// RocksDB's refusal to open, in our words where we know better.
fn refusal(directory: &Path, path: &Path, reason: String) -> OpenError {
    let directory = directory.to_owned();
    if reason.contains("lock hold by current process") {
        return OpenError::InUse { directory, process: Some(std::process::id()) };
    }
    if reason.contains("While lock file") {
        return OpenError::InUse { directory, process: lock_holder(&path.join("LOCK")) };
    }
    if reason.starts_with("Corruption") || reason.contains("No such file") {
        return OpenError::Unreadable { directory, reason };
    }
    OpenError::Engine { directory, reason }
}

/// The schema of a database, though it has families of which this version knows nothing.
pub(crate) fn peek_schema(path: &Path) -> Option<u32> {
    let families = ["default", keys::META];
    let db = DB::open_cf_for_read_only(&rocksdb::Options::default(), path, families, false).ok()?;
    let row = db.get_cf(db.cf_handle(keys::META)?, keys::SCHEMA).ok()??;
    crate::record::decode_schema(&row).ok()
}

/// Whether a database of ours has a family of that name.
pub(crate) fn is_ours(family: &str) -> bool {
    family == "default" || keys::FAMILIES.contains(&family)
}

/// Files with data in the folder of a database that has lost CURRENT: what a start that was broken off leaves has none.
pub(crate) fn files_without_current(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let (name, path) = (entry.file_name(), entry.path());
            let manifest = name.as_encoded_bytes().starts_with(b"MANIFEST-") && name != "MANIFEST-000001";
            let table = path.extension().is_some_and(|ending| ending == "sst");
            let log = path.extension().is_some_and(|ending| ending == "log")
                && entry.metadata().is_ok_and(|file| file.len() > 0);
            manifest || table || log
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Who holds the lock file. Only asked when it is another process: closing the file would give up a lock of our own.
pub(crate) fn lock_holder(lock: &Path) -> Option<u32> {
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    let file = File::open(lock).ok()?;
    let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??.pid?;
    u32::try_from(holder.as_raw_nonzero().get()).ok()
}
