//! What a trial is to do.

use crate::fault::Fault;
use barnacle_brokers::Profile;
use std::path::PathBuf;
use std::time::Duration;

/// A trial of one broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker.
    pub profile: Profile,
    /// The program to start, if it is not the one that the profile names.
    pub program: Option<PathBuf>,
    /// The faults, which the rounds take in turn.
    pub faults: Vec<Fault>,
    /// How many rounds; each has one fault.
    pub rounds: u64,
    /// Run this round only, and those before it on the same store.
    pub only_round: Option<u64>,
    /// Rounds that one store goes through before the next begins with an empty one.
    pub rounds_per_store: u64,
    /// Determines every choice of the trial.
    pub seed: u64,
    /// Stores at a time, each with a broker of its own.
    pub jobs: usize,
    /// Stop at the first store that failed.
    pub until_failure: bool,
    /// Messages that are acknowledged in a round before the fault comes, at least.
    pub acknowledged: u64,
    /// How long nothing at all may come before what is missing counts as lost.
    pub patience: Duration,
    /// Where brokers keep their data; the system's temporary directory if not given.
    pub work_dir: Option<PathBuf>,
}

impl Options {
    /// A trial of `profile` with its customary bounds.
    pub fn new(profile: Profile, faults: Vec<Fault>, rounds: u64, seed: u64) -> Options {
        Options {
            profile,
            program: None,
            faults,
            rounds,
            only_round: None,
            rounds_per_store: 5,
            seed,
            jobs: 1,
            until_failure: false,
            acknowledged: 100,
            patience: Duration::from_secs(10),
            work_dir: None,
        }
    }

    /// How many stores the rounds need.
    pub(crate) fn stores(&self) -> u64 {
        self.rounds.div_ceil(self.rounds_per_store)
    }

    /// The command that runs a round again.
    pub fn repeat(&self, round: u64) -> String {
        let mut words = vec!["crashlab run --broker".to_owned(), self.profile.name.clone()];
        let faults: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        words.push(format!("--fault {} --seed {} --round {round}", faults.join(","), self.seed));
        let usual = Options::new(self.profile.clone(), Vec::new(), 0, 0);
        if self.rounds_per_store != usual.rounds_per_store {
            words.push(format!("--rounds-per-store {}", self.rounds_per_store));
        }
        if self.acknowledged != usual.acknowledged {
            words.push(format!("--acknowledged {}", self.acknowledged));
        }
        if let Some(program) = &self.program {
            words.push(format!("--program {}", program.display()));
        }
        words.join(" ")
    }
}
