//! Finding the end of what cannot be read.
//!
//! RocksDB stops at a damaged block and does not say where the next readable key is. A seek into the block fails with a message
//! that names the block, a seek behind it does not: the border is found by halving the keys between.

/// So often the keys between are halved.
const HALVINGS: usize = 400;

/// The first key behind damage that begins behind `after`; `None` if `beyond` does not hold at `end` either. `beyond` tells
/// whether a seek to a key leads past the damage.
pub(crate) fn find(after: &[u8], end: &[u8], mut beyond: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !beyond(end) {
        return None;
    }
    let (mut low, mut high) = (after.to_vec(), end.to_vec());
    for _ in 0..HALVINGS {
        let Some(middle) = middle(&low, &high) else { break };
        if beyond(&middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
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
    middle.truncate(low.len().max(high.len()).max(40));
    (middle.as_slice() > low && middle.as_slice() < high).then_some(middle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_border_is_found(border in prop::collection::vec(any::<u8>(), 1..30)) {
            let high = find(&[], &[0xff; 40], |key| key > border.as_slice()).expect("the end is beyond");
            let mut next = border.clone();
            next.extend([0, 1]);
            prop_assert!(high > border && high <= next, "{:?} {:?}", border, high);
        }

        #[test]
        fn the_middle_lies_between(one in prop::collection::vec(any::<u8>(), 0..12), other in prop::collection::vec(any::<u8>(), 0..12)) {
            let (low, high) = if one < other { (one, other) } else { (other, one) };
            if let Some(middle) = middle(&low, &high) {
                prop_assert!(low < middle && middle < high);
            }
        }
    }

    #[test]
    fn without_an_end_there_is_no_border() {
        assert_eq!(find(b"a", b"b", |_| false), None);
    }
}
