//! `barnacle check`.

use std::fmt::Write as _;
use std::process::ExitCode;

use barnacle_storage::{CheckReport, Checker, Finding};

use super::table::safe;
use super::{CheckArguments, finish, refuse};

pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    let report = match Checker::open(&arguments.directory) {
        Ok(checker) => checker.check(),
        Err(error) => return refuse(&error),
    };
    finish(&report, arguments.json, || text(&report), report.is_clean())
}

/// The report for people.
pub(super) fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    let counts = &report.counts;
    let _ = writeln!(
        text,
        "{}: schema {}, commit {}, head {}, {}",
        report.directory.display(),
        report.schema.map_or_else(|| "unknown".to_owned(), |schema| schema.to_string()),
        report.commit,
        report.head,
        if report.clean_shutdown { "closed in order" } else { "not closed in order" },
    );
    let _ = writeln!(
        text,
        "{} sessions, {} subscriptions, {} filters, {} retained, {} logs, {} blocks, {} messages, {} bytes",
        counts.sessions,
        counts.subscriptions,
        counts.filters,
        counts.retained,
        counts.logs,
        counts.blocks,
        counts.messages,
        counts.bytes,
    );
    for finding in &report.findings {
        let _ = writeln!(text, "{}", line(finding));
    }
    let more = report.findings_total - report.findings.len();
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    let _ = match report.findings.iter().filter(|finding| finding.kind.is_damage()).count() {
        0 => writeln!(text, "whole: nothing is damaged"),
        damaged => writeln!(text, "DAMAGED: {} findings", damaged + more),
    };
    text
}

fn line(finding: &Finding) -> String {
    let mut line = format!("{:?} in {}", finding.kind, finding.place);
    if let Some(key) = &finding.key {
        let _ = write!(line, ", key {key}");
    }
    if let Some(range) = finding.range {
        let _ = write!(line, ", log {} above LSN {} and up to {}", range.log, range.after, range.through);
        if let Some(messages) = range.messages {
            let _ = write!(line, " ({messages} messages)");
        }
    }
    let _ = write!(line, ": {}", safe(&finding.what));
    if !finding.sessions.is_empty() {
        let sessions: Vec<String> = finding.sessions.iter().map(|client_id| safe(client_id)).collect();
        let _ = write!(line, "; waited for by {}", sessions.join(", "));
    }
    line
}
