//! The kill campaign: the broker is killed at random points under load, again and again, and clients that keep their
//! sessions check that every promise holds. `BARNACLE_KILL_SEED` and `BARNACLE_KILL_ROUNDS` repeat or lengthen a run.
//!
//! [`world`] is what the threads share; [`publisher`]s and [`subscriber`]s are the clients, each with what a client
//! keeps across connections ([`outbound`], [`inbound`]) and the rules for what a server may send it; [`mortal`]s have
//! wills. The [`ledger`] and the [`session`]s in it know who is owed what, the [`crew`] what the members of a shared
//! subscription are owed together, the [`estate`] what becomes of wills; [`retained`] looks with new eyes; [`report`]
//! counts what the kills hit.

pub(crate) mod broker;
mod crew;
mod estate;
mod inbound;
mod ledger;
mod link;
mod message;
mod mortal;
mod outbound;
mod publisher;
mod random;
mod report;
mod retained;
mod session;
mod subscriber;
mod topics;
mod world;

use barnacle_wire::Version;
use broker::Broker;
use mortal::{Heir, Mortal};
use publisher::Publisher;
use random::Random;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};
use subscriber::{Habits, Subscriber};
use topics::{PUBLISHERS, crew_filter, filters};
use world::{Books, Mode, World};

/// Rounds of a campaign; each ends with a kill.
const ROUNDS: u64 = 42;

/// Messages acknowledged in a round before it may end.
const ACKNOWLEDGED: u64 = 500;

/// Threads of clients with wills.
const MORTALS: usize = 3;

/// How long the broker may take to listen.
const START: Duration = Duration::from_secs(20);

/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn campaign_of_kills_loses_nothing_acknowledged() {
    let seed = setting("BARNACLE_KILL_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970");
        u64::from(since.subsec_nanos()) ^ since.as_secs() << 20
    });
    let rounds = setting("BARNACLE_KILL_ROUNDS").unwrap_or(ROUNDS);
    let directory = tempfile::tempdir().expect("a directory for the broker");
    let mut broker = Broker::new(directory.path(), &[]).expect("a free port");
    let random = Random::new(seed);
    let habits = habits(&random);
    let world = World::new(broker.address, habits.len());
    tell(&format!("kill campaign: seed {seed}, {rounds} rounds"));
    let result = std::thread::scope(|scope| {
        let _stop = StopOnDrop(&world);
        for index in 0..PUBLISHERS {
            let publisher = Publisher::new(&world, index, random.fork(100 + index as u64));
            scope.spawn(move || publisher.run());
        }
        for (index, habits) in habits.iter().enumerate() {
            let subscriber = Subscriber::new(&world, index, habits.clone(), random.fork(200 + index as u64));
            scope.spawn(move || subscriber.run());
        }
        let mut campaign = Campaign { world: &world, broker: &mut broker, random: random.fork(0) };
        campaign.start()?;
        // Before anybody has a will, somebody must wait for it.
        let mut heir = Heir::new(&world);
        heir.prepare()?;
        scope.spawn(move || heir.run());
        for name in 0..MORTALS {
            let mortal = Mortal::new(&world, name, random.fork(300 + name as u64));
            scope.spawn(move || mortal.run());
        }
        campaign.run(rounds)
    });
    let report = world.books().report.clone();
    tell(&format!("kill campaign: {:.1} s\n{report}", world.begin.elapsed().as_secs_f64()));
    if let Err(failure) = result {
        drop(broker);
        let kept = directory.keep();
        panic!("seed {seed}: {failure}\nThe data directory is kept in {}", kept.display());
    }
    assert_eq!(report.never_hit(), Vec::<&str>::new(), "the campaign never hit these");
    assert!(report.fewest_acknowledged >= ACKNOWLEDGED, "a round had too little load");
}

/// Tells the threads to end, however the campaign ends: the scope waits for them.
struct StopOnDrop<'a>(&'a World);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set_mode(Mode::Stop);
    }
}

/// The driver of a campaign.
struct Campaign<'a> {
    world: &'a World,
    broker: &'a mut Broker,
    random: Random,
}

