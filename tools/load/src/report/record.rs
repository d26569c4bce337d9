//! What one scenario found on one broker: figures, charts, and what went wrong.

use crate::client::subscriber::{Received, problems};
use crate::client::traffic::Published;
use crate::measure::recorder::Recorded;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One case of a scenario on one broker. A line of JSON.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Record {
    /// The scenario: `queue`, `storm`.
    pub scenario: String,
    /// What is special about this run of it: `QoS 2`, `100,000 sessions`.
    pub case: String,
    /// The broker's profile, or where it runs.
    pub broker: String,
    /// Which round of a comparison, from 0.
    pub round: u32,
    /// The command line that makes it.
    pub command: String,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What was measured over time.
    pub charts: Vec<Chart>,
    /// What was lost, repeated or out of order, or else not as it must be. Empty: all is well.
    pub problems: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// What it is counted in; empty for a ratio.
    pub unit: String,
}

/// Lines over a common axis.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of a chart.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Record {
    /// Nothing found yet.
    pub(crate) fn new(scenario: &str, case: impl Into<String>, broker: &str) -> Record {
        let (scenario, broker) = (scenario.to_owned(), broker.to_owned());
        Record { scenario, case: case.into(), broker, ..Record::default() }
    }

    /// Adds `value`, counted in `unit`.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &str) {
        self.figures.push(Figure { name: name.into(), value, unit: unit.to_owned() });
    }

    /// Adds `bytes`, shown in MiB.
    pub(crate) fn add_mib(&mut self, name: impl Into<String>, bytes: u64) {
        self.add(name, bytes as f64 / f64::from(1 << 20), "MiB");
    }

    /// Adds a duration, shown in milliseconds.
    pub(crate) fn add_ms(&mut self, name: impl Into<String>, duration: std::time::Duration) {
        self.add(name, duration.as_secs_f64() * 1e3, "ms");
    }

    /// Adds p50, p99 and p99.9 of `latency`.
    pub(crate) fn add_latency(&mut self, what: &str, latency: &Histogram<u64>) {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            self.add(format!("{what} {name}"), latency.value_at_quantile(quantile) as f64, "µs");
        }
    }

    /// The value of a figure; 0 if there is none of that name.
    pub fn value(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.name == name).map_or(0.0, |figure| figure.value)
    }

    /// Adds a chart.
    pub(crate) fn chart(&mut self, title: &str, x: &str, y: &str, lines: Vec<Line>) {
        let (title, x, y) = (title.to_owned(), x.to_owned(), y.to_owned());
        self.charts.push(Chart { title, x, y, lines });
    }

    /// Notes that something is not as it must be.
    pub(crate) fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// Adds what publishers saw.
    pub(crate) fn published(&mut self, published: &Published, qos: u8) {
        let recorded = &published.recorded;
        if qos == 0 {
            self.add("sent", recorded.per_second(), "messages/s");
            return;
        }
        self.add("acknowledged", recorded.per_second(), "messages/s");
        self.add_latency("acknowledgement", &recorded.latency);
        self.add_ms("longest pause of a publisher", published.longest_pause);
        if let Some(late) = &published.late {
            self.add_latency("written later than due", late);
        }
    }

    /// Adds what subscribers received, and judges it. What went missing at QoS 0 is a figure, at QoS 1 and 2 a problem.
    pub(crate) fn received(&mut self, received: &[Received], recorded: &Recorded, qos: u8) {
        self.add("delivered", recorded.per_second(), "messages/s");
        let first =
            received.iter().filter_map(|one| one.first_message.map(|first| first - one.connected)).max();
        self.add_ms("first message after CONNACK", first.unwrap_or_default());
        if !recorded.latency.is_empty() {
            self.add_latency("delivery", &recorded.latency);
        }
        if qos == 0 {
            let missing: u64 = received.iter().map(|one| one.account.missing()).sum();
            let arrived: u64 = received.iter().map(|one| one.account.arrived).sum();
            self.add("lost", missing as f64 / (missing + arrived).max(1) as f64 * 100.0, "%");
        }
        self.problems.extend(problems(received.iter(), qos));
    }

    /// Adds throughput over time, and percentiles of what took time.
    pub(crate) fn over_time(&mut self, streams: &[(&str, &Recorded)]) {
        let line = |name: &str, points: Vec<(f64, f64)>| Line { name: name.to_owned(), points };
        let rates = streams.iter().map(|(name, recorded)| {
            line(name, recorded.points.iter().map(|point| (point.second, point.per_second)).collect())
        });
        self.chart("Throughput", "seconds", "messages/s", rates.collect());
        for (name, recorded) in streams {
            let of = |at: usize| {
                let value =
                    |point: &crate::measure::recorder::Point| Some((point.second, point.latency?[at] as f64));
                recorded.points.iter().filter_map(value).collect::<Vec<_>>()
            };
            if of(0).is_empty() {
                continue;
            }
            let lines = vec![line("p50", of(0)), line("p99", of(1)), line("p99.9", of(2))];
            self.chart(&format!("Latency, {name}"), "seconds", "µs", lines);
        }
    }
}
