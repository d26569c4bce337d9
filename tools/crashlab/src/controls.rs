//! The controls: brokers that are known to lose what they acknowledged have to be seen to lose it, or the lab proves
//! nothing.

use crate::fault::Fault;
use crate::options::Options;
use crate::profiles::PROFILES;
use crate::report::{Report, Verdict};
use barnacle_brokers::ProfileError;
use std::path::PathBuf;

/// What a control is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Something acknowledged is given up.
    Loses,
    /// Nothing is wrong.
    Keeps,
}

/// One trial whose result is known.
#[derive(Clone, Debug)]
pub struct Control {
    /// What it is.
    pub name: &'static str,
    /// The trial.
    pub options: Options,
    /// Its result.
    pub expected: Expected,
}

impl Control {
    /// Whether the report says what is expected.
    pub fn is_met(&self, report: &Report) -> bool {
        match self.expected {
            Expected::Loses => report.has_lost(),
            Expected::Keeps => report.verdict() == Verdict::Clean,
        }
    }
}

/// The controls; `planted` is a barnacle built with the feature `planted-faults`, if it is not beside this program;
/// `rounds` how many rounds those get that
/// must find nothing.
pub fn controls(seed: u64, rounds: u64, planted: Option<PathBuf>) -> Result<Vec<Control>, ProfileError> {
    let control = |name, profile: &str, faults: &[Fault], rounds, expected| {
        let mut options = Options::new(PROFILES.load(profile)?, faults.to_vec(), rounds, seed);
        options.until_failure = expected == Expected::Loses;
        Ok(Control { name, options, expected })
    };
    let (kill, cut) = ([Fault::Kill], [Fault::PowerCut]);
    use Expected::{Keeps, Loses};
    let mut controls = vec![
        control("mosquitto with its defaults, killed", "mosquitto", &kill, 20, Loses)?,
        control("mosquitto with autosave, power cut", "mosquitto-autosave", &cut, 20, Loses)?,
        control("barnacle --durability os, power cut", "barnacle-os", &cut, 20, Loses)?,
        control("barnacle --durability os, killed", "barnacle-os", &kill, rounds, Keeps)?,
        control("barnacle, killed", "barnacle", &kill, rounds, Keeps)?,
        control("barnacle, power cut", "barnacle", &cut, rounds, Keeps)?,
    ];
    // A build that nobody uses: it is there if somebody made it for this.
    if planted.is_some() || PROFILES.load("barnacle-planted")?.program().is_ok() {
        let faults = [Fault::KillTrap, Fault::Kill];
        let name = "barnacle that acknowledges before it commits, killed";
        let mut control = control(name, "barnacle-planted", &faults, 200, Loses)?;
        control.options.program = planted;
        controls.push(control);
    }
    Ok(controls)
}