impl Campaign<'_> {
    fn run(&mut self, rounds: u64) -> Result<(), String> {
        for round in 0..rounds {
            self.round(round).map_err(|failure| format!("round {round}: {failure}"))?;
            if round % 3 == 2 || round + 1 == rounds {
                self.settle().map_err(|failure| format!("after round {round}: {failure}"))?;
            }
        }
        self.world.set_mode(Mode::Stop);
        Ok(())
    }

    /// Load, a kill, perhaps more kills while it comes up again, and a first look at it.
    fn round(&mut self, round: u64) -> Result<(), String> {
        let before = self.world.books().ledger.acknowledged;
        self.world.books().acknowledged_at.clear();
        self.wait("messages are acknowledged", |world| {
            let acknowledged = world.books().ledger.acknowledged - before;
            if acknowledged >= ACKNOWLEDGED { Ok(()) } else { Err(format!("only {acknowledged} were")) }
        })?;
        std::thread::sleep(Duration::from_micros(self.random.below(200_000)));
        self.kill(before)?;
        for _ in 0..2 {
            if self.random.chance(3_000) {
                self.kill_in_recovery()?;
            }
        }
        self.start()?;
        retained::look(self.world, if round.is_multiple_of(2) { Version::V5 } else { Version::V311 })?;
        self.violations()
    }

    fn kill(&mut self, before: u64) -> Result<(), String> {
        self.world.killing();
        let at = Instant::now();
        self.broker.kill()?;
        let mut books = self.world.books();
        let acknowledged = books.ledger.acknowledged - before;
        let recent = |seen: &&Instant| **seen <= at && at.duration_since(**seen) < Duration::from_millis(50);
        let just_before = books.acknowledged_at.iter().filter(recent).count();
        let report = &mut books.report;
        report.kills += 1;
        report.acknowledged += acknowledged;
        let fewest =
            if report.kills == 1 { acknowledged } else { report.fewest_acknowledged.min(acknowledged) };
        report.fewest_acknowledged = fewest;
        report.acknowledged_just_before += just_before as u64;
        Ok(())
    }

    fn kill_in_recovery(&mut self) -> Result<(), String> {
        self.broker.start().map_err(|error| format!("starting the broker: {error}"))?;
        std::thread::sleep(Duration::from_micros(self.random.below(40_000)));
        let listened = self.broker.listens();
        self.world.killing();
        self.broker.kill()?;
        let report = &mut self.world.books().report;
        if listened {
            report.kills += 1;
        } else {
            report.kills_in_recovery += 1;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        self.broker.start().map_err(|error| format!("starting the broker: {error}"))?;
        self.broker.wait_until_it_listens(START).map(drop)
    }

    /// Lets every client finish what it began and every session fetch what it is owed.
    fn settle(&mut self) -> Result<(), String> {
        for waits in &mut self.world.books().unsettled {
            *waits = Some("has not looked yet".to_owned());
        }
        self.world.set_mode(Mode::Settle);
        self.wait("everything settles", |world| {
            let mut books = world.books();
            if books.ledger.in_flight() > 0 {
                return Err(format!("{} messages are not acknowledged", books.ledger.in_flight()));
            }
            let missing = books.ledger.missing(10);
            let missing_elsewhere = [books.crew.missing(&books.ledger, 10), books.estate.missing()].concat();
            let unsettled: Vec<String> = books
                .unsettled
                .iter()
                .enumerate()
                .filter_map(|(session, waits)| {
                    waits.as_ref().map(|waits| format!("session-{session}: {waits}"))
                })
                .collect();
            if missing.is_empty() && missing_elsewhere.is_empty() && unsettled.is_empty() {
                let Books { ledger, crew, .. } = &mut *books;
                ledger.checkpoint();
                crew.checkpoint(ledger);
                return Ok(());
            }
            let lost: Vec<String> = missing
                .iter()
                .map(|(session, id, topic)| {
                    format!("session-{session} lacks {id} on {}", topics::topics()[*topic])
                })
                .chain(missing_elsewhere)
                .collect();
            Err(format!("lost (the first ten): {lost:#?}\nunsettled: {}", unsettled.join("\n")))
        })?;
        retained::look(self.world, Version::V5)?;
        self.world.set_mode(Mode::Load);
        self.violations()
    }

    /// Waits until `done`, or says what `done` last said.
    fn wait(&mut self, what: &str, done: impl Fn(&World) -> Result<(), String>) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            self.violations()?;
            match done(self.world) {
                Ok(()) => return Ok(()),
                Err(why) if begin.elapsed() > PATIENCE => {
                    return Err(format!(
                        "waited {PATIENCE:?} until {what}: {why}\n{}",
                        self.broker.log_tail()
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn violations(&self) -> Result<(), String> {
        let books = self.world.books();
        let violations = &books.violations;
        if violations.is_empty() {
            return Ok(());
        }
        // The first is the cause of most of the others.
        let shown: Vec<&str> = violations.iter().take(3).map(String::as_str).collect();
        Err(format!("{} violations:\n{}", violations.len(), shown.join("\n")))
    }
}

/// Eight sessions: live ones, two that are mostly away, ones that are taken over, and ones that are ended and made
/// anew. Pairs share filters, so that logs of one session and logs of several are both in play.
fn habits(random: &Random) -> Vec<Habits> {
    let mut random = random.fork(1);
    let filter =
        |text: &str| filters().iter().position(|filter| filter == text).expect("a filter of the campaign");
    let one = |version, stable: &[(&str, u8)]| Habits {
        version,
        stable: stable.iter().map(|(text, qos)| (filter(text), *qos)).collect(),
        churn: 0,
        leave: 0,
        away: 0,
        take_over: 0,
        reset: 0,
        crew: false,
        passing: false,
    };
    let crew = |version, qos| Habits {
        stable: vec![(crew_filter(), qos)],
        crew: true,
        leave: 50,
        away: 200,
        ..one(version, &[])
    };
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
    ];
    for one in &mut habits {
        one.churn += random.below(50);
    }
    // The first two stay in the group. The others leave at QoS 1 what they have not acknowledged: nothing may be lost.
    habits.extend([
        crew(v5, 2),
        Habits { take_over: 50, ..crew(v311, 2) },
        Habits { reset: 100, ..crew(v5, 1) },
        Habits { passing: true, leave: 200, ..crew(v5, 1) },
    ]);
    habits
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("the setting is a number"))
}

/// Prints past the test runner's capture: what a campaign hit is worth seeing when it passes, too.
fn tell(text: &str) {
    // Nobody may be listening to standard error.
    let _ = writeln!(std::io::stderr(), "{text}");
}
