//! One session with many filters, each for a topic of its own.

use super::{Many, baseline, note_published, note_received, publish, shape, start};
use crate::client::subscriber::make_session;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::report::output::Output;
use crate::report::record::Record;
use std::time::Instant;

/// Subscribes, queues the load for the session, drains it; then the same with the session connected.
pub(super) fn run(many: &Many, output: &mut Output) -> Result<(), LoadError> {
    let baseline = baseline(many, output)?;
    let (mut broker, _) = start(many, output)?;
    let shape = shape(many, many.filters);
    let mut record = Record::new("many", format!("one session with {} filters", many.filters), &broker.name);
    let filters: Vec<String> = (0..many.filters).map(|filter| format!("{}/{filter}", shape.topic)).collect();

    let begin = Instant::now();
    block_on(many.target.threads, make_session(&broker.endpoint, &shape, &shape.client_id(0), &filters))?;
    record.add("subscribed", f64::from(many.filters) / begin.elapsed().as_secs_f64(), "filters/s");
    note_published(&mut record, &publish(many, &broker, &shape, output)?, Some(baseline));
    if many.target.broker.is_some() {
        record.add_ms("answers after kill -9", broker.kill_and_start_again()?);
    }
    let traffic = Traffic::new(&broker.endpoint, &shape, &output.progress);
    let drained = block_on(many.target.threads, traffic.drain())?;
    note_received(&mut record, "drained", &drained.received, drained.recorded.per_second());
    let traffic = Traffic::new(&broker.endpoint, &shape, &output.progress);
    let (_, live) = block_on(many.target.threads, traffic.live())?;
    note_received(&mut record, "delivered live", &live.received, live.recorded.per_second());
    output.push(record)
}
