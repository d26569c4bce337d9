//! Writing and syncing that succeeds in the end, or says that it does not.
//!
//! An engine whose write or sync has failed is closed and opened again, and the identical batch is written again: the catalog
//! has it already, its LSNs keep their content, and nothing of it has been answered. What a failed sync covered counts
//! as unwritten, and is never synced a second time in the same file: opening again replays it and writes it to new ones.
//! That goes on until it succeeds, the store is closed, or what was acknowledged turns out to be gone.

use std::time::{Duration, Instant};

use crate::CommitError;
use crate::engine::{Engine, EngineError, FailureKind};
use crate::keys;
use crate::record;
use crate::shared::Shared;
use crate::statistics::add;

/// Between the first attempts; twice as long each time after that.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

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
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if error.kind == FailureKind::Corruption {
            return Err(give_up(shared, error.reason));
        }
        if shared.board.set_failing(Some(error.reason.as_str().into())) {
            tracing::error!(
                reason = error.reason,
                "writing has failed; nothing is acknowledged until it succeeds"
            );
        }
        match mend(shared, &error).and_then(|()| attempt(&*shared.engine)) {
            Ok(()) => break,
            Err(again) => error = again,
        }
        // While the store is being opened, nobody could stop it: there is one more attempt, and no waiting.
        if shared.is_opening() || !shared.wait_for_turn(pause) {
            return Err(give_up(shared, error.reason));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    // Whether the disk is full is known before anybody takes the end of the failure for room.
    shared.look_at_space();
    shared.board.set_failing(None);
    tracing::warn!(after = ?began.elapsed(), "writing succeeds again; nothing that was acknowledged is lost");
    Ok(())
}

fn give_up(shared: &Shared, reason: String) -> CommitError {
    shared.fail(reason);
    shared.failure().expect("it has just failed")
}

/// Makes room if that is what is missing, and has the engine open itself again, if that can succeed.
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
    shared.engine.reopen()?;
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
