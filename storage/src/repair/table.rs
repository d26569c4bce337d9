//! Taking a damaged table file out of a database, without what it hides coming to light.
//!
//! What can be read of the file is written again, then the manifest forgets the file. A file that goes could uncover older
//! versions of its rows, and rows that it deletes: they are found by opening the database a second time without the file, as
//! it will be, and each difference is written to the database that still has it. A crash at any point leaves the
//! database as it was, or with rows written twice.

use std::fs::File;
use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, WriteBatch, WriteBatchIteratorCf, WriteOptions};

use super::RepairError;
use crate::check::scan::{Found, Unreadable, scan};
use crate::engine::named_file;
use crate::engine::rocks::{FOLDER, closed};
use crate::files::manifest::{self, TableFile};
use crate::keys;

/// The folder of the data directory for what was set aside.
pub(crate) const QUARANTINE: &str = "quarantine";

/// So much is written at once, in bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What came of a damaged table file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) family: String,
    /// Rows that were written again.
    pub(crate) rows: u64,
    /// Keys that cannot be read.
    pub(crate) lost: Vec<Unreadable>,
    /// Rows of other files in the part that cannot be read: they may be older than what is lost.
    pub(crate) doubtful: u64,
    /// Where the damaged file is kept.
    pub(crate) kept: PathBuf,
}

/// Opens the database of a directory for repair: what the write-ahead log has goes to files, and nothing is compacted.
pub(crate) fn open(directory: &Path) -> Result<DB, rocksdb::Error> {
    let path = directory.join(FOLDER);
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    // What is opened to be written to changes, and a list of what was there when it was closed holds no more.
    let _ = std::fs::remove_file(path.join(closed::FILE_NAME));
    let mut names = DB::list_cf(&options, &path)?;
    names.extend(keys::FAMILIES.iter().map(|family| family.name().to_owned()));
    names.sort();
    names.dedup();
    let families = names.into_iter().map(|name| {
        let mut options = rocksdb::Options::default();
        options.set_disable_auto_compactions(true);
        // Nobody reads or compacts the new files meanwhile, so their number stops no write.
        options.set_level_zero_stop_writes_trigger(1 << 20);
        options.set_level_zero_slowdown_writes_trigger(1 << 20);
        ColumnFamilyDescriptor::new(name, options)
    });
    DB::open_cf_descriptors(&options, &path, families.collect::<Vec<_>>())
}

/// Has the manifest forget which files of the write-ahead log it wants: each family gets a table file of its own from now.
pub(super) fn begin_log_anew(db: &DB) -> Result<(), rocksdb::Error> {
    for family in keys::FAMILIES {
        let Some(family) = db.cf_handle(family.name()) else { continue };
        // It never was there.
        db.delete_cf(family, b"")?;
        db.flush_cf(family)?;
    }
    Ok(())
}

/// Replaces a damaged table file of a database that nobody has open. `None`: it has no such file any more.
pub(crate) fn replace(directory: &Path, number: u64) -> Result<Option<Replaced>, RepairError> {
    // Whatever the write-ahead log has goes to files: from here on the database is its files.
    let file = {
        let db = open(directory)?;
        match find(&db, number)? {
            Some(file) => file,
            None => return Ok(None),
        }
    };
    let kept = keep(directory, &directory.join(FOLDER).join(format!("{number:06}.sst")))?;
    let without = directory.join(QUARANTINE).join("without");
    let _ = std::fs::remove_dir_all(&without);
    view_without(directory, &without, &file)?;
    let replaced = rewrite(directory, &without, &file, kept);
    std::fs::remove_dir_all(&without).map_err(|error| RepairError::io(&without, error))?;
    let replaced = replaced?;
    let path = directory.join(FOLDER);
    manifest::remove_files(&path, &[file.file]).map_err(|error| RepairError::io(&path, error))?;
    Ok(Some(replaced))
}

/// Takes out of a database that nobody has open a file of which nothing can be read: its end, which tells where the rest
/// is, is damaged. Older versions of its rows may come to light.
pub(crate) fn abandon(directory: &Path, damaged: Damaged) -> Result<Replaced, RepairError> {
    let path = directory.join(FOLDER);
    let kept = keep(directory, &path.join(format!("{:06}.sst", damaged.file.number)))?;
    manifest::remove_files(&path, &[damaged.file]).map_err(|error| RepairError::io(&path, error))?;
    let before = Some([damaged.last.as_slice(), &[0]].concat());
    let reason = format!("nothing of {} can be read", kept.display());
    let lost = vec![Unreadable { after: damaged.first, before, reason }];
    Ok(Replaced { family: damaged.family, rows: 0, lost, doubtful: 0, kept })
}

