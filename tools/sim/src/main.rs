//! `sim`: the deterministic simulator. A whole broker, its disk, its network and its clients, from one seed.
//!
//! - `scenario`: what a seed says before anything happens; `steps`: which of a run's steps are taken;
//! - `machine`: the broker and its disk; `network`: links; `client`: who is at their other end;
//! - `world`: a run, with everything that can happen in it; `oracle`: what must come of it; `trace`: what has happened;
//! - `campaign`: many runs; `shrink`: a failing one made smaller; `planted`: bugs on purpose, and which seed finds them.

mod campaign;
mod client;
mod machine;
mod network;
mod oracle;
#[cfg(feature = "planted-faults")]
mod planted;
mod random;
mod scenario;
mod shrink;
mod steps;
mod trace;
mod world;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};

use campaign::Found;
use steps::Steps;
use world::Told;

/// How the simulator is called.
const COMMAND: &str = "cargo run --release --workspace --bin sim --";

/// Runs Barnacle in a world of its own, where everything follows from a seed
#[derive(Debug, Parser)]
#[command(name = "sim", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run this seed, and nothing else
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Of the seed, take these steps only: what a failure that was made smaller says
    #[arg(long, value_name = "1,4-9", requires = "seed")]
    steps: Option<Steps>,
    /// Print every event of the seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print what the broker logs, too (RUST_LOG says how much)
    #[arg(long, requires = "seed")]
    log: bool,
    /// Run these seeds, without the last
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "seed")]
    seeds: Option<(u64, u64)>,
    /// Run for so many seconds: the seeds from 0 on for a third of it, then seeds that nobody has tried
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["seed", "seeds"])]
    seconds: Option<u64>,
    /// Go on until so many seeds have failed
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures: usize,
    /// Threads for many seeds [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plant each bug in turn and look for the first seed that finds it; needs the feature `planted-faults`
    Planted {
        /// Seeds for each
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = line.threads.unwrap_or(cores);
    if let Some(Command::Planted { seeds }) = line.command {
        return planted(seeds, threads);
    }
    if line.log {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).without_time().init();
    }
    if let Some(seed) = line.seed {
        return one(seed, &line.steps.unwrap_or_default(), line.trace);
    }
    let found = match (line.seeds, line.seconds) {
        (Some((from, to)), _) => many(from, to, None, threads, line.failures),
        (None, Some(seconds)) => {
            let time = Duration::from_secs(seconds);
            let known = many(0, u64::MAX, Some(time / 3), threads, line.failures);
            if known { many(fresh(), u64::MAX, Some(time - time / 3), threads, line.failures) } else { false }
        }
        (None, None) => many(0, 1000, None, threads, line.failures),
    };
    if found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(feature = "planted-faults")]
fn planted(seeds: u64, threads: usize) -> ExitCode {
    if planted::look_for_all(seeds, threads) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "planted-faults"))]
fn planted(_seeds: u64, _threads: usize) -> ExitCode {
    eprintln!("nothing is planted in this build; tools/sim/README.md says how to make one");
    ExitCode::from(2)
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("two numbers with .. between them")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    Ok((number(from)?, number(to)?))
}

/// A seed far from those that were tried before: milliseconds since the epoch, with room behind each.
fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default() * 1000
}

/// Runs one seed.
fn one(seed: u64, steps: &Steps, prints: bool) -> ExitCode {
    let told = world::run(seed, steps, prints);
    match &told.failure {
        None => {
            println!("seed {seed}: {} events, hash {:016x}", told.events, told.hash);
            ExitCode::SUCCESS
        }
        Some((failure, last)) => {
            if !prints {
                last.iter().for_each(|line| println!("{line}"));
            }
            println!("seed {seed}, hash {:016x}, FAILED: {failure}", told.hash);
            ExitCode::FAILURE
        }
    }
}

/// Runs many seeds; `true`: none failed.
fn many(from: u64, to: u64, time: Option<Duration>, threads: usize, failures: usize) -> bool {
    let began = Instant::now();
    let found = campaign::run(from, to, time, threads, failures);
    report(&found, from, began.elapsed());
    for (seed, told) in &found.failures {
        let said = told.failure.as_ref().map_or("", |(failure, _)| failure);
        println!("\nseed {seed} FAILED: {said}\n  {COMMAND} --seed {seed} --trace");
    }
    if let Some((seed, told)) = found.failures.first_key_value() {
        explain(*seed, told);
    }
    found.failures.is_empty()
}

fn report(found: &Found, from: u64, took: Duration) {
    let each_second = found.seeds as f64 / took.as_secs_f64();
    println!(
        "{} seeds from {from} on, {} events, in {:.1} s ({each_second:.0} seeds a second): {} failed",
        found.seeds,
        found.events,
        took.as_secs_f64(),
        found.failures.len()
    );
    for (what, times) in &found.coverage {
        println!("  {times:>9} {what}");
    }
}

/// A failure, made smaller, and how to see it again.
fn explain(seed: u64, told: &Told) {
    println!("\nseed {seed} is made smaller");
    let (steps, smaller) = shrink::shrink(seed, told.steps);
    let Some((failure, last)) = smaller.failure else {
        println!("the same steps did not fail again: that is a bug of the simulator");
        return;
    };
    println!("made smaller, its last events are");
    last.iter().for_each(|line| println!("  {line}"));
    println!("and it fails with: {failure}\n  {COMMAND} --seed {seed} --steps {steps} --trace");
}
