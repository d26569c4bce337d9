//! Programs in processes of their own that are killed, then the power cut: who forgets an fsync is caught, who forgets
//! none survives every cut.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use barnacle_faultfs::Cut;

use crate::mounted::{Lab, names};

/// Lets a program keep so many records, kills it in the middle of the next, and returns the last number it has printed.
fn run_and_kill(program: &str, directory: &Path, records: u64) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_faultfs"))
        .args(["sample", program, "--records", "1000000"])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last = 0;
    while last < records {
        last = lines.next().expect("it goes on").expect("text").parse().expect("a number");
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    // What it had printed by then was promised as well.
    for line in lines {
        let Ok(number) = line.expect("text").parse() else { break };
        last = number;
    }
    last
}

/// The last record up to which all are there and whole.
fn recovered(program: &str, directory: &Path) -> u64 {
    let whole = |text: &str| -> Option<u64> {
        let number: u64 = text.get(..8)?.parse().ok()?;
        let length = 20 + number * 37 % 700;
        (text == format!("{number:08} {} .", "x".repeat(length as usize))).then_some(number)
    };
    if program.starts_with("log") {
        let text = fs::read(directory.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let numbers = text.split('\n').map_while(whole);
        return numbers.zip(1..).take_while(|(number, expected)| number == expected).count() as u64;
    }
    if program.starts_with("replace") {
        let text = fs::read_to_string(directory.join("current")).unwrap_or_default();
        return whole(text.trim_end()).unwrap_or(0);
    }
    let kept = |number: &u64| {
        let text = fs::read_to_string(directory.join(format!("{number}.record"))).unwrap_or_default();
        whole(text.trim_end()) == Some(*number)
    };
    (1..).take_while(kept).count() as u64
}

const RIGHT: [&str; 3] = ["log", "replace", "file-each"];

#[test]
fn programs_that_forget_an_fsync_are_caught_each_time() {
    let wrong = [
        "log-without-sync",
        "log-without-directory-sync",
        "log-without-both",
        "replace-without-directory-sync",
        "replace-without-file-sync",
        "file-each-without-directory-sync",
    ];
    for program in wrong {
        for _ in 0..5 {
            let Some(mut lab) = Lab::new() else { return };
            let promised = run_and_kill(program, lab.data(), 20);
            assert!(recovered(program, lab.data()) >= promised, "{program}: a kill alone loses nothing");
            let report = lab.cut(Cut::DropAll);
            let kept = recovered(program, lab.durable());
            assert!(kept < promised, "{program} promised {promised} and has {kept}: not caught. {report:?}");
        }
    }
}

#[test]
fn some_seeds_catch_a_forgotten_fsync_by_its_order_alone() {
    // Nothing is dropped as a whole here: what gives it away is that a later thing survived and an earlier one did not.
    let mut caught = 0;
    for seed in 0..20 {
        let Some(mut lab) = Lab::new() else { return };
        let program = "replace-without-file-sync";
        let promised = run_and_kill(program, lab.data(), 5);
        lab.cut(Cut::Subset { seed });
        caught += u64::from(recovered(program, lab.durable()) < promised);
    }
    assert!(caught > 0, "no seed of 20 has caught it");
}

#[test]
fn programs_that_forget_nothing_survive_200_seeded_cuts() {
    // Where a program is when it is killed is chance: it goes on until a cut has hit something of each kind.
    let (mut hit, mut seed) = (Hit::default(), 0);
    while seed < 200 || !hit.something_of_each() {
        assert!(seed < 2_000, "cuts that hit nothing show nothing: {hit:?}");
        let Some(mut lab) = Lab::new() else { return };
        let program = RIGHT[seed as usize % 3];
        let cut = [Cut::DropAll, Cut::Subset { seed }, Cut::Torn { seed }][seed as usize / 3 % 3];
        let promised = run_and_kill(program, lab.data(), 1 + seed % 30);
        let report = lab.cut(cut);
        let found = recovered(program, lab.durable());
        assert!(
            found >= promised,
            "{program} promised {promised} and has {found} after {cut:?}: {report:?}, {:?}",
            names(lab.durable())
        );
        hit.dropped += report.operations_dropped;
        hit.kept += report.operations_kept;
        hit.torn += report.writes_torn;
        hit.names_dropped += report.names_dropped;
        seed += 1;
    }
}

/// What cuts have hit.
#[derive(Debug, Default)]
struct Hit {
    dropped: u64,
    kept: u64,
    torn: u64,
    names_dropped: u64,
}

impl Hit {
    fn something_of_each(&self) -> bool {
        [self.dropped, self.kept, self.torn, self.names_dropped].iter().all(|count| *count > 0)
    }
}
