//! `barnacle repair`.

use std::fmt::Write as _;
use std::process::ExitCode;

use barnacle_storage::{RepairError, RepairReport, repair_copy, repair_with_backup};

use super::super::{FAILED, WRONG_USE};
use super::{RepairArguments, check, finish, refuse};

pub(super) fn run(arguments: &RepairArguments) -> ExitCode {
    let repaired = match (&arguments.into, &arguments.backup) {
        (Some(into), _) => repair_copy(&arguments.directory, into),
        (None, Some(backup)) => repair_with_backup(&arguments.directory, backup),
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    match repaired {
        Ok(report) => finish(&report, arguments.json, || text(&report), report.after.is_clean()),
        Err(RepairError::Open(error)) => refuse(&error),
        Err(error @ RepairError::Occupied(_)) => {
            eprintln!("{error}");
            ExitCode::from(WRONG_USE)
        }
        Err(error) => {
            eprintln!("the store was not repaired: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn text(report: &RepairReport) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} repaired in {}", report.from.display(), report.into.display());
    if report.steps.is_empty() {
        let _ = writeln!(text, "nothing was damaged");
    }
    for step in &report.steps {
        let _ = writeln!(text, "- {step}");
    }
    let _ = writeln!(text, "\nThe repaired store, checked:");
    text + &check::text(&report.after)
}
