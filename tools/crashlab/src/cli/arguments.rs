//! The command line.

use barnacle_crashlab::Fault;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Kills an MQTT broker, cuts its power, breaks its disk and its network, and says what it lost.
#[derive(Debug, Parser)]
#[command(name = "crashlab", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try one broker.
    Run(Run),
    /// Try several brokers with the same faults and the same seed, one after the other.
    Compare(Compare),
    /// See that brokers that are known to lose messages are found out.
    Controls(Controls),
    /// Name the profiles and the faults that there are.
    List {
        /// Print the profile of that name, to start one of your own from.
        #[arg(long)]
        show: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The broker: the name of a profile, or a file.
    #[arg(long)]
    pub(crate) broker: String,
    #[command(flatten)]
    pub(crate) trial: Trial,
    /// Run this round again, with those before it on the same store.
    #[arg(long)]
    pub(crate) round: Option<u64>,
    /// The program to start instead of the one that the profile names.
    #[arg(long)]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// The brokers: names of profiles, or files.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) brokers: Vec<String>,
    #[command(flatten)]
    pub(crate) trial: Trial,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Controls {
    /// Determines every choice.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Rounds of the controls that must find nothing.
    #[arg(long, default_value_t = 50)]
    pub(crate) rounds: u64,
    /// Stores at a time.
    #[arg(long, default_value_t = 1)]
    pub(crate) jobs: usize,
    /// A barnacle built with the feature `planted-faults`, to be found out as well; by default the program
    /// barnacle-planted beside this one, if it is there.
    #[arg(long)]
    pub(crate) planted: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What is to be done to a broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Trial {
    /// Faults, which the rounds take in turn: names, or the groups kills, power-cuts, disk, network, all.
    #[arg(long = "fault", alias = "faults", value_delimiter = ',', default_value = "kill", value_parser = parse_fault)]
    pub(crate) faults: Vec<Faults>,
    /// Rounds; each has one fault.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Rounds that one store goes through before the next begins with an empty one.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds_per_store: u64,
    /// Determines every choice; from the clock if not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Stores at a time, each with a broker of its own.
    #[arg(long, default_value_t = 1)]
    pub(crate) jobs: usize,
    /// Stop at the first store that failed.
    #[arg(long)]
    pub(crate) until_failure: bool,
    /// Messages that are acknowledged in a round before the fault comes, at least.
    #[arg(long, default_value_t = 100)]
    pub(crate) acknowledged: u64,
    /// Seconds in which nothing at all may come before what is missing counts as lost.
    #[arg(long, default_value_t = 10)]
    pub(crate) patience: u64,
    /// Where brokers keep their data; the system's temporary directory if not given.
    #[arg(long)]
    pub(crate) work_dir: Option<PathBuf>,
}

/// The faults that one word stands for.
#[derive(Clone, Debug)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

fn parse_fault(word: &str) -> Result<Faults, String> {
    Fault::parse_word(word).map(Faults)
}

/// Where reports go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Write everything to this file, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with tables, charts and the timelines of failed rounds to this file.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Write tables for a document to this file.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    /// Show no bars.
    #[arg(long)]
    pub(crate) quiet: bool,
}
