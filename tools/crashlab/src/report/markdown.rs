//! Tables for documents.

use crate::books::finding::Kind;
use crate::report::{Report, Verdict};
use std::fmt::Write;

/// One row for each trial.
pub fn table(reports: &[Report]) -> String {
    let mut text = String::from(
        "| Broker | Faults | Rounds | Failed | Acknowledged | Messages lost | Sessions lost | QoS 2 duplicates | \
         Other findings | QoS 1 duplicates | Ready again, median and longest | Duration |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|\n",
    );
    for report in reports {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} s |",
            report.broker,
            faults(report),
            report.rounds.len(),
            report.failed().count(),
            report.coverage.acknowledged,
            report.count(Kind::Lost),
            report.count(Kind::SessionLost),
            report.count(Kind::Twice),
            others(report),
            report.coverage.repeated,
            report
                .ready_ms()
                .map_or("–".to_owned(), |(median, _, most)| format!("{median:.0} / {most:.0} ms")),
            report.seconds,
        );
    }
    text
}

/// What became of each fault.
pub fn by_fault(report: &Report) -> String {
    let mut text = String::from("| Fault | Rounds | Failed |\n|---|---:|---:|\n");
    for (fault, rounds, failed) in report.by_fault() {
        let _ = writeln!(text, "| {fault} | {rounds} | {failed} |");
    }
    text
}

/// A report in words and tables.
pub fn page(reports: &[Report]) -> String {
    let mut text = format!("# Crash lab\n\n{}", table(reports));
    for report in reports {
        let version =
            if report.version.is_empty() { String::new() } else { format!(" ({})", report.version) };
        let _ = write!(
            text,
            "\n## {}{version}\n\n{}. Seed {}: {}.\n\n{}",
            report.broker,
            report.about,
            report.seed,
            verdict(report),
            by_fault(report)
        );
        for round in report.failed().take(5) {
            let _ = write!(text, "\nRound {} ({}), again with `{}`:\n\n", round.round, round.fault, {
                round.repeat.as_deref().unwrap_or_default()
            });
            for finding in round.findings.iter().take(5) {
                let line = finding.text.lines().next().unwrap_or_default();
                let _ = writeln!(text, "- {}: {line}", finding.kind.name());
            }
        }
    }
    text
}

/// What the trial came to, in words.
pub fn verdict(report: &Report) -> String {
    match report.verdict() {
        Verdict::Clean => "nothing was lost, and nothing else was wrong".to_owned(),
        Verdict::Failed => {
            let wrong: Vec<String> = Kind::ALL
                .iter()
                .map(|kind| (kind.name(), report.count(*kind)))
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{name}: {count}"))
                .collect();
            wrong.join(", ")
        }
        Verdict::CoveredNothing => format!("shows nothing: never hit: {}", report.never_hit.join(", ")),
    }
}

/// The faults, each named once.
fn faults(report: &Report) -> String {
    let names: Vec<&str> = report.faults.iter().map(|fault| fault.name()).collect();
    names.join(", ")
}

fn others(report: &Report) -> String {
    let own_column = [Kind::Lost, Kind::SessionLost, Kind::Twice];
    let others: Vec<String> = Kind::ALL
        .iter()
        .filter(|kind| !own_column.contains(kind) && report.count(**kind) > 0)
        .map(|kind| format!("{} {}", report.count(*kind), kind.name()))
        .collect();
    if others.is_empty() { "none".to_owned() } else { others.join(", ") }
}
