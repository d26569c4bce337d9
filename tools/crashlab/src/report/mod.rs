//! What a trial found, and how it is told.

pub mod html;
pub mod markdown;
pub mod progress;
mod svg;

use crate::books::coverage::Coverage;
use crate::books::finding::{Finding, Kind};
use crate::fault::Fault;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that happened in a round.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Milliseconds since the store was made.
    pub at_ms: f64,
    /// What.
    pub text: String,
}

/// A message that was acknowledged and did not arrive.
#[derive(Clone, Debug, Serialize)]
pub struct LostMessage {
    /// Publisher and number.
    pub message: String,
    /// Its topic.
    pub topic: String,
    /// The session, or the group, that did not get it.
    pub owed_to: String,
    /// When it was acknowledged, in milliseconds since the store was made.
    pub acknowledged_ms: Option<f64>,
}

/// What happened when in a round that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// When the round began, in milliseconds since the store was made.
    pub begin_ms: f64,
    /// When it ended.
    pub end_ms: f64,
    /// Acknowledgements that publishers got.
    pub acknowledged_ms: Vec<f64>,
    /// Messages that sessions got.
    pub delivered_ms: Vec<f64>,
    /// Faults, starts, and the like.
    pub marks: Vec<Mark>,
    /// The first lost messages.
    pub lost: Vec<LostMessage>,
}

/// One fault and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Its number, from 0.
    pub round: u64,
    /// The store that it was run on, from 0.
    pub store: u64,
    /// The fault.
    pub fault: Fault,
    /// Messages acknowledged in it.
    pub acknowledged: u64,
    /// Messages delivered in it.
    pub delivered: u64,
    /// From the start of the process to the first CONNACK, after a crash.
    pub ready_ms: Option<f64>,
    /// How long it took in all.
    pub seconds: f64,
    /// What went wrong.
    pub findings: Vec<Finding>,
    /// When what happened; only of a round that failed.
    pub timeline: Option<Timeline>,
    /// The command that runs it again; only of a round that failed.
    pub repeat: Option<String>,
    /// What is kept of the store; only of a round that failed.
    pub kept: Option<PathBuf>,
}

impl Round {
    /// How much of one kind went wrong in it.
    pub fn count(&self, kind: Kind) -> u64 {
        self.findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.count).sum()
    }
}

/// What a trial of one broker found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The profile.
    pub broker: String,
    /// What the profile says about itself.
    pub about: String,
    /// What the broker says about its version.
    pub version: String,
    /// The faults.
    pub faults: Vec<Fault>,
    /// What determined every choice.
    pub seed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Every round, in order.
    pub rounds: Vec<Round>,
    /// How often what was hit.
    #[serde(serialize_with = "as_map")]
    pub coverage: Coverage,
    /// What was never hit and must be, for the trial to have shown anything.
    pub never_hit: Vec<&'static str>,
}

fn as_map<S: serde::Serializer>(coverage: &Coverage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(coverage.rows())
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was wrong.
    Clean,
    /// Something was.
    Failed,
    /// Nothing was wrong, and something was never hit.
    CoveredNothing,
}

impl Report {
    /// What it came to.
    pub fn verdict(&self) -> Verdict {
        if self.rounds.iter().any(|round| !round.findings.is_empty()) {
            Verdict::Failed
        } else if self.never_hit.is_empty() {
            Verdict::Clean
        } else {
            Verdict::CoveredNothing
        }
    }

    /// How much of one kind went wrong.
    pub fn count(&self, kind: Kind) -> u64 {
        self.rounds.iter().map(|round| round.count(kind)).sum()
    }

    /// Whether something that was acknowledged was given up.
    pub fn has_lost(&self) -> bool {
        Kind::ALL.iter().any(|kind| kind.is_loss() && self.count(*kind) > 0)
    }

    /// The rounds that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(|round| !round.findings.is_empty())
    }

    /// Rounds and failed rounds of each fault, in the order of the faults.
    pub fn by_fault(&self) -> Vec<(Fault, u64, u64)> {
        let mut counts: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for round in &self.rounds {
            let place = self.faults.iter().position(|fault| *fault == round.fault).unwrap_or(0);
            let (all, failed) = counts.entry(place).or_default();
            *all += 1;
            *failed += u64::from(!round.findings.is_empty());
        }
        counts.into_iter().map(|(place, (all, failed))| (self.faults[place], all, failed)).collect()
    }

    /// Median, 99th percentile and maximum of the time to ready after a crash, in milliseconds.
    pub fn ready_ms(&self) -> Option<(f64, f64, f64)> {
        let mut times: Vec<f64> = self.rounds.iter().filter_map(|round| round.ready_ms).collect();
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        Some((times[last / 2], times[last * 99 / 100], times[last]))
    }
}
