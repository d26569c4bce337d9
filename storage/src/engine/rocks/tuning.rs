//! How RocksDB is set up: buffers, files, caches, compression.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode};

use crate::floors::Floors;
use crate::keys;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Cache for blocks of files, indexes and filters of all families.
pub(super) const BLOCK_CACHE_BYTES: usize = 32 * MIB;
/// One of up to three write buffers of the `log` family.
const LOG_BUFFER_BYTES: usize = 16 * MIB;
/// One of up to two write buffers of each other family.
const SMALL_BUFFER_BYTES: usize = 4 * MIB;
/// Bound of the write-ahead log, and so of what is to be replayed after a crash.
const WAL_BYTES: u64 = 128 * MIB as u64;
/// So many flushed buffers of `log` are merged at once into the level below. Messages that are spread over many logs make each
/// of them overlap all of that level, which is rewritten every time: the more at once, the less often. One log's
/// messages overlap nothing, and are not rewritten at all.
const LOG_MERGED_AT_ONCE: i32 = 8;
/// Old files of `log` pass the compaction filter at least this often.
const PERIODIC_COMPACTION_SECONDS: u64 = 24 * 60 * 60;

pub(super) fn database_options() -> rocksdb::Options {
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

pub(super) fn family_options(name: &str, cache: &Cache, floors: Floors) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_format_version(5);
    let mut family = rocksdb::Options::default();
    family.set_compression_type(DBCompressionType::None);
    if name == keys::LOG.name() {
        family.set_write_buffer_size(LOG_BUFFER_BYTES);
        family.set_max_write_buffer_number(3);
        family.set_target_file_size_base(32 * MIB as u64);
        family.set_max_bytes_for_level_base(128 * MIB as u64);
        family.set_level_zero_file_num_compaction_trigger(LOG_MERGED_AT_ONCE);
        family.set_periodic_compaction_seconds(PERIODIC_COMPACTION_SECONDS);
        family.set_compaction_filter_factory(floors);
        table.set_block_size(16 * KIB);
    } else {
        family.set_write_buffer_size(SMALL_BUFFER_BYTES);
        family.set_max_write_buffer_number(2);
        family.set_target_file_size_base(16 * MIB as u64);
        table.set_bloom_filter(10.0, false);
    }
    if name == keys::LOG.name() || name == keys::RETAINED.name() {
        // What is soon read or trimmed is not compressed; what stays is.
        use DBCompressionType::{Lz4, None};
        family.set_compression_per_level(&[None, None, Lz4, Lz4, Lz4, Lz4, Lz4]);
    }
    family.set_block_based_table_factory(&table);
    family
}
