//! Open loop: the moments at which messages are to be sent, whatever the broker does.
//!
//! Latency counts from these moments, not from when a message was written: a broker that stops for a second makes a second's
//! messages late, and all of them are seen to be (no coordinated omission).

use crate::error::LoadError;
use crate::measure::recorder::{latency_histogram, record};
use hdrhistogram::Histogram;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Publishers are woken no more often than this.
const FINEST: Duration = Duration::from_micros(100);

/// A rate, divided among publishers that take turns.
pub(crate) struct Pace {
    begin: Instant,
    /// Between two messages of all publishers, in nanoseconds.
    interval: f64,
    publishers: u32,
    wakers: Vec<Notify>,
    /// How much later than due messages were written: what of the latencies is this program's, and the window's.
    late: Mutex<Histogram<u64>>,
    is_over: AtomicBool,
}

impl Pace {
    /// So many messages a second from all publishers together, beginning now.
    pub(crate) fn begin(per_second: f64, publishers: u32) -> Arc<Pace> {
        let pace = Arc::new(Pace {
            begin: Instant::now(),
            interval: 1e9 / per_second,
            publishers,
            wakers: (0..publishers).map(|_| Notify::new()).collect(),
            late: Mutex::new(latency_histogram()),
            is_over: AtomicBool::new(false),
        });
        let clock = Arc::clone(&pace);
        // A thread of its own: the runtime's timers are no finer than a millisecond.
        std::thread::spawn(move || clock.tick());
        pace
    }

    /// When message `number` of `publisher` is to be sent.
    pub(crate) fn moment(&self, publisher: u32, number: u64) -> Instant {
        let place = number as f64 * f64::from(self.publishers) + f64::from(publisher);
        self.begin + Duration::from_nanos((place * self.interval) as u64)
    }

    /// How many messages of `publisher` were to be sent until `now`.
    pub(crate) fn due(&self, publisher: u32, now: Instant) -> u64 {
        let places = now.duration_since(self.begin).as_nanos() as f64 / self.interval;
        ((places - f64::from(publisher)) / f64::from(self.publishers) + 1.0).max(0.0) as u64
    }

    /// Returns when more may be due for `publisher`.
    pub(crate) async fn wait(&self, publisher: u32) {
        self.wakers[publisher as usize].notified().await;
    }

    /// A message that was due at `moment` is written now.
    pub(crate) fn note_written(&self, moment: Instant, now: Instant) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        record(&mut late, now.saturating_duration_since(moment));
    }

    /// How late messages were written, in microseconds.
    pub(crate) fn late(&self) -> Histogram<u64> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the clock.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn tick(&self) {
        sleep_precisely();
        let step = Duration::from_nanos(self.interval as u64).max(FINEST);
        let mut told = vec![0; self.wakers.len()];
        let mut next = self.begin;
        while !self.is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            for (publisher, waker) in (0..self.publishers).zip(&self.wakers) {
                let due = self.due(publisher, now);
                if std::mem::replace(&mut told[publisher as usize], due) < due {
                    waker.notify_one();
                }
            }
            next += step;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// Does something `count` times in a thread of its own, so many times a second.
pub(crate) fn in_time<R: Send>(
    count: u64,
    per_second: f64,
    mut each: impl FnMut() -> Result<R, LoadError> + Send,
) -> Result<(), LoadError> {
    let paced = move || {
        sleep_precisely();
        let begin = Instant::now();
        (0..count).try_for_each(|number| {
            let due = begin + Duration::from_secs_f64(number as f64 / per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            each().map(drop)
        })
    };
    let paced = std::thread::scope(|scope| scope.spawn(paced).join());
    paced.map_err(|_| LoadError::Unexpected("a thread that keeps time panicked".to_owned()))?
}

/// Has sleeps of this thread end when they are due, not up to 50 µs later, which is what the kernel allows itself otherwise.
fn sleep_precisely() {
    // If it cannot be had, messages are a little later, and that is measured.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn publishers_take_turns_and_all_is_due_in_its_time() {
        let pace = Pace::begin(1000.0, 4);
        let begin = pace.begin;
        assert_eq!(pace.moment(0, 0), begin);
        assert_eq!(pace.moment(3, 0) - begin, Duration::from_millis(3));
        assert_eq!(pace.moment(1, 2) - begin, Duration::from_millis(9));
        for publisher in 0..4 {
            for number in 0..50 {
                let moment = pace.moment(publisher, number) + Duration::from_micros(1);
                assert_eq!(pace.due(publisher, moment), number + 1, "{publisher} {number}");
            }
        }
        assert_eq!(pace.due(3, begin), 0);
        pace.note_written(begin, begin + Duration::from_micros(70));
        assert_eq!((pace.late().len(), pace.late().max()), (1, 70));
        pace.end();
    }
}
