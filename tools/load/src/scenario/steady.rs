//! Messages come and go over a standing backlog until what is kept has been replaced many times.

use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::slope::median;
use crate::measure::watch::{Watch, disk_bytes};
use crate::options::shape::Shape;
use crate::options::target::Target;
use crate::report::output::Output;
use crate::report::record::{Line, Record};
use clap::Args;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Disk use and write amplification under traffic that does not end.
#[derive(Args, Clone, Debug)]
pub(crate) struct Steady {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Messages that wait all the time.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1..))]
    backlog: u64,
    /// How often the backlog is replaced.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    turnovers: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    size: u32,
}

/// Fills the backlog, keeps it, lets it go.
pub(crate) fn run(steady: &Steady, output: &mut Output) -> Result<(), LoadError> {
    let target = &steady.target;
    let broker = target.fresh(output)?;
    let usage = broker.needed_usage()?;
    let Some(data) = broker.data() else {
        return Err(LoadError::Senseless(
            "the disk is looked at of a broker that is started with --broker".to_owned(),
        ));
    };
    let empty = disk_bytes(&data);
    let shape = Shape::of(steady.backlog * (steady.turnovers + 1), steady.size).named("steady");
    let traffic = Traffic::new(&broker.endpoint, &shape, &output.progress).leaving(steady.backlog);
    let (acknowledged, arrived) = (Arc::clone(&traffic.acknowledged), Arc::clone(&traffic.delivered));
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let (noted, size) = (Arc::clone(&waiting), u64::from(steady.size));
    let written = usage.written_bytes();
    let look_at = data.clone();
    let watch = Watch::begin(INTERVAL, move || {
        let bytes = acknowledged.count().saturating_sub(arrived.count()) * size;
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(bytes as f64);
        disk_bytes(&look_at)
    });
    let (published, delivered) = block_on(target.threads, async {
        traffic.make_sessions().await?;
        traffic.live().await
    })?;
    let disk = watch.seen();
    drop(watch);
    let written = usage.written_bytes() - written;
    let case = format!("{} messages replaced {} times", steady.backlog, steady.turnovers);
    let mut record = Record::new("steady", case, &broker.name);
    record.published(&published, shape.qos);
    record.received(&delivered.received, &delivered.recorded, shape.qos);
    // Nothing is read before the backlog stands.
    record.figures.retain(|figure| figure.name != "first message after CONNACK");
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
    note_disk(&mut record, empty, &disk, &waiting, (steady.backlog * size) as f64);
    record.add("write amplification", written as f64 / (shape.messages() * size) as f64, "");
    record.add_mib("disk when everything is consumed", disk_bytes(&data));
    record.over_time(&[("acknowledged", &published.recorded), ("delivered", &delivered.recorded)]);
    output.push(record)
}

/// Disk use beside the data that somebody still waits for.
fn note_disk(record: &mut Record, empty: u64, disk: &[(f64, f64)], waiting: &[f64], full: f64) {
    let pairs: Vec<(f64, f64, f64)> =
        disk.iter().zip(waiting).map(|((second, disk), waiting)| (*second, *disk, *waiting)).collect();
    // While the backlog stands: before and after, what little waits is divided by.
    let standing = pairs.iter().filter(|(_, _, waiting)| *waiting > full * 0.8);
    let ratios: Vec<f64> = standing.map(|(_, disk, waiting)| disk / waiting).collect();
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0_f64, f64::max);
    record.add_mib("disk, empty", empty);
    record.add_mib("disk, most", most(&mut disk.iter().map(|(_, disk)| *disk)) as u64);
    record.add_mib("waiting, most", most(&mut waiting.iter().copied()) as u64);
    record.add("disk to what waits, median", median(&ratios), "");
    record.add("disk to what waits, most", most(&mut ratios.iter().copied()), "");
    let beyond = most(&mut pairs.iter().map(|(_, disk, waiting)| disk - 3.0 * waiting));
    record.add_mib("disk beyond three times what waits, most", beyond as u64);
    let mib = |value: f64| value / f64::from(1 << 20);
    let lines = vec![
        Line {
            name: "disk".to_owned(),
            points: pairs.iter().map(|(at, disk, _)| (*at, mib(*disk))).collect(),
        },
        Line {
            name: "waiting".to_owned(),
            points: pairs.iter().map(|(at, _, waiting)| (*at, mib(*waiting))).collect(),
        },
    ];
    record.chart("Disk", "seconds", "MiB", lines);
}
