//! How the subscribing sessions of a trial behave.

use crate::books::topics::{Filter, crew_filter, filters};
use crate::random::Random;
use barnacle_brokers::Speaks;
use barnacle_wire::Version;

/// How a session behaves: chances in 10,000 for each turn, which is a few milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Protocol version.
    pub(crate) version: Version,
    /// Filters that it holds all the time, with their QoS.
    pub(crate) stable: Vec<(Filter, u8)>,
    /// Subscribes or unsubscribes something.
    pub(crate) churn: u64,
    /// Goes away, by DISCONNECT or without a word.
    pub(crate) leave: u64,
    /// How long it stays away, in milliseconds at most.
    pub(crate) away: u64,
    /// Connects again while the old connection is still there.
    pub(crate) take_over: u64,
    /// Ends the session and makes a new one.
    pub(crate) reset: u64,
    /// Is a member of the group and nothing else.
    pub(crate) crew: bool,
    /// Its session ends with its connection.
    pub(crate) passing: bool,
    /// Holds every acknowledgement back for so many milliseconds.
    pub(crate) slow: u64,
}

/// Nine sessions: live ones, two that are mostly away, ones that are taken over, ones that are ended and made anew, and
/// a slow one. Pairs share filters, so that logs of one session and logs of several are both in play. Then the members
/// of the group, if the broker has shared subscriptions.
pub(crate) fn habits(random: &Random, speaks: Speaks) -> Vec<Habits> {
    let mut random = random.fork(1);
    let (v311, v5) = (Version::V311, Version::V5);
    let mut habits = vec![
        Habits { churn: 100, ..one(v5, &[("k/#", 2)]) },
        Habits { churn: 200, leave: 10, away: 20, ..one(v311, &[("k/p0/#", 1), ("k/+/t1", 2)]) },
        Habits { leave: 800, away: 2_000, ..one(v5, &[("k/p1/#", 2), ("k/r/#", 2)]) },
        Habits { leave: 800, away: 3_000, ..one(v311, &[("k/p1/#", 2), ("k/p2/t0", 1)]) },
        Habits { churn: 100, take_over: 100, ..one(v5, &[("k/p3/#", 2), ("k/p0/t0", 1)]) },
        Habits { churn: 100, take_over: 100, leave: 50, away: 50, ..one(v311, &[("k/+/t2", 2)]) },
        Habits { churn: 300, reset: 60, leave: 50, away: 100, ..one(v5, &[("k/p4/#", 2)]) },
        Habits { churn: 300, reset: 60, leave: 50, away: 100, ..one(v311, &[("k/p4/#", 2), ("k/p2/#", 1)]) },
        Habits { slow: 15, ..one(v5, &[("k/p3/t0", 2), ("k/+/t1", 1)]) },
    ];
    for one in &mut habits {
        one.churn += random.below(50);
    }
    if speaks.shared {
        habits.extend(members(speaks));
    }
    for one in &mut habits {
        one.version = if speaks.v5 { one.version } else { Version::V311 };
        for (_, qos) in &mut one.stable {
            *qos = (*qos).min(speaks.qos);
        }
    }
    habits
}

/// The first two members stay in the group. The others leave at QoS 1 what they have not acknowledged: nothing may be
/// lost, if the broker promises that.
fn members(speaks: Speaks) -> Vec<Habits> {
    let crew = |version, qos| Habits {
        stable: vec![(crew_filter(), qos)],
        crew: true,
        leave: 50,
        away: 200,
        ..one(version, &[])
    };
    let mut members =
        vec![crew(Version::V5, 2), Habits { take_over: 50, ..crew(Version::V311, 2) }, crew(Version::V5, 1)];
    if speaks.shared_hands_on {
        members[2].reset = 100;
        members.push(Habits { passing: true, leave: 200, ..crew(Version::V5, 1) });
    }
    members
}

/// One that holds its filters and does nothing else.
fn one(version: Version, stable: &[(&str, u8)]) -> Habits {
    let filter =
        |text: &str| filters().iter().position(|filter| filter == text).expect("a filter of a trial");
    Habits {
        version,
        stable: stable.iter().map(|(text, qos)| (filter(text), *qos)).collect(),
        churn: 0,
        leave: 0,
        away: 0,
        take_over: 0,
        reset: 0,
        crew: false,
        passing: false,
        slow: 0,
    }
}
