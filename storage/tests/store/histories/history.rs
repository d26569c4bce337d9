//! One history: what happens, in which order, and where it is crashed.

use std::path::Path;
use std::time::Duration;

use barnacle_storage::*;

use super::coverage::Coverage;
use super::random::Random;
use super::steps::{CLIENTS, Step};
use super::world::{Interrupted, Judged, Place, Settings, World, interruptible};

/// A crash or an error, planned for one operation of the disk.
pub(super) type Plan = (u64, Fault);

/// How a history goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    pub(super) seed: u64,
    /// Steps that it takes.
    pub(super) length: usize,
    /// Steps after what was planned has happened.
    pub(super) length_after: usize,
    /// Whether it crashes, fails and is closed by itself, now and then.
    pub(super) crashes: bool,
}

/// How it ended.
pub(super) struct Told {
    pub(super) coverage: Coverage,
    /// Operations of the disk, until it was crashed for the last time.
    pub(super) operations: u64,
}

impl History {
    pub(super) fn in_memory(&self, plan: Option<Plan>) -> Judged<Told> {
        let mut random = Random::new(self.seed);
        let settings = settings(&mut random);
        let memory = Memory::new();
        if random.percent(50) {
            memory.compact_eagerly();
        }
        let mut world = World::new(Place::Memory(memory.clone()), settings);
        if let Some((operation, fault)) = plan {
            memory.plan(operation, fault);
            world.errors_planned += usize::from(matches!(fault, Fault::NoSpace | Fault::FailedSync));
        }
        let operations = self.run(&mut world, &mut random, plan.is_some())?;
        Ok(Told { operations, coverage: world.coverage })
    }

    /// On RocksDB, where a crash is that the store is dropped: what was written stays.
    pub(super) fn in_directory(&self, directory: &Path) -> Judged<Told> {
        let mut random = Random::new(self.seed);
        let settings = Settings { durability: Durability::Os, ..settings(&mut random) };
        let mut world = World::new(Place::Directory(directory.to_owned()), settings);
        let operations = self.run(&mut world, &mut random, false)?;
        Ok(Told { operations, coverage: world.coverage })
    }

    /// Opens the store and takes so many turns, none of which crashes; `done` is told of each.
    pub(super) fn take_turns(
        &self,
        world: &mut World,
        random: &mut Random,
        turns: usize,
        mut done: impl FnMut(usize),
    ) -> Judged {
        world.recover()?;
        for turn in 1..=turns {
            self.take_turn(world, random)?;
            done(turn);
        }
        Ok(())
    }

    pub(super) fn take_turn(&self, world: &mut World, random: &mut Random) -> Judged {
        let turn = Turn::random(random, self.crashes, world);
        trace(self.seed, &turn);
        world.take(&turn, random)
    }

    /// Gives the number of the disk's operations until it was crashed for the last time.
    fn run(&self, world: &mut World, random: &mut Random, planned: bool) -> Judged<u64> {
        trace(self.seed, &world.settings);
        world.recover()?;
        let mut left = self.length;
        let mut waits = planned;
        while left > 0 {
            left -= 1;
            let interrupted = match interruptible(|| self.take_turn(world, random)) {
                Ok(taken) => {
                    taken?;
                    world.failed
                }
                Err(Interrupted) => true,
            };
            if interrupted {
                world.coverage.count("turns that a crash or an error has interrupted");
                if world.failed {
                    // What it wrote last is on the disk, or is not.
                    world.crash(random);
                }
                world.recover()?;
                if std::mem::take(&mut waits) {
                    left = left.min(self.length_after);
                }
            }
        }
        let operations = world.memory().map_or(0, Memory::operations);
        if let Some(memory) = world.memory() {
            memory.forget_plans();
        }
        world.crash(random);
        world.recover()?;
        world.look_at_everything()?;
        Ok(operations)
    }
}

/// What happens next.
#[derive(Debug)]
pub(super) enum Turn {
    /// Steps that get into one batch.
    Steps(Vec<Step>),
    Wait(u64),
    Read,
    Trim,
    Sync,
    Close,
    Crash,
    /// A crash or an error, so many operations from now.
    Plan(u64, Fault),
}

