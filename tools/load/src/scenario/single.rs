//! One publisher with one message in flight, and in the same run what the disk and a store on it take for one write.

use crate::client::traffic::{Traffic, block_on};
use crate::error::{During, LoadError};
use crate::measure::recorder::latency_histogram;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;
use hdrhistogram::Histogram;
use std::time::Duration;

/// An acknowledgement beside the synced writes that it cannot be quicker than.
#[derive(Args, Clone, Debug)]
pub(crate) struct Single {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Turns: disk, store, store at the rate, echo, broker with one in flight, broker at the
    /// rate; again and again, so that noise falls on all.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Writes, and messages, in each turn.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Messages a second of the last turn, an open loop of ten publishers.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Payload in bytes, at least 12; raw records are 44 bytes longer, as much as a topic and a header.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=65_536))]
    size: u32,
}

/// Takes the turns, and compares.
pub(crate) fn run(single: &Single, output: &mut Output) -> Result<(), LoadError> {
    let broker = single.target.fresh(output)?;
    let directory = match &single.target.work_dir {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let directory = directory.during("making a directory for raw writes")?;
    let record_size = single.size as usize + 44;
    let mut record = Record::new("single", "", &broker.name);
    let mut measured = Measured::default();
    let mut last_at_rate = None;
    for round in 0..single.rounds {
        add(&mut measured.disk, &super::disk::synced_writes(directory.path(), single.count, record_size)?);
        #[cfg(feature = "rocksdb")]
        for (rate, latency) in
            [(f64::INFINITY, &mut measured.store), (single.rate, &mut measured.store_at_rate)]
        {
            let store = directory.path().join("store");
            add(latency, &super::rocksdb::single_writes(&store, single.count, record_size, rate)?);
        }
        add(&mut measured.echo, &super::echo::round_trips(single.count, record_size, f64::INFINITY)?);
        let in_flight = Shape { publishers: 1, inflight: 1, ..Shape::of(single.count, single.size) };
        let at_rate = Shape { rate: Some(single.rate), ..Shape::of(single.count, single.size) };
        for (shape, latency, is_paced) in
            [(in_flight, &mut measured.one, false), (at_rate, &mut measured.at_rate, true)]
        {
            let shape = shape.named(&format!("single-{is_paced}-{round}"));
            let traffic = Traffic::new(&broker.endpoint, &shape, &output.progress);
            // The session is not connected: what is measured is the acknowledgement alone.
            let (published, delivered) = block_on(single.target.threads, async {
                traffic.make_sessions().await?;
                let published = traffic.publish().await?;
                Ok((published, traffic.drain().await?))
            })?;
            add(latency, &published.recorded.latency);
            let mut judged = Record::new("single", "", "");
            judged.received(&delivered.received, &delivered.recorded, shape.qos);
            record.problems.extend(judged.problems);
            if let Some(late) = &published.late {
                add(&mut measured.late, late);
            }
            if is_paced {
                last_at_rate = Some(published);
            }
        }
        // The disk has its say before the next turn.
        std::thread::sleep(Duration::from_millis(50));
    }
    measured.note(&mut record, single.rate);
    if let Some(published) = &last_at_rate {
        record.over_time(&[("acknowledged at the rate, last round", &published.recorded)]);
    }
    output.push(record)
}

/// Each in microseconds.
struct Measured {
    disk: Histogram<u64>,
    store: Histogram<u64>,
    store_at_rate: Histogram<u64>,
    echo: Histogram<u64>,
    one: Histogram<u64>,
    at_rate: Histogram<u64>,
    late: Histogram<u64>,
}

impl Default for Measured {
    fn default() -> Measured {
        let [disk, store, store_at_rate, echo, one, at_rate, late] =
            std::array::from_fn(|_| latency_histogram());
        Measured { disk, store, store_at_rate, echo, one, at_rate, late }
    }
}

impl Measured {
    fn note(&self, record: &mut Record, rate: f64) {
        record.add_latency("write and fdatasync", &self.disk);
        if !self.store.is_empty() {
            record.add_latency("synced write to RocksDB", &self.store);
            record.add_latency(&format!("synced write to RocksDB, {rate}/s"), &self.store_at_rate);
        }
        record.add_latency("round trip of an echo over TCP", &self.echo);
        record.add_latency("acknowledgement, one in flight", &self.one);
        record.add_latency(&format!("acknowledgement at {rate}/s"), &self.at_rate);
        record.add_latency(&format!("written later than due at {rate}/s"), &self.late);
        let (base, base_at_rate) =
            if self.store.is_empty() { (&self.disk, &self.disk) } else { (&self.store, &self.store_at_rate) };
        let median = |latency: &Histogram<u64>| latency.value_at_quantile(0.5).max(1) as f64;
        let p99 = |latency: &Histogram<u64>| latency.value_at_quantile(0.99).max(1) as f64;
        let one = median(&self.one);
        record.add("ratio of medians, one in flight to raw", one / median(base), "");
        let floor = median(base) + median(&self.echo);
        record.add("ratio of medians, one in flight to raw and echo", one / floor, "");
        record.add("ratio of p99, at the rate to raw", p99(&self.at_rate) / p99(base), "");
        let at_rate = p99(&self.at_rate) / p99(base_at_rate);
        record.add("ratio of p99, at the rate to raw at the rate", at_rate, "");
    }
}

fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.add(more).expect("both have the same bounds");
}
