//! What it takes to wake another thread here: an acknowledgement needs several of that beside its write to the disk, wherever it
//! comes from.

use crate::client::pace::in_time;
use crate::error::LoadError;
use crate::measure::recorder::{latency_histogram, record};
use hdrhistogram::Histogram;
use std::sync::mpsc;
use std::time::Instant;

/// Wakes a thread that sleeps `count` times, so many times a second. Returns what each took, in microseconds.
pub(crate) fn wakes(count: u64, per_second: f64) -> Result<Histogram<u64>, LoadError> {
    let (wake, woken) = mpsc::channel::<Instant>();
    let sleeper = std::thread::spawn(move || {
        let mut latency = latency_histogram();
        woken.iter().for_each(|woken_at| record(&mut latency, woken_at.elapsed()));
        latency
    });
    let ended = |_| LoadError::Unexpected("the thread that is woken has ended".to_owned());
    in_time(count, per_second, || wake.send(Instant::now()).map_err(ended))?;
    drop(wake);
    sleeper.join().map_err(|_| LoadError::Unexpected("the thread that is woken panicked".to_owned()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_wake_is_measured() {
        let latency = super::wakes(20, 2_000.0).expect("the other thread lives");
        assert_eq!(latency.len(), 20);
    }
}
