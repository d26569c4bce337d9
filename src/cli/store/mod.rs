//! The commands for a stopped store: `check`, `inspect` and `repair`.
//!
//! Each prints for people, or as JSON with `--json`. Exit statuses: 0, the store is whole (or was made so); 1, it is damaged;
//! 2, it cannot be looked at: it is in use, it is not a store, or it is one of a newer version.

mod check;
mod inspect;
mod repair;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use barnacle_storage::OpenError;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{FAILED, WRONG_USE, print};

/// What can be done with a store that no broker has open.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything in a stopped store, and say what is damaged: 0 nothing, 1 something, 2 it cannot be read
    Check(CheckArguments),
    /// Show sessions, backlogs, exchanges and messages of a stopped store
    Inspect(InspectArguments),
    /// Save what can be read of a damaged store into a copy, or in place with a backup
    Repair(RepairArguments),
}

/// What `check` may be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is written, and no broker can open the store meanwhile. Every checksum is computed, every reference between
records followed, every ordinal counted. What the broker has reported and passed over before is told, and is no damage.")]
pub struct CheckArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `inspect` may be told.
#[derive(Debug, Args)]
#[command(after_help = "\
The backlog of a session is exact for messages that it alone waits for; for those that it waits for with others it is
the most that they can be, marked with ≤.")]
pub struct InspectArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only the session of this client identifier, with its subscriptions and exchanges
    #[arg(long, value_name = "CLIENT_ID")]
    session: Option<String>,
    /// Only messages on topics that this filter matches
    #[arg(long, value_name = "FILTER")]
    topic: Option<String>,
    /// Show so many messages of each session, and so many retained ones
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    messages: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `repair` may be told.
#[derive(Debug, Args)]
#[command(after_help = "\
With --into the damaged store is only read, and the repaired one is made beside it. With --backup the store is copied
first, and then repaired where it is. What cannot be saved is named; what was put aside is kept in the folder `quarantine`
of the repaired store.")]
pub struct RepairArguments {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Make the repaired store in this directory, which must not be there or be empty
    #[arg(long, value_name = "NEWDIR", required_unless_present = "backup")]
    into: Option<PathBuf>,
    /// Copy the store to this directory, which must not be there or be empty, and repair it in place
    #[arg(long, value_name = "COPYDIR", conflicts_with = "into")]
    backup: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl StoreCommand {
    /// Carries it out.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Check(arguments) => check::run(arguments),
            Self::Inspect(arguments) => inspect::run(arguments),
            Self::Repair(arguments) => repair::run(arguments),
        }
    }
}

/// A store that is damaged so that it does not open is damaged; all others cannot be looked at.
fn refuse(error: &OpenError) -> ExitCode {
    eprintln!("{error}");
    match error {
        OpenError::Unreadable { .. } | OpenError::MissingLog { .. } | OpenError::Damaged { .. } => {
            ExitCode::from(FAILED)
        }
        _ => ExitCode::from(WRONG_USE),
    }
}

/// Prints a result in one form or the other; `whole` decides on the status.
fn finish<T: Serialize>(result: &T, json: bool, text: impl FnOnce() -> String, whole: bool) -> ExitCode {
    let text = if json {
        serde_json::to_string_pretty(result).expect("reports are plain structures") + "\n"
    } else {
        text()
    };
    match print(&text) {
        ExitCode::SUCCESS if whole => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}
