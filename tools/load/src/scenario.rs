//! The scenarios on one broker. Everything runs on one thread: it shares the processor with the broker.

use crate::connection::open;
use crate::options::{Load, Shape};
use crate::publisher::{Published, publish};
use crate::report::{Report, processor_seconds};
use crate::subscriber::{Received, Subscriber, make_session};
use crate::{During, LoadError};
use barnacle_wire::frames::FrameBuffer;
use barnacle_wire::{Connect, Version};
use std::future::Future;
use std::time::Instant;
use tokio::task::JoinSet;

/// Publishes into one offline session.
pub(crate) fn queue(load: &Load) -> Result<Report, LoadError> {
    measured("queue", &load.shape, async {
        make_session(load).await?;
        Ok((Some(publish_all(load).await?), None))
    })
}

/// Fetches what [`queue`] left.
pub(crate) fn drain(load: &Load) -> Result<Report, LoadError> {
    measured("drain", &load.shape, async {
        let received = Subscriber::resume(load).await?.receive().await?;
        Ok((None, Some(received)))
    })
}

/// Publishes to a session that is connected.
pub(crate) fn live(load: &Load) -> Result<Report, LoadError> {
    measured("live", &load.shape, async {
        make_session(load).await?;
        let receiving = tokio::spawn(Subscriber::resume(load).await?.receive());
        let published = publish_all(load).await?;
        let received = receiving.await.map_err(|error| LoadError::Unexpected(error.to_string()))??;
        Ok((Some(published), Some(received)))
    })
}

type Outcome = (Option<Vec<Published>>, Option<Received>);

fn measured(
    scenario: &'static str,
    shape: &Shape,
    run: impl Future<Output = Result<Outcome, LoadError>>,
) -> Result<Report, LoadError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().during("starting tokio")?;
    let processor = processor_seconds("self");
    let (published, received) = runtime.block_on(run)?;
    let mut report = Report::new(scenario, shape);
    if let Some(published) = published {
        report.published(&published);
    }
    if let Some(received) = received {
        report.received(&received);
    }
    report.load_processor_us = (processor_seconds("self") - processor) * 1e6 / shape.count as f64;
    Ok(report)
}

/// Connects all publishers, then lets them go at once.
pub(crate) async fn publish_all(load: &Load) -> Result<Vec<Published>, LoadError> {
    let shape = &load.shape;
    let mut connected = Vec::new();
    for index in 0..shape.publishers {
        let client_id = format!("{}-publisher-{index}", shape.session);
        let connect = Connect::new(shape.protocol.version(), &client_id);
        let (stream, connack) = open(load, &connect).await?;
        let limit = if connect.version == Version::V5 { connack.receive_maximum() } else { u16::MAX };
        connected.push((index, stream, shape.inflight.min(limit)));
    }
    let mut publishers = JoinSet::new();
    for (index, stream, window) in connected {
        publishers.spawn(publish(stream, FrameBuffer::new(16 * 1024), shape.clone(), index, window));
    }
    let mut published = Vec::new();
    while let Some(finished) = publishers.join_next().await {
        published.push(finished.map_err(|error| LoadError::Unexpected(error.to_string()))??);
    }
    Ok(published)
}

/// Messages a second between two moments, which saw the first and the last of `count`.
pub(crate) fn rate(count: u64, first: Instant, last: Instant) -> f64 {
    let seconds = last.duration_since(first).as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
