//! The frames of RocksDB's log files, which are the write-ahead log and the manifest.
//!
//! ```text
//! file     := block*                                  32 KiB each
//! block    := fragment* zeros                         zeros where no header fits
//! fragment := checksum (4, masked CRC-32C of type and bytes) length (2) type (1) bytes
//! ```
//!
//! A record is one whole fragment, or a first, middle ones and a last. Numbers are little endian.

use super::crc32c;

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

const ZERO: u8 = 0;
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Types with this bit may be passed over by who does not know them.
const IGNORABLE: u8 = 0x80;

/// What reading a log file comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A record.
    Record(Vec<u8>),
    /// Bytes of the file that are no record, and that should be; from an offset, so many.
    Damage { offset: usize, length: usize },
}

/// Reads a file's records one after the other, and goes on behind what is damaged.
pub(super) struct Pieces<'a> {
    file: &'a [u8],
    offset: usize,
    /// The fragments of a record that has begun, and where.
    begun: Option<(usize, Vec<u8>)>,
    /// What is to be given out before anything more is read.
    ready: Option<Piece>,
}

enum Fragment<'a> {
    Good {
        kind: u8,
        bytes: &'a [u8],
    },
    Bad,
    /// Nothing is written from here to the block's end.
    Nothing,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(file: &'a [u8]) -> Pieces<'a> {
        Pieces { file, offset: 0, begun: None, ready: None }
    }

    fn block_end(&self) -> usize {
        ((self.offset / BLOCK + 1) * BLOCK).min(self.file.len())
    }

    /// The fragment at the offset, which is inside the file.
    fn fragment(&self) -> Fragment<'a> {
        let here = &self.file[self.offset..self.block_end()];
        if here.len() < HEADER || here[..HEADER] == [0; HEADER] {
            return if here.iter().all(|byte| *byte == 0) { Fragment::Nothing } else { Fragment::Bad };
        }
        let stored = u32::from_le_bytes([here[0], here[1], here[2], here[3]]);
        let length = usize::from(u16::from_le_bytes([here[4], here[5]]));
        match here.get(HEADER..HEADER + length) {
            Some(bytes) if stored == crc32c::masked(crc32c::checksum(&[&here[6..7], bytes])) => {
                Fragment::Good { kind: here[6], bytes }
            }
            _ => Fragment::Bad,
        }
    }

    /// Passes over a bad fragment: to the next good one of its block if its length leads there, else to the next block.
    fn pass_damage(&mut self) -> Piece {
        let from = self.begun.take().map_or(self.offset, |(offset, _)| offset);
        let end = self.block_end();
        let here = &self.file[self.offset..end];
        let mut next = end;
        if here.len() >= HEADER {
            let length = usize::from(u16::from_le_bytes([here[4], here[5]]));
            let behind = Pieces { offset: self.offset + HEADER + length, ..Pieces::of(self.file) };
            if behind.offset < end && matches!(behind.fragment(), Fragment::Good { .. }) {
                next = behind.offset;
            }
        }
        self.offset = next;
        Piece::Damage { offset: from, length: next - from }
    }

    fn take(&mut self, kind: u8, bytes: &[u8], at: usize) -> Option<Piece> {
        match (kind, self.begun.take()) {
            (WHOLE, None) => Some(Piece::Record(bytes.to_vec())),
            (FIRST, None) => {
                self.begun = Some((at, bytes.to_vec()));
                None
            }
            // The end of a record was never written, or is lost.
            (WHOLE, Some((offset, _))) => {
                self.ready = Some(Piece::Record(bytes.to_vec()));
                Some(Piece::Damage { offset, length: at - offset })
            }
            (FIRST, Some((offset, _))) => {
                self.begun = Some((at, bytes.to_vec()));
                Some(Piece::Damage { offset, length: at - offset })
            }
            (MIDDLE, Some((offset, mut record))) => {
                record.extend_from_slice(bytes);
                self.begun = Some((offset, record));
                None
            }
            (LAST, Some((_, mut record))) => {
                record.extend_from_slice(bytes);
                Some(Piece::Record(record))
            }
            (kind, begun) if kind & IGNORABLE != 0 => {
                self.begun = begun;
                None
            }
            // A part whose beginning is lost, or a kind that this version does not write.
            (_, begun) => {
                let offset = begun.map_or(at, |(offset, _)| offset);
                Some(Piece::Damage { offset, length: self.offset - offset })
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if let Some(piece) = self.ready.take() {
            return Some(piece);
        }
        while self.offset < self.file.len() {
            match self.fragment() {
                Fragment::Nothing => self.offset = self.block_end(),
                Fragment::Bad => return Some(self.pass_damage()),
                Fragment::Good { kind, bytes } => {
                    let at = self.offset;
                    self.offset += HEADER + bytes.len();
                    if let Some(piece) = self.take(kind, bytes, at) {
                        return Some(piece);
                    }
                }
            }
        }
        let (offset, _) = self.begun.take()?;
        Some(Piece::Damage { offset, length: self.file.len() - offset })
    }
}

/// The fragments of a record that is to stand at `offset` of a file, with the zeros before it if it begins a new block.
pub(super) fn framed(mut offset: usize, record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len() + 2 * HEADER);
    let (mut rest, mut begun) = (record, false);
    loop {
        let left = BLOCK - offset % BLOCK;
        if left < HEADER {
            out.extend(std::iter::repeat_n(ZERO, left));
            offset += left;
            continue;
        }
        let (bytes, behind) = rest.split_at(rest.len().min(left - HEADER));
        let kind = match (begun, behind.is_empty()) {
            (false, true) => WHOLE,
            (false, false) => FIRST,
            (true, false) => MIDDLE,
            (true, true) => LAST,
        };
        let checksum = crc32c::masked(crc32c::checksum(&[&[kind], bytes]));
        let length = u16::try_from(bytes.len()).expect("a fragment is shorter than a block of 32 KiB");
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(bytes);
        offset += HEADER + bytes.len();
        (rest, begun) = (behind, true);
        if rest.is_empty() {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut file, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            let fragments = framed(file.len(), record);
            file.extend(fragments);
            ends.push(file.len());
        }
        (file, ends)
    }

    fn records(file: &[u8]) -> Vec<Vec<u8>> {
        Pieces::of(file)
            .filter_map(|piece| match piece {
                Piece::Record(record) => Some(record),
                Piece::Damage { .. } => None,
            })
            .collect()
    }

    fn some_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![4 => 0usize..300, 1 => 30_000usize..34_000, 1 => 60_000usize..100_000];
        let record = (length, any::<u8>()).prop_map(|(length, byte)| vec![byte | 1; length]);
        prop::collection::vec(record, 1..40)
    }

    proptest! {
        #[test]
        fn what_is_framed_reads_back(all in some_records()) {
            let (file, _) = file(&all);
            prop_assert!(Pieces::of(&file).all(|piece| matches!(piece, Piece::Record(_))));
            prop_assert_eq!(records(&file), all);
        }

        #[test]
        fn one_flipped_bit_costs_little_and_is_seen(all in some_records(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (mut file, ends) = file(&all);
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            let found = records(&file);
            let damage = Pieces::of(&file).find_map(|piece| match piece {
                Piece::Damage { offset, length } => Some(offset..offset + length),
                Piece::Record(_) => None,
            });
            prop_assert!(damage.is_some_and(|damage| damage.contains(&at)), "the damage at {at} is named");
            // All before it is there, and all from the next block on.
            let before = ends.iter().take_while(|end| **end <= at).count();
            prop_assert_eq!(&found[..before], &all[..before]);
            let block_end = (at / BLOCK + 1) * BLOCK;
            let begins = |index: usize| if index == 0 { 0 } else { ends[index - 1] };
            let behind = (0..all.len()).filter(|index| begins(*index) >= block_end).count();
            prop_assert!(found.len() >= before + behind);
            prop_assert_eq!(&found[found.len() - behind..], &all[all.len() - behind..]);
        }

        #[test]
        fn a_torn_end_is_damage_at_the_end(all in some_records(), at in any::<prop::sample::Index>()) {
            let (mut file, ends) = file(&all);
            file.truncate(at.index(file.len()));
            let whole = ends.iter().take_while(|end| **end <= file.len()).count();
            prop_assert_eq!(records(&file), &all[..whole]);
            let pieces: Vec<Piece> = Pieces::of(&file).collect();
            prop_assert!(pieces.len() <= whole + 1);
        }
    }
}
