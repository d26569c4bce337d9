//! What a seed says of a run before it begins: who takes part, how the network and the disk are.

use barnacle_storage::{Limit, Limits, Policy};
use barnacle_wire::Version;

use crate::random::Random;

/// The constants of a run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Steps before everything is brought to a rest.
    pub(crate) steps: usize,
    pub(crate) roles: Vec<Role>,
    pub(crate) latency_millis: u64,
    /// Bytes towards a client that the network holds.
    pub(crate) socket_bytes: usize,
    pub(crate) window: u16,
    pub(crate) outbound_topic_aliases: u16,
    pub(crate) tail_cache_bytes: usize,
    pub(crate) stuck_after: u64,
    pub(crate) compacts_eagerly: bool,
    /// So many of a hundred subscriptions and publishes are of a group.
    pub(crate) shared_percent: usize,
    /// So many of a hundred connections ask for a new session.
    pub(crate) clean_percent: usize,
    /// In so many of a hundred steps the committer has its turn.
    pub(crate) commits_percent: usize,
    /// In so many of a hundred steps something breaks.
    pub(crate) faults_percent: usize,
    /// What may wait for a session and in a group.
    pub(crate) limits: Limits,
    /// So many of a hundred messages expire, of those whose publisher can say so.
    pub(crate) expiring_percent: usize,
}

/// A client's part.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) version: Version,
    /// Its session outlives its connections, so many seconds; 0: it does not.
    pub(crate) session_expiry: u32,
    /// Exchanges that it lets the broker have open.
    pub(crate) receive_maximum: u16,
    pub(crate) keep_alive: u16,
    /// It has a will.
    pub(crate) will: bool,
    /// How likely it is, of a hundred, that it answers when it looks.
    pub(crate) answers_percent: usize,
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Scenario {
        let mut random = Random::of(seed, "scenario", 0);
        let clients = 2 + random.below(4);
        let roles = (0..clients).map(|_| Role::of(&mut random)).collect();
        Scenario {
            seed,
            steps: 40 + random.below(160),
            roles,
            latency_millis: random.pick(&[0, 2, 5, 20]),
            socket_bytes: random.pick(&[64, 1 << 10, 64 << 10]),
            window: random.pick(&[1, 2, 8, 256]),
            outbound_topic_aliases: random.pick(&[0, 2]),
            tail_cache_bytes: random.pick(&[0, 300, 1 << 20]),
            stuck_after: random.pick(&[1, 4, 1 << 14]),
            compacts_eagerly: random.percent(40),
            shared_percent: random.pick(&[5, 20, 70]),
            clean_percent: random.pick(&[2, 6, 30]),
            commits_percent: random.pick(&[20, 50, 90]),
            faults_percent: random.pick(&[2, 8, 20]),
            limits: Limits {
                session: limit_of(&mut random),
                group: limit_of(&mut random),
                total: Limit::default(),
            },
            expiring_percent: random.pick(&[0, 0, 10, 50]),
        }
    }
}

/// None, mostly.
fn limit_of(random: &mut Random) -> Limit {
    let max_messages = random.percent(20).then(|| random.pick(&[1, 3, 10]));
    let policy = random.pick(&[Policy::DropOldest, Policy::DropNewest, Policy::Reject]);
    Limit { max_messages, max_bytes: None, policy }
}

impl Role {
    fn of(random: &mut Random) -> Role {
        let version = random.pick(&[Version::V311, Version::V5]);
        let v5 = version == Version::V5;
        let session_expiry = if random.percent(25) {
            0
        } else if v5 && random.percent(30) {
            random.pick(&[1, 1, 20])
        } else {
            u32::MAX
        };
        Role {
            version,
            session_expiry,
            receive_maximum: if v5 { random.pick(&[1, 3, 100]) } else { u16::MAX },
            keep_alive: random.pick(&[0, 5, 60]),
            will: random.percent(40),
            answers_percent: random.pick(&[10, 60, 95]),
        }
    }
}