/// A table file of which something cannot be read.
pub(crate) struct Damaged {
    file: TableFile,
    family: String,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// The file of a number, as the database knows it.
pub(crate) fn find(db: &DB, number: u64) -> Result<Option<Damaged>, RepairError> {
    let files = db.live_files()?;
    let Some(found) = files.into_iter().find(|file| named_file(&file.name) == Some(number)) else {
        return Ok(None);
    };
    let family = db.cf_handle(&found.column_family_name).map(family_number);
    let level = u32::try_from(found.level).ok();
    let (Some(family), Some(level)) = (family, level) else { return Ok(None) };
    Ok(Some(Damaged {
        file: TableFile { family, level, number },
        family: found.column_family_name,
        first: found.start_key.unwrap_or_default(),
        last: found.end_key.unwrap_or_default(),
    }))
}

/// The number that RocksDB gave a family: it is in whatever is written to the family.
fn family_number(family: &ColumnFamily) -> u32 {
    struct Number(u32);
    impl WriteBatchIteratorCf for Number {
        fn put_cf(&mut self, family: u32, _key: &[u8], _value: &[u8]) {
            self.0 = family;
        }
        fn delete_cf(&mut self, _family: u32, _key: &[u8]) {}
        fn merge_cf(&mut self, _family: u32, _key: &[u8], _value: &[u8]) {}
    }
    let mut batch = WriteBatch::default();
    batch.put_cf(family, b"", b"");
    let mut number = Number(0);
    batch.iterate_cf(&mut number);
    number.0
}

/// Keeps a damaged file, as it is, for whoever wants to look at it.
pub(super) fn keep(directory: &Path, file: &Path) -> Result<PathBuf, RepairError> {
    let quarantine = directory.join(QUARANTINE);
    std::fs::create_dir_all(&quarantine).map_err(|error| RepairError::io(&quarantine, error))?;
    let kept = quarantine.join(file.file_name().unwrap_or_default());
    link(file, &kept)?;
    sync(&quarantine).map_err(|error| RepairError::io(&quarantine, error))?;
    Ok(kept)
}

/// The same file under a second name; a copy where the file system has no such thing.
fn link(from: &Path, to: &Path) -> Result<(), RepairError> {
    if to.exists() {
        return Ok(());
    }
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(drop))
        .map_err(|error| RepairError::io(from, error))
}

/// The database as it will be without the file, to be read.
fn view_without(directory: &Path, without: &Path, damaged: &Damaged) -> Result<(), RepairError> {
    let (from, to) = (directory.join(FOLDER), without.join(FOLDER));
    let io = |error| RepairError::io(&to, error);
    std::fs::create_dir_all(&to).map_err(io)?;
    let unwanted = format!("{:06}.sst", damaged.file.number);
    for entry in std::fs::read_dir(&from).map_err(|error| RepairError::io(&from, error))?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if name == unwanted.as_str() {
            continue;
        }
        if path.extension().is_some_and(|ending| ending == "sst") {
            link(&path, &to.join(&name))?;
        } else if name == "CURRENT" || name.as_encoded_bytes().starts_with(b"MANIFEST-") {
            std::fs::copy(&path, to.join(&name)).map_err(io)?;
        }
    }
    manifest::remove_files(&to, std::slice::from_ref(&damaged.file)).map_err(io)
}

/// Writes to the database what it would not have without the file.
fn rewrite(
    directory: &Path,
    without: &Path,
    damaged: &Damaged,
    kept: PathBuf,
) -> Result<Replaced, RepairError> {
    let name = damaged.family.as_str();
    let path = without.join(FOLDER);
    let options = rocksdb::Options::default();
    let rest = DB::open_cf_for_read_only(&options, &path, DB::list_cf(&options, &path)?, false)?;
    let db = open(directory)?;
    let missing = || RepairError::Engine(format!("the family {name} is not there"));
    let (family, rest_family) =
        (db.cf_handle(name).ok_or_else(missing)?, rest.cf_handle(name).ok_or_else(missing)?);
    let mut replaced = Replaced { family: name.to_owned(), rows: 0, lost: Vec::new(), doubtful: 0, kept };
    let mut writer = Writer { db: &db, batch: WriteBatch::default(), failed: None };
    let end = [damaged.last.as_slice(), &[0]].concat();
    scan(&db, family, &damaged.first, Some(&end), |found| match found {
        Found::Row(key, value) => {
            if rest.get_cf(rest_family, key).ok().flatten().as_deref() != Some(value) {
                replaced.rows += 1;
                writer.batch.put_cf(family, key, value);
                writer.write_if_large();
            }
        }
        // What is behind the last key is not the file's.
        Found::Unreadable(gap) => {
            let before = gap.before.or_else(|| Some(end.clone()));
            replaced.lost.push(Unreadable { before, ..gap });
        }
    });
    scan(&rest, rest_family, &damaged.first, Some(&end), |found| {
        let Found::Row(key, _) = found else { return };
        match db.get_cf(family, key) {
            Ok(Some(_)) => {}
            Ok(None) => {
                writer.batch.delete_cf(family, key);
                writer.write_if_large();
            }
            // A block of a log is never written twice.
            Err(_) => replaced.doubtful += u64::from(name != keys::LOG.name()),
        }
    });
    writer.finish()?;
    Ok(replaced)
}

struct Writer<'a> {
    db: &'a DB,
    batch: WriteBatch,
    failed: Option<rocksdb::Error>,
}

impl Writer<'_> {
    fn write_if_large(&mut self) {
        if self.batch.size_in_bytes() >= BATCH_BYTES {
            self.write(false);
        }
    }

    fn write(&mut self, sync: bool) {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        if let Err(error) = self.db.write_opt(std::mem::take(&mut self.batch), &options) {
            self.failed.get_or_insert(error);
        }
    }

    /// Everything is on the disk.
    fn finish(mut self) -> Result<(), RepairError> {
        self.write(true);
        match self.failed {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }
}

/// Brings what was written to a directory to the disk.
pub(crate) fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_what_rocksdb_says() {
        let says = "Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4  in \
                    /data/rocksdb/000123.sst offset 0 size 16";
        assert_eq!(named_file(says), Some(123));
        assert_eq!(named_file("/000007.sst"), Some(7));
        assert_eq!(named_file("Corruption: no file"), None);
        assert_eq!(named_file(".sst"), None);
    }
}
