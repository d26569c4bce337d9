//! Bugs on purpose: each is planted in turn, and the first seed that finds it is looked for.

use std::time::Instant;

use barnacle::planted::{Fault, plant};

use crate::campaign;

/// `true`: none was missed, and nothing was found where nothing is planted.
pub(crate) fn look_for_all(seeds: u64, threads: usize) -> bool {
    println!("| planted | first seed that finds it | seconds | what it says |");
    println!("|---|---|---|---|");
    let mut all = look_for(None, seeds, threads).is_none();
    for fault in Fault::ALL {
        all &= look_for(Some(fault), seeds, threads).is_some();
    }
    plant(None);
    all
}

/// The first seed that fails.
fn look_for(fault: Option<Fault>, seeds: u64, threads: usize) -> Option<u64> {
    plant(fault);
    let began = Instant::now();
    let found = campaign::run(0, seeds, None, threads, 1);
    let first = found.failures.first_key_value();
    let said = first.and_then(|(_, told)| told.failure.as_ref()).map_or("", |(failure, _)| failure);
    println!(
        "| {} | {} | {:.1} | {} |",
        fault.map_or("nothing", Fault::name),
        first.map_or(format!("none of {seeds}"), |(seed, _)| seed.to_string()),
        began.elapsed().as_secs_f64(),
        said.lines().take(2).collect::<Vec<_>>().join(" ").replace('|', "/"),
    );
    first.map(|(seed, _)| *seed)
}
