//! A trial: its rounds, several stores at a time.

use crate::books::coverage::{Coverage, Need};
use crate::fault::{Fault, Group};
use crate::options::Options;
use crate::report::{Report, Round};
use crate::store::Store;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Rounds from which on a trial must have hit everything that its faults can hit.
const LONG: u64 = 40;

/// Why a trial could not be run, or not to its end: the fault of the machine or of who asked, not of the broker.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] barnacle_brokers::ProfileError),
    /// The options make no sense.
    #[error("{0}")]
    Senseless(&'static str),
    /// Something outside the broker failed.
    #[error("{0}")]
    Setup(String),
}

/// Whether somebody wants all trials to end.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends all trials of this process behind the rounds that they are in: brokers are stopped, disks unmounted, and what was
/// found until then is reported.
pub fn interrupt() {
    IS_INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Whether [`interrupt`] was called.
pub(crate) fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::SeqCst)
}

/// Runs a trial. `told` is called after every round, from any thread.
pub fn run(options: &Options, told: &(dyn Fn(&Round) + Sync)) -> Result<Report, TrialError> {
    if options.faults.is_empty() || options.rounds == 0 || options.rounds_per_store == 0 {
        return Err(TrialError::Senseless("a trial has at least one fault and one round"));
    }
    let program = match &options.program {
        Some(program) => program.clone(),
        None => options.profile.program()?,
    };
    let begin = Instant::now();
    let (first, end) = match options.only_round {
        Some(round) => (round / options.rounds_per_store, round / options.rounds_per_store + 1),
        None => (0, options.stores()),
    };
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let results: Mutex<(Vec<Round>, Coverage, Option<String>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) && !is_interrupted() {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= end {
                        return;
                    }
                    let result = Store::run(options, &program, number, told);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok((rounds, coverage)) => {
                            let has_failed = rounds.iter().any(|round| !round.findings.is_empty());
                            results.0.extend(rounds);
                            results.1.add(&coverage);
                            if has_failed && options.until_failure {
                                is_over.store(true, Ordering::SeqCst);
                            }
                        }
                        Err(error) => {
                            results.2.get_or_insert(error);
                            is_over.store(true, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    let (mut rounds, coverage, error) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(TrialError::Setup(error));
    }
    rounds.sort_by_key(|round| round.round);
    let never_hit = coverage.never_hit(|need| is_needed(need, options, rounds.len() as u64));
    Ok(Report {
        broker: options.profile.name.clone(),
        about: options.profile.about.clone(),
        version: if options.program.is_some() { String::new() } else { options.profile.version_line() },
        faults: options.faults.clone(),
        seed: options.seed,
        seconds: begin.elapsed().as_secs_f64(),
        rounds,
        coverage,
        never_hit,
    })
}

/// Whether a trial of so many rounds must have hit something.
fn is_needed(need: Need, options: &Options, rounds: u64) -> bool {
    let speaks = options.profile.speaks;
    let has = |wanted: &dyn Fn(Fault) -> bool| options.faults.iter().any(|fault| wanted(*fault));
    let is_long = rounds >= LONG && options.only_round.is_none();
    let has_crash = has(&|fault| fault.is_crash());
    // Each fault's own count, as soon as its turn must have come.
    let had_turn = |fault: Fault| {
        let turn = options.faults.iter().position(|one| *one == fault);
        options.only_round.is_none() && turn.is_some_and(|turn| rounds > turn as u64 + 20)
    };
    match need {
        Need::Always => true,
        Need::Long => is_long,
        Need::Crash => has_crash && rounds >= 5,
        Need::Qos2 => is_long && has_crash && speaks.qos == 2,
        Need::Retained => is_long && speaks.retained,
        Need::Shared => is_long && has_crash && speaks.shared,
        Need::HandsOn => is_long && speaks.shared && speaks.shared_hands_on,
        Need::Wills => is_long && has_crash && speaks.wills,
        Need::Expiry => is_long && has_crash && speaks.v5 && speaks.session_expiry,
        Need::Recovery => had_turn(Fault::KillStart),
        Need::Trap => had_turn(Fault::KillTrap),
        Need::Files => had_turn(Fault::KillFiles),
        Need::PowerCut => rounds >= 5 && options.faults.iter().all(|fault| fault.group() == Group::Power),
        Need::Disk => rounds >= 5 && options.faults.iter().all(|fault| fault.group() == Group::Disk),
        Need::Network => rounds >= 5 && options.faults.iter().all(|fault| fault.needs_proxy()),
        Need::Never => false,
    }
}
