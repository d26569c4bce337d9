//! A run: the machine, the network and the clients, step by step, until everything comes to a rest.

mod actions;

use std::collections::BTreeMap;
use std::time::Duration;

use barnacle_storage::{DropReason, Survivors};
use barnacle_wire::Version;

use crate::client::{Client, Surroundings};
use crate::machine::{Fate, Machine};
use crate::network::Link;
use crate::oracle::{Books, Judged, Oracle, Wish, ensure};
use crate::random::Random;
use crate::scenario::{Role, Scenario};
use crate::steps::Steps;
use crate::trace::Trace;

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Told {
    /// Of every event.
    pub(crate) hash: u64,
    pub(crate) events: u64,
    /// Steps that it had.
    pub(crate) steps: usize,
    /// What was wrong, and the last events before.
    pub(crate) failure: Option<(String, Vec<String>)>,
    pub(crate) coverage: BTreeMap<&'static str, u64>,
}

/// Looks until everything must have come to a rest.
const LOOKS_AT_REST: usize = 3000;

pub(crate) struct World {
    scenario: Scenario,
    machine: Machine,
    /// All links, those whose client has left them too.
    links: Vec<Link>,
    clients: Vec<Client>,
    oracle: Oracle,
    trace: Trace,
    resting: bool,
    /// For so many steps the broker is not started.
    down_for: usize,
    stopping: bool,
    /// Reads for which the disk gave nothing, of the broker that runs.
    failed_reads: u64,
}

/// Runs a seed, with the steps that are wanted of it. Everything follows from these two.
pub(crate) fn run(seed: u64, steps: &Steps, prints: bool) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets");
    runtime.block_on(async {
        let scenario = Scenario::of(seed);
        let mut world = World::new(scenario, prints);
        let failure = world.live(steps).await.err();
        // Whatever still runs goes with the runtime.
        world.machine.kill(Survivors::Finished).await;
        Told {
            hash: world.trace.hash,
            events: world.trace.events,
            steps: world.scenario.steps,
            failure: failure.map(|failure| (failure, world.trace.last())),
            coverage: world.trace.coverage,
        }
    })
}

impl World {
    fn new(scenario: Scenario, prints: bool) -> World {
        let clients = scenario.roles.iter().enumerate();
        let clients =
            clients.map(|(number, role)| Client::new(number, role.clone(), scenario.seed)).collect();
        World {
            machine: Machine::new(&scenario),
            links: Vec::new(),
            clients,
            oracle: Oracle::default(),
            trace: Trace::new(prints),
            resting: false,
            down_for: 0,
            stopping: false,
            failed_reads: 0,
            scenario,
        }
    }

    async fn live(&mut self, steps: &Steps) -> Judged {
        for step in 0..self.scenario.steps {
            let mut random = Random::of(self.scenario.seed, "step", step as u64);
            if steps.has(step) {
                self.act(&mut random).await?;
            }
            self.settle(&mut random).await?;
        }
        self.rest().await
    }

    /// Lets time pass, and everything happen that follows.
    async fn settle(&mut self, random: &mut Random) -> Judged {
        let millis = match random.below(20) {
            0 => random.between(100, 400),
            1..5 => 0,
            _ => random.between(1, 10),
        };
        self.pass(millis).await?;
        self.count_failed_reads();
        self.judge_damage()?;
        if !self.machine.is_up() {
            self.down_for = self.down_for.saturating_sub(1);
            if self.down_for == 0 {
                self.start()?;
            }
        }
        if self.stopping || random.percent(self.scenario.commits_percent) {
            self.commit().await?;
        }
        if self.stopping && self.machine.has_stopped().await {
            self.stopping = false;
            self.trace.note(format_args!("the broker has stopped in order"));
            self.trace.count("orderly ends");
            self.down_for = random.below(4);
        }
        if random.percent(30) {
            let fate = self.machine.notify();
            self.meet(fate).await?;
        }
        Ok(())
    }

    /// The disk fails, it does not lie: what it has not given is there.
    fn judge_damage(&self) -> Judged {
        let (parts, messages) = self.machine.damage();
        ensure((parts, messages) == (0, 0), || {
            format!("{parts} parts of logs and {messages} messages pass for damaged, and nothing is")
        })
    }

    fn count_failed_reads(&mut self) {
        let before = std::mem::replace(&mut self.failed_reads, self.machine.failed_reads());
        (before..self.failed_reads).for_each(|_| self.trace.count("reads for which the disk gave nothing"));
    }

