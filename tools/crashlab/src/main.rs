//! The program `crashlab`.
//!
//! Exit codes: 0 nothing was wrong (or every control did what it must), 1 something was, 2 the trial could not be run,
//! 3 nothing was wrong, and something that must be was never hit.

mod cli;

use clap::Parser;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments = cli::arguments::Arguments::parse();
    std::thread::spawn(end_in_good_order);
    cli::run(arguments)
}

/// On SIGINT and SIGTERM the round is brought to its end, so that no broker and no mount is left behind.
fn end_in_good_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let (interrupted, terminated) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupted), Ok(mut terminated)) = (interrupted, terminated) else { return };
        loop {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            eprintln!("crashlab: ending behind this round");
            barnacle_crashlab::interrupt();
        }
    });
}
