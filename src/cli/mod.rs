//! The command line.
//!
//! Says what there is to say with clap, turns flags into settings, and carries out the commands that only look at
//! the configuration, or at a stopped store (`store`). Exit statuses: 0 for success, 1 for a failure while running, 2 for
//! a wrong command line or configuration.

#[cfg(feature = "rocksdb")]
mod store;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "rocksdb")]
pub use store::StoreCommand;

use crate::config::{Config, ConfigError, Loaded, Overrides};

/// The status of a failure while running.
pub const FAILED: u8 = 1;
/// The status of a wrong command line, which clap gives too, or a wrong configuration.
pub const WRONG_USE: u8 = 2;

/// What `--version` says. A build with bugs on purpose cannot be taken for another.
#[cfg(not(feature = "planted-faults"))]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(feature = "planted-faults")]
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " WITH PLANTED FAULTS: it loses messages on purpose, for tests only");

/// The command line as a whole.
#[derive(Debug, Parser)]
#[command(
    name = "barnacle",
    version = VERSION,
    about = "A durable MQTT broker: what it acknowledged is on the disk",
    after_help = AFTER_HELP,
    max_term_width = 110
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Examples:
  barnacle                                    run with the defaults
  barnacle serve --data-dir ./data            keep messages in ./data
  barnacle serve --listen mqtt://0.0.0.0:1883 listen on every address of this machine
  barnacle config default > barnacle.toml     a file of all settings to edit
  barnacle serve --config barnacle.toml       run with it
  barnacle check ./data                       is the store of a stopped broker whole?
  barnacle inspect ./data                     what waits in it for whom?
  barnacle repair ./data --into ./repaired    save what can be read of a damaged one

Clients connect to mqtt://localhost:1883, web pages to ws://localhost:8083/mqtt.
";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker (the default)
    Serve(ServeArguments),
    /// Show or check a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    #[cfg(feature = "rocksdb")]
    /// Look at a stopped store, or save what can be read of a damaged one
    #[command(flatten)]
    Store(StoreCommand),
}

/// What `serve` may be told. A flag wins over its environment variable, that over the file.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Every setting has an environment variable too, named in `barnacle config default`.
SIGTERM or Ctrl-C stops the broker in order; a second one ends it at once, and nothing acknowledged is lost.")]
pub struct ServeArguments {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "BARNACLE_CONFIG")]
    config: Option<PathBuf>,
    /// Keep sessions and messages in this directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// What an acknowledgement promises: `fsync`, on the disk; `interval:MS`, on the disk MS milliseconds later;
    /// `os`, when the operating system sees fit
    #[arg(long, value_name = "MODE")]
    durability: Option<String>,
    /// Listen here, as mqtt://HOST:PORT or ws://HOST:PORT/PATH; give it several times for several addresses
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Log from this level on: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log as `text` or `json`
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print all settings with their defaults and meanings, as a file to edit
    Default,
    /// Check a file: 0 if it can be used, 2 and what to mend if not
    Check {
        /// The TOML file
        file: PathBuf,
    },
}

impl CommandLine {
    /// What is to be done: without a command, `serve` with what the environment says.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| {
            // Clap reads BARNACLE_CONFIG only for a command that was given.
            let config = std::env::var_os("BARNACLE_CONFIG").map(PathBuf::from);
            Command::Serve(ServeArguments { config, ..ServeArguments::default() })
        })
    }
}

impl ServeArguments {
    /// The configuration of all layers.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let mut flags = Overrides::default();
        for (key, flag, value) in [
            ("storage.data_dir", "--data-dir", self.data_dir),
            ("storage.durability", "--durability", self.durability),
            ("log.level", "--log-level", self.log_level),
            ("log.format", "--log-format", self.log_format),
        ] {
            if let Some(value) = value {
                flags.set(key, flag, value);
            }
        }
        if !self.listen.is_empty() {
            flags.set("listeners", "--listen", self.listen);
        }
        Config::load(self.config.as_deref(), std::env::vars_os(), flags)
    }
}

impl ConfigCommand {
    /// Carries it out.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Default => print(&Config::annotated_defaults()),
            Self::Check { file } => check(file),
        }
    }
}

/// Checks the file alone: what the environment of this shell says is not what the broker's will say.
fn check(file: &Path) -> ExitCode {
    match Config::load(Some(file), [], Overrides::default()) {
        Ok(_) => print(&format!("{}: fine\n", file.display())),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(WRONG_USE)
        }
    }
}

/// Prints to standard output; a reader that has seen enough is no failure to panic over.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
