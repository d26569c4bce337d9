//! The commands.

pub(crate) mod arguments;

use arguments::{Arguments, Command, Compare, Controls, Output, Run, Trial};
use barnacle_crashlab::controls::{Control, Expected, controls};
use barnacle_crashlab::report::progress::Progress;
use barnacle_crashlab::report::{html, markdown};
use barnacle_crashlab::{Fault, Kind, Options, PROFILES, Profile, Report, TrialError, Verdict};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

const FAILED: u8 = 1;
const SETUP: u8 = 2;
const COVERED_NOTHING: u8 = 3;

/// Runs a command and says how it ended.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Run(run) => run_one(&run),
        Command::Compare(compare) => run_several(&compare),
        Command::Controls(controls) => run_controls(&controls),
        Command::List { show } => list(show.as_deref()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("crashlab: {error}");
            ExitCode::from(SETUP)
        }
    }
}

fn run_one(run: &Run) -> Result<u8, TrialError> {
    let mut options = options(PROFILES.load(&run.broker)?, &run.trial);
    options.only_round = run.round;
    options.program.clone_from(&run.program);
    let report = trial(&options, &Progress::new(run.output.quiet))?;
    tell(std::slice::from_ref(&report), &run.output)?;
    Ok(code(&report))
}

fn run_several(compare: &Compare) -> Result<u8, TrialError> {
    let mut trial_of_all = compare.trial.clone();
    trial_of_all.seed.get_or_insert_with(seed_from_clock);
    let profiles = compare.brokers.iter().map(|name| PROFILES.load(name)).collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::new(compare.output.quiet);
    let reports = profiles
        .into_iter()
        .map(|profile| trial(&options(profile, &trial_of_all), &progress))
        .collect::<Result<Vec<_>, _>>()?;
    tell(&reports, &compare.output)?;
    Ok(reports.iter().map(code).max().unwrap_or(0))
}

fn run_controls(arguments: &Controls) -> Result<u8, TrialError> {
    let progress = Progress::new(arguments.output.quiet);
    let mut reports = Vec::new();
    let mut lines = Vec::new();
    let mut are_met = true;
    for mut control in controls(arguments.seed, arguments.rounds, arguments.planted.clone())? {
        control.options.jobs = arguments.jobs;
        let report = trial(&control.options, &progress)?;
        are_met &= control.is_met(&report);
        lines.push(line(&control, &report));
        reports.push(report);
    }
    tell(&reports, &arguments.output)?;
    println!();
    for line in lines {
        println!("{line}");
    }
    if !are_met {
        println!("A control did not do what it must: this lab proves nothing.");
    }
    Ok(if are_met { 0 } else { FAILED })
}

fn line(control: &Control, report: &Report) -> String {
    let expected = match control.expected {
        Expected::Loses => "expected: loses",
        Expected::Finds(_) => "expected: is found out",
        Expected::Keeps => "expected: keeps all",
    };
    let result = if control.is_met(report) { "as expected" } else { "NOT AS EXPECTED" };
    format!("{:<56} {expected:<20} {result}: {}", control.name, markdown::verdict(report))
}

fn list(show: Option<&str>) -> Result<u8, TrialError> {
    if let Some(name) = show {
        let text =
            PROFILES.text(name).ok_or_else(|| barnacle_crashlab::ProfileError::Unknown(name.to_owned()))?;
        print!("{text}");
        return Ok(0);
    }
    println!("Profiles (--broker; `crashlab list --show NAME` prints one):");
    for name in PROFILES.names() {
        let profile = PROFILES.load(name)?;
        let missing = if profile.program().is_err() { " [not installed]" } else { "" };
        println!("  {name:<24} {}{missing}", profile.about);
    }
    println!("\nFaults (--fault; groups: kills, power-cuts, disk, network, all):");
    for fault in Fault::ALL {
        println!("  {fault:<24} {}", fault.about());
    }
    Ok(0)
}

fn options(profile: Profile, trial: &Trial) -> Options {
    let mut faults: Vec<Fault> = Vec::new();
    for fault in trial.faults.iter().flat_map(|word| word.0.iter().copied()) {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    let seed = trial.seed.unwrap_or_else(seed_from_clock);
    let mut options = Options::new(profile, faults, trial.rounds, seed);
    options.rounds_per_store = trial.rounds_per_store;
    options.jobs = trial.jobs;
    options.until_failure = trial.until_failure;
    options.acknowledged = trial.acknowledged;
    options.patience = Duration::from_secs(trial.patience);
    options.work_dir.clone_from(&trial.work_dir);
    options
}

fn trial(options: &Options, progress: &Progress) -> Result<Report, TrialError> {
    let rounds = match options.only_round {
        Some(round) => round % options.rounds_per_store + 1,
        None => options.rounds,
    };
    let bar = progress.bar(&options.profile.name, rounds);
    let report = barnacle_crashlab::run(options, &|round| bar.round(round))?;
    bar.finish(&markdown::verdict(&report));
    Ok(report)
}

/// Prints what was found, and writes the files that were asked for.
fn tell(reports: &[Report], output: &Output) -> Result<(), TrialError> {
    for report in reports {
        println!(
            "{}: {} rounds in {:.0} s with seed {}, {} messages acknowledged: {}",
            report.broker,
            report.rounds.len(),
            report.seconds,
            report.seed,
            report.coverage.acknowledged,
            markdown::verdict(report)
        );
        for (fault, rounds, failed) in report.by_fault() {
            println!("  {fault:<20} {rounds:>6} rounds, {failed} failed");
        }
        for round in report.failed().take(5) {
            println!("  round {}: {}", round.round, round.repeat.as_deref().unwrap_or_default());
            let kinds =
                Kind::ALL.iter().filter_map(|kind| round.findings.iter().find(|one| one.kind == *kind));
            for finding in kinds {
                println!("    {}: {}", finding.kind.name(), finding.text.replace('\n', "\n      "));
            }
            if let Some(kept) = &round.kept {
                println!("    the store is kept in {}", kept.display());
            }
        }
        if report.verdict() != Verdict::Failed {
            print!("{}", report.coverage);
        }
    }
    let write = |path: &Option<std::path::PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => write_file(path, &text()),
        None => Ok(()),
    };
    write(&output.json, &|| {
        serde_json::to_string_pretty(reports).expect("a report has no maps with odd keys") + "\n"
    })?;
    write(&output.html, &|| html::page(reports))?;
    write(&output.markdown, &|| markdown::page(reports))
}

fn write_file(path: &Path, text: &str) -> Result<(), TrialError> {
    std::fs::write(path, text).map_err(|error| TrialError::Setup(format!("{}: {error}", path.display())))
}

fn code(report: &Report) -> u8 {
    match report.verdict() {
        Verdict::Clean => 0,
        Verdict::Failed => FAILED,
        Verdict::CoveredNothing => COVERED_NOTHING,
    }
}

fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs() << 10
}
