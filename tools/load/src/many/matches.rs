//! Messages that match many filters: all of one session, then each of a session of its own.

use super::figures::Figures;
use super::{baseline, block_on, load, note_published, note_received, publish, start};
use crate::LoadError;
use crate::options::{Load, Many};
use crate::scenario;
use crate::subscriber::make_session_with;
use crate::watch::{Watch, resident_bytes};

/// Levels of the topic; a filter has each of them or `+`, so that two to this power match.
const LEVELS: u32 = 10;

/// One session with all the filters, then as many sessions with one each.
pub(super) fn run(many: &Many) -> Result<Figures, LoadError> {
    let mut figures = Figures::new(format!("messages that match {} filters", many.matches));
    let baseline = baseline(many)?;
    let topic = ["l"; LEVELS as usize].join("/");
    let filters: Vec<String> = (0..many.matches).map(filter).collect();

    let broker = start(many)?;
    let mut of_one = load(many, &broker, 1);
    of_one.shape.topic = topic.clone();
    block_on(make_session_with(&of_one, &filters))?;
    note_published(&mut figures, &publish(&of_one)?, Some(baseline));
    note_received(&mut figures, &scenario::drain(&of_one)?)?;
    drop(broker);

    let broker = start(many)?;
    let mut of_each = load(many, &broker, 1);
    of_each.shape.topic = topic;
    // Every message is stored for every session.
    of_each.shape.count = (many.messages / u64::from(many.matches)).max(1);
    block_on(async {
        for (session, filter) in filters.iter().enumerate() {
            make_session_with(&session_load(&of_each, session), std::slice::from_ref(filter)).await?;
        }
        Ok(())
    })?;
    let before = resident_bytes(&broker.process_id());
    let watch = Watch::begin(broker.process_id());
    let report = publish(&of_each)?;
    if let Some(published) = &report.published {
        let stored = published.per_second * f64::from(many.matches);
        figures.add("one filter a session: acknowledged", published.per_second, "messages/s");
        figures.add("stored, one for each session", stored, "messages/s");
        figures.add("longest pause of a publisher", published.longest_pause_ms, "ms");
    }
    figures.add_mib("memory grew by", watch.most().saturating_sub(before));
    for session in [0, filters.len() / 2, filters.len() - 1] {
        note_received(&mut figures, &scenario::drain(&session_load(&of_each, session))?)?;
    }
    Ok(figures)
}

/// The filter with a `+` for every bit of `bits` that is set, and the last level of the topic.
fn filter(bits: u32) -> String {
    let level = |at| if bits >> at & 1 == 1 { "+" } else { "l" };
    // Messages go to TOPIC/0: see the shape's `topics`.
    (0..LEVELS).map(level).chain(["0"]).collect::<Vec<_>>().join("/")
}

fn session_load(load: &Load, session: usize) -> Load {
    let mut load = load.clone();
    load.shape.session = format!("many-{session}");
    load
}
