//! Bars on the terminal, with what has been found so far.

use crate::books::finding::Kind;
use crate::report::Round;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The bars of several trials.
pub struct Progress {
    bars: MultiProgress,
}

/// The bar of one trial.
pub struct Bar {
    bar: ProgressBar,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    acknowledged: u64,
    counts: BTreeMap<Kind, u64>,
}

impl Progress {
    /// Bars on standard error; none if it is no terminal, or if `quiet`.
    pub fn new(quiet: bool) -> Progress {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Progress { bars: MultiProgress::with_draw_target(target) }
    }

    /// A bar for a trial of so many rounds.
    pub fn bar(&self, name: &str, rounds: u64) -> Bar {
        let bar = self.bars.add(ProgressBar::new(rounds));
        let style = "{prefix:<24} {bar:28} {pos:>5}/{len} {elapsed_precise} eta {eta} {wide_msg}";
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is a constant that a test tries"),
        );
        bar.set_prefix(name.to_owned());
        bar.set_message("starting");
        bar.tick();
        Bar { bar, found: Mutex::default() }
    }
}

impl Bar {
    /// A round is over. One that failed is printed, above the bars if there are any.
    pub fn round(&self, round: &Round) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.acknowledged += round.acknowledged;
        for finding in &round.findings {
            *found.counts.entry(finding.kind).or_default() += finding.count;
        }
        let wrong: Vec<String> =
            found.counts.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
        let wrong = if wrong.is_empty() { "nothing wrong".to_owned() } else { wrong.join(", ") };
        self.bar.set_message(format!("{} acknowledged, {wrong}", found.acknowledged));
        self.bar.inc(1);
        if let Some(first) = round.findings.first() {
            let line = first.text.lines().next().unwrap_or_default();
            let more = match round.findings.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let repeat = round.repeat.as_deref().unwrap_or_default();
            let text =
                format!("round {} ({}): {}: {line}{more}", round.round, round.fault, first.kind.name());
            let text = format!("{text}\n  again: {repeat}");
            if self.bar.is_hidden() {
                eprintln!("{text}");
            } else {
                self.bar.println(text);
            }
        }
    }

    /// The trial is over.
    pub fn finish(&self, verdict: &str) {
        self.bar.finish_with_message(verdict.to_owned());
    }
}

#[test]
fn the_style_of_the_bars_is_one() {
    Progress::new(true).bar("a broker", 3).finish("over");
}
