//! Payloads from small to large.

use crate::error::LoadError;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::scenario::traffic::live_on;
use clap::Args;

/// The same bytes in messages of different sizes, live to one persistent session.
#[derive(Args, Clone, Debug)]
pub(crate) struct Payloads {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Payloads in bytes, each at least 12.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256,1024,4096,16384,65536,262144,1048000",
        value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    sizes: Vec<u32>,
    /// Bytes of payload for each size, in MiB, as long as it is no more than --messages.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// Messages of each size, at most.
    #[arg(long, default_value_t = 500_000)]
    messages: u64,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
}

/// Each size on a fresh broker.
pub(crate) fn run(payloads: &Payloads, output: &mut Output) -> Result<(), LoadError> {
    for size in &payloads.sizes {
        let count = ((payloads.mib << 20) / u64::from(*size)).clamp(1, payloads.messages.max(1));
        // What is in flight stays within 16 MiB.
        let inflight = ((16 << 20) / size / 10).clamp(1, 100);
        let shape = Shape {
            qos: payloads.qos,
            inflight: u16::try_from(inflight).expect("at most 100"),
            ..Shape::of(count, *size).named("payloads")
        };
        let broker = payloads.target.fresh(output)?;
        let mut record = live_on(&broker, &payloads.target, &shape, "payloads", output)?;
        record.case = format!("{size} B");
        let bytes = record.value("delivered") * f64::from(*size);
        record.figures.insert(
            0,
            crate::report::record::Figure {
                name: "delivered payload".to_owned(),
                value: bytes / f64::from(1 << 20),
                unit: "MiB/s".to_owned(),
            },
        );
        output.push(record)?;
    }
    Ok(())
}
