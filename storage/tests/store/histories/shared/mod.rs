//! Random histories of a group under a limit, crashed at any operation, on both engines: each message that was acknowledged
//! waits, is held by one member, was acknowledged by one, or is counted for its reason; and what comes back after a crash is
//! the state before or behind the transaction that it interrupted, and nothing else.

mod model;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use barnacle_storage::*;

use self::model::{Counts, Held, Model};
use super::coverage::Coverage;
use super::random::Random;
use super::world::interruptible;
use crate::support::{self, ALL, NOW, exchange, subscription};

const JOBS: &str = "$share/crew/jobs";
const TOPIC: &str = "jobs";
const NAMES: [&str; 3] = ["a", "b", "c"];
const POLICIES: [Policy; 3] = [Policy::DropOldest, Policy::DropNewest, Policy::Reject];
/// Messages that may wait for the group.
const MOST: u64 = 6;

/// Where a history takes place.
enum Place {
    Memory(Memory),
    Directory(PathBuf),
}

struct Trial {
    place: Place,
    open: Option<(Store, Stepper)>,
    /// The attachments of this life of the store.
    fences: BTreeMap<&'static str, (SessionId, Epoch)>,
    model: Model,
    random: Random,
    connection: u64,
    coverage: Coverage,
}

/// What the store does not do as the oracle has it.
#[derive(Debug)]
struct Wrong(String);

impl Trial {
    fn new(place: Place, seed: u64) -> Trial {
        let mut random = Random::new(seed);
        let model = Model::new(random.pick(&POLICIES), MOST);
        let (open, fences, coverage) = (None, BTreeMap::new(), Coverage::default());
        Trial { place, open, fences, model, random, connection: 0, coverage }
    }

    fn options(&self) -> Options {
        let mut options = match &self.place {
            Place::Memory(disk) => Options::in_memory(disk),
            Place::Directory(path) => Options::new(path),
        };
        options.space.ballast_bytes = 0;
        options.trimming.dead_bytes = 0;
        let group = Limit { max_messages: Some(MOST), max_bytes: None, policy: self.model.policy };
        options.limits = Limits { group, ..Limits::default() };
        options
    }

    fn reopen(&mut self) -> Result<(), Wrong> {
        self.open = None;
        self.fences.clear();
        let (store, stepper, _) = Store::open_stepped(self.options(), NOW).expect("the store opens");
        let head = store.head();
        self.open = Some((store, stepper));
        if self.model.reopened(head) { Ok(()) } else { Err(self.differs("the head", &head)) }
    }

    fn store(&self) -> &Store {
        &self.open.as_ref().expect("it is open").0
    }

    fn step(&mut self) -> Result<(), Wrong> {
        let name = self.random.pick(&NAMES);
        let member = self.model.members.contains_key(name);
        match self.random.below(20) {
            0..=1 if member => self.end(name),
            _ if !member => self.join(name),
            2..=8 => self.publish(),
            9..=13 => self.take(name),
            14..=16 => self.answer(name),
            17 => self.give_back(name),
            18 => {
                self.store().trim();
                self.commit(None, Vec::new(), &[], |_| {}).map(drop)
            }
            _ => {
                self.fences.remove(name);
                self.attach(name)
            }
        }
    }

    /// Commits one transaction, and has the oracle do the same. A crash leaves the oracle where it was; whoever catches it finds
    /// out which of the two it is.
    fn commit(
        &mut self,
        name: Option<&'static str>,
        operations: Vec<Operation>,
        reserved: &[Lsn],
        change: impl FnOnce(&mut Model),
    ) -> Result<Committed, Wrong> {
        let fence = name.map(|name| self.fences[name]);
        let operations = if operations.is_empty() { vec![Operation::TakePosition] } else { operations };
        let mut after = self.model.clone();
        after.settle(reserved);
        change(&mut after);
        after.check();
        let (store, stepper) = self.open.as_mut().expect("it is open");
        let (answer, answered) = std::sync::mpsc::channel();
        store.submit(Transaction { fence, operations }, move |outcome| {
            // After a crash nobody waits any more.
            drop(answer.send(outcome));
        });
        let before = std::mem::replace(&mut self.model, after);
        if interruptible(|| while stepper.commit() {}).is_err() {
            return Err(self.judge_crash(before));
        }
        match answered.recv().expect("answered") {
            Ok(Outcome::Committed(committed)) => self.expect_counts().map(|()| committed),
            other => Err(Wrong(format!("{other:?} where a commit belongs"))),
        }
    }

