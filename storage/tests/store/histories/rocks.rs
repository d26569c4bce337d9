//! On RocksDB: fewer histories, crashed by dropping the store, and by killing the process that has it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barnacle_storage::*;
use tempfile::TempDir;

use super::coverage::Coverage;
use super::history::History;
use super::random::Random;
use super::world::{Judged, Place, Settings, World, Wrong};

const HISTORIES: u64 = 10;
const FROM: u64 = 2_000_000;

/// Histories of a process that is killed.
const KILLED: u64 = 8;
const KILLED_FROM: u64 = 2_500_000;
/// Tells a child which history is its own, and where.
const CHILD_SEED: &str = "BARNACLE_TEST_CHILD_SEED";
const CHILD_DIRECTORY: &str = "BARNACLE_TEST_CHILD_DIRECTORY";

#[test]
fn histories_on_rocksdb() {
    let mut coverage = Coverage::default();
    for seed in FROM..FROM + HISTORIES {
        let directory = TempDir::new().expect("a temporary directory");
        let history = History { seed, length: 80, length_after: 80, crashes: true };
        match history.in_directory(directory.path()) {
            Ok(told) => coverage.merge(told.coverage),
            Err(Wrong(complaint)) => panic!("seed {seed}:\n{complaint}"),
        }
    }
    coverage.require(
        "on RocksDB",
        &["recoveries", "crashes between steps", "messages read", "passes from the disk"],
    );
}

/// A child takes a history, telling of every turn that is done, and is killed in the middle of it. The same turns in memory
/// tell what is to be there.
#[test]
fn histories_of_a_process_that_is_killed() {
    if let Ok(seed) = std::env::var(CHILD_SEED) {
        let directory = PathBuf::from(std::env::var(CHILD_DIRECTORY).expect("given with the seed"));
        return be_killed(seed.parse().expect("a seed is a number"), &directory);
    }
    let mut coverage = Coverage::default();
    for seed in KILLED_FROM..KILLED_FROM + KILLED {
        let directory = TempDir::new().expect("a temporary directory");
        let done = kill(seed, directory.path());
        match judge(seed, directory.path(), done) {
            Ok(world) => coverage.merge(world.coverage),
            Err(Wrong(complaint)) => panic!("seed {seed}, killed behind turn {done}:\n{complaint}"),
        }
        coverage.count("processes killed");
        coverage.add("turns done before", done as u64);
    }
    coverage.require(
        "killed on RocksDB",
        &["processes killed", "turns done before", "recoveries", "messages read"],
    );
}

fn history(seed: u64) -> (History, Settings, Random) {
    let history = History { seed, length: 60, length_after: 60, crashes: false };
    let mut random = Random::new(seed);
    let settings = super::history::settings(&mut random);
    // What the trimmer does must not depend on how large an engine's files are.
    let trimming = Trimming { stuck_bytes: u64::MAX, ..settings.trimming };
    (history, Settings { durability: Durability::Fsync, trimming, ..settings }, random)
}

/// The child: takes turns until it is killed.
fn be_killed(seed: u64, directory: &Path) {
    let (history, settings, mut random) = history(seed);
    let mut world = World::new(Place::Directory(directory.to_owned()), settings);
    let taken = history.take_turns(&mut world, &mut random, history.length, |turn| eprintln!("turn {turn}"));
    if let Err(Wrong(complaint)) = taken {
        eprintln!("wrong {complaint}");
    }
    // The parent kills, or is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

/// Runs a child and kills it; gives the last turn that it had done.
fn kill(seed: u64, directory: &Path) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", "histories::rocks::histories_of_a_process_that_is_killed", "--nocapture"])
        .env(CHILD_SEED, seed.to_string())
        .env(CHILD_DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts once more");
    let enough = 1 + Random::new(seed).below(50);
    let mut done = 0;
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        assert!(!line.starts_with("wrong"), "{line}");
        let Some(turn) = line.strip_prefix("turn ").and_then(|turn| turn.parse().ok()) else { continue };
        done = turn;
        // It goes on while the signal is on its way, and the pipe still tells how far it came.
        if done == enough {
            child.kill().expect("it has not ended");
        }
    }
    child.wait().expect("it has been killed");
    assert!(done >= enough, "the child has ended by itself, behind turn {done}");
    done
}

/// What has come back is what stood behind the last turn that was told, or behind the next.
fn judge(seed: u64, directory: &Path, done: usize) -> Judged<World> {
    let (history, settings, mut random) = history(seed);
    let mut twin = World::new(Place::Memory(Memory::new()), settings);
    history.take_turns(&mut twin, &mut random, done, |_| {})?;
    let mut world = World::new(Place::Directory(directory.to_owned()), settings);
    world.now_millis = twin.now_millis;
    world.messages = twin.messages;
    (world.commit, world.durable) = (twin.commit, twin.durable);
    world.possible = twin.possible.clone();
    if done < history.length {
        history.take_turn(&mut twin, &mut random)?;
        world.possible.extend(twin.possible);
    }
    world.recover()?;
    world.look_at_everything()?;
    Ok(world)
}
