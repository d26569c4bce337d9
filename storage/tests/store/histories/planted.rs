//! The oracle is tried itself: a fault that nobody reports is planted, and has to be found.
//!
//! The faults of the disk stand for bugs of the store that look the same from outside: a sync that is ignored for an
//! acknowledgement before the sync, a block that is lost for a message that is not appended to a log, a row that is lost for a
//! change that is not written, a block that is dropped for a floor that is too high.
//!
//! By hand, these changes to the store's source were tried, each alone, and each was found. The numbers count the histories that
//! passed before, of the long ones and of the short ones; a dash: none of the short ones finds it.
//!
//! | change | long | short |
//! |---|---|---|
//! | `committer`: a batch is written without its sync | 0 | 1 |
//! | `catalog`: a session's floor ignores its open exchanges | 0 | 10 |
//! | `apply`: a message that goes to several logs is not appended to the last | 0 | 0 |
//! | `apply`: the targets of a publish are believed although the subscriptions have changed | 4 | 1 |
//! | `trim`: the furthest reader sets the floor of a shared log | 1 | 7 |
//! | `trim`: floors are given to the filter before they are durable | 50 | – |
//! | `subscribe`: UNSUBSCRIBE makes no copies for open exchanges | 94 | – |
//! | `deadlines`: a will that was published stays in its session's row | 3 | 1 |

use std::panic::AssertUnwindSafe;

use barnacle_storage::Fault;

use super::history::History;

/// Histories for each fault.
const HISTORIES: u64 = 100;
const FROM: u64 = 3_000_000;

#[test]
fn planted_faults_are_found() {
    for fault in [Fault::IgnoredSyncs, Fault::LostBlock, Fault::LostRow, Fault::DroppedBlock] {
        let found = (FROM..FROM + HISTORIES).filter(|seed| is_found(*seed, fault)).count();
        println!("{fault:?}: found in {found} of {HISTORIES} histories");
        // In the others it did no harm: what was lost was not needed any more, or was written once more.
        assert!(
            found as u64 >= HISTORIES / 5,
            "{fault:?} was found in {found} of {HISTORIES} histories only"
        );
    }
}

fn is_found(seed: u64, fault: Fault) -> bool {
    let history = History { seed, length: 60, length_after: 60, crashes: true };
    // A store that stumbles over what it cannot believe has found it as well.
    let told =
        std::panic::catch_unwind(AssertUnwindSafe(|| history.in_memory(Some((30 + seed % 60, fault)))));
    !matches!(told, Ok(Ok(_)))
}
