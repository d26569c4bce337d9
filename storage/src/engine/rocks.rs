//! RocksDB as the engine: opening it, and the few calls that the store makes.

pub(crate) mod closed;
pub(crate) mod directory;
mod filter;
mod tuning;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, ReadOptions, WriteOptions,
};

use super::{
    Cursor, Engine, EngineError, FailureKind, LostKeys, NoRows, Opened, SetAside, View, WriteBatch,
    named_file,
};
use crate::floors::Floors;
use crate::keys::{self, Family};
use crate::lock::DirectoryLock;
use crate::mark::CommitMark;
use crate::repair::{RepairError, table};
use crate::{OpenError, Options};

/// The folder of the data directory that is RocksDB's.
pub(crate) const FOLDER: &str = "rocksdb";

/// The family that every database has, and that we leave empty.
pub(crate) const DEFAULT_FAMILY: &str = "default";

/// How long a read waits for a database that is being opened again before it says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// A write-ahead log of less takes little.
const LONG_WAL_BYTES: u64 = 24 * 1024 * 1024;

/// Room for what opening writes besides the data that it replays: manifest, options, the beginning of a log.
const OPENING_BYTES: u64 = 4 * 1024 * 1024;

/// The open database, and the mark beside it.
pub(super) struct RocksDb {
    options: Options,
    floors: Floors,
    cache: Cache,
    /// `None` while it is opened again, or cannot be. Whoever uses it holds it for that long only.
    db: Mutex<Option<Arc<DB>>>,
    opened: Condvar,
    mark: CommitMark,
    /// Failures of work in the background that are known, since the database was opened.
    background_failures: AtomicU64,
    /// Held while the database is closed for a moment, too.
    _lock: DirectoryLock,
}

impl RocksDb {
    /// Opens the database of a data directory. Damage in its write-ahead log is left out first.
    pub(super) fn open(options: &Options, floors: &Floors) -> Result<Opened, OpenError> {
        let lock = directory::take(&options.directory)?;
        directory::check(options)?;
        closed::check(&options.directory)?;
        let in_doubt = crate::repair::leave_out_damaged_batches(&options.directory)?;
        let cache = Cache::new_lru_cache(tuning::BLOCK_CACHE_BYTES);
        let path = options.directory.join(FOLDER);
        let db = open_database(options, floors, &cache)
            .map_err(|error| directory::refusal(&options.directory, &path, error.into_string()))?;
        let (mark, found) = CommitMark::open(&options.directory)
            .map_err(|error| OpenError::Io { directory: options.directory.clone(), error })?;
        directory::sync(options)?;
        let rocks = RocksDb {
            options: options.clone(),
            floors: floors.clone(),
            cache,
            db: Mutex::new(Some(Arc::new(db))),
            opened: Condvar::new(),
            mark,
            background_failures: AtomicU64::new(0),
            _lock: lock,
        };
        Ok(Opened { engine: Box::new(rocks), mark: found, in_doubt })
    }

    /// The database, waited for while it is opened again.
    fn db(&self) -> Result<Arc<DB>, EngineError> {
        let mut db = self.db.lock();
        self.opened.wait_while_for(&mut db, |db| db.is_none(), PATIENCE);
        db.clone().ok_or_else(|| EngineError {
            kind: FailureKind::Closed,
            reason: "the database is being opened again".to_owned(),
        })
    }

