//! The kill campaign: the broker is killed under load, again and again, and clients that keep their sessions check that
//! every promise holds. The crash lab does it (`tools/crashlab`); here it is held to its promises at the default
//! durability. `BARNACLE_KILL_SEED` and `BARNACLE_KILL_ROUNDS` repeat or lengthen a run.

use barnacle_crashlab::{Fault, Options, PROFILES, Report, Verdict};
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// Rounds of a campaign; each has a kill, some more than one.
const ROUNDS: u64 = 42;

#[test]
fn campaign_of_kills_loses_nothing_acknowledged() {
    let mut options = options("barnacle", "kills", setting("BARNACLE_KILL_ROUNDS").unwrap_or(ROUNDS));
    // Long lives: what one kill leaves is what the next one finds.
    options.rounds_per_store = 14;
    options.acknowledged = 250;
    expect_clean(&options);
}

/// A trial of the broker under test with a seed that is printed.
pub(crate) fn options(profile: &str, faults: &str, rounds: u64) -> Options {
    let seed = setting("BARNACLE_KILL_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970");
        u64::from(since.subsec_nanos()) ^ since.as_secs() << 20
    });
    let faults: Vec<Fault> =
        faults.split(',').flat_map(|word| Fault::parse_word(word).expect("the word is a constant")).collect();
    let mut options = Options::new(PROFILES.load(profile).expect("a shipped profile"), faults, rounds, seed);
    if profile.starts_with("barnacle") {
        options.program = Some(PathBuf::from(env!("CARGO_BIN_EXE_barnacle")));
    }
    tell(&format!("{profile}: seed {seed}, {rounds} rounds"));
    options
}

/// Runs a trial that must find nothing wrong and must have hit everything.
pub(crate) fn expect_clean(options: &Options) -> Report {
    let report = barnacle_crashlab::run(options, &|_| {}).expect("the trial can be run");
    tell(&format!("{}: {:.1} s\n{}", report.broker, report.seconds, report.coverage));
    if let Some(failed) = report.failed().next() {
        panic!(
            "round {} ({}) found:\n{}\nThe store is kept in {:?}; again with\n  {}",
            failed.round,
            failed.fault,
            findings(&report),
            failed.kept,
            failed.repeat.as_deref().unwrap_or_default()
        );
    }
    assert_eq!(report.never_hit, Vec::<&str>::new(), "the trial never hit these");
    assert_eq!(report.verdict(), Verdict::Clean);
    report
}

fn findings(report: &Report) -> String {
    let findings = report.failed().flat_map(|round| round.findings.iter()).take(5);
    let lines = findings.map(|one| format!("{}, {}: {}\n{}", one.who, one.kind.name(), one.text, one.trail));
    lines.collect::<Vec<_>>().join("\n")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("the setting is a number"))
}

/// Prints past the test runner's capture: what a campaign hit is worth seeing when it passes, too.
fn tell(text: &str) {
    // Nobody may be listening to standard error.
    let _ = writeln!(std::io::stderr(), "{text}");
}
