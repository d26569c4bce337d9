//! Many sessions fetch what waits for them, and what that does to those who are connected.

use crate::client::crowd::{Crowd, Filters, Returned};
use crate::client::subscriber::problems;
use crate::client::traffic::{Delivered, Published, Traffic, block_on};
use crate::error::LoadError;
use crate::measure::recorder::Recorder;
use crate::measure::slope::median;
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::Args;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the live traffic runs before it counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// Sessions with a backlog each come back at once, beside live traffic.
#[derive(Args, Clone, Debug)]
pub(crate) struct CatchUp {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Sessions that come back.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    clients: u32,
    /// Messages that wait for each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    qos: u8,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
    /// Messages a second of the live traffic, from one client to another, both with their own thread.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Seconds of live traffic before the sessions come back, to compare with.
    #[arg(long, default_value_t = 5.0)]
    before: f64,
}

/// Makes the backlogs, begins the live traffic, lets everybody come back.
pub(crate) fn run(catch_up: &CatchUp, output: &mut Output) -> Result<(), LoadError> {
    let CatchUp { target, clients, .. } = catch_up;
    let broker = target.fresh(output)?;
    let count = u64::from(*clients) * catch_up.messages;
    let shape =
        Shape { qos: catch_up.qos, topics: *clients, ..Shape::of(count, catch_up.size).named("catch-up") };
    let crowd = Crowd { endpoint: broker.endpoint.clone(), shape: shape.clone(), filters: Filters::Own };
    block_on(target.threads, async {
        crowd.make(0..*clients, Some(output.progress.bar("sessions", u64::from(*clients)))).await?;
        Traffic::new(&broker.endpoint, &shape, &output.progress).publish().await
    })?;
    let live_shape = Shape {
        rate: Some(catch_up.rate),
        publishers: 1,
        inflight: 1_000,
        // As long as it takes: it is told when to stop.
        ..Shape::of((catch_up.rate * 3_600.0) as u64, catch_up.size).named("live")
    };
    let live = Arc::new(Traffic::new(&broker.endpoint, &live_shape, &output.progress));
    let traffic = Arc::clone(&live);
    let thread = std::thread::spawn(move || {
        block_on(1, async {
            traffic.make_sessions().await?;
            traffic.live().await
        })
    });
    while live.delivered.count() == 0 && !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(WARM_UP);
    live.delivered.next_phase();
    std::thread::sleep(Duration::from_secs_f64(catch_up.before));
    live.delivered.next_phase();
    let recorder = Arc::new(Recorder::new(Some(output.progress.bar("caught up", count))));
    let begin = Instant::now();
    let returned = block_on(target.threads, crowd.come_back(0..*clients, &recorder));
    live.delivered.next_phase();
    live.stop();
    let (published, delivered) =
        thread.join().map_err(|_| LoadError::Unexpected("the live traffic panicked".to_owned()))??;
    let returned = returned?;
    let case = format!("QoS {}, {clients} clients with {} each", catch_up.qos, catch_up.messages);
    let mut record = Record::new("catch-up", case, &broker.name);
    note_returned(&mut record, begin, &returned, catch_up.qos);
    record.over_time(&[("caught up", &recorder.recorded())]);
    note_live(&mut record, &published, &delivered);
    output.push(record)
}

/// How long the sessions took.
fn note_returned(record: &mut Record, begin: Instant, returned: &[Returned], qos: u8) {
    let arrived: u64 = returned.iter().map(|one| one.received.account.arrived).sum();
    let took: Vec<f64> = returned.iter().map(|one| (one.complete - begin).as_secs_f64() * 1e3).collect();
    let firsts: Vec<f64> = returned
        .iter()
        .filter_map(|one| Some((one.received.first_message? - one.received.connected).as_secs_f64() * 1e3))
        .collect();
    let longest = |values: &[f64]| values.iter().copied().fold(0.0_f64, f64::max);
    record.add("delivered", arrived as f64 / longest(&took).max(0.001) * 1e3, "messages/s");
    record.add("caught up, median client", median(&took), "ms");
    record.add("caught up, slowest client", longest(&took), "ms");
    record.add("slowest to median", longest(&took) / median(&took).max(0.001), "");
    record.add("CONNACK to first message, median", median(&firsts), "ms");
    record.add("CONNACK to first message, longest", longest(&firsts), "ms");
    record.add("connections refused", returned.iter().map(|one| one.refused).sum::<u64>() as f64, "");
    record.problems.extend(problems(returned.iter().map(|one| &one.received), qos));
}

/// What the others noticed.
fn note_live(record: &mut Record, published: &Published, delivered: &Delivered) {
    let [_, before, meanwhile, ..] = delivered.recorded.phases.as_slice() else { return };
    record.add_latency("live traffic before, delivery", before);
    record.add_latency("live traffic meanwhile, delivery", meanwhile);
    let p99 = |latency: &hdrhistogram::Histogram<u64>| latency.value_at_quantile(0.99) as f64;
    record.add("live traffic, p99 meanwhile to before", p99(meanwhile) / p99(before).max(1.0), "");
    record
        .over_time(&[("live, acknowledged", &published.recorded), ("live, delivered", &delivered.recorded)]);
    record.problems.extend(problems(delivered.received.iter(), 1));
}
