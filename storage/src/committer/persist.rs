//! Writing and syncing that succeeds in the end, or says that it does not.
//!
//! An engine whose write or sync has failed is closed and opened again, and the identical batch is written again: the catalog
//! has it already, its LSNs keep their content, and nothing of it has been answered. What a failed sync covered counts
//! as unwritten, and is never synced a second time in the same file: opening again replays it and writes it to new ones.
//! That goes on until it succeeds, the store is closed, or what was acknowledged turns out to be gone.
//!
//! A damaged table file is replaced by what can be read of it, each file once: see `replace`. A write fails for it, or a
//! compaction does: RocksDB tries that again every second, and takes writes until too many files wait.

use std::time::{Duration, Instant};

use crate::CommitError;
use crate::engine::{Engine, EngineError, FailureKind, named_file};

use super::replace::replace_damaged;
use crate::keys;
use crate::record;
use crate::shared::Shared;
use crate::statistics::add;

/// Between the first attempts; twice as long each time after that.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The same for what nothing waits for.
const FIRST_BACKGROUND_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BACKGROUND_PAUSE: Duration = Duration::from_secs(60);

/// Does what is to be durable until it succeeds.
///
/// # Errors
///
/// The store has failed for good, or was told to stop while it tried.
pub(crate) fn persist(
    shared: &Shared,
    attempt: impl Fn(&dyn Engine) -> Result<(), EngineError>,
) -> Result<(), CommitError> {
    let Err(mut error) = attempt(&*shared.engine) else { return Ok(()) };
    // The committer and the thread of the interval mode may come here together.
    let _one_at_a_time = shared.mending.lock();
    if error.kind == FailureKind::Closed {
        // It was opened again meanwhile.
        match attempt(&*shared.engine) {
            Ok(()) => return Ok(()),
            Err(again) => error = again,
        }
    }
    let began = Instant::now();
    let mut pauses = pauses(shared);
    let mut replaced = Vec::new();
    loop {
        if error.kind == FailureKind::Corruption {
            // One that is named a second time was of no use to replace.
            match named_file(&error.reason) {
                Some(file) if !replaced.contains(&file) => replaced.push(file),
                _ => return Err(give_up(shared, error.reason)),
            }
        }
        if shared.board.set_failing(Some(error.reason.as_str().into())) {
            tracing::error!(
                reason = error.reason,
                "writing has failed; nothing is acknowledged until it succeeds"
            );
        }
        match mend(shared, &error).and_then(|()| attempt(&*shared.engine)) {
            Ok(()) => break,
            Err(again) => {
                if matches!(again.kind, FailureKind::NoSpace | FailureKind::Io) {
                    // A file may not have been replaced for that reason.
                    replaced.clear();
                }
                error = again;
            }
        }
        // While the store is being opened, nobody could stop it: there is one more attempt, and no waiting.
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        if shared.is_opening() || !shared.wait_for_turn(pause) {
            return Err(give_up(shared, error.reason));
        }
    }
    // Whether the disk is full is known before anybody takes the end of the failure for room.
    shared.look_at_space();
    shared.board.set_failing(None);
    tracing::warn!(after = ?began.elapsed(), "writing succeeds again; nothing that was acknowledged is lost");
    Ok(())
}

/// How long the committer waits between attempts. A disk in memory has failed because it was told to: nobody waits for it.
pub(super) fn pauses(shared: &Shared) -> impl Iterator<Item = Duration> + use<> {
    let in_memory = shared.options.memory.is_some();
    let first = if in_memory { Duration::from_micros(10) } else { FIRST_PAUSE };
    std::iter::successors(Some(first), move |pause| {
        Some(if in_memory { *pause } else { (*pause * 2).min(LONGEST_PAUSE) })
    })
}

/// Looks after what works in the background: a compaction that has come upon a damaged file fails each time that it is tried.
#[derive(Default)]
pub(crate) struct Background {
    /// A file that could not be replaced, and when it was tried last.
    failed: Option<(EngineError, Instant)>,
    /// For so long it is left alone.
    pause: Duration,
}

impl Background {
    /// Replaces a damaged file that a compaction has met since the last look.
    pub(crate) fn look(&mut self, shared: &Shared) {
        let failure = match self.failed.take() {
            Some((failure, tried_at)) if tried_at.elapsed() < self.pause => {
                self.failed = Some((failure, tried_at));
                return;
            }
            Some((failure, _)) => Some(failure),
            None => shared.engine.background_damage(),
        };
        let Some(failure) = failure else { return };
        // Nothing that was to be written has failed: publishes are taken, and wait for a moment.
        let _one_at_a_time = shared.mending.lock();
        match mend(shared, &failure) {
            Ok(()) => self.pause = Duration::ZERO,
            Err(error) => {
                tracing::error!(reason = failure.reason, %error, "a damaged file cannot be replaced now");
                self.pause = (self.pause * 2).clamp(FIRST_BACKGROUND_PAUSE, LONGEST_BACKGROUND_PAUSE);
                // One that is gone by now is no matter any more.
                let is_gone = error == failure;
                self.failed = (!is_gone).then(|| (failure, Instant::now()));
            }
        }
    }
}

pub(super) fn give_up(shared: &Shared, reason: String) -> CommitError {
    shared.fail(reason);
    shared.failure().expect("it has just failed")
}

/// Replaces a damaged file; makes room if that is what is missing, and has the engine open itself again, if that can succeed.
fn mend(shared: &Shared, error: &EngineError) -> Result<(), EngineError> {
    if error.kind == FailureKind::NoSpace {
        if shared.space.release_ballast() {
            tracing::warn!("the ballast is let go of");
        }
        shared.no_space();
        // Until it can be opened again, it can be read as it is.
        let needed = shared.engine.reopening_bytes();
        if shared.space.free_bytes().is_ok_and(|free| free < needed) {
            return Err(error.clone());
        }
    }
    if error.kind == FailureKind::Corruption {
        if replace_damaged(shared, error)? {
            return Ok(());
        }
    } else {
        shared.engine.reopen()?;
    }
    add(&shared.counters.reopenings, 1);
    check(shared)
}

/// What was acknowledged must have come back.
fn check(shared: &Shared) -> Result<(), EngineError> {
    let Some(acknowledged) = shared.last_written() else { return Ok(()) };
    let row = shared.engine.view().get(keys::META, keys::STATE)?;
    let found = row.and_then(|row| record::decode_state(&row).ok()).map_or(0, |state| state.commit);
    if found < acknowledged {
        let reason = format!("batches {} to {acknowledged} did not come back", found + 1);
        return Err(EngineError { kind: FailureKind::Corruption, reason });
    }
    Ok(())
}
