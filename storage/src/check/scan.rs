//! Going through a family row by row, over blocks of its files that cannot be read.
//!
//! What is passed over is told as a range of keys.

use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions};

use crate::border;

/// What a scan comes upon.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A row.
    Row(&'a [u8], &'a [u8]),
    /// Keys that cannot be read.
    Unreadable(Unreadable),
}

/// A range of keys that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The last key that was read before; empty: none.
    pub(crate) after: Vec<u8>,
    /// The first key that can be read behind; `None`: none.
    pub(crate) before: Option<Vec<u8>>,
    /// What RocksDB says; it names the file.
    pub(crate) reason: String,
}

/// Goes through the rows of a family from `from` on and below `to`.
pub(crate) fn scan(
    db: &DB,
    family: &ColumnFamily,
    from: &[u8],
    to: Option<&[u8]>,
    mut each: impl FnMut(Found<'_>),
) {
    let open = || iterator(db, family, from, to);
    let mut iterator = open();
    iterator.seek(from);
    let mut after = from.to_vec();
    loop {
        match step(&mut iterator, &after, open) {
            Step::Row => {
                if let Some((key, value)) = iterator.item() {
                    after = key.to_vec();
                    each(Found::Row(key, value));
                }
                iterator.next();
            }
            Step::Gap(gap) => {
                let before = gap.before.clone();
                each(Found::Unreadable(gap));
                match before {
                    Some(before) => after = before,
                    None => return,
                }
            }
            Step::End => return,
        }
    }
}

/// An iterator that checks what it reads and keeps nothing of it.
pub(crate) fn iterator<'a>(
    db: &'a DB,
    family: &ColumnFamily,
    from: &[u8],
    to: Option<&[u8]>,
) -> DBRawIterator<'a> {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    db.raw_iterator_cf_opt(family, options)
}

/// Where an iterator stands.
enum Step {
    /// On a row.
    Row,
    /// On the row behind keys that cannot be read, or behind all.
    Gap(Unreadable),
    /// Behind all.
    End,
}

/// Takes an iterator that may have stopped at damage to the first readable row behind `after`. An iterator that has met
/// damage goes by where it stands, and does not give the same answer each time: behind damage it is a new one.
fn step<'a>(iterator: &mut DBRawIterator<'a>, after: &[u8], open: impl Fn() -> DBRawIterator<'a>) -> Step {
    if iterator.valid() {
        return Step::Row;
    }
    let Err(error) = iterator.status() else { return Step::End };
    let reason = error.into_string();
    let found = border::find(after, |key| {
        let mut iterator = open();
        iterator.seek(key);
        iterator.valid() || iterator.status().err().is_none_or(|error| error.into_string() != reason)
    });
    let before = found.and_then(|behind| {
        *iterator = open();
        iterator.seek(&behind);
        match (iterator.key(), iterator.status()) {
            (Some(key), _) => Some(key.to_vec()),
            (None, Ok(())) => None,
            // Before other damage, which is met next.
            (None, Err(_)) => Some(behind),
        }
    });
    Step::Gap(Unreadable { after: after.to_vec(), before, reason })
}
