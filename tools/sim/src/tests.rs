//! The simulator itself: a seed is a run, whenever it is taken, and what is left out of a run stays out.

use crate::campaign;
use crate::steps::Steps;
use crate::world;

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_last_event() {
    for seed in 0..40 {
        let (one, other) =
            (world::run(seed, &Steps::default(), false), world::run(seed, &Steps::default(), false));
        assert!(one.events > 0);
        assert_eq!((one.hash, one.events), (other.hash, other.events), "seed {seed}");
    }
    let (one, other) = (world::run(1, &Steps::default(), false), world::run(2, &Steps::default(), false));
    assert_ne!(one.hash, other.hash);
}

#[test]
fn whatever_a_seed_does_there_is_something_to_judge() {
    let found = campaign::run(0, 200, None, 2, 1);
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    for what in [
        "messages delivered",
        "messages delivered again",
        "messages published again",
        "messages refused",
        "sessions resumed",
        "take-overs",
        "links cut",
        "links half-open",
        "kills between operations",
        "power cuts between operations",
        "crashes in an operation",
        "orderly ends",
        "full disks",
        "turns of the trimmer",
        "wills that are due",
        "wills taken back",
    ] {
        assert!(found.coverage.contains_key(what), "{what} never happened in {} seeds", found.seeds);
    }
}
