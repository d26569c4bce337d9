//! Many persistent clients come back at once.

use crate::client::crowd::{Crowd, Filters};
use crate::client::subscriber::problems;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::pinning::raise_open_files;
use crate::measure::recorder::{Recorder, latency_histogram, record as note};
use crate::measure::watch::Watch;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions with a small backlog each connect at the same moment, and stay.
#[derive(Args, Clone, Debug)]
pub(crate) struct Storm {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Clients. Each takes an open file here and one in the broker.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    clients: u32,
    /// Messages that wait for each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
    /// Kill the broker and start it again before, as after a power cut.
    #[arg(long)]
    after_kill: bool,
}

/// Makes the sessions and their backlogs, then lets all of them connect.
pub(crate) fn run(storm: &Storm, output: &mut Output) -> Result<(), LoadError> {
    let Storm { target, clients, .. } = storm;
    expect_open_files(*clients)?;
    let mut broker = target.fresh(output)?;
    let count = u64::from(*clients) * storm.messages;
    let shape = Shape { topics: *clients, ..Shape::of(count, storm.size).named("storm") };
    let crowd = Crowd { endpoint: broker.endpoint.clone(), shape: shape.clone(), filters: Filters::Own };
    block_on(target.threads, async {
        crowd.make(0..*clients, Some(output.progress.bar("sessions", u64::from(*clients)))).await?;
        Traffic::new(&broker.endpoint, &shape, &output.progress).publish().await
    })?;
    if storm.after_kill {
        broker.kill_and_start_again()?;
    }
    let usage = broker.usage();
    let before = usage.as_ref().map(|usage| usage.resident_bytes());
    let watch = usage.map(Watch::memory);
    let recorder = Arc::new(Recorder::new(Some(output.progress.bar("delivered", count))));
    let begin = Instant::now();
    let returned = block_on(target.threads, crowd.come_back(0..*clients, &recorder))?;
    let mut connecting = latency_histogram();
    returned.iter().for_each(|one| note(&mut connecting, one.connecting));
    let complete = returned.iter().map(|one| one.complete - begin).max().unwrap_or_default();
    let after = if storm.after_kill { ", after kill -9" } else { "" };
    let mut record =
        Record::new("storm", format!("{clients} clients with {} each{after}", storm.messages), &broker.name);
    record.add("all connected after", Duration::from_micros(connecting.max()).as_secs_f64(), "s");
    record.add("all with their backlog after", complete.as_secs_f64(), "s");
    record.add("refused", returned.iter().map(|one| one.refused).sum::<u64>() as f64, "connections");
    record.add_latency("connected", &connecting);
    let at_once = returned.iter().filter(|one| one.received.is_connected()).count();
    record.add("connected at the end", at_once as f64, "clients");
    record.add("delivered", count as f64 / complete.as_secs_f64(), "messages/s");
    if let Some((watch, before)) = watch.zip(before) {
        record.add_mib("memory grew by", watch.most().saturating_sub(before));
    }
    record.over_time(&[("delivered", &recorder.recorded())]);
    record.problems = problems(returned.iter().map(|one| &one.received), shape.qos);
    output.push(record)
}

/// Fails before anything is begun, if there cannot be so many connections.
pub(crate) fn expect_open_files(connections: u32) -> Result<(), LoadError> {
    let limit = raise_open_files();
    if limit.is_some_and(|limit| limit < u64::from(connections) + 200) {
        let limit = limit.unwrap_or_default();
        let what = format!(
            "{connections} connections need a higher limit of open files than {limit} (`ulimit -Hn`)"
        );
        return Err(LoadError::Senseless(what));
    }
    Ok(())
}
