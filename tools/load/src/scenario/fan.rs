//! QoS 0: one to one, ten to ten in pairs, one to a thousand.

use crate::error::LoadError;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::scenario::traffic::live_on;
use clap::Args;
use std::str::FromStr;

/// QoS 0 between connected clients.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fan {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Publishers and subscribers: as many of both are pairs; otherwise every subscriber gets everything.
    #[arg(long, value_delimiter = ',', default_value = "1:1,10:10,1:1000")]
    arrangements: Vec<Arrangement>,
    /// Deliveries in all, in each arrangement.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
    /// How far a publisher is ahead of what was delivered, in messages.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    inflight: u16,
}

/// So many publishers to so many subscribers: `10:10`.
#[derive(Clone, Copy, Debug)]
struct Arrangement {
    publishers: u32,
    subscribers: u32,
}

impl FromStr for Arrangement {
    type Err = String;

    fn from_str(text: &str) -> Result<Arrangement, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=65_000).contains(number));
        let parts = text.split_once(':').and_then(|(one, other)| number(one).zip(number(other)));
        let (publishers, subscribers) =
            parts.ok_or_else(|| format!("{text:?} is not PUBLISHERS:SUBSCRIBERS"))?;
        Ok(Arrangement { publishers, subscribers })
    }
}

/// Each arrangement on a fresh broker.
pub(crate) fn run(fan: &Fan, output: &mut Output) -> Result<(), LoadError> {
    for arrangement in &fan.arrangements {
        let Arrangement { publishers, subscribers } = *arrangement;
        let pairs = publishers == subscribers;
        let fan_out = if pairs { 1 } else { u64::from(subscribers) };
        let shape = Shape {
            qos: 0,
            publishers,
            subscribers,
            pairs,
            inflight: fan.inflight,
            clean: true,
            ..Shape::of((fan.deliveries / fan_out).max(u64::from(publishers)), fan.size).named("fan")
        };
        let broker = fan.target.fresh(output)?;
        let mut record = live_on(&broker, &fan.target, &shape, "fan", output)?;
        let processors =
            fan.target.cpus.as_ref().map(|list| format!(", broker on {list}")).unwrap_or_default();
        record.case = format!("{publishers} to {subscribers}{processors}");
        output.push(record)?;
    }
    Ok(())
}
