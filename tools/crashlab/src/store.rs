//! One store through its rounds: a broker that begins empty, its clients, and one fault after the other.

use crate::books::coverage::Coverage;
use crate::books::finding::Kind;
use crate::books::topics::PUBLISHERS;
use crate::clients::absent::Absent;
use crate::clients::habits::habits;
use crate::clients::mortal::{Heir, Mortal};
use crate::clients::publisher::Publisher;
use crate::clients::retained;
use crate::clients::subscriber::Subscriber;
use crate::fault::Fault;
use crate::options::Options;
use crate::random::Random;
use crate::report::{Mark, Round};
use crate::settle;
use crate::stage::disk::Disk;
use crate::stage::network::Network;
use crate::trial;
use crate::world::{Mode, World};
use barnacle_brokers::{Ended, Process};
use barnacle_wire::Version;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Threads of clients with wills.
const MORTALS: usize = 3;

/// Clients whose sessions expire.
const ABSENT: usize = 3;

/// Data directories of failed stores that are kept: the first ones.
const KEPT: u64 = 3;

/// A store in the middle of its rounds.
pub(crate) struct Store<'a> {
    pub(crate) options: &'a Options,
    pub(crate) world: &'a World,
    pub(crate) process: Process,
    pub(crate) disk: Disk,
    /// What had hit on the disk when it was looked at last.
    pub(crate) disk_hits: u64,
    pub(crate) network: Network,
    pub(crate) random: Random,
    pub(crate) marks: Vec<Mark>,
    /// From the start of the process to its first CONNACK, the last time.
    pub(crate) ready: Duration,
    /// Whether clients with wills are among the clients.
    has_wills: bool,
    number: u64,
}

