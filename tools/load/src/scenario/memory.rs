//! What one more of something costs a broker in memory: a slope over several steps, not a difference of two looks.

use crate::brokers::Broker;
use crate::client::connection::Connection;
use crate::client::crowd::{Crowd, Filters};
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::slope::slope;
use crate::measure::usage::Usage;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::{Line, Record};
use crate::scenario::storm::expect_open_files;
use clap::Args;
use std::time::Duration;
use tokio::task::JoinSet;

/// Looks at the memory on the way; the first quarter does not count: a broker's buffers fill up once.
const STEPS: u32 = 8;

/// Memory for idle connections, offline sessions, queued messages.
#[derive(Args, Clone, Debug)]
pub(crate) struct Memory {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Idle connections.
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// Offline sessions, each with a filter of its own.
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// Messages queued for one session.
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
}

/// Each on a fresh broker.
pub(crate) fn run(memory: &Memory, output: &mut Output) -> Result<(), LoadError> {
    if memory.connections > 0 {
        connections(memory, output)?;
    }
    if memory.sessions > 0 {
        sessions(memory, output)?;
    }
    if memory.messages > 0 {
        messages(memory, output)?;
    }
    Ok(())
}

fn connections(memory: &Memory, output: &mut Output) -> Result<(), LoadError> {
    expect_open_files(memory.connections)?;
    let (broker, usage) = start(memory, output)?;
    let bar = output.progress.bar("idle connections", u64::from(memory.connections));
    let points = block_on(memory.target.threads, async {
        let mut open = Vec::new();
        let mut points = vec![(0.0, settled(&usage).await)];
        for step in 0..STEPS {
            let wanted = step_end(u64::from(memory.connections), step);
            let mut opening = JoinSet::new();
            for number in open.len() as u64..wanted {
                let endpoint = broker.endpoint.clone();
                opening.spawn(async move {
                    let connect = endpoint.clean(&format!("idle-{number}"));
                    Ok::<_, LoadError>(Connection::open(&endpoint, &connect, 16).await?.0)
                });
                // A few at a time: this is no storm.
                if opening.len() >= 50
                    && let Some(connection) = opening.join_next().await
                {
                    open.push(connection??);
                }
            }
            while let Some(connection) = opening.join_next().await {
                open.push(connection??);
            }
            bar.at(wanted);
            points.push((wanted as f64, settled(&usage).await));
        }
        Ok(points)
    })?;
    finish("idle connection", &broker, points, output)
}

fn sessions(memory: &Memory, output: &mut Output) -> Result<(), LoadError> {
    let (broker, usage) = start(memory, output)?;
    let shape = Shape::of(1, memory.size).named("memory");
    let crowd = Crowd { endpoint: broker.endpoint.clone(), shape, filters: Filters::Own };
    let bar = output.progress.bar("offline sessions", u64::from(memory.sessions));
    let points = block_on(memory.target.threads, async {
        let mut points = vec![(0.0, settled(&usage).await)];
        let mut begin = 0;
        for step in 0..STEPS {
            let end = step_end(u64::from(memory.sessions), step);
            let end = u32::try_from(end).expect("no more than there are to be");
            crowd.make(begin..end, None).await?;
            begin = end;
            bar.at(u64::from(end));
            points.push((f64::from(end), settled(&usage).await));
        }
        Ok(points)
    })?;
    finish("offline session", &broker, points, output)
}

fn messages(memory: &Memory, output: &mut Output) -> Result<(), LoadError> {
    let (broker, usage) = start(memory, output)?;
    let bar = output.progress.bar("queued messages", memory.messages);
    let shape = Shape::of(memory.messages, memory.size).named("memory");
    let mut is_whole = true;
    let points = block_on(memory.target.threads, async {
        Traffic::new(&broker.endpoint, &shape, &output.progress).make_sessions().await?;
        let mut points = vec![(0.0, settled(&usage).await)];
        let mut begin = 0;
        for step in 0..STEPS {
            let end = step_end(memory.messages, step);
            let part = Shape { count: (end - begin).max(1), ..shape.clone() };
            let published = Traffic::new(&broker.endpoint, &part, &output.progress).publish().await?;
            is_whole &= published.recorded.count == part.count;
            begin = end;
            bar.at(end);
            points.push((end as f64, settled(&usage).await));
        }
        Ok(points)
    })?;
    if !is_whole {
        return Err(LoadError::Unexpected("not every message was acknowledged".to_owned()));
    }
    finish("queued message", &broker, points, output)
}

fn start(memory: &Memory, output: &Output) -> Result<(Broker, Usage), LoadError> {
    let broker = memory.target.fresh(output)?;
    let usage = broker.needed_usage()?;
    Ok((broker, usage))
}

fn step_end(all: u64, step: u32) -> u64 {
    all * u64::from(step + 1) / u64::from(STEPS)
}

/// The memory, once it does not fall any more, or after two seconds.
async fn settled(usage: &Usage) -> f64 {
    let mut least = usage.resident_bytes();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = usage.resident_bytes();
        if now >= least {
            break;
        }
        least = now;
    }
    least as f64
}

fn finish(
    what: &str,
    broker: &Broker,
    points: Vec<(f64, f64)>,
    output: &mut Output,
) -> Result<(), LoadError> {
    let (first, last) = (points[0], points[points.len() - 1]);
    let mut record = Record::new("memory", format!("{} of: {what}", last.0), &broker.name);
    record.add(what, slope(&points[points.len() / 4..]).max(0.0), "B");
    record.add_mib("memory of the empty broker", first.1 as u64);
    record.add_mib("memory at the end", last.1 as u64);
    let mib = points.iter().map(|(count, bytes)| (*count, bytes / f64::from(1 << 20))).collect();
    record.chart("Memory", what, "MiB", vec![Line { name: broker.name.clone(), points: mib }]);
    output.push(record)
}
