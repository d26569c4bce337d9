//! Finding the end of what cannot be read.
//!
//! RocksDB stops at a damaged block and does not say where the next readable key is. A seek into the block fails with a message
//! that names the block, a seek behind it does not: the first key of which that is true is put together byte by byte.

/// So many bytes of the key are looked for.
const LONGEST: usize = 64;

/// The least key behind `after` for which `beyond` holds: whether a seek to it leads past the damage. `None`: there is none.
///
/// `beyond` has to give the same answer for the same key each time, so each time with a new iterator.
pub(crate) fn find(after: &[u8], mut beyond: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    // What is before the damage can be read as well.
    let mut leads_past = |key: &[u8]| key > after && beyond(key);
    let (mut prefix, mut found) = (Vec::new(), None);
    // It does not hold for `prefix`, and holds for `found`; nothing shorter is between.
    while prefix.len() < LONGEST {
        let (mut low, mut high) = (0u16, 256);
        while low < high {
            let middle = (low + high) / 2;
            prefix.push(u8::try_from(middle).expect("below 256"));
            if leads_past(&prefix) {
                found = Some(prefix.clone());
                high = middle;
            } else {
                low = middle + 1;
            }
            prefix.pop();
        }
        match low.checked_sub(1) {
            // No key is between one and the same with a zero byte behind it.
            None => return found,
            Some(last) => prefix.push(u8::try_from(last).expect("below 256")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys as ours are, with zeros at their ends and without.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(0u8), 1 => Just(255u8), 3 => any::<u8>()];
        prop::collection::vec(byte, 0..25)
    }

    proptest! {
        #[test]
        fn the_least_key_behind_the_border_is_found(border in key(), after in key()) {
            let (after, border) = if after < border { (after, border) } else { (border, after) };
            let found = find(&after, |key| key > border.as_slice()).expect("there are greater ones");
            // Nothing is between a key and the same with a zero byte behind it.
            let least = [border.as_slice(), &[0]].concat();
            prop_assert_eq!(found, least);
        }

        /// A seek to what is found lands on the first key behind the damage.
        #[test]
        fn no_readable_row_is_passed_over(keys in prop::collection::btree_set(key(), 2..40), at in any::<prop::sample::Index>(), shorter in 0usize..25) {
            let keys: Vec<Vec<u8>> = keys.into_iter().collect();
            let last = at.index(keys.len() - 1);
            // The border is any key from the last that is damaged on and before the next, as an index shortens it.
            let next = &keys[last + 1];
            let shortened = next[..shorter.min(next.len())].to_vec();
            let border = if shortened >= keys[last] && shortened < *next { shortened } else { keys[last].clone() };
            let found = find(&[], |key| key > border.as_slice()).expect("there are greater ones");
            prop_assert_eq!(keys.iter().find(|key| **key >= found), Some(next));
        }
    }

    #[test]
    fn without_an_end_there_is_no_border() {
        assert_eq!(find(b"a", |_| false), None);
    }
}
