//! What a closed database consists of.
//!
//! A manifest that was cut short names fewer files than there are, and RocksDB takes it for whole and deletes the others.
//! So the table files of a database that is closed in order are listed in a file of ours, and looked for before RocksDB
//! opens it to write. The list goes before that: what is opened changes.

use std::collections::BTreeSet;
use std::io::{Error, Result, Write as _};
use std::path::Path;

use rocksdb::DB;

use super::FOLDER;
use crate::OpenError;

pub(crate) const FILE_NAME: &str = "closed-files";

/// Lists the table files of a database that is about to be closed. It does nothing in the background from then on: a
/// compaction that ended behind the list would make it untrue.
pub(super) fn write(db: &DB) -> Result<()> {
    db.cancel_all_background_work(true);
    let mut text: String = live(db)?.into_iter().map(|name| name + "\n").collect();
    text.push_str(&format!("{:08x}\n", crc32fast::hash(text.as_bytes())));
    let mut file = std::fs::File::create(db.path().join(FILE_NAME))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn live(db: &DB) -> Result<BTreeSet<String>> {
    let files = db.live_files().map_err(Error::other)?;
    Ok(files.into_iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect())
}

/// Refuses a database that has lost table files since it was closed; forgets the list of one that has not.
pub(super) fn check(directory: &Path) -> std::result::Result<(), OpenError> {
    verify(directory)?;
    match std::fs::remove_file(directory.join(FOLDER).join(FILE_NAME)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::Io { directory: directory.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Refuses a database that has lost table files since it was closed.
pub(crate) fn verify(directory: &Path) -> std::result::Result<(), OpenError> {
    let database = directory.join(FOLDER);
    let Ok(text) = std::fs::read_to_string(database.join(FILE_NAME)) else { return Ok(()) };
    let unreadable = |reason| OpenError::Unreadable { directory: directory.to_owned(), reason };
    if let Some(listed) = listed(&text) {
        let options = rocksdb::Options::default();
        let open = || {
            let families = DB::list_cf(&options, &database)?;
            DB::open_cf_for_read_only(&options, &database, families, false)
        };
        let db = open().map_err(|error| unreadable(error.into_string()))?;
        let live = live(&db).map_err(|error| unreadable(error.to_string()))?;
        if let Some(missing) = listed.iter().find(|name| !live.contains(**name)) {
            return Err(unreadable(format!(
                "{} was part of the database when it was closed, and the manifest that {} names does not have it",
                database.join(missing).display(),
                database.join("CURRENT").display()
            )));
        }
    }
    Ok(())
}

/// The names in a list; `None`: it is damaged, and tells nothing.
fn listed(text: &str) -> Option<Vec<&str>> {
    let (names, checksum) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let whole = if names.is_empty() { String::new() } else { format!("{names}\n") };
    (format!("{:08x}", crc32fast::hash(whole.as_bytes())) == checksum).then(|| names.lines().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_list_tells_nothing() {
        let checksum = |text: &str| format!("{text}{:08x}\n", crc32fast::hash(text.as_bytes()));
        assert_eq!(listed(&checksum("a.sst\nb.sst\n")), Some(vec!["a.sst", "b.sst"]));
        assert_eq!(listed(&checksum("")), Some(vec![]));
        assert_eq!(listed(&checksum("a.sst\n").replace('a', "b")), None);
        assert_eq!(listed(""), None);
    }
}
