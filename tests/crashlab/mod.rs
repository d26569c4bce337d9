//! A short campaign of the crash lab: power cuts, bad disks, pauses and strangers, and the cheap ones of the controls:
//! brokers that are known to lose messages must be seen to lose them. `make crashlab` runs the long campaign.

use crate::kill::{expect_clean, options};
use barnacle_crashlab::{Kind, no_fault_disk};

#[test]
fn power_cuts_take_nothing_acknowledged() {
    if is_without_fault_disk() {
        return;
    }
    let report = expect_clean(&options("barnacle", "power-cuts", 12));
    assert!(report.coverage.writes_dropped > 0, "the power was cut when nothing was at stake");
}

#[test]
fn bad_disks_take_nothing_acknowledged() {
    if is_without_fault_disk() {
        return;
    }
    expect_clean(&options("barnacle", "disk", 14));
}

#[test]
fn stops_pauses_and_strangers_take_nothing_acknowledged() {
    expect_clean(&options("barnacle", "terminate,pause,network", 16));
}

#[test]
fn mosquitto_with_its_defaults_is_seen_to_lose_when_it_is_killed() {
    let mut options = options("mosquitto", "kill", 10);
    options.until_failure = true;
    let report = barnacle_crashlab::run(&options, &|_| {}).expect("mosquitto is installed by tools/setup");
    assert!(report.has_lost() && report.count(Kind::SessionLost) > 0, "{:?}", report.rounds);
}

#[test]
fn barnacle_that_leaves_syncing_to_the_system_is_seen_to_lose_when_the_power_is_cut() {
    if is_without_fault_disk() {
        return;
    }
    let mut options = options("barnacle-os", "power-cut", 20);
    options.until_failure = true;
    let report = barnacle_crashlab::run(&options, &|_| {}).expect("the trial can be run");
    assert!(report.has_lost(), "{:?}", report.coverage);
}

/// On a machine without FUSE nothing can be shown, and it is said; where FUSE is there and cannot be used, the test fails.
fn is_without_fault_disk() -> bool {
    let reason = no_fault_disk();
    if let Some(reason) = &reason {
        println!("NOT CHECKED, nothing is proven: {reason}");
    }
    reason.is_some()
}
