//! The command line.

pub(crate) mod shape;
pub(crate) mod target;

use crate::compare::Comparison;
use crate::scenario::Work;
use crate::suite::Suite;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A load generator for MQTT brokers that counts what was delivered.
///
/// Every message carries its publisher and its number; subscribers count what is missing, repeated or out of order, and the
/// program ends with an error if anything is. A scenario runs against a broker that is there (--host, --port), or starts one by
/// its profile (--broker).
#[derive(Debug, Parser)]
#[command(name = "barnacle-load", version)]
pub(crate) struct Options {
    /// Write a line of JSON for each result to this file; `-`: to standard output, instead of text.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write one page with all figures and charts to this file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print no text and no progress bars.
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Work(Box<Work>),
    /// Run one scenario on several brokers in turn; print medians and ratios.
    Compare(Comparison),
    /// Run all scenarios in a fixed order, each on a fresh broker, and write JSON lines, a page and Markdown tables.
    All(Suite),
    /// Print the profiles of brokers, or one of them.
    List {
        /// Print the text of this profile.
        #[arg(long, value_name = "NAME")]
        show: Option<String>,
    },
    /// Print Markdown tables of what earlier runs wrote with --json.
    Table {
        /// Files of JSON lines.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write the charts of what earlier runs wrote with --json as SVG files, for documents.
    Charts {
        /// Files of JSON lines.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The directory that gets them.
        #[arg(long, value_name = "DIR", default_value = "charts")]
        out: PathBuf,
        /// Only of these scenarios.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
}