impl Turn {
    fn random(random: &mut Random, crashes: bool, world: &World) -> Turn {
        match random.below(100) {
            0..4 => Turn::Wait(random.pick(&[1, 30_000, 120_000, 4_000_000])),
            4..12 => Turn::Read,
            12..22 => Turn::Trim,
            22..24 => Turn::Sync,
            24..26 if crashes => Turn::Close,
            26..30 if crashes => Turn::Crash,
            30..33 if crashes && world.memory().is_some() => {
                let fault = match random.below(10) {
                    0 => Fault::NoSpace,
                    1 => Fault::FailedSync,
                    _ => Fault::Crash(survivors(random, world.settings.durability)),
                };
                Turn::Plan(1 + random.below(25) as u64, fault)
            }
            _ => {
                let connected = world.connected();
                let count = if random.percent(35) { 2 + random.below(4) } else { 1 };
                let mut steps: Vec<Step> = Vec::new();
                for _ in 0..count {
                    let step = Step::random(random, &connected);
                    let is_alone = steps.iter().all(|other| other.client() != step.client());
                    if is_alone || step.client().is_none() {
                        steps.push(step);
                    }
                }
                Turn::Steps(steps)
            }
        }
    }
}

impl World {
    fn take(&mut self, turn: &Turn, random: &mut Random) -> Judged {
        match turn {
            Turn::Steps(steps) => {
                let mut group = Vec::new();
                for step in steps {
                    group.extend(self.transaction(step)?);
                }
                if group.is_empty() {
                    return Ok(());
                }
                if group.len() > 1 {
                    self.coverage.count("batches of several transactions");
                }
                self.commit(group).map(drop)
            }
            Turn::Wait(millis) => {
                self.now_millis += millis;
                Ok(())
            }
            Turn::Read => self.read_somebody(random),
            Turn::Trim => self.trim(),
            Turn::Sync => self.sync(),
            Turn::Close => {
                self.close()?;
                self.coverage.count("orderly ends");
                self.recover()
            }
            Turn::Crash => {
                self.crash(random);
                self.coverage.count("crashes between steps");
                self.recover()
            }
            Turn::Plan(operations, fault) => {
                let memory = self.memory().expect("planned in memory only").clone();
                memory.plan(memory.operations() + operations, *fault);
                self.errors_planned += usize::from(matches!(fault, Fault::NoSpace | Fault::FailedSync));
                Ok(())
            }
        }
    }

    /// Who has a stored session and a connection.
    fn connected(&self) -> Vec<usize> {
        let readers = self.readers();
        (0..CLIENTS.len()).filter(|client| readers.iter().any(|name| name == CLIENTS[*client])).collect()
    }

    /// Between two operations.
    fn crash(&mut self, random: &mut Random) {
        let survivors = survivors(random, self.settings.durability);
        if let Some(memory) = self.memory() {
            memory.crash(survivors);
        }
        self.abandon();
    }
}

/// What a crash leaves; in the weakest mode only kills are survived.
fn survivors(random: &mut Random, durability: Durability) -> Survivors {
    match random.below(4) {
        0 => Survivors::All,
        1 => Survivors::Finished,
        _ if durability == Durability::Os => Survivors::Finished,
        _ => Survivors::First(random.pick(&[0, 0, 1, 2, 5])),
    }
}

pub(super) fn settings(random: &mut Random) -> Settings {
    let interval = Durability::Interval(Duration::from_secs(1));
    Settings {
        durability: random.pick(&[
            Durability::Fsync,
            Durability::Fsync,
            Durability::Fsync,
            interval,
            Durability::Os,
        ]),
        tail_cache_bytes: random.pick(&[0, 2000, 1_000_000]),
        trimming: Trimming {
            interval: Duration::from_secs(1),
            dead_bytes: random.pick(&[1, 1, u64::MAX]),
            stuck_after: random.pick(&[2, 10, 1000]),
            stuck_bytes: random.pick(&[1, 200, u64::MAX]),
        },
    }
}

/// The history that is taken alone tells what happens in it.
fn trace(seed: u64, what: &dyn std::fmt::Debug) {
    if wanted_seed() == Some(seed) {
        println!("{what:?}");
    }
}

/// The one history to be taken, if one is.
pub(super) fn wanted_seed() -> Option<u64> {
    std::env::var("BARNACLE_HISTORY").ok().map(|seed| seed.parse().expect("a seed is a number"))
}
