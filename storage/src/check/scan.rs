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
    let mut iterator = iterator(db, family, from, to);
    iterator.seek(from);
    let mut after = from.to_vec();
    loop {
        match step(&mut iterator, &after, to) {
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
pub(crate) enum Step {
    /// On a row.
    Row,
    /// On the row behind keys that cannot be read, or behind all.
    Gap(Unreadable),
    /// Behind all.
    End,
}

/// Takes an iterator that may have stopped at damage to the first readable row behind `after`.
pub(crate) fn step(iterator: &mut DBRawIterator<'_>, after: &[u8], to: Option<&[u8]>) -> Step {
    if iterator.valid() {
        return Step::Row;
    }
    match iterator.status() {
        Ok(()) => Step::End,
        Err(error) => {
            let reason = error.into_string();
            let before = pass_over(iterator, after, to, &reason);
            Step::Gap(Unreadable { after: after.to_vec(), before, reason })
        }
    }
}

/// Positions the iterator on the first row behind the damage that `reason` names.
fn pass_over(
    iterator: &mut DBRawIterator<'_>,
    after: &[u8],
    to: Option<&[u8]>,
    reason: &str,
) -> Option<Vec<u8>> {
    let end = to.map_or_else(|| vec![0xff; after.len() + 8], <[u8]>::to_vec);
    let behind = border::find(after, &end, |key| beyond(iterator, key, reason))?;
    iterator.seek(&behind);
    if !iterator.valid() {
        // At the end, or before other damage, which is met next.
        return match iterator.status() {
            Ok(()) => None,
            Err(_) => Some(behind),
        };
    }
    iterator.key().map(<[u8]>::to_vec)
}

/// Whether a seek leads past the damage that `reason` names.
fn beyond(iterator: &mut DBRawIterator<'_>, key: &[u8], reason: &str) -> bool {
    iterator.seek(key);
    iterator.valid() || iterator.status().err().is_none_or(|error| error.into_string() != reason)
}
