//! The store's time: a wall clock that does not jump.
//!
//! What outlives a process has deadlines, and deadlines need a clock that outlives it too. But wall clocks are set: by
//! people, by NTP after a start without it, by a battery that was empty. So the store keeps a time of its own. While it is
//! open, that time goes on with the monotonic clock, whatever becomes of the wall clock. Each batch notes both of them;
//! opened again, the store's time goes on from the note by what the wall clock has advanced since: time that the broker
//! was down counts as elapsed. A wall clock that stands before the note has not advanced: nothing has elapsed.
//!
//! So a jump costs or gives nobody anything, except one that happens while the broker is down: that cannot be told from
//! time. On a machine whose clock was never set while the broker ran, the store's time is the wall clock's. The time in
//! which the machine sleeps counts once the broker starts again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bincode::{Decode, Encode};

/// What a wall clock says: [`SystemTime::now`], or what a test wants it to be.
pub type WallClock = fn() -> SystemTime;

/// What goes on evenly: [`Instant::now`], or the time of a simulator.
pub type MonotonicClock = fn() -> Instant;

/// The store's clock. Copies show the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at_millis: u64,
    /// `None`: it stands still.
    hands: Option<(WallClock, MonotonicClock)>,
}

/// Both clocks at one moment, as a batch notes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TimeMark {
    /// The store's time, in milliseconds since the Unix epoch.
    pub(crate) store_millis: u64,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub(crate) wall_millis: u64,
}

/// The clocks have moved against each other by so much: that is a jump, and to be noted.
const JUMP_MILLIS: u64 = 1_000;

impl Clock {
    /// Goes on from a note; without one, from the wall clock.
    pub(crate) fn resume(mark: Option<TimeMark>, wall: WallClock, monotonic: MonotonicClock) -> Clock {
        let started_at_millis = resumed(mark, unix_millis(wall()));
        Clock { started: monotonic(), started_at_millis, hands: Some((wall, monotonic)) }
    }

    /// A clock that stands still, for a simulator, which has a time of its own.
    pub(crate) fn standing(now_millis: u64) -> Clock {
        Clock { started: Instant::now(), started_at_millis: now_millis, hands: None }
    }

    /// The store's time, in milliseconds since the Unix epoch. Never goes back.
    pub fn now_millis(&self) -> u64 {
        self.started_at_millis + self.elapsed_millis()
    }

    /// Milliseconds since the store was opened.
    pub fn elapsed_millis(&self) -> u64 {
        self.hands.map_or(0, |(_, monotonic)| millis(monotonic().saturating_duration_since(self.started)))
    }

    /// The instant of so many milliseconds since the store was opened.
    pub fn instant(&self, elapsed_millis: u64) -> Instant {
        self.started + Duration::from_millis(elapsed_millis)
    }

    /// This moment, to be noted.
    pub(crate) fn mark(&self) -> TimeMark {
        let store_millis = self.now_millis();
        TimeMark {
            store_millis,
            wall_millis: self.hands.map_or(store_millis, |(wall, _)| unix_millis(wall())),
        }
    }
}

impl TimeMark {
    /// Whether a clock was set between two notes.
    pub(crate) fn jumped_since(self, earlier: TimeMark) -> bool {
        let store = i128::from(self.store_millis) - i128::from(earlier.store_millis);
        let wall = i128::from(self.wall_millis) - i128::from(earlier.wall_millis);
        store.abs_diff(wall) > u128::from(JUMP_MILLIS)
    }
}

/// The store's time when it is opened while the wall clock says `wall_millis`.
fn resumed(mark: Option<TimeMark>, wall_millis: u64) -> u64 {
    match mark {
        None => wall_millis,
        Some(mark) => {
            let down = wall_millis.saturating_sub(mark.wall_millis);
            mark.store_millis.saturating_add(down)
        }
    }
}

fn unix_millis(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 500_000 * HOUR;

    fn mark(store_millis: u64, wall_millis: u64) -> TimeMark {
        TimeMark { store_millis, wall_millis }
    }

    #[test]
    fn time_goes_on_from_the_note_by_what_the_wall_clock_has_advanced() {
        let table = [
            ("a new store", None, NOW, NOW),
            ("down for an hour", Some(mark(NOW, NOW)), NOW + HOUR, NOW + HOUR),
            ("back at once", Some(mark(NOW, NOW)), NOW, NOW),
            ("the clock was set back while it was down", Some(mark(NOW, NOW)), NOW - 9 * HOUR, NOW),
            ("a battery was empty", Some(mark(NOW, NOW)), 0, NOW),
            (
                "set forward while it ran, then down for an hour",
                Some(mark(NOW, NOW + 9 * HOUR)),
                NOW + 10 * HOUR,
                NOW + HOUR,
            ),
            (
                "set back while it ran, then down for an hour",
                Some(mark(NOW, NOW - 9 * HOUR)),
                NOW - 8 * HOUR,
                NOW + HOUR,
            ),
            ("it first ran in 1970, and then knew better", Some(mark(HOUR, NOW)), NOW + HOUR, 2 * HOUR),
            ("no end of time is passed", Some(mark(u64::MAX, 0)), NOW, u64::MAX),
        ];
        for (case, mark, wall, expected) in table {
            assert_eq!(resumed(mark, wall), expected, "{case}");
        }
    }

    #[test]
    fn a_jump_is_what_only_one_of_the_clocks_has_seen() {
        let before = mark(NOW, NOW + HOUR);
        let table = [
            ("a day without a jump", 24 * HOUR, 24 * HOUR, false),
            ("nothing at all", 0, 0, false),
            ("a little drift", HOUR, HOUR + 900, false),
            ("forward", 1_000, HOUR, true),
            ("a second and a bit", 1_000, 2_001, true),
        ];
        for (case, store, wall, expected) in table {
            let after = mark(NOW + store, NOW + HOUR + wall);
            assert_eq!(after.jumped_since(before), expected, "{case}");
        }
        assert!(mark(NOW + 5, NOW - HOUR).jumped_since(before), "back");
    }

    #[test]
    fn the_clock_starts_where_the_note_says_and_does_not_go_back() {
        let clock = Clock::resume(Some(mark(7, u64::MAX)), SystemTime::now, Instant::now);
        let (first, second) = (clock.now_millis(), clock.now_millis());
        assert!(7 <= first && first <= second);
        assert!(clock.mark().store_millis >= second);
    }
}
