//! What can happen in a step. To add something: a weight in [`ACTIONS`], and an arm in [`World::act`].

use barnacle_storage::{Fault, Survivors};
use barnacle_wire::Version;

use super::World;
use crate::client::Surroundings;
use crate::oracle::{Judged, Wish};
use crate::random::Random;

/// What somebody does.
#[derive(Clone, Copy, Debug)]
enum Action {
    Publish,
    Burst,
    Subscribe,
    Unsubscribe,
    Connect,
    /// A new session, whatever is open in the old one.
    Renew,
    Disconnect,
    Stall,
    Wait,
    Trim,
    Break,
}

/// How often each comes, beside the others.
const ACTIONS: [(Action, usize); 10] = [
    (Action::Publish, 34),
    (Action::Burst, 6),
    (Action::Subscribe, 14),
    (Action::Unsubscribe, 3),
    (Action::Connect, 20),
    (Action::Renew, 2),
    (Action::Disconnect, 4),
    (Action::Stall, 4),
    (Action::Wait, 4),
    (Action::Trim, 4),
];

/// What breaks.
#[derive(Clone, Copy, Debug)]
enum Break {
    Cut,
    Vanish,
    Kill,
    PowerCut,
    CrashLater,
    FailedSync,
    /// The disk gives nothing for some reads, one after the other or with others between.
    FailedReads,
    NoSpace,
    FullDisk,
    Room,
    Stop,
}

const BREAKS: [(Break, usize); 11] = [
    (Break::Cut, 20),
    (Break::Vanish, 8),
    (Break::Kill, 8),
    (Break::PowerCut, 6),
    (Break::CrashLater, 30),
    (Break::FailedSync, 6),
    (Break::FailedReads, 10),
    (Break::NoSpace, 4),
    (Break::FullDisk, 4),
    (Break::Room, 8),
    (Break::Stop, 3),
];

/// What clients subscribe to. A message comes by a shared subscription or by others, never by both: which it was, nobody
/// could tell.
const FILTERS: [&str; 6] = ["t/0", "t/1", "t/+", "t/#", "r/#", "w/#"];
const GROUPS: [&str; 2] = ["$share/a/g/#", "$share/b/g/#"];
const TOPICS: [&str; 5] = ["t/0", "t/1", "t/2", "r/0", "r/1"];

fn weighted<T: Copy>(random: &mut Random, table: &[(T, usize)]) -> T {
    let mut left = random.below(table.iter().map(|(_, weight)| weight).sum());
    for (what, weight) in table {
        if left < *weight {
            return *what;
        }
        left -= weight;
    }
    unreachable!("the weights were just added up")
}

impl World {
    /// One step.
    pub(super) async fn act(&mut self, random: &mut Random) -> Judged {
        let breaks = random.percent(self.scenario.faults_percent);
        let action = if breaks { Action::Break } else { weighted(random, &ACTIONS) };
        let client = random.below(self.clients.len());
        match action {
            Action::Publish => self.publish(client, random),
            Action::Burst => (0..3).for_each(|_| self.publish(client, random)),
            Action::Subscribe => self.subscribe(client, random),
            Action::Unsubscribe => {
                let filter = self.filter(client, random);
                self.with(client, |client, around| client.unsubscribe(filter, around));
            }
            Action::Connect => {
                // Who is connected tries again now and then: a take-over.
                let connected = self.clients[client].is_connected();
                if !connected || random.percent(10) {
                    if connected {
                        self.trace.count("take-overs");
                    }
                    self.connect(client, random.percent(self.scenario.clean_percent));
                }
            }
            Action::Renew => self.connect(client, true),
            Action::Disconnect => self.with(client, |client, around| client.disconnect(around)),
            Action::Stall => self.clients[client].stall(1 + random.below(20) as u32),
            Action::Wait => return self.wait(random).await,
            Action::Trim => {
                let fate = self.machine.trim();
                self.trace.count("turns of the trimmer");
                return self.meet(fate).await;
            }
            Action::Break => return self.break_something(client, random).await,
        }
        Ok(())
    }

