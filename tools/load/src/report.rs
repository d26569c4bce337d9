//! What a run found, as text or JSON.

use crate::options::Shape;
use crate::publisher::Published;
use crate::scenario::rate;
use crate::subscriber::Received;
use hdrhistogram::Histogram;
use serde::Serialize;

/// One run of one scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) qos: u8,
    pub(crate) count: u64,
    pub(crate) size: u32,
    pub(crate) publishers: u32,
    pub(crate) inflight: u16,
    pub(crate) published: Option<PublishReport>,
    pub(crate) received: Option<ReceiveReport>,
    /// Processor time of this program for each message, in microseconds.
    pub(crate) load_processor_us: f64,
}

/// What the publishers saw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PublishReport {
    pub(crate) acknowledged: u64,
    /// Between the first acknowledgement and the last.
    pub(crate) per_second: f64,
    pub(crate) latency_p50_us: u64,
    pub(crate) latency_p99_us: u64,
    pub(crate) latency_max_us: u64,
    /// The longest that one publisher went without an acknowledgement, in milliseconds.
    pub(crate) longest_pause_ms: f64,
}

/// What the session saw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReceiveReport {
    pub(crate) arrived: u64,
    /// Between the first message and the last.
    pub(crate) per_second: f64,
    /// From CONNACK to the first message, in milliseconds.
    pub(crate) first_message_ms: f64,
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) foreign: u64,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, shape: &Shape) -> Report {
        Report {
            scenario,
            qos: shape.qos,
            count: shape.count,
            size: shape.size,
            publishers: shape.publishers,
            inflight: shape.inflight,
            published: None,
            received: None,
            load_processor_us: 0.0,
        }
    }

    /// Adds what the publishers saw.
    pub(crate) fn published(&mut self, published: &[Published]) {
        let mut latency = latency_histogram();
        let busy: Vec<&Published> = published.iter().filter(|one| one.acknowledged > 0).collect();
        for one in &busy {
            latency.add(&one.latency).expect("both have the same bounds");
        }
        let acknowledged = busy.iter().map(|one| one.acknowledged).sum();
        let first = busy.iter().map(|one| one.first_acknowledgement).min();
        let last = busy.iter().map(|one| one.last_acknowledgement).max();
        let longest_pause = busy.iter().map(|one| one.longest_pause).max();
        self.published = Some(PublishReport {
            acknowledged,
            per_second: first.zip(last).map_or(0.0, |(first, last)| rate(acknowledged, first, last)),
            latency_p50_us: latency.value_at_quantile(0.5),
            latency_p99_us: latency.value_at_quantile(0.99),
            latency_max_us: latency.max(),
            longest_pause_ms: longest_pause.unwrap_or_default().as_secs_f64() * 1e3,
        });
    }

    /// Adds what the session saw.
    pub(crate) fn received(&mut self, received: &Received) {
        let account = &received.account;
        self.received = Some(ReceiveReport {
            arrived: account.arrived,
            per_second: rate(account.arrived, received.first_message, received.last_message),
            first_message_ms: received.first_message.duration_since(received.connected).as_secs_f64() * 1e3,
            missing: account.missing(),
            repeated: account.repeated,
            out_of_order: account.out_of_order,
            foreign: account.foreign,
        });
    }

    /// Whether everything arrived, in order, and with QoS 2 once.
    pub(crate) fn kept_everything(&self) -> bool {
        let Some(received) = &self.received else { return true };
        received.missing == 0
            && received.out_of_order == 0
            && received.foreign == 0
            && (self.qos < 2 || received.repeated == 0)
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("a report has no maps with odd keys"));
            return;
        }
        println!(
            "{} QoS {}: {} messages of {} B, {} publishers with {} in flight, load {:.2} µs processor a message",
            self.scenario,
            self.qos,
            self.count,
            self.size,
            self.publishers,
            self.inflight,
            self.load_processor_us
        );
        if let Some(published) = &self.published {
            println!(
                "  acknowledged {:>9.0}/s  ({} messages; latency p50 {} µs, p99 {} µs, max {} µs)",
                published.per_second,
                published.acknowledged,
                published.latency_p50_us,
                published.latency_p99_us,
                published.latency_max_us
            );
        }
        if let Some(received) = &self.received {
            println!(
                "  delivered    {:>9.0}/s  ({} messages; first after {:.1} ms; missing {}, repeated {}, out of order {}, \
                 foreign {})",
                received.per_second,
                received.arrived,
                received.first_message_ms,
                received.missing,
                received.repeated,
                received.out_of_order,
                received.foreign
            );
        }
    }
}

/// A histogram of microseconds, up to ten minutes; what took longer counts as that.
pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order and the precision is valid")
}

/// Processor seconds that a process has used, user and system, by its entry in /proc; 0 where there is none.
pub(crate) fn processor_seconds(process: &str) -> f64 {
    let Ok(line) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    // The second field is the program's name in parentheses and may hold blanks.
    let Some((_, fields)) = line.rsplit_once(')') else { return 0.0 };
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // USER_HZ is 100 on every Linux that Rust runs on.
    ticks / 100.0
}
