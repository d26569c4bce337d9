//! On the disk in memory: every short history is crashed at every operation of its disk, in turn; long ones crash, fail and
//! are closed now and then.

use barnacle_storage::*;

use super::coverage::Coverage;
use super::history::{History, Plan, Told, wanted_seed};
use super::world::Wrong;

const SHORT: u64 = 400;
const LONG: u64 = 2000;

/// Seeds of the long histories begin here.
const LONG_FROM: u64 = 1_000_000;

#[test]
fn short_histories_crashed_at_every_operation() {
    let mut coverage = Coverage::default();
    for seed in seeds(0, SHORT) {
        let history = History { seed, length: 20, length_after: 4, crashes: false };
        let whole = take(&history, None);
        coverage.merge(whole.coverage);
        for operation in 1..=whole.operations {
            for survivors in [Survivors::Finished, Survivors::All] {
                let crashed = take(&history, Some((operation, Fault::Crash(survivors))));
                coverage.merge(crashed.coverage);
                coverage.count("histories crashed at an operation");
            }
        }
    }
    if wanted_seed().is_none() {
        coverage.require("crashed at every operation", &REQUIRED);
    }
}

#[test]
fn long_histories_crashed_now_and_then() {
    let mut coverage = Coverage::default();
    for seed in seeds(LONG_FROM, LONG) {
        let history = History { seed, length: 120, length_after: 120, crashes: true };
        coverage.merge(take(&history, None).coverage);
        coverage.count("histories");
    }
    if wanted_seed().is_none() {
        coverage.require("crashed now and then", &[&REQUIRED[..], &REQUIRED_OF_LONG].concat());
    }
}

const REQUIRED: [&str; 10] = [
    "recoveries",
    "crashes while opening",
    "batches kept that were not acknowledged",
    "turns that a crash or an error has interrupted",
    "batches of several transactions",
    "messages read",
    "passes from the disk",
    "exchanges read from a log",
    "deadlines looked at",
    "wills published",
];

const REQUIRED_OF_LONG: [&str; 14] = [
    "batches lost that a weak mode had acknowledged",
    "batches that change nothing",
    "batches written again after a failure",
    "crashes between steps",
    "exchanges begun with a retained message",
    "exchanges ended",
    "exchanges read from a copy",
    "exchanges received",
    "late transactions",
    "openings that failed",
    "orderly ends",
    "passes from memory",
    "retained messages read",
    "syncs that failed",
];

/// All of a range, or the one that is wanted.
fn seeds(from: u64, count: u64) -> Vec<u64> {
    match wanted_seed() {
        Some(seed) => vec![seed].into_iter().filter(|seed| (from..from + count).contains(seed)).collect(),
        None => (from..from + count).collect(),
    }
}

fn take(history: &History, plan: Option<Plan>) -> Told {
    match history.in_memory(plan) {
        Ok(told) => told,
        Err(Wrong(complaint)) => {
            panic!("BARNACLE_HISTORY={} with {plan:?}:\n{complaint}", history.seed)
        }
    }
}
