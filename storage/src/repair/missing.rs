//! Files of the write-ahead log that are not there.
//!
//! RocksDB opens without them, and does not say that anything is missing. What tells is how the files hang together: each
//! batch has a sequence number, and goes on where the one before it ended, from file to file; the manifest knows from which file
//! on the log is needed, and up to which it has come; and the commit mark knows what was acknowledged.
//!
//! No healthy store is refused: a beginning that seems too late is said and no more; an end that is torn or cut off is not a missing file, a log of which everything has gone to
//! table files is not missed, and where the files do not say whether one is missing, only a mark above what is there does.

use std::path::Path;

use super::table;
use crate::OpenError;
use crate::check::access::Access;
use crate::engine::rocks::FOLDER;
use crate::files::manifest::LogNumbers;
use crate::files::wal::WalFile;
use crate::keys;
use crate::mark::Mark;
use crate::record::{self, State};

/// Refuses a store of which a file of the write-ahead log is missing that had something.
pub(super) fn check(directory: &Path, files: &[WalFile], known: &LogNumbers) -> Result<(), OpenError> {
    let needed: Vec<&WalFile> = files.iter().filter(|file| file.number() >= known.first_kept).collect();
    if let Some(reason) = before(directory, &needed, known) {
        // The manifest may name a file that never was, so this alone is no reason to refuse.
        tracing::warn!("perhaps a part of the write-ahead log is missing: {reason}");
    }
    match between(directory, &needed).or_else(|| behind(directory, &needed, known)) {
        Some(reason) => Err(OpenError::MissingLog { directory: directory.to_owned(), reason }),
        None => Ok(()),
    }
}

/// A sequence that does not go on from one file to the next.
fn between(directory: &Path, needed: &[&WalFile]) -> Option<String> {
    let with_batches: Vec<&&WalFile> = needed.iter().filter(|file| file.next_sequence.is_some()).collect();
    with_batches.windows(2).find_map(|pair| {
        let [one, next] = pair else { return None };
        let goes_on = next.first_sequence? <= one.next_sequence?;
        // One that is there, and empty, was cut off.
        let is_between = |file: &WalFile| file.number() > one.number() && file.number() < next.number();
        let was_cut_off = needed.iter().any(|file| is_between(file));
        if goes_on || was_cut_off || !one.gaps.is_empty() || was_mended(directory, one) || was_mended(directory, next) {
            return None;
        }
        let doubt = doubt(one.last, next.first);
        Some(format!(
            "the write-ahead log ends with {} and goes on later with {}: a file between them, or the end of the first, is \
             missing; {doubt}",
            one.path.display(),
            next.path.display()
        ))
    })
}

/// The first file that the manifest wants is not there, and the next one begins too late to be it.
fn before(directory: &Path, needed: &[&WalFile], known: &LogNumbers) -> Option<String> {
    let first = needed.first()?;
    if known.first_kept == 0 || first.number() == known.first_kept || was_mended(directory, first) {
        return None;
    }
    let first_sequence = needed.iter().find_map(|file| file.first_sequence)?;
    if first_sequence <= known.first_kept_sequence() + 1 {
        return None;
    }
    let path = directory.join(FOLDER).join(format!("{:06}.log", known.first_kept));
    let behind = needed.iter().find_map(|file| file.first);
    Some(format!(
        "{} is missing, with which the write-ahead log begins; {}",
        path.display(),
        doubt(None, behind)
    ))
}

/// No file is there that could be the one that was written to last, and the mark says that something is missing.
fn behind(directory: &Path, needed: &[&WalFile], known: &LogNumbers) -> Option<String> {
    if needed.iter().any(|file| file.number() >= known.newest()) {
        return None;
    }
    let access = Access::open(directory).ok()?;
    let row = access.db.get_cf(access.family(keys::META)?, keys::STATE).ok()?;
    let state = row.and_then(|row| record::decode_state(&row).ok());
    let marked = match Mark::read(directory).ok()? {
        Mark::At(marked) if marked <= state.map_or(0, |state| state.commit) => return None,
        Mark::At(marked) => Some(marked),
        Mark::Missing | Mark::Unreadable if state.is_none_or(|state| state.clean) => return None,
        Mark::Missing | Mark::Unreadable => None,
    };
    let first = state.map_or(1, |state| state.commit + 1);
    let last = marked.map_or_else(|| "the last".to_owned(), |marked| marked.to_string());
    Some(format!(
        "the last file of the write-ahead log is missing from {}, number {} or above; batches {first} to {last}, LSN {} and \
         above are in doubt",
        directory.join(FOLDER).display(),
        known.newest().max(known.first_kept),
        state.map_or(1, |state| state.last.0 + 1),
    ))
}

/// What was between two batches.
fn doubt(before: Option<State>, behind: Option<State>) -> String {
    let (first, first_lsn) = before.map_or((1, 1), |state| (state.commit + 1, state.last.0 + 1));
    match behind {
        Some(state) => format!(
            "batches {first} to {}, LSN {first_lsn} to {} are in doubt",
            state.commit.saturating_sub(1),
            state.last.0
        ),
        None => format!("batches {first} and above, LSN {first_lsn} and above are in doubt"),
    }
}

/// Whether damage was left out of a file: what is missing there is known.
fn was_mended(directory: &Path, file: &WalFile) -> bool {
    let name = file.path.file_name().unwrap_or_default();
    directory.join(table::QUARANTINE).join(name).exists()
}
