//! One session with many filters, each for a topic of its own.

use super::figures::Figures;
use super::{baseline, block_on, load, note_published, note_received, publish, start};
use crate::LoadError;
use crate::options::Many;
use crate::report::Report;
use crate::scenario;
use crate::subscriber::{Subscriber, make_session_with};
use std::time::Instant;

/// Subscribes, queues the load for the session, drains it; then the same with the session connected.
pub(super) fn run(many: &Many) -> Result<Figures, LoadError> {
    let mut figures = Figures::new(format!("one session with {} filters", many.filters));
    let baseline = baseline(many)?;
    let mut broker = start(many)?;
    let load = load(many, &broker, many.filters);
    let filters: Vec<String> =
        (0..many.filters).map(|filter| format!("{}/{filter}", load.shape.topic)).collect();

    let begin = Instant::now();
    block_on(make_session_with(&load, &filters))?;
    figures.add("subscribed", f64::from(many.filters) / begin.elapsed().as_secs_f64(), "filters/s");
    let queued = publish(&load)?;
    note_published(&mut figures, &queued, Some(baseline));
    figures.add("listening after kill -9", broker.kill_and_start_again()?.as_secs_f64() * 1e3, "ms");
    note_received(&mut figures, &scenario::drain(&load)?)?;

    let live = block_on(async {
        let receiving = tokio::spawn(Subscriber::resume(&load).await?.receive());
        let published = scenario::publish_all(&load).await?;
        let received = receiving.await.map_err(|error| LoadError::Unexpected(error.to_string()))??;
        let mut report = Report::new("live", &load.shape);
        report.published(&published);
        report.received(&received);
        Ok(report)
    })?;
    note_received(&mut figures, &live)?;
    Ok(figures)
}