    fn expect_counts(&self) -> Result<(), Wrong> {
        let found = counts(self.store());
        if found == self.model.dropped { Ok(()) } else { Err(self.differs("counts", &found)) }
    }

    fn differs(&self, what: &str, found: &dyn std::fmt::Debug) -> Wrong {
        Wrong(format!("{what}: {found:?}\nthe oracle has {:?}", self.model))
    }

    fn attach(&mut self, name: &'static str) -> Result<(), Wrong> {
        let attach = Attach { session_expiry_interval: u32::MAX, ..support::attach(name) };
        let committed = self.commit(None, vec![Operation::Attach(attach)], &[], |_| {})?;
        let Some(Answer::Attached(attached)) = committed.answers.into_iter().next() else {
            return Err(Wrong("ATTACH is not answered".to_owned()));
        };
        let session = attached.session.expect("it is stored");
        self.fences.insert(name, (session.id, session.epoch));
        let held = self.model.members.get(name).cloned().unwrap_or_default();
        let found = held_by(&session.outbound);
        if found == held { Ok(()) } else { Err(self.differs(name, &found)) }
    }

    fn join(&mut self, name: &'static str) -> Result<(), Wrong> {
        self.attach(name)?;
        let operations = vec![Operation::Subscribe(vec![subscription(JOBS, 2)])];
        let joined = |model: &mut Model| drop(model.members.insert(name, Vec::new()));
        self.commit(Some(name), operations, &[], joined).map(drop)
    }

    fn end(&mut self, name: &'static str) -> Result<(), Wrong> {
        self.know(name)?;
        self.coverage.count("sessions ended");
        self.commit(Some(name), vec![Operation::End], &[], |model| model.end(name))?;
        self.fences.remove(name);
        Ok(())
    }

    /// Of this life of the store, the session has a connection.
    fn know(&mut self, name: &'static str) -> Result<(), Wrong> {
        if self.fences.contains_key(name) { Ok(()) } else { self.attach(name) }
    }

    fn publish(&mut self) -> Result<(), Wrong> {
        let refusable = self.random.percent(70);
        let count = 1 + self.random.below(4);
        let operation = |_| {
            let publish = support::new_publish(self.store(), TOPIC, "job");
            Operation::Publish(Publish { refusable, qos: 2, ..publish })
        };
        let operations: Vec<Operation> = (0..count).map(operation).collect();
        let mut refused = Vec::new();
        let committed = self.commit(None, operations, &[], |model| {
            refused = (0..count).filter(|_| !model.publish(refusable)).collect();
        })?;
        self.coverage.add("publishes refused", refused.len() as u64);
        let same = committed.refused == refused;
        if same { Ok(()) } else { Err(self.differs("refused", &committed.refused)) }
    }

    /// A member pulls, and records the exchanges in the transaction that takes.
    fn take(&mut self, name: &'static str) -> Result<(), Wrong> {
        self.know(name)?;
        self.connection += 1;
        let connection = self.connection;
        let Some(member) = self.store().group_member(JOBS, connection, Arc::new(|| {})) else {
            return Err(self.differs("the group", &"is not there"));
        };
        let budget = Budget { messages: 1 + self.random.below(4), bytes: usize::MAX };
        let pulled = self.store().pull(&member, budget).map_err(|error| Wrong(error.to_string()))?;
        let lsns: Vec<Lsn> = pulled.iter().map(|pulled| pulled.entry.lsn).collect();
        if !self.model.waiting.iter().take(lsns.len()).eq(&lsns) {
            return Err(self.differs("pulled", &lsns));
        }
        let held = &self.model.members[name];
        let room = (1..=50_u16).filter(|id| held.iter().all(|held| held.packet_id != *id));
        let qos = 1 + (self.random.below(2) as u8);
        let begun: Vec<Exchange> = pulled
            .iter()
            .zip(room)
            .map(|(pulled, id)| Exchange { qos, ..exchange(id, &pulled.entry) })
            .collect();
        if begun.len() < pulled.len() || pulled.is_empty() {
            return Ok(());
        }
        let mut all = held.clone();
        all.extend(begun.iter().map(|begun| Held { packet_id: begun.packet_id, lsn: begun.lsn, qos }));
        let take = GroupTake {
            filter: JOBS.into(),
            member: connection,
            taken: pulled.iter().map(|pulled| pulled.span).collect(),
            ..GroupTake::default()
        };
        let operations =
            vec![Operation::SaveOutbound(outbound(&all, member.log())), Operation::TakeFromGroup(take)];
        self.coverage.add("messages taken", lsns.len() as u64);
        let taken = self.commit(Some(name), operations, &lsns, |model| {
            model.waiting.retain(|lsn| !lsns.contains(lsn));
            model.members.insert(name, all);
        });
        drop(member);
        taken.map(drop)
    }

