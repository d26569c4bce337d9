//! What `make test` does with the inputs that are part of the project: takes each of them again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TARGETS;
use crate::differential::{EXPLAINED, differences};

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The seeds of a target: a line each, in hexadecimal digits.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let name = if target == "connection" { "connection" } else { "packets" };
    let text =
        fs::read_to_string(place(&format!("seeds/{name}.txt"))).expect("the seeds are part of the project");
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).expect("digits are ASCII");
        u8::from_str_radix(digits, 16).expect("digits are hexadecimal")
    };
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

#[test]
fn inputs_that_went_wrong_go_right() {
    let mut count = 0;
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(place("corpus-regressions").join(target.name)) else { continue };
        for entry in entries {
            let path = entry.expect("a folder of the project can be read").path();
            // The last one named is the one that fails.
            println!("{}", path.display());
            (target.run)(&fs::read(&path).expect("an input is a file"));
            count += 1;
        }
    }
    assert!(count > 0, "the inputs were not found");
}

#[test]
fn seeds_go_right() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        assert!(seeds.len() > 100, "{}: there are {} seeds", target.name, seeds.len());
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}

/// An explanation that nothing needs any more would hide the next difference.
#[test]
fn every_explained_difference_is_there() {
    let cases: Vec<_> = seeds("differential").iter().flat_map(|input| differences(input)).collect();
    for difference in EXPLAINED {
        let shown = cases.iter().any(|case| difference.explains(case));
        assert!(shown, "no seed shows it: {difference:?}");
    }
}
