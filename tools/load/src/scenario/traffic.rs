//! Queue, drain, live: the plain traffic of publishers and subscribers.

use crate::brokers::Broker;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::usage::Usage;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;

/// A load on a broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// The same, perhaps with a second half.
#[derive(Args, Clone, Debug)]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Afterwards let the sessions come back and fetch everything: only so is it known that all was stored.
    #[arg(long)]
    drain: bool,
}

/// Publishes into offline sessions.
pub(crate) fn queue(queue: &Queue, output: &mut Output) -> Result<(), LoadError> {
    let Plain { target, shape } = &queue.plain;
    is_stored(shape)?;
    let broker = target.fresh(output)?;
    let traffic = Traffic::new(&broker.endpoint, shape, &output.progress);
    let mut record = Record::new("queue", case(shape), &broker.name);
    let costs = Costs::begin(&broker);
    block_on(target.threads, async {
        traffic.make_sessions().await?;
        let published = traffic.publish().await?;
        record.published(&published, shape.qos);
        record.over_time(&[("acknowledged", &published.recorded)]);
        Ok(())
    })?;
    costs.note(&mut record, shape.messages());
    output.push(record)?;
    if queue.drain { drain_from(&broker, target, shape, output) } else { Ok(()) }
}

/// Fetches what [`queue`] left.
pub(crate) fn drain(plain: &Plain, output: &mut Output) -> Result<(), LoadError> {
    if plain.target.broker.is_some() {
        let what =
            "nothing waits in a broker that is only just started: use `queue --drain`, or --host and --port";
        return Err(LoadError::Senseless(what.to_owned()));
    }
    is_stored(&plain.shape)?;
    drain_from(&plain.target.fresh(output)?, &plain.target, &plain.shape, output)
}

fn drain_from(broker: &Broker, target: &Target, shape: &Shape, output: &mut Output) -> Result<(), LoadError> {
    let traffic = Traffic::new(&broker.endpoint, shape, &output.progress);
    let mut record = Record::new("drain", case(shape), &broker.name);
    let costs = Costs::begin(broker);
    let delivered = block_on(target.threads, traffic.drain())?;
    record.received(&delivered.received, &delivered.recorded, shape.qos);
    record.over_time(&[("delivered", &delivered.recorded)]);
    costs.note(&mut record, shape.messages());
    output.push(record)
}

/// Publishes to subscribers that are connected.
pub(crate) fn live(plain: &Plain, output: &mut Output) -> Result<(), LoadError> {
    let broker = plain.target.fresh(output)?;
    let record = live_on(&broker, &plain.target, &plain.shape, "live", output)?;
    output.push(record)
}

/// The same on a broker that runs; the record is `scenario`'s.
pub(crate) fn live_on(
    broker: &Broker,
    target: &Target,
    shape: &Shape,
    scenario: &str,
    output: &Output,
) -> Result<Record, LoadError> {
    shape.check()?;
    let traffic = Traffic::new(&broker.endpoint, shape, &output.progress);
    let mut record = Record::new(scenario, case(shape), &broker.name);
    let costs = Costs::begin(broker);
    let (published, delivered) = block_on(target.threads, async {
        if !shape.clean {
            traffic.make_sessions().await?;
        }
        traffic.live().await
    })?;
    record.published(&published, shape.qos);
    record.received(&delivered.received, &delivered.recorded, shape.qos);
    record.over_time(&[("acknowledged", &published.recorded), ("delivered", &delivered.recorded)]);
    costs.note(&mut record, published.sent.iter().sum());
    Ok(record)
}

fn is_stored(shape: &Shape) -> Result<(), LoadError> {
    shape.check()?;
    if shape.qos == 0 || shape.clean {
        return Err(LoadError::Senseless(
            "nothing waits for a session at QoS 0, or for one that is --clean".to_owned(),
        ));
    }
    Ok(())
}

/// What is special about a load.
fn case(shape: &Shape) -> String {
    let mut case = format!("QoS {}", shape.qos);
    if shape.subscribers > 1 {
        case.push_str(&format!(", {} to {}", shape.publishers, shape.subscribers));
    }
    if let Some(rate) = shape.rate() {
        case.push_str(&format!(", {rate}/s"));
    }
    case
}

/// Processor time of both sides.
pub(crate) struct Costs {
    broker: Option<(Usage, f64)>,
    this: f64,
}

impl Costs {
    /// Begins to count.
    pub(crate) fn begin(broker: &Broker) -> Costs {
        let usage = broker.usage().map(|usage| {
            let seconds = usage.processor_seconds();
            (usage, seconds)
        });
        Costs { broker: usage, this: Usage::of_this().processor_seconds() }
    }

    /// Notes what each of so many messages cost.
    pub(crate) fn note(&self, record: &mut Record, messages: u64) {
        let mut add = |name: &str, seconds: f64| {
            record.add(name, seconds * 1e6 / messages.max(1) as f64, "µs/message");
        };
        if let Some((usage, before)) = &self.broker {
            add("processor, broker", usage.processor_seconds() - before);
        }
        add("processor, load", Usage::of_this().processor_seconds() - self.this);
    }
}
