//! How long a broker that was killed takes until it answers again.

use crate::client::crowd::{Crowd, Filters};
use crate::client::subscriber::problems;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::slope::median;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;

/// Sessions that are looked at behind the restart.
const SAMPLE: u64 = 200;

/// kill -9 with many sessions, or many queued messages, and the time until a CONNECT is answered.
#[derive(Args, Clone, Debug)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Offline sessions, each with a filter of its own.
    #[arg(long, default_value_t = 0)]
    sessions: u32,
    /// Messages that wait for one more session.
    #[arg(long, default_value_t = 0)]
    messages: u64,
    /// How often the broker is killed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
}

/// Fills a fresh broker, kills it, counts what is there.
pub(crate) fn run(restart: &Restart, output: &mut Output) -> Result<(), LoadError> {
    let Restart { target, sessions, messages, .. } = restart;
    let mut broker = target.fresh(output)?;
    let queue_shape = Shape::of((*messages).max(1), restart.size).named("restart-queue");
    let crowd_shape = Shape {
        topics: (*sessions).max(1),
        ..Shape::of(SAMPLE.min(u64::from(*sessions)).max(1), restart.size)
    };
    let crowd_shape = crowd_shape.named("restart");
    let crowd =
        Crowd { endpoint: broker.endpoint.clone(), shape: crowd_shape.clone(), filters: Filters::Own };
    block_on(target.threads, async {
        crowd.make(0..*sessions, Some(output.progress.bar("sessions", u64::from(*sessions)))).await?;
        if *messages > 0 {
            let traffic = Traffic::new(&broker.endpoint, &queue_shape, &output.progress);
            traffic.make_sessions().await?;
            traffic.publish().await?;
        }
        Ok(())
    })?;
    let before = broker.usage().map(|usage| usage.resident_bytes()).unwrap_or_default();
    let disk = broker.disk_bytes();
    let mut took = Vec::new();
    for _ in 0..restart.kills {
        took.push(broker.kill_and_start_again()?.as_secs_f64());
    }
    let mut record = Record::new("restart", case(*sessions, *messages), &broker.name);
    record.add("answers after kill -9, median", median(&took), "s");
    record.add("answers after kill -9, longest", took.iter().copied().fold(0.0, f64::max), "s");
    record.add_mib("memory before", before);
    record.add_mib("memory after", broker.usage().map(|usage| usage.resident_bytes()).unwrap_or_default());
    record.add_mib("disk", disk);
    block_on(target.threads, async {
        if *messages > 0 {
            let delivered = Traffic::new(&broker.endpoint, &queue_shape, &output.progress).drain().await?;
            record.received(&delivered.received, &delivered.recorded, queue_shape.qos);
        }
        if *sessions > 0 {
            Traffic::new(&broker.endpoint, &crowd_shape, &output.progress).publish().await?;
            let mut received = Vec::new();
            for number in 0..crowd_shape.messages() {
                let publishers = u64::from(crowd_shape.publishers);
                let publisher = u32::try_from(number % publishers).expect("few publishers");
                let topic = crowd_shape.topic_number(publisher, number / publishers);
                received.push(crowd.fetch(u32::try_from(topic).expect("as many as sessions")).await?);
            }
            record.problems.extend(problems(received.iter(), crowd_shape.qos));
        }
        Ok(())
    })?;
    output.push(record)
}

fn case(sessions: u32, messages: u64) -> String {
    let parts = [(u64::from(sessions), "sessions"), (messages, "queued messages")];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    parts.collect::<Vec<_>>().join(", ")
}
