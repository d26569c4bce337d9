//! Counts and latencies of one kind of event, in all and over time.

use crate::report::progress::Bar;
use hdrhistogram::Histogram;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time that one point of a chart stands for.
const BUCKET: Duration = Duration::from_millis(200);

/// A histogram of microseconds, up to ten minutes; what took longer counts as that.
pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order and the precision is valid")
}

/// Records one duration, in microseconds.
pub(crate) fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

/// What happened within one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Its middle, in seconds since the recorder was made.
    pub(crate) second: f64,
    /// Events a second.
    pub(crate) per_second: f64,
    /// Microseconds at p50, p99, p99.9; none if no latency was recorded.
    pub(crate) latency: Option<[u64; 3]>,
}

/// Shared by all connections of a run.
pub(crate) struct Recorder {
    inner: Mutex<Inner>,
}

struct Inner {
    begin: Instant,
    bucket: u32,
    bucket_count: u64,
    bucket_latency: Histogram<u64>,
    count: u64,
    latency: Histogram<u64>,
    first: Option<Instant>,
    last: Option<Instant>,
    points: Vec<Point>,
    phases: Vec<Histogram<u64>>,
    bar: Option<Bar>,
}

impl Recorder {
    /// Nothing recorded yet; `bar` shows the count.
    pub(crate) fn new(bar: Option<Bar>) -> Recorder {
        Recorder {
            inner: Mutex::new(Inner {
                begin: Instant::now(),
                bucket: 0,
                bucket_count: 0,
                bucket_latency: latency_histogram(),
                count: 0,
                latency: latency_histogram(),
                first: None,
                last: None,
                points: Vec::new(),
                phases: Vec::new(),
                bar,
            }),
        }
    }

    /// Begins to record events that were all seen at `now`.
    pub(crate) fn at(&self, now: Instant) -> Events<'_> {
        let mut inner = self.lock();
        let bucket = now.saturating_duration_since(inner.begin).as_millis() / BUCKET.as_millis();
        let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
        if bucket > inner.bucket {
            inner.flush();
            inner.bucket = bucket;
        }
        Events { inner, now, count: 0 }
    }

    /// Ends a phase: latencies from here on count for the next one.
    pub(crate) fn next_phase(&self) {
        let mut inner = self.lock();
        inner.flush();
        let phase = std::mem::replace(&mut inner.latency, latency_histogram());
        inner.phases.push(phase);
    }

    /// Everything that was recorded.
    pub(crate) fn recorded(&self) -> Recorded {
        let mut inner = self.lock();
        inner.flush();
        Recorded {
            begin: inner.begin,
            count: inner.count,
            first: inner.first,
            last: inner.last,
            points: inner.points.clone(),
            latency: inner.latency.clone(),
            phases: inner.phases.clone(),
        }
    }

    /// Events so far.
    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a thread that panicked left is at worst one batch short.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn flush(&mut self) {
        if self.bucket_count == 0 {
            return;
        }
        let quantile = |at| self.bucket_latency.value_at_quantile(at);
        let latency =
            (!self.bucket_latency.is_empty()).then(|| [quantile(0.5), quantile(0.99), quantile(0.999)]);
        self.points.push(Point {
            second: (f64::from(self.bucket) + 0.5) * BUCKET.as_secs_f64(),
            per_second: self.bucket_count as f64 / BUCKET.as_secs_f64(),
            latency,
        });
        self.latency.add(&self.bucket_latency).expect("both have the same bounds");
        self.bucket_latency.reset();
        self.bucket_count = 0;
        if let Some(bar) = &self.bar {
            bar.at(self.count);
        }
    }
}

/// Events of one moment.
pub(crate) struct Events<'a> {
    inner: MutexGuard<'a, Inner>,
    now: Instant,
    count: u64,
}

impl Events<'_> {
    /// One event that took this long.
    pub(crate) fn took(&mut self, latency: Duration) {
        self.count += 1;
        record(&mut self.inner.bucket_latency, latency);
    }

    /// Events of which nobody knows how long they took.
    pub(crate) fn happened(&mut self, count: u64) {
        self.count += count;
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let (now, inner) = (self.now, &mut *self.inner);
        inner.count += self.count;
        inner.bucket_count += self.count;
        inner.first = Some(inner.first.map_or(now, |first| first.min(now)));
        inner.last = Some(inner.last.map_or(now, |last| last.max(now)));
    }
}

/// What a recorder has recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    begin: Instant,
    pub(crate) count: u64,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
    pub(crate) points: Vec<Point>,
    /// Of the last phase.
    pub(crate) latency: Histogram<u64>,
    /// Of the phases before.
    pub(crate) phases: Vec<Histogram<u64>>,
}

impl Recorded {
    /// Events a second, between the first and the last; of events that all came at one moment, since the recorder was made.
    pub(crate) fn per_second(&self) -> f64 {
        let times = self.first.zip(self.last);
        times.map_or(0.0, |(first, last)| {
            rate(self.count, if first < last { first } else { self.begin }, last)
        })
    }
}

/// Events a second between two moments, which saw the first and the last of `count`.
pub(crate) fn rate(count: u64, first: Instant, last: Instant) -> f64 {
    let seconds = last.duration_since(first).as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_bucket_and_latencies_by_phase() {
        let recorder = Recorder::new(None);
        let begin = recorder.lock().begin;
        for millis in [10, 20, 250, 900] {
            recorder.at(begin + Duration::from_millis(millis)).took(Duration::from_millis(millis));
        }
        recorder.next_phase();
        recorder.at(begin + Duration::from_millis(950)).happened(7);
        let recorded = recorder.recorded();
        assert_eq!(recorded.count, 11);
        let rates: Vec<f64> = recorded.points.iter().map(|point| point.per_second).collect();
        assert_eq!(rates, [10.0, 5.0, 5.0, 35.0]);
        assert_eq!(recorded.phases[0].len(), 4);
        assert!(recorded.latency.is_empty() && recorded.points[3].latency.is_none());
        let seconds = recorded.last.zip(recorded.first).map(|(last, first)| last - first);
        assert_eq!(seconds, Some(Duration::from_millis(940)));

        let recorder = Recorder::new(None);
        let begin = recorder.lock().begin;
        recorder.at(begin + Duration::from_millis(500)).happened(100);
        assert_eq!(recorder.recorded().per_second(), 200.0);
    }
}
