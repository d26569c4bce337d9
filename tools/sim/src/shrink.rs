//! A failing run made smaller: steps are left out as long as it still fails.

use crate::steps::Steps;
use crate::world;

/// Runs that shrinking may take.
const PATIENCE: usize = 400;

/// The fewest steps found with which the seed still fails, and how it fails then.
pub(crate) fn shrink(seed: u64, steps: usize) -> (Steps, world::Told) {
    let mut kept: Vec<usize> = (0..steps).collect();
    let mut told = world::run(seed, &Steps::only(kept.iter().copied()), false);
    let mut runs = 0;
    let mut size = kept.len().div_ceil(2);
    while size > 0 && runs < PATIENCE {
        let mut at = 0;
        while at < kept.len() && runs < PATIENCE {
            let end = (at + size).min(kept.len());
            let fewer: Vec<usize> = kept[..at].iter().chain(&kept[end..]).copied().collect();
            let tried = world::run(seed, &Steps::only(fewer.iter().copied()), false);
            runs += 1;
            if tried.failure.is_some() {
                (kept, told) = (fewer, tried);
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    (Steps::only(kept), told)
}
