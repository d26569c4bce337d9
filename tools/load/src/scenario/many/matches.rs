//! Messages that match many filters: all of one session, then each of a session of its own.

use super::{Many, baseline, note_published, note_received, publish, shape, start};
use crate::client::subscriber::make_session;
use crate::client::traffic::{Traffic, block_on};
use crate::error::LoadError;
use crate::measure::watch::Watch;
use crate::options::shape::Shape;
use crate::report::output::Output;
use crate::report::record::Record;

/// Levels of the topic; a filter has each of them or `+`, so that two to this power match.
const LEVELS: u32 = 10;

/// One session with all the filters, then as many sessions with one each.
pub(super) fn run(many: &Many, output: &mut Output) -> Result<(), LoadError> {
    let filters: Vec<String> = (0..many.matches).map(filter).collect();
    of_one(many, &filters, output)?;
    of_each(many, &filters, output)
}

fn of_one(many: &Many, filters: &[String], output: &mut Output) -> Result<(), LoadError> {
    let baseline = baseline(many, output)?;
    let (broker, _) = start(many, output)?;
    let shape = Shape { topic: topic(), ..shape(many, 1) };
    let case = format!("one session with {} filters that match", many.matches);
    let mut record = Record::new("many", case, &broker.name);
    block_on(many.target.threads, make_session(&broker.endpoint, &shape, &shape.client_id(0), filters))?;
    note_published(&mut record, &publish(many, &broker, &shape, output)?, Some(baseline));
    let drained =
        block_on(many.target.threads, Traffic::new(&broker.endpoint, &shape, &output.progress).drain())?;
    note_received(&mut record, "drained", &drained.received, drained.recorded.per_second());
    output.push(record)
}

fn of_each(many: &Many, filters: &[String], output: &mut Output) -> Result<(), LoadError> {
    let (broker, usage) = start(many, output)?;
    // Every message is stored for every session.
    let count = (many.messages / u64::from(many.matches)).max(1);
    let shape = Shape { topic: topic(), count, ..shape(many, 1) };
    let case = format!("{} sessions with a filter each that match", many.matches);
    let mut record = Record::new("many", case, &broker.name);
    let of_session = |session: usize| Shape { session: format!("many-{session}"), ..shape.clone() };
    block_on(many.target.threads, async {
        for (session, filter) in filters.iter().enumerate() {
            let shape = of_session(session);
            make_session(&broker.endpoint, &shape, &shape.session, std::slice::from_ref(filter)).await?;
        }
        Ok(())
    })?;
    let before = usage.resident_bytes();
    let watch = Watch::memory(usage);
    let published = publish(many, &broker, &shape, output)?;
    note_published(&mut record, &published, None);
    let stored = published.recorded.per_second() * f64::from(many.matches);
    record.add("stored, one for each session", stored, "messages/s");
    record.add_mib("memory grew by", watch.most().saturating_sub(before));
    drop(watch);
    for session in [0, filters.len() / 2, filters.len() - 1] {
        let traffic = Traffic::new(&broker.endpoint, &of_session(session), &output.progress);
        let drained = block_on(many.target.threads, traffic.drain())?;
        let what = format!("session {session} drained");
        note_received(&mut record, &what, &drained.received, drained.recorded.per_second());
    }
    output.push(record)
}

fn topic() -> String {
    ["l"; LEVELS as usize].join("/")
}

/// The filter with a `+` for every bit of `bits` that is set, and the last level of the topic.
fn filter(bits: u32) -> String {
    let level = |at| if bits >> at & 1 == 1 { "+" } else { "l" };
    // Messages go to TOPIC/0: see the shape's `topics`.
    (0..LEVELS).map(level).chain(["0"]).collect::<Vec<_>>().join("/")
}
