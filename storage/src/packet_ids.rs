//! A set of packet identifiers, kept as ranges: identifiers are given out in sequence, so the set of a whole window is
//! one or two ranges, and saving it costs a few bytes.

use bincode::{Decode, Encode};
use smallvec::SmallVec;

/// A set of packet identifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacketIdSet {
    /// First and last of each range; ascending, apart from each other by at least one identifier.
    ranges: SmallVec<[Range; 4]>,
}

/// The first and the last identifier of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl PacketIdSet {
    /// Adds one; `false` if it was there.
    pub fn insert(&mut self, packet_id: u16) -> bool {
        let at = self.ranges.partition_point(|range| range.last < packet_id);
        if self.ranges.get(at).is_some_and(|range| range.first <= packet_id) {
            return false;
        }
        let extends_left = at > 0 && self.ranges[at - 1].last.checked_add(1) == Some(packet_id);
        let extends_right =
            self.ranges.get(at).is_some_and(|range| packet_id.checked_add(1) == Some(range.first));
        match (extends_left, extends_right) {
            (true, true) => {
                self.ranges[at - 1].last = self.ranges[at].last;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].last = packet_id,
            (false, true) => self.ranges[at].first = packet_id,
            (false, false) => self.ranges.insert(at, Range { first: packet_id, last: packet_id }),
        }
        true
    }

    /// Removes one; `false` if it was not there.
    pub fn remove(&mut self, packet_id: u16) -> bool {
        let at = self.ranges.partition_point(|range| range.last < packet_id);
        let Some(range) = self.ranges.get(at).copied().filter(|range| range.first <= packet_id) else {
            return false;
        };
        match (range.first == packet_id, range.last == packet_id) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].first += 1,
            (false, true) => self.ranges[at].last -= 1,
            (false, false) => {
                self.ranges[at].first = packet_id + 1;
                self.ranges.insert(at, Range { first: range.first, last: packet_id - 1 });
            }
        }
        true
    }

    /// Whether it is there.
    pub fn contains(&self, packet_id: u16) -> bool {
        let at = self.ranges.partition_point(|range| range.last < packet_id);
        self.ranges.get(at).is_some_and(|range| range.first <= packet_id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|range| usize::from(range.last - range.first) + 1).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges.iter().flat_map(|range| range.first..=range.last)
    }

    pub(crate) fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// `None` unless the ranges ascend and stand apart, as those of a set do.
    pub(crate) fn from_ranges(ranges: Vec<Range>) -> Option<PacketIdSet> {
        let ascending = ranges.windows(2).all(|pair| u32::from(pair[0].last) + 1 < u32::from(pair[1].first));
        let whole = ranges.iter().all(|range| range.first <= range.last);
        (ascending && whole).then(|| PacketIdSet { ranges: ranges.into() })
    }
}

impl FromIterator<u16> for PacketIdSet {
    fn from_iter<I: IntoIterator<Item = u16>>(identifiers: I) -> PacketIdSet {
        let mut set = PacketIdSet::default();
        for packet_id in identifiers {
            set.insert(packet_id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_numbers_are_ordinary_members() {
        let mut set: PacketIdSet = [u16::MAX, 0, 1, u16::MAX - 1].into_iter().collect();
        assert_eq!(set.ranges().len(), 2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, u16::MAX - 1, u16::MAX]);
        assert!(set.remove(u16::MAX) && set.remove(0));
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, u16::MAX - 1]);
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_and_keeps_its_ranges_apart(changes in prop::collection::vec((any::<bool>(), 0u16..40), 0..200)) {
            let (mut set, mut model) = (PacketIdSet::default(), BTreeSet::new());
            for (add, packet_id) in changes {
                if add {
                    prop_assert_eq!(set.insert(packet_id), model.insert(packet_id));
                } else {
                    prop_assert_eq!(set.remove(packet_id), model.remove(&packet_id));
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert_eq!(set.contains(packet_id), model.contains(&packet_id));
                prop_assert!(PacketIdSet::from_ranges(set.ranges().to_vec()) == Some(set.clone()));
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