    fn answer(&mut self, name: &'static str) -> Result<(), Wrong> {
        let Some((mut left, _)) = self.without_one(name) else { return Ok(()) };
        self.know(name)?;
        let refuses = self.random.percent(30);
        let log = self.log();
        let mut operations = vec![Operation::SaveOutbound(outbound(&left, log))];
        if refuses {
            operations.push(Operation::CountRefused(vec![log]));
        }
        self.coverage.count(if refuses { "messages refused by members" } else { "messages acknowledged" });
        self.commit(Some(name), operations, &[], |model| {
            std::mem::swap(model.members.get_mut(name).expect("a member"), &mut left);
            match refuses {
                true => model.dropped.add(DropReason::GroupRefused, 1),
                false => model.done += 1,
            }
        })
        .map(drop)
    }

    /// What was taken and never sent goes back.
    fn give_back(&mut self, name: &'static str) -> Result<(), Wrong> {
        let Some((left, lsn)) = self.without_one(name) else { return Ok(()) };
        self.know(name)?;
        let log = self.log();
        let operations = vec![
            Operation::ReturnToGroup { log, unsent: vec![lsn] },
            Operation::SaveOutbound(outbound(&left, log)),
        ];
        self.coverage.count("messages given back");
        self.commit(Some(name), operations, &[], |model| {
            model.members.insert(name, left);
            model.waiting.insert(lsn);
        })
        .map(drop)
    }

    /// A member's exchanges without one of them, and that one's message.
    fn without_one(&mut self, name: &str) -> Option<(Vec<Held>, Lsn)> {
        let mut held = self.model.members[name].clone();
        let at = (!held.is_empty()).then(|| self.random.below(held.len()))?;
        let lsn = held.remove(at).lsn;
        Some((held, lsn))
    }

    fn log(&self) -> LogId {
        let member = self.store().group_member(JOBS, u64::MAX - 1, Arc::new(|| {}));
        member.expect("the group is there").log()
    }

    /// The disk has crashed under a transaction: the store comes back as it was before it, or behind it.
    fn judge_crash(&mut self, before: Model) -> Wrong {
        let Place::Memory(disk) = &self.place else { return Wrong("RocksDB does not crash so".to_owned()) };
        disk.forget_plans();
        let after = self.model.clone();
        let mut tried = Vec::new();
        let disk = disk.fork();
        for candidate in [after, before] {
            let mut copy = Trial::new(Place::Memory(disk.fork()), 0);
            copy.model = candidate;
            match copy.reopen().and_then(|()| copy.look_through()) {
                Ok(()) => {
                    self.model = copy.model;
                    self.place = copy.place;
                    (self.open, self.fences) = (copy.open, copy.fences);
                    return Wrong(String::new());
                }
                Err(Wrong(complaint)) => tried.push(complaint),
            }
        }
        Wrong(tried.join("\nand, taken for not committed:\n"))
    }

    /// Compares all that can be seen.
    fn look_through(&mut self) -> Result<(), Wrong> {
        self.expect_counts()?;
        for name in NAMES {
            if self.model.members.contains_key(name) {
                self.attach(name)?;
            }
        }
        let member = self.store().group_member(JOBS, u64::MAX - 2, Arc::new(|| {}));
        let mut waiting = Vec::new();
        if let Some(member) = &member {
            loop {
                let pulled = self.store().pull(member, ALL).map_err(|error| Wrong(error.to_string()))?;
                if pulled.is_empty() {
                    break;
                }
                waiting.extend(pulled.into_iter().map(|pulled| pulled.entry.lsn));
            }
        }
        let backlog = self.store().group_backlog(JOBS).map_err(|error| Wrong(error.to_string()))?;
        let (same, is_there) = (self.model.waiting.iter().eq(&waiting), !self.model.members.is_empty());
        let counted = backlog.map_or(0, |load| load.messages) == waiting.len() as u64;
        let alike = same && counted && is_there == member.is_some();
        if alike { Ok(()) } else { Err(self.differs("what waits", &(waiting, backlog))) }
    }

