//! Reads that are only needed to count: how long the committer insists on them.
//!
//! Limits and counts are right only with what logs have had, and that is read while a batch is put together, with the catalog
//! locked. A read that fails is tried again for a moment, since much of what fails passes; but nobody is to wait for a count
//! again and again. So there is one patience for the whole store: what was waited comes back little by little, and who has
//! used it up goes without. A part that is given up is asked for again, once and without waiting, after ten times what the last
//! attempt took: a disk may take long to say that it gives nothing. So a part that stays unreadable costs a second once, and no
//! more than a tenth of the committer's time from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ReadError;

use super::Apply;
use super::foresee::{Part, passing};

/// Longest that is waited, for all parts together.
const LONGEST: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// Of the time, so much at most: one part in so many.
const OF_THE_TIME: u32 = 10;
/// What nobody has asked for again for so long is forgotten.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What is left of the patience, and what it was lost with. Its times are those since the store was opened.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    /// When it was last made up for what had passed.
    at: Duration,
    given_up: BTreeMap<Part, GivenUp>,
}

#[derive(Debug)]
struct GivenUp {
    error: ReadError,
    /// When it is asked again.
    again_at: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { left: LONGEST, at: Duration::ZERO, given_up: BTreeMap::new() }
    }
}

impl Patience {
    /// Why a part is not to be asked for now; `None`: it is.
    fn known(&self, part: Part, now: Duration) -> Option<&ReadError> {
        self.given_up.get(&part).filter(|given_up| now < given_up.again_at).map(|given_up| &given_up.error)
    }

    /// An attempt has failed that took so long. `true`: it is tried again after [`PAUSE`], which is taken from what is left;
    /// `false`: the part is given up for now.
    fn failed(&mut self, part: Part, error: &ReadError, now: Duration, took: Duration) -> bool {
        self.left = LONGEST.min(self.left + now.saturating_sub(self.at) / OF_THE_TIME).saturating_sub(took);
        self.at = now;
        let is_known = self.given_up.contains_key(&part);
        if !is_known && self.left >= PAUSE {
            self.left -= PAUSE;
            return true;
        }
        self.given_up.retain(|_, given_up| now < given_up.again_at + REMEMBERED);
        if self.given_up.is_empty() {
            tracing::error!(%error, "limits and counts go without what the disk does not give");
        }
        let again_at = now + took.max(PAUSE) * OF_THE_TIME;
        self.given_up.insert(part, GivenUp { error: error.clone(), again_at });
        false
    }

    /// A part was read, damaged or not.
    fn given(&mut self, part: Part) {
        if self.given_up.remove(&part).is_some() && self.given_up.is_empty() {
            tracing::warn!("limits and counts have again what they need of the disk");
        }
    }
}

impl Apply<'_> {
    /// Reads a part of the disk that is only needed to count: for a moment, until it can be read.
    pub(super) fn to_count<T>(
        &self,
        part: Part,
        read: impl Fn() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let clock = &self.shared.clock;
        let now = || Duration::from_millis(clock.elapsed_millis());
        let mut patience = self.shared.patience.lock();
        let mut began = now();
        if let Some(error) = patience.known(part, began) {
            return Err(error.clone());
        }
        loop {
            let found = read();
            let ended = now();
            match &found {
                Err(error) if passing(self.shared, &found).is_some() => {
                    if !patience.failed(part, error, ended, ended.saturating_sub(began)) {
                        return found;
                    }
                }
                _ => {
                    patience.given(part);
                    return found;
                }
            }
            if self.shared.options.memory.is_none() {
                std::thread::sleep(PAUSE);
            }
            began = now();
        }
    }

    /// Says that a count is not what it should be. What is not given now was said when it was given up.
    pub(super) fn uncounted(error: &ReadError, what: &'static str) {
        if error.passing().is_some() {
            tracing::debug!(%error, what, "not counted");
        } else {
            tracing::error!(%error, what, "not counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogId;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn part(log: u64) -> Part {
        Part::End(LogId(log))
    }

    /// Attempts until a part is given up, beginning at a time; with the time that they took.
    fn insists(patience: &mut Patience, log: u64, began: Duration, took: Duration) -> (u32, Duration) {
        let error = ReadError::Engine("input/output error".into());
        let mut now = began;
        for attempts in 1.. {
            now += took;
            if !patience.failed(part(log), &error, now, took) {
                return (attempts, now - began);
            }
            now += PAUSE;
        }
        unreachable!("patience has an end")
    }

    #[test]
    fn what_stays_unreadable_costs_a_second_once_and_a_tenth_of_the_time_from_then_on() {
        let mut patience = Patience::default();
        let (attempts, waited) = insists(&mut patience, 1, millis(0), millis(0));
        assert!((50..=60).contains(&attempts) && waited <= millis(1200), "{attempts} {waited:?}");
        let mut now = waited;
        // Nothing is left for another.
        assert_eq!(insists(&mut patience, 2, now, millis(0)), (1, millis(0)));
        let mut asked = 0;
        for _ in 0..10_000 {
            now += millis(1);
            if patience.known(part(1), now).is_none() {
                let (attempts, waited) = insists(&mut patience, 1, now, millis(0));
                assert_eq!((attempts, waited), (1, millis(0)));
                asked += 1;
            }
        }
        assert_eq!(asked, 50, "every 200 ms in ten seconds");
        // And there is some again for another that has just begun to fail.
        assert!(insists(&mut patience, 3, now, millis(0)).0 > 10);
    }

    #[test]
    fn a_disk_that_takes_long_to_say_nothing_is_asked_the_less_often() {
        let mut patience = Patience::default();
        let long = millis(7_000);
        assert_eq!(insists(&mut patience, 1, millis(0), long), (1, long));
        assert!(patience.known(part(1), long + millis(69_999)).is_some());
        assert!(patience.known(part(1), long + millis(70_000)).is_none());
        assert!(patience.known(part(2), long).is_none());
        patience.given(part(1));
        assert!(patience.known(part(1), long).is_none());
    }
}
