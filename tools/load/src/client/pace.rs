//! Open loop: the moments at which messages are to be sent, whatever the broker does.
//!
//! Latency counts from these moments, not from when a message was written: a broker that stops for a second makes a second's
//! messages late, and all of them are seen to be (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

    /// Ends the clock.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn tick(&self) {
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
        pace.end();
    }
}