    fn with(&mut self, client: usize, act: impl FnOnce(&mut crate::client::Client, &mut Surroundings<'_>)) {
        let mut around =
            Surroundings { oracle: &mut self.oracle, trace: &mut self.trace, resting: self.resting };
        act(&mut self.clients[client], &mut around);
    }

    fn publish(&mut self, client: usize, random: &mut Random) {
        let shared = random.percent(self.scenario.shared_percent);
        let topic = if shared { random.pick(&["g/0", "g/1"]) } else { random.pick(&TOPICS) };
        let qos = random.pick(&[0, 1, 1, 2, 2]);
        let retain = qos > 0 && topic.starts_with('r') && random.percent(60);
        let clears = retain && random.percent(20);
        // What is retained stays: when a topic has lost its message, nobody could tell.
        let expires = !retain && random.percent(self.scenario.expiring_percent);
        let expiry = expires.then(|| random.pick(&[1, 5, 60]));
        self.with(client, |client, around| client.publish(topic, qos, retain, clears, expiry, around));
    }

    fn filter(&self, client: usize, random: &mut Random) -> &'static str {
        // Most are of one group.
        let shared = random.percent(self.scenario.shared_percent);
        if shared { GROUPS[client / 4] } else { random.pick(&FILTERS) }
    }

    fn subscribe(&mut self, client: usize, random: &mut Random) {
        let filter = self.filter(client, random);
        let least = u64::from(filter.starts_with('$') || random.percent(85));
        let qos = random.between(least, 2) as u8;
        let v5 = self.clients[client].role.version == Version::V5;
        // No Local on a shared subscription is a protocol error [MQTT-3.8.3-4].
        let no_local = random.percent(15) && v5 && !filter.starts_with('$');
        let retain_as_published = random.percent(25) && v5;
        if no_local {
            self.trace.count("subscriptions with No Local");
        }
        if retain_as_published {
            self.trace.count("subscriptions with Retain As Published");
        }
        let wish = Wish { qos, no_local, retain_as_published };
        self.with(client, |client, around| client.subscribe(filter, wish, around));
    }

    /// A longer time, in which keep-alives, expiries and wills fall due.
    async fn wait(&mut self, random: &mut Random) -> Judged {
        let millis = random.pick(&[500, 3_000, 10_000, 40_000, 120_000]);
        self.trace.note(format_args!("{millis} ms pass"));
        for _ in 0..10 {
            self.pass(millis / 10).await?;
            self.commit().await?;
        }
        Ok(())
    }

    async fn break_something(&mut self, client: usize, random: &mut Random) -> Judged {
        let what = weighted(random, &BREAKS);
        self.down_for = 1 + random.below(6);
        match what {
            Break::Cut => self.with(client, |client, around| client.cut(around)),
            Break::Vanish => self.with(client, |client, around| client.vanish(around)),
            Break::Kill if self.machine.is_up() => {
                self.trace.note(format_args!("the broker is killed"));
                self.trace.count("kills between operations");
                self.die(Survivors::Finished).await?;
            }
            Break::PowerCut if self.machine.is_up() => {
                self.trace.note(format_args!("the power is cut"));
                self.trace.count("power cuts between operations");
                self.die(Survivors::First(random.below(2))).await?;
            }
            Break::CrashLater => {
                let survivors = random.pick(&[
                    Survivors::All,
                    Survivors::Finished,
                    Survivors::First(0),
                    Survivors::First(1),
                ]);
                self.machine.plan(random.between(1, 40), Fault::Crash(survivors));
            }
            Break::FailedSync => self.machine.plan(random.between(1, 20), Fault::FailedSync),
            Break::FailedReads => {
                let (from, apart) = (random.between(1, 20), random.pick(&[1, 1, 5]));
                for read in 0..random.pick(&[1, 4, 40]) {
                    self.machine.plan(from + read * apart, Fault::FailedRead);
                }
            }
            Break::NoSpace => self.machine.plan(random.between(1, 20), Fault::NoSpace),
            Break::FullDisk => {
                self.trace.note(format_args!("the disk is full"));
                self.trace.count("full disks");
                self.machine.find_space(true);
            }
            Break::Room => self.machine.find_space(false),
            Break::Stop if self.machine.is_up() => {
                self.trace.note(format_args!("the broker is asked to stop"));
                self.machine.stop();
                self.clients.iter_mut().for_each(crate::client::Client::doubt);
                self.stopping = true;
            }
            Break::Kill | Break::PowerCut | Break::Stop => {}
        }
        Ok(())
    }
}
