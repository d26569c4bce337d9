//! Going through a family row by row, over blocks of its files that cannot be read.
//!
//! An iterator of RocksDB stops at a block whose checksum does not match, and does not say where the next readable key
//! is. It is looked for: a seek into the damaged block fails with a message that names the block, a seek behind it does
//! not, so the border is found by halving the keys between. What is passed over is told as a range of keys.

use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions};

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

/// So often the keys between are halved.
const HALVINGS: usize = 400;

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
    let mut low = after.to_vec();
    let mut high = to.map_or_else(|| vec![0xff; after.len() + 8], <[u8]>::to_vec);
    if !beyond(iterator, &high, reason) {
        return None;
    }
    for _ in 0..HALVINGS {
        let Some(middle) = middle(&low, &high) else { break };
        if beyond(iterator, &middle, reason) {
            // What the seek has found may lie far above: nothing is between.
            high = middle;
        } else {
            low = middle;
        }
    }
    iterator.seek(&high);
    if !iterator.valid() {
        // At the end, or before other damage, which is met next.
        return match iterator.status() {
            Ok(()) => None,
            Err(_) => Some(high),
        };
    }
    iterator.key().map(<[u8]>::to_vec)
}

/// Whether a seek leads past the damage that `reason` names.
fn beyond(iterator: &mut DBRawIterator<'_>, key: &[u8], reason: &str) -> bool {
    iterator.seek(key);
    iterator.valid() || iterator.status().err().is_none_or(|error| error.into_string() != reason)
}

/// A key between two keys; `None` if they are too close.
fn middle(low: &[u8], high: &[u8]) -> Option<Vec<u8>> {
    // As fractions of one length, one byte longer than the longer.
    let length = low.len().max(high.len()) + 1;
    let byte = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or(0));
    let mut sum = vec![0u16; length];
    let mut carry = 0;
    for at in (0..length).rev() {
        let both = byte(low, at) + byte(high, at) + carry;
        sum[at] = both & 0xff;
        carry = both >> 8;
    }
    let mut middle = Vec::with_capacity(length);
    for digit in sum {
        let value = carry * 256 + digit;
        middle.push(u8::try_from(value / 2).expect("half of less than 512"));
        carry = value % 2;
    }
    while middle.last() == Some(&0) && middle.len() > low.len() {
        middle.pop();
    }
    (middle.as_slice() > low && middle.as_slice() < high && middle.len() <= low.len().max(high.len()).max(40))
        .then_some(middle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_middle_lies_between(one in prop::collection::vec(any::<u8>(), 0..12), other in prop::collection::vec(any::<u8>(), 0..12)) {
            let (low, high) = if one < other { (one, other) } else { (other, one) };
            match middle(&low, &high) {
                Some(middle) => prop_assert!(low < middle && middle < high),
                // Only keys that nothing, or only longer keys, lie between.
                None => prop_assert!(low == high || high.starts_with(&low) && high[low.len()..].iter().all(|byte| *byte == 0)),
            }
        }

        #[test]
        fn halving_comes_to_an_end(border in prop::collection::vec(any::<u8>(), 1..30)) {
            let (mut low, mut high) = (Vec::new(), vec![0xff; 40]);
            for _ in 0..HALVINGS {
                let Some(middle) = middle(&low, &high) else { break };
                if middle > border { high = middle } else { low = middle }
            }
            prop_assert!(low <= border && border < high);
            let mut next = border.clone();
            next.push(0);
            next.push(1);
            prop_assert!(high <= next, "{border:?} {high:?}");
        }
    }
}
