//! The load itself, whatever broker it goes to.

use crate::error::LoadError;
use clap::Args;
use std::time::Duration;

/// A prime that no sensible number of topics is a multiple of.
const SPREAD: u64 = 1_000_003;

/// Who sends how much of what to whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct Shape {
    /// QoS of messages and subscriptions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Messages in all.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, alias = "payload-size", default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    pub(crate) size: u32,
    /// Publishers, each with a connection and a topic of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    pub(crate) publishers: u32,
    /// Subscribers, each with a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    pub(crate) subscribers: u32,
    /// Each subscriber gets one topic, that of its own publisher, instead of all topics.
    #[arg(long)]
    pub(crate) pairs: bool,
    /// Messages that a publisher has in flight; with 5.0 the broker's Receive Maximum lowers it. At QoS 0, where nothing is
    /// acknowledged: how far a publisher is ahead of what was delivered.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) inflight: u16,
    /// Open loop: messages a second from all publishers together, whatever the broker does; latency then counts from when a
    /// message was to be sent. Without it a closed loop, as fast as --inflight allows.
    #[arg(long, conflicts_with = "interval")]
    pub(crate) rate: Option<f64>,
    /// Open loop: milliseconds between two messages of one publisher.
    #[arg(long)]
    pub(crate) interval: Option<f64>,
    /// End after so many seconds, if --count is not reached before.
    #[arg(long)]
    pub(crate) duration: Option<f64>,
    /// Seconds over which connections are opened, evenly.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) ramp_up: f64,
    /// Receive Maximum of the subscribers, 5.0 only.
    #[arg(long)]
    pub(crate) receive_maximum: Option<u16>,
    /// Topics are PREFIX/0, PREFIX/1, …, the filter is PREFIX/#.
    #[arg(long, default_value = "load")]
    pub(crate) topic: String,
    /// Topics that all publishers spread their messages over; 0: each publisher has one of its own.
    #[arg(long, default_value_t = 0)]
    pub(crate) topics: u32,
    /// Publish with the RETAIN flag.
    #[arg(long)]
    pub(crate) retain: bool,
    /// Client identifier of the subscriber; with several, its beginning.
    #[arg(long, default_value = "load-session")]
    pub(crate) session: String,
    /// Subscribers' sessions end with their connections.
    #[arg(long)]
    pub(crate) clean: bool,
}

impl Shape {
    /// What scenarios begin with that have no shape on their command line: 10 publishers with 100 in flight, QoS 1.
    pub(crate) fn of(count: u64, size: u32) -> Shape {
        Shape {
            qos: 1,
            count,
            size,
            publishers: 10,
            subscribers: 1,
            pairs: false,
            inflight: 100,
            rate: None,
            interval: None,
            duration: None,
            ramp_up: 0.0,
            receive_maximum: None,
            topic: "load".to_owned(),
            topics: 0,
            retain: false,
            session: "load-session".to_owned(),
            clean: false,
        }
    }

    /// The same with other topics and other clients.
    pub(crate) fn named(mut self, name: &str) -> Shape {
        name.clone_into(&mut self.topic);
        self.session = format!("{name}-session");
        self
    }

    /// Whether what was asked for goes together.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let senseless = |what: &str| Err(LoadError::Senseless(what.to_owned()));
        if self.pairs && (self.publishers != self.subscribers || self.topics != 0) {
            return senseless("--pairs needs as many publishers as subscribers, and no --topics");
        }
        if self.rate().is_some_and(|rate| !(0.001..=10_000_000.0).contains(&rate)) {
            return senseless("a rate is between 0.001 and 10,000,000 messages a second");
        }
        if !(0.0..=86_400.0).contains(&self.ramp_up)
            || self.duration.is_some_and(|seconds| seconds.is_nan() || seconds <= 0.0)
        {
            return senseless("--ramp-up and --duration are seconds");
        }
        Ok(())
    }

    /// Messages a second from all publishers together, in an open loop.
    pub(crate) fn rate(&self) -> Option<f64> {
        let of_interval = self.interval.map(|millis| f64::from(self.publishers) * 1000.0 / millis);
        self.rate.or(of_interval)
    }

    /// Messages in all: no more than the rate brings in the time that is given.
    pub(crate) fn messages(&self) -> u64 {
        let in_time = self.rate().zip(self.duration).map(|(rate, seconds)| (rate * seconds).ceil() as u64);
        in_time.map_or(self.count, |in_time| in_time.clamp(1, self.count))
    }

    /// How many of the messages come from `publisher`.
    pub(crate) fn share(&self, publisher: u32) -> u64 {
        let (count, publishers) = (self.messages(), u64::from(self.publishers));
        count / publishers + u64::from(u64::from(publisher) < count % publishers)
    }

    /// All shares.
    pub(crate) fn shares(&self) -> Vec<u64> {
        (0..self.publishers).map(|publisher| self.share(publisher)).collect()
    }

    /// Which topic message `number` of `publisher` goes to: the last level of its name.
    ///
    /// Spread messages take the topics in an order that jumps about, and each topic equally often when the number of
    /// messages is a multiple of theirs.
    pub(crate) fn topic_number(&self, publisher: u32, number: u64) -> u64 {
        match self.topics {
            0 => u64::from(publisher),
            topics => {
                let in_all = number * u64::from(self.publishers) + u64::from(publisher);
                in_all.wrapping_mul(SPREAD) % u64::from(topics)
            }
        }
    }

    /// Client identifier of a subscriber.
    pub(crate) fn client_id(&self, subscriber: u32) -> String {
        if self.subscribers == 1 { self.session.clone() } else { format!("{}-{subscriber}", self.session) }
    }

    /// The filter of a subscriber.
    pub(crate) fn filter(&self, subscriber: u32) -> String {
        if self.pairs { format!("{}/{subscriber}", self.topic) } else { format!("{}/#", self.topic) }
    }

    /// Subscribers that each message goes to.
    pub(crate) fn fan_out(&self) -> u32 {
        if self.pairs { 1 } else { self.subscribers }
    }

    /// The wait between two connections that are opened.
    pub(crate) fn ramp_step(&self, connections: u32) -> Duration {
        Duration::from_secs_f64(self.ramp_up / f64::from(connections.max(1)))
    }
}