    /// Takes steps; a crash on the way is judged, and the history goes on behind it.
    fn run(&mut self, steps: usize, crashes: bool) -> Result<(), Wrong> {
        self.reopen()?;
        for _ in 0..steps {
            if crashes && self.random.percent(4) {
                self.coverage.count("crashes between steps");
                self.reopen()?;
                self.look_through()?;
            }
            match self.step() {
                Err(Wrong(complaint)) if complaint.is_empty() => self.coverage.count("crashes within a step"),
                other => other?,
            }
        }
        self.look_through()?;
        for (reason, messages) in &self.model.dropped.0 {
            self.coverage.add(reason.name(), *messages);
        }
        Ok(())
    }
}

fn outbound(held: &[Held], log: LogId) -> Outbound {
    let open = held.iter().map(|held| Exchange {
        packet_id: held.packet_id,
        lsn: held.lsn,
        log,
        qos: held.qos,
        received: false,
        retain: false,
        subscription_identifiers: Vec::new(),
    });
    Outbound { position: Lsn(0), last_packet_id: 0, open: open.collect() }
}

fn held_by(outbound: &Outbound) -> Vec<Held> {
    let held = |open: &Exchange| Held { packet_id: open.packet_id, lsn: open.lsn, qos: open.qos };
    outbound.open.iter().map(held).collect()
}

fn counts(store: &Store) -> Counts {
    let mut counts = Counts::default();
    for (reason, dropped) in store.drops().iter() {
        counts.add(reason, dropped.at_most());
    }
    counts
}

const WANTED: [&str; 10] = [
    "crashes between steps",
    "group_limit",
    "group_discarded",
    "group_refused",
    "unsubscribed",
    "messages taken",
    "messages acknowledged",
    "messages given back",
    "publishes refused",
    "sessions ended",
];

#[test]
fn histories_of_a_group_crashed_at_any_operation() {
    const HISTORIES: u64 = 300;
    const FROM: u64 = 4_000_000;
    let mut coverage = Coverage::default();
    for seed in FROM..FROM + HISTORIES {
        let disk = Memory::new();
        let mut random = Random::new(!seed);
        let survivors = random.pick(&[Survivors::All, Survivors::Finished, Survivors::First(0)]);
        disk.plan(20 + random.below(200) as u64, Fault::Crash(survivors));
        let mut trial = Trial::new(Place::Memory(disk), seed);
        // A crash while the store is opened, or is looked at, is another test's.
        match std::panic::catch_unwind(AssertUnwindSafe(|| trial.run(80, true))) {
            Ok(Ok(())) => coverage.merge(trial.coverage),
            Ok(Err(Wrong(complaint))) => panic!("seed {seed}:\n{complaint}"),
            Err(payload) if Crashed::is(&*payload) => coverage.count("crashes elsewhere"),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }
    coverage.require("groups", &WANTED);
    coverage.require("groups", &["crashes within a step"]);
}

#[test]
fn histories_of_a_group_on_rocksdb() {
    let mut coverage = Coverage::default();
    for seed in 4_100_000..4_100_006 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut trial = Trial::new(Place::Directory(directory.path().to_owned()), seed);
        match trial.run(150, true) {
            Ok(()) => coverage.merge(trial.coverage),
            Err(Wrong(complaint)) => panic!("seed {seed}:\n{complaint}"),
        }
    }
    coverage.require("groups on RocksDB", &["crashes between steps", "messages taken", "group_limit"]);
}

/// The oracle is tried itself: rows and blocks that are lost are found.
#[test]
fn faults_planted_under_a_group_are_found() {
    for fault in [Fault::LostRow, Fault::LostBlock] {
        let is_found = |seed: &u64| {
            let disk = Memory::new();
            disk.plan(30 + seed % 60, fault);
            let mut trial = Trial::new(Place::Memory(disk), *seed);
            !matches!(std::panic::catch_unwind(AssertUnwindSafe(|| trial.run(80, true))), Ok(Ok(())))
        };
        let found = (4_200_000_u64..4_200_100).filter(is_found).count();
        println!("{fault:?}: found in {found} of 100 histories");
        assert!(found >= 10, "{fault:?} was found in {found} of 100 histories only");
    }
}
