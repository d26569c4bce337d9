//! The controls: brokers that are known to lose what they acknowledged have to be seen to lose it, or the lab proves
//! nothing.

use crate::books::finding::Kind;
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
    /// Something of this kind is wrong.
    Finds(Kind),
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
            Expected::Finds(kind) => report.count(kind) > 0,
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
        options.until_failure = expected != Expected::Keeps;
        Ok(Control { name, options, expected })
    };
    let (kill, cut) = ([Fault::Kill], [Fault::PowerCut]);
    use Expected::{Finds, Keeps, Loses};
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
        for (name, fault, expected) in [
            ("barnacle that acknowledges before it commits, killed", "ack-before-commit", Loses),
            ("barnacle that lets expiry count anew, killed", "expiry-anew", Finds(Kind::SessionFalse)),
        ] {
            let faults = [Fault::KillTrap, Fault::Kill];
            let mut control = control(name, "barnacle-planted", &faults, 200, expected)?;
            control.options.program.clone_from(&planted);
            control.options.profile.environment.insert("BARNACLE_PLANT".to_owned(), fault.to_owned());
            controls.push(control);
        }
    }
    Ok(controls)
}
