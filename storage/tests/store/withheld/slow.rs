//! A disk that takes long to say that it gives nothing, by a clock that goes on by a second whenever it is looked at.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, UNIX_EPOCH};

use barnacle_storage::*;

use super::{committed, options, own_log, publish_from, waits, will, wills, with_messages};
use crate::stepped::Stepped;
use crate::support::*;

/// The store, opened after a crash by that clock.
pub(super) fn crash_and_open(stepped: Stepped) -> Stepped {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let Stepped { memory, store, stepper } = stepped;
    memory.crash(Survivors::First(0));
    drop((store, stepper));
    let options = Options {
        wall_clock: || UNIX_EPOCH + Duration::from_millis(NOW),
        monotonic_clock: || *BEGAN + Duration::from_secs(LOOKS.fetch_add(1, Relaxed)),
        ..options(&memory)
    };
    let (store, stepper, _) = Store::open_stepped_by_clocks(options).expect("the disk is whole");
    Stepped { memory, store, stepper }
}

/// A hundred sectors that take seconds each must not stop everybody for minutes: one is asked for at a time, each in its turn.
#[test]
fn an_attempt_is_over_when_it_has_taken_a_second_and_the_next_goes_on_behind() {
    let mut stepped = Stepped::open(&Memory::new());
    let clients = ["a", "b", "c", "d", "e", "f"].map(|name| {
        let client = stepped.attach(name);
        stepped.subscribe(&client, name);
        client
    });
    let mut stepped = crash_and_open(stepped);
    clients[..3].iter().for_each(|client| stepped.memory.withhold(own_log(client)));
    let late = ["a", "b", "c", "d"]
        .map(|name| publish_from(&stepped, 1 + u64::from(name.as_bytes()[0]), name, "late"));
    stepped.stepper.commit();
    late.iter().for_each(waits);
    assert_eq!(stepped.store.statistics().failed_reads, 1, "a second is over");
    // Who is new is asked for before.
    let new = publish_from(&stepped, 5, "e", "new");
    stepped.stepper.commit();
    committed(&new);
    assert_eq!(stepped.store.statistics().failed_reads, 2);
    stepped.stepper.commit();
    late.iter().for_each(waits);
    stepped.stepper.commit();
    committed(&late[3]);
    late[..3].iter().for_each(waits);
    assert_eq!(stepped.store.statistics().failed_reads, 4, "it goes on at the beginning");
    stepped.memory.give_everything();
    stepped.stepper.commit();
    late[..3].iter().for_each(|late| drop(committed(late)));
}

/// Regression: whenever nothing else waited, it was forgotten how far the last attempt had come, and a will behind a slow sector was
/// never asked for.
#[test]
fn a_will_is_asked_for_though_another_ones_sector_takes_the_whole_attempt() {
    let (mut stepped, a, _) = with_messages();
    for name in ["a", "b"] {
        let mortal = Attach {
            will: Some(will(name, &format!("will for {name}"), HOUR / 2)),
            ..attach(&format!("mortal {name}"))
        };
        let mortal = stepped.attached(mortal).into();
        stepped.detach(&mortal, WillFate::Publish);
    }
    let mut stepped = crash_and_open(stepped);
    stepped.memory.withhold(own_log(&a));
    let mut publish =
        |now_millis| wills(&stepped.commit(None, vec![Operation::PublishDueWills { now_millis }]));
    assert_eq!(publish(NOW + 1_900_000), Vec::<String>::new());
    assert_eq!(publish(NOW + 3_000_000), ["will for b"]);
}
