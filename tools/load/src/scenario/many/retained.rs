//! Many retained topics, and `#` from a client that hardly reads and from one that reads all.

use super::{Many, note_published, publish, shape, start};
use crate::client::connection::{Connection, Endpoint};
use crate::client::traffic::block_on;
use crate::error::{During, LoadError};
use crate::measure::watch::Watch;
use crate::options::shape::Shape;
use crate::report::output::Output;
use crate::report::record::Record;
use barnacle_wire::{Subscribe, kind};
use std::time::{Duration, Instant};

/// What the slow client reads in a second, in bytes.
const SLOW: usize = 4096;
/// How long the slow client reads.
const SECONDS: u32 = 20;

/// Fills the topics, subscribes slowly and quickly, kills the broker and does the quick part again.
pub(super) fn run(many: &Many, output: &mut Output) -> Result<(), LoadError> {
    let (mut broker, usage) = start(many, output)?;
    let shape = Shape { count: u64::from(many.retained), retain: true, ..shape(many, many.retained) };
    let mut record = Record::new("many", format!("{} retained topics", many.retained), &broker.name);
    let empty = usage.resident_bytes();
    note_published(&mut record, &publish(many, &broker, &shape, output)?, None);
    let filled = usage.resident_bytes();
    record.add_mib("memory of the empty broker", empty);
    record.add_mib("memory with the topics", filled);
    record.add_mib("disk", broker.disk_bytes());

    let watch = Watch::memory(usage.clone());
    block_on(many.target.threads, read_slowly(&broker.endpoint))?;
    record.add_mib("`#` at 4 KiB/s: memory grew by", watch.most().saturating_sub(filled));
    drop(watch);
    let watch = Watch::memory(usage);
    read_and_note(many, &mut record, "`#`", &broker.endpoint, &shape)?;
    record.add_mib("memory grew by", watch.most().saturating_sub(filled));
    drop(watch);

    if many.target.broker.is_some() {
        record.add_ms("answers after kill -9", broker.kill_and_start_again()?);
        record.add_mib("memory after the restart", broker.needed_usage()?.resident_bytes());
        read_and_note(many, &mut record, "`#` after the restart", &broker.endpoint, &shape)?;
    }
    output.push(record)
}

/// A client subscribed to everything at QoS 0, before it has read anything.
async fn subscribed(endpoint: &Endpoint, buffer: usize) -> Result<Connection, LoadError> {
    let (mut connection, _) = Connection::open(endpoint, &endpoint.clean("reader"), buffer).await?;
    let subscribe = Subscribe::new(1, "#", 0).encode(connection.version);
    connection.send(&subscribe, "sending SUBSCRIBE").await?;
    Ok(connection)
}

/// Reads [`SLOW`] bytes a second for a while.
async fn read_slowly(endpoint: &Endpoint) -> Result<(), LoadError> {
    let mut connection = subscribed(endpoint, 1024).await?;
    for _ in 0..SECONDS * 8 {
        connection.skip(SLOW / 8).await.during("reading slowly")?;
        tokio::time::sleep(Duration::from_millis(125)).await;
    }
    Ok(())
}

/// Reads every retained message once.
fn read_and_note(
    many: &Many,
    record: &mut Record,
    what: &str,
    endpoint: &Endpoint,
    shape: &Shape,
) -> Result<(), LoadError> {
    let (rate, longest) = block_on(many.target.threads, read_all(endpoint, shape))?;
    record.add(format!("{what}: delivered"), rate, "messages/s");
    record.add_ms(format!("{what}: longest pause"), longest);
    Ok(())
}

/// Returns the rate in messages a second, and the longest time in which nothing came.
async fn read_all(endpoint: &Endpoint, shape: &Shape) -> Result<(f64, Duration), LoadError> {
    let mut connection = subscribed(endpoint, 256 * 1024).await?;
    let mut seen = vec![false; shape.topics as usize];
    let (begin, mut last, mut longest, mut count) = (Instant::now(), Instant::now(), Duration::ZERO, 0);
    while count < seen.len() {
        let read = tokio::time::timeout(endpoint.patience, connection.fill()).await;
        let silence = |_| {
            let what = format!("{count} of {} retained messages came", seen.len());
            LoadError::Silence(endpoint.patience.as_secs(), what)
        };
        if read.map_err(silence)?? == 0 {
            return Err(LoadError::Closed("the reader".to_owned()));
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
        let version = connection.version;
        while let Some(frame) = connection.frame()? {
            if frame.kind() == kind::SUBACK {
                continue;
            }
            let publish = frame.publish(version)?;
            let topic = std::str::from_utf8(publish.topic).ok().and_then(|topic| topic.rsplit_once('/'));
            let number = topic.and_then(|(_, number)| number.parse::<usize>().ok());
            match number.and_then(|number| seen.get_mut(number)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(LoadError::Unexpected("a retained message twice, or of nobody".to_owned())),
            }
            count += 1;
        }
    }
    connection.close().await?;
    Ok((count as f64 / begin.elapsed().as_secs_f64(), longest))
}
