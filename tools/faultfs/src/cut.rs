//! The power cut: which of the pending operations survive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::body::{BLOCK, Operation};
use crate::random::Random;

/// What a disk writes whole, or so many programs hope.
const SECTOR: u64 = 512;

/// What survives of what no fsync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    DropAll,
    /// Any part of it, as the seed says: of each file's writes, page by page, all, none, the first, or any, in whatever
    /// order the disk had got them; of the names, any, as long as each name's own history has no gap. A file may have
    /// got longer without what was written there. What was written behind a truncation brings the truncation along.
    Subset {
        /// Chooses.
        seed: u64,
    },
    /// As `Subset`; and the last write of a file that is kept ends early, at a sector of 512 bytes or within one.
    Torn {
        /// Chooses.
        seed: u64,
    },
}

/// What a power cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Writes (by pages of 4 KiB where a part of one may survive), truncations and the like that were dropped.
    pub operations_dropped: u64,
    /// And those that survived though no fsync covered them.
    pub operations_kept: u64,
    /// Bytes of the writes that were dropped.
    pub bytes_dropped: u64,
    /// Bytes of the writes that survived though no fsync covered them.
    pub bytes_kept: u64,
    /// Writes of which the beginning only survived.
    pub writes_torn: u64,
    /// Files that got longer without what was written there.
    pub files_lengthened: u64,
    /// Creates, renames, links and removals that were dropped.
    pub names_dropped: u64,
    /// And those that survived though no fsync covered them.
    pub names_kept: u64,
    /// Files that are there afterwards.
    pub files: u64,
}

impl Cut {
    fn seed(self) -> Option<u64> {
        match self {
            Cut::DropAll => None,
            Cut::Subset { seed } | Cut::Torn { seed } => Some(seed),
        }
    }

    /// Whether to keep each name: of some cuts few, of some most.
    pub(crate) fn names(self) -> impl FnMut() -> bool {
        let mut random = self.seed().map(Random::new);
        let share = random.as_mut().map_or(0, |random| [0, 10, 50, 90, 100][random.below(5) as usize]);
        move || random.as_mut().is_some_and(|random| random.chance(share))
    }

    /// Applies to a file's kept image what survives of its pending operations.
    pub(crate) fn settle(
        self,
        number: u64,
        pending: &[Operation],
        kept: &File,
        report: &mut CutReport,
    ) -> io::Result<()> {
        let Some(seed) = self.seed() else {
            report.operations_dropped += pending.len() as u64;
            report.bytes_dropped += pending.iter().map(Operation::bytes).sum::<u64>();
            return Ok(());
        };
        let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let pieces = pieces(pending);
        let chosen = choose(&pieces, &mut random);
        let torn = matches!(self, Cut::Torn { .. }).then(|| tear(&pieces, &chosen, &mut random)).flatten();
        let lengthen = random.chance(20).then(|| length_of_dropped(&pieces, &chosen)).flatten();
        for (at, piece) in pieces.iter().enumerate() {
            match torn {
                Some((last, bytes)) if last == at => {
                    report.writes_torn += 1;
                    piece.first(bytes).apply(kept, report)?;
                    report.bytes_dropped += piece.bytes() - bytes;
                }
                _ if chosen[at] => piece.apply(kept, report)?,
                _ => {
                    report.operations_dropped += 1;
                    report.bytes_dropped += piece.bytes();
                }
            }
        }
        if let Some(length) = lengthen.filter(|length| kept.metadata().is_ok_and(|kept| kept.len() < *length))
        {
            kept.set_len(length)?;
            report.files_lengthened += 1;
        }
        Ok(())
    }
}

/// A part of an operation that survives or does not: of a write, what is in one page.
enum Piece<'a> {
    Write { at: u64, data: &'a [u8] },
    Other(&'a Operation),
}

impl<'a> Piece<'a> {
    fn bytes(&self) -> u64 {
        match self {
            Piece::Write { data, .. } => data.len() as u64,
            Piece::Other(_) => 0,
        }
    }

    fn first(&self, bytes: u64) -> Piece<'a> {
        match self {
            Piece::Write { at, data } => Piece::Write { at: *at, data: &data[..bytes as usize] },
            Piece::Other(operation) => Piece::Other(operation),
        }
    }

    fn apply(&self, kept: &File, report: &mut CutReport) -> io::Result<()> {
        report.operations_kept += 1;
        report.bytes_kept += self.bytes();
        match self {
            Piece::Write { at, data } => kept.write_all_at(data, *at),
            Piece::Other(operation) => operation.apply(kept),
        }
    }
}

fn pieces(pending: &[Operation]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for operation in pending {
        let Operation::Write { at, data } = operation else {
            pieces.push(Piece::Other(operation));
            continue;
        };
        let (mut at, mut rest) = (*at, &data[..]);
        while !rest.is_empty() {
            let in_page = rest.len().min((BLOCK - at % BLOCK) as usize);
            let (data, behind) = rest.split_at(in_page);
            pieces.push(Piece::Write { at, data });
            at += in_page as u64;
            rest = behind;
        }
    }
    pieces
}

fn choose(pieces: &[Piece<'_>], random: &mut Random) -> Vec<bool> {
    let count = pieces.len();
    let mut chosen: Vec<bool> = match random.below(6) {
        0 => vec![false; count],
        1 => vec![true; count],
        2 | 3 => {
            let first = random.below(count as u64 + 1) as usize;
            (0..count).map(|at| at < first).collect()
        }
        _ => {
            let share = [10, 50, 90][random.below(3) as usize];
            (0..count).map(|_| random.chance(share)).collect()
        }
    };
    let mut later = false;
    for (at, piece) in pieces.iter().enumerate().rev() {
        chosen[at] |= later && matches!(piece, Piece::Other(Operation::Resize(_)));
        later |= chosen[at];
    }
    chosen
}

/// The last write that is kept, and how many bytes of it: at least one less than all, at least one.
fn tear(pieces: &[Piece<'_>], chosen: &[bool], random: &mut Random) -> Option<(usize, u64)> {
    let last = (0..pieces.len()).rev().find(|at| chosen[*at] && pieces[*at].bytes() > 1)?;
    let Piece::Write { at, data } = &pieces[last] else { return None };
    let within = 1 + random.below(data.len() as u64 - 1);
    let sector = (at + within) / SECTOR * SECTOR;
    let bytes = if random.chance(75) && sector > *at { sector - at } else { within };
    Some((last, bytes))
}

/// Up to where the file would reach with what was dropped.
fn length_of_dropped(pieces: &[Piece<'_>], chosen: &[bool]) -> Option<u64> {
    let dropped = pieces.iter().zip(chosen).filter(|(_, chosen)| !**chosen);
    let ends = dropped.filter_map(|(piece, _)| match piece {
        Piece::Write { at, data } => Some(at + data.len() as u64),
        Piece::Other(_) => None,
    });
    ends.max()
}
