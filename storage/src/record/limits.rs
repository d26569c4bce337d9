//! The records of limits: what was dropped, and the parts of the logs that a session passes over.

use bincode::{Decode, Encode};

use super::{fields_record, only_fields, open};
use crate::{DecodeError, DropReason, Dropped, Drops, Load, LogId, Lsn};

/// `meta` `drops`, and a session's own in `flow`: one for each reason that has any.
#[derive(Encode, Decode)]
pub(super) struct CountFields {
    reason: u8,
    exactly: u64,
    shared_at_most: u64,
}

/// A part of the order that a session does not read: above `from`, at or below `to`, which is the greatest LSN while
/// the part still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Gap {
    pub(crate) from: Lsn,
    pub(crate) to: Lsn,
    /// What its session's own log has there …
    pub(crate) own: Load,
    /// … and the shared ones; nothing yet while it grows.
    pub(crate) shared: Load,
}

/// A session's gaps in `flow`: ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct GapsRow {
    pub(crate) gaps: Vec<Gap>,
    /// What each shared log had had when the gap began that still grows.
    pub(crate) began: Vec<(LogId, Load)>,
}

/// Where a gap ends that still grows.
pub(crate) const GROWING: Lsn = Lsn(u64::MAX);

pub(crate) fn encode_drops(drops: &Drops) -> Vec<u8> {
    fields_record(&counts_of(drops))
}

pub(crate) fn decode_drops(record: &[u8]) -> Result<Drops, DecodeError> {
    drops_of(only_fields(open(record)?, "drops")?)
}

/// One for each reason that has any.
pub(super) fn counts_of(drops: &Drops) -> Vec<CountFields> {
    let count = |(reason, dropped): (DropReason, Dropped)| CountFields {
        reason: reason as u8,
        exactly: dropped.exactly,
        shared_at_most: dropped.shared_at_most,
    };
    drops.iter().map(count).collect()
}

pub(super) fn drops_of(counts: Vec<CountFields>) -> Result<Drops, DecodeError> {
    let mut drops = Drops::default();
    for count in counts {
        let reason = DropReason::ALL.get(usize::from(count.reason)).ok_or(DecodeError::Malformed("drops"))?;
        drops.add(*reason, Dropped { exactly: count.exactly, shared_at_most: count.shared_at_most });
    }
    Ok(drops)
}

pub(crate) fn encode_gaps(row: &GapsRow) -> Vec<u8> {
    fields_record(row)
}

pub(crate) fn decode_gaps(record: &[u8]) -> Result<GapsRow, DecodeError> {
    let row: GapsRow = only_fields(open(record)?, "gaps")?;
    let whole = row.gaps.iter().all(|gap| gap.from < gap.to);
    let ascending = row.gaps.windows(2).all(|pair| pair[0].to < pair[1].from);
    if whole && ascending { Ok(row) } else { Err(DecodeError::Malformed("gaps")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_drops() {
        let mut drops = Drops::default();
        drops.add(DropReason::SessionLimit, Dropped { exactly: 300, shared_at_most: 2 });
        drops.add(DropReason::Damaged, Dropped::exactly(1));
        assert_eq!(hex(&encode_drops(&drops)[5..]), "0200fb2c0102070100");
        assert_eq!(decode_drops(&encode_drops(&drops)), Ok(drops));
        let unknown = fields_record(&vec![CountFields { reason: 99, exactly: 1, shared_at_most: 0 }]);
        assert_eq!(decode_drops(&unknown), Err(DecodeError::Malformed("drops")));
    }

    #[test]
    fn the_bytes_of_gaps() {
        let load = Load { messages: 5, bytes: 300 };
        let gaps = vec![
            Gap { from: Lsn(3), to: Lsn(9), own: Load { messages: 1, bytes: 2 }, shared: load },
            Gap { from: Lsn(12), to: GROWING, own: Load::default(), shared: Load::default() },
        ];
        let row = GapsRow { gaps, began: vec![(LogId(4), load)] };
        assert_eq!(
            hex(&encode_gaps(&row)[5..]),
            "020309010205fb2c010cfdffffffffffffffff00000000010405fb2c01"
        );
        assert_eq!(decode_gaps(&encode_gaps(&row)), Ok(row));
        for (first, second) in [((3, 9), (9, 12)), ((3, 3), (4, 5)), ((5, 6), (1, 2))] {
            let gap = |(from, to)| Gap { from: Lsn(from), to: Lsn(to), own: load, shared: load };
            let row = GapsRow { gaps: vec![gap(first), gap(second)], began: Vec::new() };
            assert_eq!(decode_gaps(&encode_gaps(&row)), Err(DecodeError::Malformed("gaps")));
        }
    }
}
