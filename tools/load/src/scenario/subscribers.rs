//! What another offline session on the same filter costs each message.

use crate::client::crowd::{Crowd, Filters};
use crate::client::subscriber::problems;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;

/// More and more offline sessions with the same filter, and what one publishes to them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Subscribers {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Offline sessions; the first number is what the others are compared with, each in the same minute.
    #[arg(long, value_delimiter = ',', default_value = "2,100,10000,100000", value_parser = clap::value_parser!(u32).range(1..))]
    sessions: Vec<u32>,
    /// Messages to publish to each number of sessions.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
}

/// Each number of sessions on a fresh broker, with the first number just before it.
pub(crate) fn run(subscribers: &Subscribers, output: &mut Output) -> Result<(), LoadError> {
    let Some((&base, more)) = subscribers.sessions.split_first() else { return Ok(()) };
    let mut first = Some(one(subscribers, base, "base", output)?);
    for &sessions in more {
        let base_record = match first.take() {
            Some(record) => record,
            None => one(subscribers, base, &format!("base-{sessions}"), output)?,
        };
        let mut record = one(subscribers, sessions, "more", output)?;
        let cost = base_record.value("acknowledged") / record.value("acknowledged").max(1.0);
        record.add(format!("cost of a message to that with {base} sessions"), cost, "");
        output.push(base_record)?;
        output.push(record)?;
    }
    first.map_or(Ok(()), |record| output.push(record))
}

fn one(subscribers: &Subscribers, sessions: u32, name: &str, output: &Output) -> Result<Record, LoadError> {
    let target = &subscribers.target;
    let broker = target.fresh(output)?;
    let shape =
        Shape::of(subscribers.messages, subscribers.size).named(&format!("subscribers-{name}-{sessions}"));
    let crowd = Crowd { endpoint: broker.endpoint.clone(), shape: shape.clone(), filters: Filters::Shared };
    let mut record = Record::new("subscribers", format!("{sessions} sessions"), &broker.name);
    block_on(target.threads, async {
        crowd.make(0..sessions, Some(output.progress.bar("sessions", u64::from(sessions)))).await?;
        let published = Traffic::new(&broker.endpoint, &shape, &output.progress).publish().await?;
        record.published(&published, shape.qos);
        // What is there for the first and the last is there for all.
        let received = [crowd.fetch(0).await?, crowd.fetch(sessions - 1).await?];
        let expected = if sessions == 1 { &received[..1] } else { &received[..] };
        record.problems = problems(expected.iter(), shape.qos);
        Ok(())
    })?;
    Ok(record)
}
