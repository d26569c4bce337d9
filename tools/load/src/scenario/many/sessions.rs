//! Many offline sessions, each with a filter of its own.

use super::{Many, baseline, note_published, publish, shape, start};
use crate::client::crowd::{Crowd, Filters};
use crate::client::subscriber::problems;
use crate::client::traffic::block_on;
use crate::error::LoadError;
use crate::measure::watch::Watch;
use crate::options::shape::Shape;
use crate::report::output::Output;
use crate::report::record::Record;
use std::time::{Duration, Instant};

/// Sessions that come back after the restart to have their messages counted.
const SAMPLE: u32 = 1_000;

/// Makes the sessions, publishes to all of them, kills the broker, lets some of them come back.
pub(super) fn run(many: &Many, output: &mut Output) -> Result<(), LoadError> {
    let baseline = baseline(many, output)?;
    let (mut broker, usage) = start(many, output)?;
    // As many for one session as for any other.
    let count = many.messages.next_multiple_of(u64::from(many.sessions));
    let shape = Shape { count, ..shape(many, many.sessions) };
    let crowd = Crowd { endpoint: broker.endpoint.clone(), shape: shape.clone(), filters: Filters::Own };
    let case = format!("{} sessions, each with a filter of its own", many.sessions);
    let mut record = Record::new("many", case, &broker.name);

    let empty = usage.resident_bytes();
    let bar = output.progress.bar("sessions", u64::from(many.sessions));
    let begin = Instant::now();
    let waits = block_on(many.target.threads, crowd.make(0..many.sessions, Some(bar)))?;
    let seconds = begin.elapsed().as_secs_f64();
    record.add("made (CONNECT, SUBSCRIBE, DISCONNECT)", f64::from(many.sessions) / seconds, "sessions/s");
    record.add_ms("longest wait for one", Duration::from_micros(waits.max()));
    record.add_mib("memory of the empty broker", empty);
    record.add_mib("memory with the sessions", usage.resident_bytes());

    let watch = Watch::memory(usage);
    note_published(&mut record, &publish(many, &broker, &shape, output)?, Some(baseline));
    record.add_mib("most memory meanwhile", watch.most());
    drop(watch);
    record.add_mib("disk", broker.disk_bytes());
    if many.target.broker.is_some() {
        record.add_ms("answers after kill -9", broker.kill_and_start_again()?);
        record.add_mib("memory after the restart", broker.needed_usage()?.resident_bytes());
    }
    let begin = Instant::now();
    let sample = SAMPLE.min(many.sessions);
    let received = block_on(many.target.threads, async {
        let mut received = Vec::new();
        for index in 0..sample {
            let session = u64::from(index) * u64::from(many.sessions) / u64::from(sample);
            received.push(crowd.fetch(u32::try_from(session).expect("below the number of sessions")).await?);
        }
        Ok(received)
    })?;
    record.problems.extend(problems(received.iter(), shape.qos));
    let rate = f64::from(sample) / begin.elapsed().as_secs_f64();
    record.add("came back one after another", rate, "sessions/s");
    output.push(record)
}
