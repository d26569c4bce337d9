//! The program: a command line in, an exit code out.

use barnacle_load::LoadError;
use std::process::ExitCode;

fn main() -> ExitCode {
    match barnacle_load::run(std::env::args_os()) {
        Ok(records) if records.iter().all(|record| record.problems.is_empty()) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("barnacle-load: messages were lost, repeated or out of order, see above");
            ExitCode::FAILURE
        }
        Err(LoadError::Options(error)) => error.exit(),
        Err(error) => {
            eprintln!("barnacle-load: {error}");
            ExitCode::FAILURE
        }
    }
}