    /// What the files of the write-ahead log take.
    fn wal_bytes(&self) -> std::io::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.options.directory.join(FOLDER))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                // RocksDB removes files while we look.
                bytes += path.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        Ok(bytes)
    }

    /// Closes it, as soon as nobody uses it any more.
    fn close(&self) {
        let Some(mut db) = self.db.lock().take() else { return };
        // A compaction that somebody waits for ends now.
        db.cancel_all_background_work(false);
        while let Err(used) = Arc::try_unwrap(db) {
            db = used;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn open_database(options: &Options, floors: &Floors, cache: &Cache) -> Result<DB, rocksdb::Error> {
    let families =
        keys::FAMILIES.iter().map(|family| family.name()).chain([DEFAULT_FAMILY]).map(|name| {
            ColumnFamilyDescriptor::new(name, tuning::family_options(name, cache, floors.clone()))
        });
    DB::open_cf_descriptors(&tuning::database_options(), options.directory.join(FOLDER), families)
}

/// Of a family, what no file of its own has yet.
fn bytes_in_memory(db: &DB, family: Family) -> u64 {
    let property = rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES;
    db.property_int_value_cf(handle(db, family), property).ok().flatten().unwrap_or_default()
}

fn handle(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("every family was opened with the database")
}

impl Engine for RocksDb {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(Open(self.db()))
    }

    fn write(&self, batch: &WriteBatch, sync: bool) -> Result<(), EngineError> {
        let db = self.db()?;
        // RocksDB takes its own kind of batch, and takes it for good.
        let mut writes = rocksdb::WriteBatch::with_capacity_bytes(batch.bytes() + BATCH_HEADER);
        for change in batch.changes() {
            let family = handle(&db, change.family);
            match &change.value {
                Some(value) => writes.put_cf(family, &change.key, value),
                None => writes.delete_cf(family, &change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        Ok(db.write_opt(writes, &options)?)
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(self.db()?.flush_wal(true)?)
    }

    /// Opening replays the log and writes what it has to new files, which are synced.
    fn reopen(&self) -> Result<(), EngineError> {
        self.close();
        let db = open_database(&self.options, &self.floors, &self.cache)?;
        self.background_failures.store(0, Relaxed);
        *self.db.lock() = Some(Arc::new(db));
        self.opened.notify_all();
        Ok(())
    }

    /// The file goes while the database is closed: what reads meanwhile waits, or is told to come again.
    fn set_aside(&self, failure: &EngineError) -> Result<Option<SetAside>, EngineError> {
        let Some(number) = named_file(&failure.reason) else { return Ok(None) };
        // Where it cannot be opened with the file, nobody could ask later.
        let known = match self.db() {
            Ok(db) => match table::find(&db, number)? {
                Some(known) => Some(known),
                None => return Ok(None),
            },
            Err(_) => None,
        };
        self.close();
        let directory = &self.options.directory;
        let is_worse = |error: &RepairError| matches!(error, RepairError::Engine(reason) if named_file(reason) == Some(number));
        let replaced = match (table::replace(directory, number), known) {
            (Err(error), Some(known)) if is_worse(&error) => table::abandon(directory, known).map(Some),
            (replaced, _) => replaced,
        };
        let opened = self.reopen();
        let replaced = replaced?;
        opened?;
        Ok(replaced.map(|replaced| {
            let lost = replaced.lost.into_iter().map(|gap| LostKeys {
                from: gap.after,
                to: gap.before,
                reason: gap.reason,
            });
            SetAside {
                kept: replaced.kept,
                family: replaced.family,
                rows: replaced.rows,
                lost: lost.collect(),
            }
        }))
    }

    /// RocksDB counts failures, and tells the reason in its own log only.
    fn background_damage(&self) -> Option<EngineError> {
        let db = self.db.lock().clone()?;
        let failures = db.property_int_value(rocksdb::properties::BACKGROUND_ERRORS).ok().flatten()?;
        if failures <= self.background_failures.load(Relaxed) {
            return None;
        }
        let log = std::fs::read(self.options.directory.join(FOLDER).join("LOG")).ok()?;
        let reason = last_compaction_failure(&String::from_utf8_lossy(&log))?;
        self.background_failures.store(failures, Relaxed);
        reason.starts_with("Corruption").then_some(EngineError { kind: FailureKind::Corruption, reason })
    }

    /// What is in memory is what is replayed.
    fn reopening_bytes(&self) -> u64 {
        // While it is closed nothing is known, and there is nobody to wait for it by being careful.
        let Some(db) = self.db.lock().clone() else { return 0 };
        OPENING_BYTES + keys::FAMILIES.iter().map(|family| bytes_in_memory(&db, *family)).sum::<u64>()
    }

    /// A file of the log lives as long as any family has something of it in memory, and the smallest have the oldest.
    fn shorten_log(&self, mut room_bytes: u64) -> Result<(), EngineError> {
        if self.wal_bytes().unwrap_or_default() < LONG_WAL_BYTES {
            return Ok(());
        }
        let db = self.db()?;
        let mut families = keys::FAMILIES.map(|family| (bytes_in_memory(&db, family), family));
        families.sort_unstable_by_key(|(bytes, _)| *bytes);
        for (bytes, family) in families {
            if bytes > room_bytes {
                break;
            }
            room_bytes -= bytes;
            db.flush_cf(handle(&db, family))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        let db = self.db()?;
        let families: Vec<_> = keys::FAMILIES.iter().map(|family| handle(&db, *family)).collect();
        db.flush_cfs_opt(&families, &FlushOptions::default())?;
        // Whoever opens it next knows what has to be there.
        if let Err(error) = closed::write(&db) {
            tracing::debug!(%error, "the list of files was not written");
        }
        Ok(())
    }

    fn set_mark(&self, commit: u64) -> std::io::Result<()> {
        self.mark.set(commit)
    }

    fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64 {
        let Ok(db) = self.db() else { return 0 };
        let range = rocksdb::Range::new(from, to);
        let sizes = db.get_approximate_sizes_cf(handle(&db, keys::LOG), &[range]);
        sizes.first().copied().unwrap_or(0)
    }

    /// Drops the files that lie between the keys, and rewrites those that overlap them.
    fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        let db = self.db()?;
        let family = handle(&db, keys::LOG);
        db.delete_file_in_range_cf(family, from, to)?;
        let mut options = rocksdb::CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        db.compact_range_cf_opt(family, Some(from), Some(to), &options);
        Ok(())
    }

    /// Whether RocksDB computes CRC32C in hardware.
    fn has_fast_checksum(&self) -> Option<bool> {
        let log = File::open(self.options.directory.join(FOLDER).join("LOG")).ok()?;
        let says = BufReader::new(log)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("Fast CRC32 supported: ").map(|(_, says)| says.to_owned()))?;
        Some(says.starts_with("Supported"))
    }
}

/// Why a compaction has failed last, as RocksDB's own log has it.
fn last_compaction_failure(log: &str) -> Option<String> {
    let (_, behind) = log.rsplit_once("Compaction error: ")?;
    behind.lines().next().map(str::to_owned)
}

/// How the system says that there is no room.
const NO_SPACE: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// What a batch of RocksDB begins with.
const BATCH_HEADER: usize = 12;

/// The database, or why there is none just now.
struct Open(Result<Arc<DB>, EngineError>);

impl View for Open {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let db = self.0.as_ref().map_err(Clone::clone)?;
        Ok(db.get_cf(handle(db, family), key)?.map(Bytes::from))
    }

    fn cursor<'a>(&'a self, family: Family, from: &[u8], to: Option<&[u8]>) -> Box<dyn Cursor + 'a> {
        let db = match &self.0 {
            Ok(db) => db,
            Err(error) => return Box::new(NoRows(error.clone())),
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        // One `#` over all retained topics must not push everything else out of the cache, nor fill it for nothing: a
        // scan passes each block once.
        options.fill_cache(family != keys::RETAINED);
        Box::new(Rows(db.raw_iterator_cf_opt(handle(db, family), options)))
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

impl From<RepairError> for EngineError {
    fn from(error: RepairError) -> EngineError {
        let reason = error.to_string();
        let kind = match &error {
            _ if NO_SPACE.iter().any(|words| reason.contains(words)) => FailureKind::NoSpace,
            RepairError::Io { .. } | RepairError::Open(OpenError::Io { .. }) => FailureKind::Io,
            RepairError::Engine(reason) if reason.starts_with("IO error") => FailureKind::Io,
            RepairError::Engine(reason) if reason.starts_with("Corruption") => FailureKind::Corruption,
            _ => FailureKind::Other,
        };
        EngineError { kind, reason }
    }
}

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> EngineError {
        use rocksdb::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::IOError if NO_SPACE.iter().any(|words| error.as_ref().contains(words)) => {
                FailureKind::NoSpace
            }
            ErrorKind::IOError => FailureKind::Io,
            ErrorKind::Corruption => FailureKind::Corruption,
            _ => FailureKind::Other,
        };
        EngineError { kind, reason: error.into_string() }
    }
}
