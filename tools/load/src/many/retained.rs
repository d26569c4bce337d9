//! Many retained topics, and `#` from a client that hardly reads and from one that reads all.

use super::figures::Figures;
use super::{block_on, load, note_published, publish, start};
use crate::connection::open;
use crate::options::{Load, Many};
use crate::watch::{Watch, resident_bytes};
use crate::{During, LoadError};
use barnacle_wire::frames::{FrameBuffer, fill};
use barnacle_wire::{Connect, Subscribe, kind};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the slow client reads in a second, in bytes.
const SLOW: usize = 4096;
/// How long the slow client reads.
const SECONDS: u64 = 20;

/// Fills the topics, subscribes slowly and quickly, kills the broker and does the quick part again.
pub(super) fn run(many: &Many) -> Result<Figures, LoadError> {
    let mut figures = Figures::new(format!("{} retained topics", many.retained));
    let mut broker = start(many)?;
    let mut load = load(many, &broker, many.retained);
    load.shape.count = u64::from(many.retained);
    load.shape.retain = true;
    let empty = resident_bytes(&broker.process_id());
    note_published(&mut figures, &publish(&load)?, None);
    let filled = resident_bytes(&broker.process_id());
    figures.add_mib("memory of the empty broker", empty);
    figures.add_mib("memory with the topics", filled);
    figures.add_mib("disk", broker.disk_bytes());

    let watch = Watch::begin(broker.process_id());
    block_on(read_slowly(&load))?;
    figures.add_mib("`#` at 4 KiB/s: memory grew by", watch.most().saturating_sub(filled));
    drop(watch);
    let watch = Watch::begin(broker.process_id());
    read_and_note(&mut figures, "`#`", &load)?;
    figures.add_mib("memory grew by", watch.most().saturating_sub(filled));
    drop(watch);

    figures.add("listening after kill -9", broker.kill_and_start_again()?.as_secs_f64() * 1e3, "ms");
    figures.add_mib("memory after the restart", resident_bytes(&broker.process_id()));
    read_and_note(&mut figures, "`#` after the restart", &load)?;
    Ok(figures)
}

/// A client subscribed to everything at QoS 0, before it has read anything.
async fn subscribed(load: &Load) -> Result<TcpStream, LoadError> {
    let version = load.shape.protocol.version();
    let (mut stream, _) = open(load, &Connect::new(version, "reader").keep_alive(0)).await?;
    stream.write_all(&Subscribe::new(1, "#", 0).encode(version)).await.during("sending SUBSCRIBE")?;
    Ok(stream)
}

/// Reads [`SLOW`] bytes a second for a while.
async fn read_slowly(load: &Load) -> Result<(), LoadError> {
    let mut stream = subscribed(load).await?;
    let mut bytes = [0; SLOW / 8];
    for _ in 0..SECONDS * 8 {
        stream.read_exact(&mut bytes).await.during("reading slowly")?;
        tokio::time::sleep(Duration::from_millis(125)).await;
    }
    Ok(())
}

/// Reads every retained message once.
fn read_and_note(figures: &mut Figures, what: &str, load: &Load) -> Result<(), LoadError> {
    let (rate, longest) = block_on(read_all(load))?;
    figures.add(format!("{what}: delivered"), rate, "messages/s");
    figures.add(format!("{what}: longest pause"), longest.as_secs_f64() * 1e3, "ms");
    Ok(())
}

/// Returns the rate in messages a second, and the longest time in which nothing came.
async fn read_all(load: &Load) -> Result<(f64, Duration), LoadError> {
    let shape = &load.shape;
    let mut stream = subscribed(load).await?;
    let mut received = FrameBuffer::new(256 * 1024);
    let mut seen = vec![false; shape.topics as usize];
    let (begin, mut last, mut longest, mut count) = (Instant::now(), Instant::now(), Duration::ZERO, 0);
    while count < seen.len() {
        let read =
            tokio::time::timeout(Duration::from_secs(shape.patience), fill(&mut stream, &mut received)).await;
        let silence = |_| {
            LoadError::Silence(shape.patience, format!("{count} of {} retained messages came", seen.len()))
        };
        if read.map_err(silence)?.during("reading retained messages")? == 0 {
            return Err(LoadError::Closed("the reader".to_owned()));
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
        while let Some(frame) = received.next_frame()? {
            if frame.kind() == kind::SUBACK {
                continue;
            }
            let publish = frame.publish(shape.protocol.version())?;
            let topic = std::str::from_utf8(publish.topic).ok().and_then(|topic| topic.rsplit_once('/'));
            let number = topic.and_then(|(_, number)| number.parse::<usize>().ok());
            match number.and_then(|number| seen.get_mut(number)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(LoadError::Unexpected("a retained message twice, or of nobody".to_owned())),
            }
            count += 1;
        }
    }
    Ok((count as f64 / begin.elapsed().as_secs_f64(), longest))
}