    /// Time passes, until the broker's tasks wait again; then the network and the clients have their turn.
    async fn pass(&mut self, millis: u64) -> Judged {
        if self.machine.is_full() {
            // It changes only in between, in the committer's turns and when the disk's space is looked at.
            self.clients.iter().for_each(|client| client.may_be_refused(&mut self.oracle));
        }
        for link in &self.links {
            link.deliver();
        }
        tokio::time::sleep(Duration::from_millis(millis.max(1))).await;
        let fate = self.machine.look_at_tasks();
        self.meet(fate).await?;
        self.links.retain(|link| {
            link.deliver();
            !link.is_over()
        });
        for client in &mut self.clients {
            let mut around =
                Surroundings { oracle: &mut self.oracle, trace: &mut self.trace, resting: self.resting };
            client.look(&mut around)?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Judged {
        if self.machine.has_work() {
            self.trace.note(format_args!("the committer has its turn"));
            let fate = self.machine.commit();
            self.meet(fate).await?;
        }
        Ok(())
    }

    /// What has become of the broker. What it had published before it died may still leave in its last moment.
    async fn meet(&mut self, fate: Fate) -> Judged {
        match fate {
            Fate::Lives => Ok(()),
            Fate::Panicked(message) => Err(format!("the broker has panicked: {message}")),
            Fate::Crashed => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.trace.note(format_args!("the broker has crashed in the middle of an operation"));
                self.trace.count("crashes in an operation");
                self.die(Survivors::Finished).await
            }
        }
    }

    async fn die(&mut self, survivors: Survivors) -> Judged {
        self.machine.kill(survivors).await;
        self.stopping = false;
        for link in &self.links {
            // What the broker had sent may have left the machine, or not.
            link.break_off();
        }
        Ok(())
    }

    fn start(&mut self) -> Judged {
        match self.machine.start() {
            Ok(()) => {
                self.trace.note(format_args!("the broker starts"));
                self.trace.count("starts");
                Ok(())
            }
            Err(reason) if reason.starts_with("PANIC") => Err(reason),
            Err(reason) => {
                self.trace.note(format_args!("the broker does not start: {reason}"));
                self.trace.count("starts that failed");
                Ok(())
            }
        }
    }

    fn connect(&mut self, client: usize, clean: bool) {
        if let Some(link) = self.machine.connect() {
            self.links.push(link.clone());
            let mut around =
                Surroundings { oracle: &mut self.oracle, trace: &mut self.trace, resting: self.resting };
            self.clients[client].connect(link, clean, &mut around);
        }
    }

    /// Nothing breaks any more: everybody comes back and finishes what is open. Then the books are closed.
    async fn rest(&mut self) -> Judged {
        self.trace.note(format_args!("everything comes to a rest"));
        self.resting = true;
        self.machine.memory.forget_plans();
        let mut random = Random::of(self.scenario.seed, "rest", 0);
        self.machine.find_space(false);
        for look in 0..LOOKS_AT_REST {
            if !self.machine.is_up() {
                self.start()?;
            }
            self.reconnect(look);
            self.pass(10).await?;
            self.commit().await?;
            let fate = self.machine.notify();
            self.meet(fate).await?;
            if self.stopping && self.machine.has_stopped().await {
                self.stopping = false;
            }
            if look % 16 == 15 && self.is_at_rest() {
                // What comes too often comes now.
                for _ in 0..20 {
                    self.settle(&mut random).await?;
                    self.commit().await?;
                }
                return self.judge().await;
            }
        }
        let unfinished =
            self.clients.iter().filter(|client| !client.is_at_rest()).map(|client| client.number);
        let unfinished: Vec<usize> = unfinished.collect();
        let missing = self.oracle.missing(&self.books());
        Err(format!("no rest: clients {unfinished:?} have not finished; missing: {missing:#?}"))
    }

    fn reconnect(&mut self, look: usize) {
        for client in 0..self.clients.len() {
            // One after the other; who waits for an answer for too long tries again.
            let waits = self.clients[client].is_connected();
            if !waits && look.is_multiple_of(client + 1)
                || (look % 512 == 511 && !self.clients[client].online)
            {
                self.connect(client, false);
            }
        }
    }

    /// What the broker has counted as dropped.
    fn books(&self) -> Books {
        let reasons = [DropReason::SessionLimit, DropReason::Expired];
        let of_client = |client: &Client| {
            let drops = self.machine.session_drops(&format!("c{}", client.number))?;
            let dropped = reasons.map(|reason| drops.get(reason));
            let at_most = dropped.iter().map(|dropped| dropped.at_most()).sum();
            Some((client.number, (at_most, dropped.iter().map(|dropped| dropped.exactly).sum())))
        };
        Books {
            now: self.trace.millis(),
            limits_sessions: self.scenario.limits.session.is_set(),
            limits_groups: self.scenario.limits.group.is_set(),
            sessions: self.clients.iter().filter_map(of_client).collect(),
            groups: self.machine.drops().get(DropReason::GroupLimit).exactly,
        }
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(Client::is_at_rest) && self.oracle.missing(&self.books()).is_empty()
    }

    /// Everybody has everything. What is retained, a newcomer tells.
    async fn judge(&mut self) -> Judged {
        let missing = self.oracle.missing(&self.books());
        ensure(missing.is_empty(), || format!("missing: {missing:#?}"))?;
        self.judge_damage()?;
        for (reason, what) in [
            (DropReason::SessionLimit, "messages dropped for the limit of a session"),
            (DropReason::GroupLimit, "messages dropped for the limit of a group"),
            (DropReason::Expired, "messages dropped because they had expired"),
        ] {
            let dropped = self.machine.drops().get(reason).at_most();
            (0..dropped).for_each(|_| self.trace.count(what));
        }
        let role = Role {
            version: Version::V5,
            session_expiry: 0,
            receive_maximum: 100,
            keep_alive: 0,
            will: false,
            answers_percent: 100,
        };
        let newcomer = self.clients.len();
        self.clients.push(Client::new(newcomer, role, self.scenario.seed));
        self.connect(newcomer, true);
        for look in 0..300 {
            self.pass(10).await?;
            self.commit().await?;
            if look == 150 {
                ensure(self.clients[newcomer].online, || "a newcomer is not let in".to_owned())?;
                let mut around =
                    Surroundings { oracle: &mut self.oracle, trace: &mut self.trace, resting: true };
                self.clients[newcomer].subscribe("r/#", Wish::of(1), &mut around);
            }
        }
        ensure(self.clients[newcomer].is_at_rest(), || "a newcomer gets no answer".to_owned())?;
        for topic in ["r/0", "r/1"] {
            let found = self.clients[newcomer].retained.get(topic).copied();
            self.oracle.judge_at_rest(topic, found)?;
        }
        Ok(())
    }
}