impl Store<'_> {
    /// Runs the rounds of store `number`. Errs if something other than the broker failed.
    pub(crate) fn run(
        options: &Options,
        program: &Path,
        number: u64,
        told: &(dyn Fn(&Round) + Sync),
    ) -> Result<(Vec<Round>, Coverage), String> {
        let setup = |error: std::io::Error| format!("making a place for the broker: {error}");
        let mut builder = tempfile::Builder::new();
        builder.prefix("crashlab-");
        let directory = match &options.work_dir {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let directory = directory.map_err(setup)?;
        let work = directory.path().join("work");
        std::fs::create_dir(&work).map_err(setup)?;
        let needs_fault_disk = options.faults.iter().any(|fault| fault.needs_fault_disk());
        let disk = Disk::new(directory.path(), needs_fault_disk)?;
        let process = Process::new(&options.profile, program, disk.data(), &work)?;
        let random = Random::new(options.seed).fork(number + 1);
        let speaks = options.profile.speaks;
        let habits = habits(&random, speaks);
        let needs_proxy = options.faults.iter().any(|fault| fault.needs_proxy());
        let network = Network::new(process.address, needs_proxy)?;
        let world = World::new(network.address, speaks, habits.len());
        let mut store = Store {
            options,
            world: &world,
            process,
            disk,
            disk_hits: 0,
            network,
            random: random.fork(0),
            marks: Vec::new(),
            ready: Duration::ZERO,
            has_wills: speaks.wills && number.is_multiple_of(3),
            number,
        };
        let result = std::thread::scope(|scope| {
            let _stop = StopOnDrop(&world);
            store.start()?;
            for index in 0..PUBLISHERS {
                let publisher = Publisher::new(&world, index, random.fork(100 + index as u64));
                scope.spawn(move || publisher.run());
            }
            for (index, habits) in habits.iter().enumerate() {
                let subscriber =
                    Subscriber::new(&world, index, habits.clone(), random.fork(200 + index as u64));
                scope.spawn(move || subscriber.run());
            }
            if speaks.v5 && speaks.session_expiry {
                for name in 0..ABSENT {
                    let absent = Absent::new(&world, name, random.fork(400 + name as u64));
                    scope.spawn(move || absent.run());
                }
            }
            if store.has_wills {
                // Before anybody has a will, somebody must wait for it.
                let mut heir = Heir::new(&world);
                heir.prepare()?;
                scope.spawn(move || heir.run());
                for name in 0..MORTALS {
                    let mortal = Mortal::new(&world, name, random.fork(300 + name as u64));
                    scope.spawn(move || mortal.run());
                }
            }
            store.rounds(told)
        });
        // The broker ends before its disk is taken away, and the disk before its directory.
        let Store { process, disk, .. } = store;
        drop(process);
        drop(disk);
        let mut rounds = result?;
        let coverage = world.books().coverage.clone();
        if let Some(failed) = rounds.iter_mut().find(|round| !round.findings.is_empty()) {
            failed.kept = keep(directory);
        }
        Ok((rounds, coverage))
    }

    fn rounds(&mut self, told: &(dyn Fn(&Round) + Sync)) -> Result<Vec<Round>, String> {
        let first = self.number * self.options.rounds_per_store;
        let end = match self.options.only_round {
            Some(round) => round + 1,
            None => (first + self.options.rounds_per_store).min(self.options.rounds),
        };
        let mut rounds = Vec::new();
        for number in first..end {
            let faults = &self.options.faults;
            let fault = faults[usize::try_from(number).expect("a round's number is small") % faults.len()];
            let round = self.round(number, fault, number + 1 == end)?;
            told(&round);
            let has_failed = !round.findings.is_empty();
            rounds.push(round);
            if has_failed || trial::is_interrupted() {
                break;
            }
        }
        Ok(rounds)
    }

    /// Load, a fault, a return to order, and a look at what is left.
    fn round(&mut self, number: u64, fault: Fault, is_last: bool) -> Result<Round, String> {
        let begin = Instant::now();
        let (acknowledged, delivered) = {
            let mut books = self.world.books();
            books.acknowledged_at.clear();
            books.delivered_at.clear();
            (books.ledger.acknowledged, books.coverage.delivered)
        };
        self.marks.clear();
        self.mark(format!("round {number} begins"));
        // What the random choices of a round are does not depend on how the rounds before it went.
        self.random = Random::new(self.options.seed).fork(1_000_000 + number);
        self.world.set_trouble(false);
        self.world.set_mode(Mode::Load);
        let mut ready_ms = None;
        let mut lost = Vec::new();
        if settle::load(self) {
            let serves = self.inflict(fault)?;
            if serves {
                ready_ms = fault.is_crash().then(|| self.world.millis(self.ready));
                self.look(number);
                lost = settle::settle(self, self.has_wills && is_last);
                self.look(number + 1);
                self.world.set_trouble(false);
            }
        }
        self.mark("round ends".to_owned());
        let mut books = self.world.books();
        books.coverage.faults += 1;
        books.coverage.repeated = books.ledger.repeated;
        let acknowledged = books.ledger.acknowledged - acknowledged;
        books.coverage.acknowledged += acknowledged;
        let findings = std::mem::take(&mut books.findings);
        let delivered = books.coverage.delivered - delivered;
        let has_failed = !findings.is_empty();
        let timeline = has_failed.then(|| settle::timeline(self.world, &books, begin, &self.marks, lost));
        Ok(Round {
            round: number,
            store: self.number,
            fault,
            acknowledged,
            delivered,
            ready_ms,
            seconds: begin.elapsed().as_secs_f64(),
            findings,
            timeline,
            repeat: has_failed.then(|| self.options.repeat(number)),
            kept: None,
        })
    }

    /// Starts the broker; false, and a finding, if it does not come up.
    pub(crate) fn restart(&mut self) -> Result<bool, String> {
        match self.start() {
            Ok(()) => Ok(true),
            Err(text) => {
                self.world.found("the lab", Kind::Down.says(text), String::new());
                Ok(false)
            }
        }
    }

    fn start(&mut self) -> Result<(), String> {
        self.process.start()?;
        self.mark("the broker is started".to_owned());
        self.ready = self.process.wait_until_ready()?;
        self.mark("it answers".to_owned());
        Ok(())
    }

    /// Kills the broker, which the clients are told before. A broker that had ended by itself is a finding.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.world.breaking();
        let ended = self.process.kill()?;
        self.mark("killed".to_owned());
        self.expect_as_asked(ended);
        Ok(())
    }

    /// Whether the broker has ended by itself, which is a finding.
    pub(crate) fn process_is_gone(&mut self) -> bool {
        let status = self.process.ended();
        if let Some(status) = status {
            self.expect_as_asked(Ended::ByItself(status));
        }
        status.is_some()
    }

    /// Notes what was hit when the broker ended.
    pub(crate) fn note_crash(&mut self, at: Instant) {
        let mut books = self.world.books();
        let is_recent = |seen: Instant| seen <= at && at.duration_since(seen) < Duration::from_millis(50);
        let recent = books.acknowledged_at.iter().filter(|(seen, _)| is_recent(*seen)).count();
        books.coverage.crashes += 1;
        books.coverage.acknowledged_just_before += recent as u64;
        if !self.world.speaks.wills_after_crash {
            books.estate.checkpoint();
        }
    }

    /// A finding if the broker ended without being asked.
    pub(crate) fn expect_as_asked(&mut self, ended: Ended) {
        if let Ended::ByItself(status) = ended {
            let text =
                format!("the broker ended by itself ({status}); its log:\n{}", self.process.log_tail());
            self.world.found("the lab", Kind::Down.says(text), String::new());
        }
    }

    /// Writes something into the timeline.
    pub(crate) fn mark(&mut self, text: String) {
        self.marks.push(Mark { at_ms: self.world.millis(self.world.begin.elapsed()), text });
    }

    /// Looks at the retained messages with new eyes.
    fn look(&mut self, number: u64) {
        if !self.world.speaks.retained {
            return;
        }
        let is_older = number.is_multiple_of(2) || !self.world.speaks.v5;
        let version = if is_older { Version::V311 } else { Version::V5 };
        if let Err(wrong) = retained::look(self.world, version) {
            self.world.found("a new subscriber", wrong, String::new());
        }
    }
}

/// Tells the threads to end, however the rounds end: the scope waits for them.
struct StopOnDrop<'a>(&'a World);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set_mode(Mode::Stop);
    }
}

/// Keeps the directory, if not too many are kept already.
fn keep(directory: tempfile::TempDir) -> Option<std::path::PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    (COUNT.fetch_add(1, Ordering::Relaxed) < KEPT).then(|| directory.keep())
}
