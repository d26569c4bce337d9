//! The migration on RocksDB, in a process that is killed before, while and after each of its batches is written.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use super::super::*;
use super::{Place, expect_all_of, plant, schema};
use crate::Options;
use crate::engine::{self, Opened, SetAside, View};
use crate::floors::Floors;

/// Tells a child where the store is, and when it is to die: a moment and the number of the batch.
const CHILD_DIRECTORY: &str = "BARNACLE_TEST_MIGRATION_DIRECTORY";
const CHILD_MOMENT: &str = "BARNACLE_TEST_MIGRATION_MOMENT";

/// When a process dies, as seen from one write.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Before,
    /// So many microseconds after it began, if it takes that long.
    During(u64),
    After,
}

const MOMENTS: [Moment; 7] = [
    Moment::Before,
    Moment::During(0),
    Moment::During(100),
    Moment::During(300),
    Moment::During(1_000),
    Moment::During(5_000),
    Moment::After,
];

impl Place for Path {
    fn options(&self) -> Options {
        let mut options = Options::new(self);
        options.space.ballast_bytes = 0;
        options
    }
}

impl Place for &Path {
    fn options(&self) -> Options {
        Path::options(self)
    }
}

impl Moment {
    fn text(self, batch: usize) -> String {
        match self {
            Moment::Before => format!("before {batch} 0"),
            Moment::During(micros) => format!("during {batch} {micros}"),
            Moment::After => format!("after {batch} 0"),
        }
    }

    fn parse(text: &str) -> (Moment, u32) {
        let words: Vec<&str> = text.split(' ').collect();
        let batch = words[1].parse().expect("the parent writes a number");
        let moment = match words[0] {
            "before" => Moment::Before,
            "after" => Moment::After,
            _ => Moment::During(words[2].parse().expect("the parent writes a number")),
        };
        (moment, batch)
    }
}

/// An engine whose process dies at one of its writes.
struct Mortal {
    engine: Box<dyn Engine>,
    moment: Moment,
    batch: u32,
    writes: AtomicU32,
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).expect("a process may signal itself");
    loop {
        std::thread::park();
    }
}

impl Engine for Mortal {
    fn write(&self, batch: &WriteBatch, sync: bool) -> Result<(), EngineError> {
        if self.writes.fetch_add(1, Ordering::SeqCst) + 1 != self.batch {
            return self.engine.write(batch, sync);
        }
        match self.moment {
            Moment::Before => die(),
            Moment::After => {
                self.engine.write(batch, sync)?;
                die()
            }
            Moment::During(micros) => {
                std::thread::spawn(move || {
                    let until = Instant::now() + Duration::from_micros(micros);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    die()
                });
                self.engine.write(batch, sync)?;
                // It was quicker.
                die()
            }
        }
    }

    fn view(&self) -> Box<dyn View + '_> {
        self.engine.view()
    }
    fn sync(&self) -> Result<(), EngineError> {
        self.engine.sync()
    }
    fn reopen(&self) -> Result<(), EngineError> {
        self.engine.reopen()
    }
    fn set_aside(&self, failure: &EngineError) -> Result<Option<SetAside>, EngineError> {
        self.engine.set_aside(failure)
    }
    fn background_damage(&self) -> Option<EngineError> {
        self.engine.background_damage()
    }
    fn reopening_bytes(&self) -> u64 {
        self.engine.reopening_bytes()
    }
    fn shorten_log(&self, room_bytes: u64) -> Result<(), EngineError> {
        self.engine.shorten_log(room_bytes)
    }
    fn flush(&self) -> Result<(), EngineError> {
        self.engine.flush()
    }
    fn set_mark(&self, commit: u64) -> std::io::Result<()> {
        self.engine.set_mark(commit)
    }
    fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64 {
        self.engine.log_bytes(from, to)
    }
    fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        self.engine.rewrite_log(from, to)
    }
    fn has_fast_checksum(&self) -> Option<bool> {
        self.engine.has_fast_checksum()
    }
}

/// So many, and none beside another, that a batch of them takes a while to write.
fn identifiers() -> Vec<u16> {
    (1..=u16::MAX).step_by(2).collect()
}

#[test]
fn a_migration_on_rocksdb_that_is_killed_loses_nothing() {
    if let Ok(directory) = std::env::var(CHILD_DIRECTORY) {
        return be_killed(&PathBuf::from(directory));
    }
    let identifiers = identifiers();
    let mut left = BTreeSet::new();
    for batch in 1..=STEPS.len() {
        for moment in MOMENTS {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path();
            plant(&path, &identifiers);
            kill(path, &moment.text(batch));
            let found = schema(&path);
            let (least, most) = (batch as u32 - 1, batch as u32);
            match moment {
                Moment::Before => assert_eq!(found, least),
                Moment::During(_) => assert!((least..=most).contains(&found), "{found}, batch {batch}"),
                Moment::After => assert_eq!(found, most),
            }
            left.insert(found);
            expect_all_of(&path, &identifiers);
            assert_eq!(schema(&path), SCHEMA);
        }
    }
    assert_eq!(left, (0..=SCHEMA).collect(), "every schema was there when a process died");
}

/// The child: migrates until it dies.
fn be_killed(directory: &Path) {
    let (moment, batch) = Moment::parse(&std::env::var(CHILD_MOMENT).expect("given with the directory"));
    let Opened { engine, .. } = engine::open(&directory.options(), &Floors::default()).expect("opens");
    let mortal = Mortal { engine, moment, batch, writes: AtomicU32::new(0) };
    migrate(&mortal, 0).expect("it dies before it ends");
    unreachable!("it was to die");
}

/// Runs a child until it has died.
fn kill(directory: &Path, moment: &str) {
    let output = Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", "migration::tests::killed::a_migration_on_rocksdb_that_is_killed_loses_nothing"])
        .args(["--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_MOMENT, moment)
        .stdin(Stdio::null())
        .output()
        .expect("it starts once more");
    let killed = output.status.signal() == Some(Signal::KILL.as_raw());
    assert!(killed, "{moment}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}
