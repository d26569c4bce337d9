//! fsync before acknowledgement, seen from outside: what a loaded broker writes, syncs and sends is traced with strace,
//! and every acknowledgement that promises something to be kept must have been sent after that was on the disk.
//!
//! `trace` reads what strace wrote; `wal` finds the records in what was written to RocksDB's log; `conversation` finds
//! the acknowledgements in what was sent on the connections; `checker` brings them together by the tokens that `load`
//! puts into payloads, filters and client identifiers.

mod checker;
mod conversation;
mod load;
mod samples;
mod token;
mod trace;
mod wal;

use std::process::Command;

use tempfile::TempDir;

use crate::broker::Setup;
use checker::Findings;

/// Every kind of acknowledgement that promises something to be kept.
const KINDS: [&str; 5] = ["CONNACK", "PUBACK", "PUBCOMP", "PUBREC", "SUBACK"];

/// Traces a broker under load, from its start to its end, and checks the trace.
fn campaign(durability: &str) -> Findings {
    let there = Command::new("strace").arg("-V").output().is_ok();
    assert!(there, "strace is missing; tools/setup/test.sh installs it");
    let directory = TempDir::new().expect("a temporary directory can be made");
    let output = directory.path().join("trace");
    let setup = Setup::new().argument("--durability").argument(durability);
    let mut broker = setup.under("strace", trace::arguments(&output)).start();
    load::run(&broker);
    assert!(broker.terminate().success());
    let text = trace::read_whole(&output, broker.process_id());
    let findings = checker::check(&trace::parse(&text));
    println!(
        "durability {durability}: {} acknowledgements checked {:?}, {} fdatasyncs, {} sent too early; {} lines of trace",
        findings.acknowledgements(),
        findings.checked,
        findings.fdatasyncs,
        findings.violations.len(),
        text.lines().count(),
    );
    for kind in KINDS {
        assert!(findings.checked.contains_key(kind), "no {kind} was checked");
    }
    assert!(findings.acknowledgements() > 1000, "too few acknowledgements to tell");
    findings
}

#[test]
fn every_acknowledgement_of_a_campaign_follows_its_fsync() {
    let findings = campaign("fsync");
    let Findings { violations, fdatasyncs, .. } = &findings;
    let first = &violations[..violations.len().min(20)];
    assert!(violations.is_empty(), "{} were sent too early:\n{}", violations.len(), first.join("\n"));
    assert!(
        *fdatasyncs > 0 && fdatasyncs * 5 < findings.acknowledgements(),
        "commits do not share their syncs"
    );
}

/// The same check sees what it is there to see.
#[test]
fn a_campaign_without_fsync_is_found_out() {
    let findings = campaign("os");
    let early = findings.violations.len();
    // Only what RocksDB syncs on its own account, when it closes a log file, can look as if it had been in time.
    assert!(early * 10 > findings.acknowledgements() * 9, "only {early} were found: {findings:?}");
}
