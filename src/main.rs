//! The broker binary: command line, configuration, log, runtime, broker.

use std::process::ExitCode;

use barnacle::cli::{self, Command, CommandLine, ServeArguments};
use barnacle::serve;
use clap::Parser as _;
use tracing::{error, warn};

pub(crate) fn main() -> ExitCode {
    match CommandLine::parse().into_command() {
        Command::Serve(arguments) => run(arguments),
        Command::Config(command) => command.run(),
        Command::Store(command) => command.run(),
    }
}

fn run(arguments: ServeArguments) -> ExitCode {
    let loaded = match arguments.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(cli::WRONG_USE);
        }
    };
    serve::logging::start(loaded.config.log());
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format_args!("cannot start threads: {error}")),
    };
    match runtime.block_on(serve::serve(&loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// An event, so that a log in JSON stays one.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    error!("{error}");
    ExitCode::from(cli::FAILED)
}
