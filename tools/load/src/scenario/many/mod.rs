//! Many of everything: sessions, filters, matches, retained topics. What each costs in time, memory and disk.
//!
//! Each part runs on a fresh broker and counts what it gets: a figure for messages that did not arrive is none.

mod filters;
mod matches;
mod retained;
mod sessions;

use crate::brokers::Broker;
use crate::client::subscriber::{Received, problems};
use crate::client::traffic::{Published, Traffic, block_on};
use crate::error::LoadError;
use crate::measure::usage::Usage;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::{Args, ValueEnum};

/// Many of everything, each on a fresh broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Many {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What there shall be many of.
    #[arg(value_enum, default_value = "all")]
    what: Kind,
    /// Offline sessions, each with a filter of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    sessions: u32,
    /// Filters of one session.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    filters: u32,
    /// Filters that one message matches, all of one session, then each of a session of its own; at most 1,024.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1024))]
    matches: u32,
    /// Retained topics.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    retained: u32,
    /// Messages to publish once the many are there.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=65_536))]
    size: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    All,
    /// Offline sessions, each with a filter of its own.
    Sessions,
    /// Filters of one session.
    Filters,
    /// Filters that match one message.
    Matches,
    /// Retained topics, and `#` from a slow client and a quick one.
    Retained,
}

/// Runs what was asked for.
pub(crate) fn run(many: &Many, output: &mut Output) -> Result<(), LoadError> {
    type Part = fn(&Many, &mut Output) -> Result<(), LoadError>;
    let parts: [(Kind, Part); 4] = [
        (Kind::Sessions, sessions::run),
        (Kind::Filters, filters::run),
        (Kind::Matches, matches::run),
        (Kind::Retained, retained::run),
    ];
    for (kind, part) in parts {
        if many.what == kind || many.what == Kind::All {
            part(many, output)?;
        }
    }
    Ok(())
}

/// A fresh broker, and what looks after it.
fn start(many: &Many, output: &Output) -> Result<(Broker, Usage), LoadError> {
    let broker = many.target.fresh(output)?;
    let usage = broker.needed_usage()?;
    Ok((broker, usage))
}

/// The load: 10 publishers with 100 in flight, spread over `topics`.
fn shape(many: &Many, topics: u32) -> Shape {
    Shape { topics, ..Shape::of(many.messages, many.size).named("many") }
}

/// Publishes all of `shape` to whoever is subscribed.
fn publish(many: &Many, broker: &Broker, shape: &Shape, output: &Output) -> Result<Published, LoadError> {
    block_on(many.target.threads, Traffic::new(&broker.endpoint, shape, &output.progress).publish())
}

/// Messages a second that the same load comes to with one offline session and one filter, to compare with.
fn baseline(many: &Many, output: &Output) -> Result<f64, LoadError> {
    let (broker, _) = start(many, output)?;
    let traffic = Traffic::new(&broker.endpoint, &shape(many, 0), &output.progress);
    block_on(many.target.threads, async {
        traffic.make_sessions().await?;
        Ok(traffic.publish().await?.recorded.per_second())
    })
}

/// Notes rate and longest wait of publishers, beside a `baseline` rate if there is one.
fn note_published(record: &mut Record, published: &Published, baseline: Option<f64>) {
    let rate = published.recorded.per_second();
    record.add("acknowledged", rate, "messages/s");
    if let Some(baseline) = baseline {
        record.add("ratio to one session with one filter", rate / baseline.max(1.0), "");
    }
    record.add_ms("longest pause of a publisher", published.longest_pause);
}

/// Notes what one session or more received.
fn note_received(record: &mut Record, what: &str, received: &[Received], per_second: f64) {
    record.add(what, per_second, "messages/s");
    record.problems.extend(problems(received.iter(), 1));
}
