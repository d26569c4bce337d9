//! Limits and counts over a part of the disk that gives nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use barnacle_storage::*;

use super::{fails, options, own_log};
use crate::stepped::Stepped;
use crate::support::*;

static ELAPSED_MILLIS: AtomicU64 = AtomicU64::new(0);

/// A clock that goes on when it is told to.
fn told_clock() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now) + Duration::from_millis(ELAPSED_MILLIS.load(Relaxed))
}

/// How much a session has waiting is asked for with every publish to it, since it has read on. Whoever waits for none of it is not to
/// wait for the disk each time.
#[test]
fn a_part_that_stays_unreadable_is_not_insisted_on_in_every_batch_that_counts_with_it() {
    let memory = Memory::new();
    let limit = Limit { max_messages: Some(3), policy: Policy::DropNewest, ..Limit::default() };
    let limits = Limits { session: limit, ..Limits::default() };
    let options = Options { limits, monotonic_clock: told_clock, ..options(&memory) };
    let (store, stepper, _) = Store::open_stepped_by_clocks(options).expect("the disk is whole");
    let mut stepped = Stepped { memory, store, stepper };
    let a = stepped.attach("a");
    stepped.subscribe(&a, "a");
    let first = stepped.commit(None, vec![publish(&stepped.store, "a", "1")]).lsn;
    for payload in ["2", "3", "beyond the limit"] {
        stepped.commit(None, vec![publish(&stepped.store, "a", payload)]);
    }
    stepped.memory.withhold(own_log(&a));
    let reads_on = Outbound { position: first, last_packet_id: 1, open: vec![] };
    stepped.commit(Some(&a), vec![Operation::SaveOutbound(reads_on)]);
    let failed_reads = |stepped: &Stepped| stepped.store.statistics().failed_reads;
    let insisted = failed_reads(&stepped);
    assert!((10..=60).contains(&insisted), "{insisted} attempts");
    let many = |stepped: &mut Stepped| {
        for _ in 0..100 {
            stepped.commit(None, vec![publish(&stepped.store, "a", "nobody knows of the room")]);
        }
    };
    many(&mut stepped);
    assert_eq!(failed_reads(&stepped), insisted, "it is left alone for a while");
    for asked in 1..=5 {
        ELAPSED_MILLIS.fetch_add(200, Relaxed);
        many(&mut stepped);
        assert_eq!(failed_reads(&stepped), insisted + asked, "and asked again, once");
    }
    assert!(!fails(&stepped), "no transaction needs it");

    stepped.memory.give_everything();
    ELAPSED_MILLIS.fetch_add(200, Relaxed);
    stepped.commit(None, vec![publish(&stepped.store, "a", "there is room")]);
    assert_eq!(stepped.read(&a), ["1", "2", "3", "there is room"]);
    assert_eq!(stepped.store.statistics().damaged_ranges, 0);
}
