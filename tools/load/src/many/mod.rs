//! Many of everything: sessions, filters, matches, retained topics. What each costs in time, memory and disk.
//!
//! Each part runs on a fresh broker and counts what it gets: a figure for messages that did not arrive is none.

mod figures;
mod filters;
mod matches;
mod retained;
mod sessions;

use crate::brokers::Broker;
use crate::options::{BrokerKind, Load, Many, ManyKind, Protocol, Shape};
use crate::publisher::Published;
use crate::report::Report;
use crate::{During, LoadError, scenario};
use figures::Figures;
use std::future::Future;

/// Runs what was asked for and prints its figures.
pub(crate) fn run(many: &Many, json: bool) -> Result<(), LoadError> {
    type Part = fn(&Many) -> Result<Figures, LoadError>;
    let parts: [(ManyKind, Part); 4] = [
        (ManyKind::Sessions, sessions::run),
        (ManyKind::Filters, filters::run),
        (ManyKind::Matches, matches::run),
        (ManyKind::Retained, retained::run),
    ];
    for (kind, part) in parts {
        if many.what == kind || many.what == ManyKind::All {
            part(many)?.print(json);
        }
    }
    Ok(())
}

/// A fresh Barnacle.
fn start(many: &Many) -> Result<Broker, LoadError> {
    Broker::start(BrokerKind::Barnacle, &many.programs)
}

/// The load of `many` on `broker`: 10 publishers with 100 in flight, spread over `topics`.
fn load(many: &Many, broker: &Broker, topics: u32) -> Load {
    let shape = Shape {
        qos: 1,
        count: many.messages,
        size: many.size,
        publishers: 10,
        inflight: 100,
        protocol: Protocol::V311,
        receive_maximum: None,
        topic: "many".to_owned(),
        topics,
        retain: false,
        session: "many".to_owned(),
        patience: 60,
    };
    Load { host: "127.0.0.1".to_owned(), port: broker.port, shape }
}

/// Runs `future` on one thread: the load shares the processor with the broker.
fn block_on<T>(future: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().during("starting tokio")?;
    runtime.block_on(future)
}

/// Publishes all of `load` to whoever is subscribed.
fn publish(load: &Load) -> Result<Report, LoadError> {
    let published: Vec<Published> = block_on(scenario::publish_all(load))?;
    let mut report = Report::new("publish", &load.shape);
    report.published(&published);
    Ok(report)
}

/// What the same load costs with one offline session and one filter, to compare with.
fn baseline(many: &Many) -> Result<f64, LoadError> {
    let broker = start(many)?;
    let load = load(many, &broker, 0);
    let report = scenario::queue(&load)?;
    Ok(report.published.as_ref().map_or(0.0, |published| published.per_second))
}

/// Notes rate and longest wait of `report`'s publishers, beside a `baseline` rate if there is one.
fn note_published(figures: &mut Figures, report: &Report, baseline: Option<f64>) {
    let Some(published) = &report.published else { return };
    figures.add("acknowledged", published.per_second, "messages/s");
    if let Some(baseline) = baseline {
        figures.add("ratio to one session with one filter", published.per_second / baseline, "");
    }
    figures.add("longest pause of a publisher", published.longest_pause_ms, "ms");
}

/// Notes how fast messages arrived, and fails if not all did.
fn note_received(figures: &mut Figures, report: &Report) -> Result<(), LoadError> {
    if !report.kept_everything() {
        report.print(false);
        return Err(LoadError::Unexpected(
            "messages were lost, repeated or out of order, see above".to_owned(),
        ));
    }
    if let Some(received) = &report.received {
        figures.add("delivered", received.per_second, "messages/s");
    }
    Ok(())
}
