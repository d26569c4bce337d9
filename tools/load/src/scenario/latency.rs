//! Latency at fixed rates: an open loop, so that a broker which stops is seen to be late with everything.

use crate::error::LoadError;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::scenario::traffic::live_on;
use clap::Args;

/// From the moment when a message was to be sent, until it is acknowledged and until it is delivered.
#[derive(Args, Clone, Debug)]
pub(crate) struct Latency {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Messages a second from all publishers together.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,50000")]
    rates: Vec<f64>,
    /// Seconds for each rate.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Publishers that take turns.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    publishers: u32,
    /// Messages that a publisher may have in flight; those that have to wait for it are late.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    inflight: u16,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
}

/// Each rate in turn, on one broker.
pub(crate) fn run(latency: &Latency, output: &mut Output) -> Result<(), LoadError> {
    let broker = latency.target.fresh(output)?;
    for rate in &latency.rates {
        let shape = Shape {
            qos: latency.qos,
            rate: Some(*rate),
            duration: Some(latency.duration),
            publishers: latency.publishers,
            inflight: latency.inflight,
            ..Shape::of(u64::MAX, latency.size).named(&format!("latency-{rate}"))
        };
        let record = live_on(&broker, &latency.target, &shape, "latency", output)?;
        output.push(record)?;
    }
    Ok(())
}
