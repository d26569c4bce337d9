//! What every engine has to do, as one suite for both: the one in memory loses its power, RocksDB's process is killed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::{Engine, Opened, WriteBatch};
use crate::floors::Floors;
use crate::keys::{self, Family};
use crate::{LogId, Lsn, Memory, Options, Survivors};

/// A part of the contract: what is done before a crash, and what holds then and behind it.
struct Clause {
    name: &'static str,
    act: fn(&dyn Engine, &Floors),
    holds: fn(&dyn Engine),
}

const CONTRACT: [Clause; 7] = [
    Clause { name: "rows are in the order of their keys", act: put_rows, holds: rows_are_ordered },
    Clause { name: "families are apart", act: put_in_two_families, holds: families_are_apart },
    Clause { name: "changes take effect in order", act: change_twice, holds: the_last_change_counts },
    Clause { name: "a batch can be written again", act: write_again, holds: written_once },
    Clause { name: "a cursor sees one state", act: write_under_a_cursor, holds: the_new_row_is_there },
    Clause { name: "values are of any size", act: put_sizes, holds: sizes_are_kept },
    Clause { name: "dead blocks go, others stay", act: rewrite, holds: live_blocks_are_there },
];

/// The mark that is set before the crash.
const MARK: u64 = 77;
/// Tells a child where its engine is.
const CHILD_DIRECTORY: &str = "BARNACLE_TEST_CONTRACT_DIRECTORY";

#[test]
fn the_engine_in_memory_keeps_the_contract_through_a_power_cut() {
    let memory = Memory::new();
    let options = Options::in_memory(&memory);
    let (engine, floors) = open(&options, 0);
    act(&*engine, &floors);
    // Written and not synced.
    engine.write(&one(keys::META, b"unsynced", b"x"), false).expect("written");
    assert!(row(&*engine, keys::META, b"unsynced").is_some());
    memory.crash(Survivors::First(0));
    drop(engine);
    let (engine, _) = open(&options, MARK);
    check(&*engine, "behind a power cut");
    assert!(row(&*engine, keys::META, b"unsynced").is_none(), "it was never on the disk");
    close_and_check(engine, &options);
}

fn close_and_check(engine: Box<dyn Engine>, options: &Options) {
    engine.flush().expect("flushed");
    drop(engine);
    let (engine, _) = open(options, MARK);
    check(&*engine, "behind an orderly end");
}

#[test]
fn rocksdb_keeps_the_contract_through_a_kill() {
    if let Ok(directory) = std::env::var(CHILD_DIRECTORY) {
        let (engine, floors) = open(&Options::new(directory), 0);
        act(&*engine, &floors);
        engine.write(&one(keys::META, b"unsynced", b"x"), false).expect("written");
        eprintln!("done");
        // The parent kills, or is gone.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut child = Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", "engine::contract::rocksdb_keeps_the_contract_through_a_kill", "--nocapture"])
        .env(CHILD_DIRECTORY, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts once more");
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    while !said.ends_with("done\n") {
        said += &lines.next().unwrap_or_else(|| panic!("it has ended by itself: {said}"));
        said.push('\n');
    }
    child.kill().expect("it waits to be killed");
    child.wait().expect("it has been killed");
    let options = Options::new(directory.path());
    let (engine, _) = open(&options, MARK);
    check(&*engine, "behind a kill");
    assert!(row(&*engine, keys::META, b"unsynced").is_some(), "what was written outlives its process");
    close_and_check(engine, &options);
}

fn open(options: &Options, mark: u64) -> (Box<dyn Engine>, Floors) {
    let floors = Floors::default();
    let Opened { engine, mark: found, .. } = super::open(options, &floors).expect("opens");
    assert_eq!(found.number(), mark);
    assert!(super::open(options, &floors).is_err(), "two must not open the same");
    (engine, floors)
}

fn act(engine: &dyn Engine, floors: &Floors) {
    for clause in &CONTRACT {
        (clause.act)(engine, floors);
    }
    engine.set_mark(MARK).expect("marked");
    check(engine, "before the crash");
    engine.sync().expect("synced");
}

fn check(engine: &dyn Engine, when: &str) {
    for clause in &CONTRACT {
        println!("{}, {when}", clause.name);
        (clause.holds)(engine);
    }
}

fn put_rows(engine: &dyn Engine, _: &Floors) {
    let mut batch = WriteBatch::default();
    for key in ["order c", "order a", "order \u{ff}", "order b", "order"] {
        batch.put(keys::RETAINED, key.as_bytes(), key.as_bytes().to_vec());
    }
    engine.write(&batch, true).expect("written");
}

fn rows_are_ordered(engine: &dyn Engine) {
    let found =
        |from: &str, to: Option<&str>| rows(engine, keys::RETAINED, from.as_bytes(), to.map(str::as_bytes));
    let all = ["order", "order a", "order b", "order c", "order \u{ff}"];
    assert_eq!(found("order", Some("ordes")), all);
    assert_eq!(found("order a", Some("order c")), all[1..3], "from its first key to before its last");
    assert_eq!(found("order aa", Some("order cc")), all[2..4]);
    assert!(found("order d", Some("order e")).is_empty());

    let view = engine.view();
    let mut cursor = view.cursor(keys::RETAINED, b"order a", Some(b"order c"));
    let at = |key: Option<(&[u8], &[u8])>| key.map(|(key, value)| (key.to_vec(), value.to_vec()));
    let is = |key: &str| Some((key.as_bytes().to_vec(), key.as_bytes().to_vec()));
    cursor.seek_to_last();
    assert_eq!(at(cursor.item()), is("order b"));
    cursor.seek(b"order aa");
    assert_eq!(at(cursor.item()), is("order b"));
    cursor.next();
    assert_eq!(at(cursor.item()), None);
    cursor.seek(b"a");
    assert_eq!(at(cursor.item()), is("order a"), "a cursor does not leave its range");
    cursor.seek(b"order c");
    assert_eq!(at(cursor.item()), None);
    cursor.seek_to_first();
    assert_eq!(at(cursor.item()), is("order a"));
    assert_eq!(cursor.status(), Ok(()));
    let mut nothing = view.cursor(keys::RETAINED, b"order d", Some(b"order e"));
    nothing.seek_to_last();
    assert_eq!((at(nothing.item()), nothing.status()), (None, Ok(())));
}

fn put_in_two_families(engine: &dyn Engine, _: &Floors) {
    let mut batch = one(keys::META, b"apart", b"meta");
    batch.put(keys::FLOW, b"apart", b"flow".to_vec());
    engine.write(&batch, true).expect("written");
    engine.write(&deletion(keys::META, b"apart"), true).expect("written");
    engine.write(&deletion(keys::SESSION, b"apart"), true).expect("no row, and no error");
}

fn families_are_apart(engine: &dyn Engine) {
    assert_eq!(row(engine, keys::META, b"apart"), None);
    assert_eq!(row(engine, keys::FLOW, b"apart").as_deref(), Some(&b"flow"[..]));
}

fn change_twice(engine: &dyn Engine, _: &Floors) {
    let mut batch = one(keys::META, b"twice", b"first");
    batch.put(keys::META, b"twice", b"second".to_vec());
    batch.put(keys::META, b"gone", b"first".to_vec());
    batch.delete(keys::META, b"gone");
    engine.write(&batch, false).expect("written");
}

fn the_last_change_counts(engine: &dyn Engine) {
    assert_eq!(row(engine, keys::META, b"twice").as_deref(), Some(&b"second"[..]));
    assert_eq!(row(engine, keys::META, b"gone"), None);
}

fn write_again(engine: &dyn Engine, _: &Floors) {
    let mut batch = one(keys::SESSION, b"again", b"kept");
    batch.delete(keys::SESSION, b"again gone");
    for sync in [false, true, true] {
        engine.write(&batch, sync).expect("written");
    }
}

fn written_once(engine: &dyn Engine) {
    assert_eq!(rows(engine, keys::SESSION, b"again", Some(b"agaio")), ["again"]);
}

fn write_under_a_cursor(engine: &dyn Engine, _: &Floors) {
    let view = engine.view();
    let mut cursor = view.cursor(keys::FILTER, b"under", Some(b"undes"));
    engine.write(&one(keys::FILTER, b"under", b"new"), true).expect("written");
    cursor.seek_to_first();
    assert_eq!(cursor.item(), None, "it was made before");
}

fn the_new_row_is_there(engine: &dyn Engine) {
    assert_eq!(rows(engine, keys::FILTER, b"under", Some(b"undes")), ["under"]);
}

const SIZES: [usize; 4] = [0, 1, 100_000, 3_000_000];

fn put_sizes(engine: &dyn Engine, _: &Floors) {
    let mut batch = WriteBatch::default();
    for size in SIZES {
        batch.put(keys::FLOW, format!("size {size}").as_bytes(), vec![7; size]);
    }
    assert!(batch.bytes() > SIZES.iter().sum());
    engine.write(&batch, true).expect("written");
}

fn sizes_are_kept(engine: &dyn Engine) {
    for size in SIZES {
        assert_eq!(row(engine, keys::FLOW, format!("size {size}").as_bytes()), Some(vec![7; size]));
    }
}

/// Two logs of ten blocks each; the first five of the first log are dead.
fn rewrite(engine: &dyn Engine, floors: &Floors) {
    let mut batch = WriteBatch::default();
    for log in [LogId(1), LogId(2)] {
        floors.add(log);
        for lsn in 1..=10 {
            batch.put(keys::LOG, &keys::block(log, Lsn(lsn), 0), vec![1; 100]);
        }
    }
    engine.write(&batch, true).expect("written");
    let (from, to) = (keys::block(LogId(1), Lsn(0), 0), keys::block(LogId(1), Lsn(5), u64::MAX));
    floors.raise(LogId(1), Lsn(5));
    floors.recovered(3);
    engine.rewrite_log(&from, &to).expect("rewritten");
    assert!(engine.log_bytes(&from, &keys::block(LogId(3), Lsn(0), 0)) > 0);
}

fn live_blocks_are_there(engine: &dyn Engine) {
    let view = engine.view();
    let mut cursor = view.cursor(keys::LOG, &[], None);
    cursor.seek_to_first();
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.item() {
        assert_eq!(value, [1; 100]);
        found.push(keys::parse_block(key).expect("a block"));
        cursor.next();
    }
    assert_eq!(cursor.status(), Ok(()));
    let expected: Vec<_> = (6..=10).map(|lsn| (LogId(1), Lsn(lsn))).collect();
    assert_eq!(found[..5], expected);
    assert_eq!(found[5..], (1..=10).map(|lsn| (LogId(2), Lsn(lsn))).collect::<Vec<_>>());
}

fn one(family: Family, key: &[u8], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put(family, key, value.to_vec());
    batch
}

fn deletion(family: Family, key: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.delete(family, key);
    batch
}

fn row(engine: &dyn Engine, family: Family, key: &[u8]) -> Option<Vec<u8>> {
    engine.view().get(family, key).expect("read").map(|value| value.to_vec())
}

/// The keys of a range, as text.
fn rows(engine: &dyn Engine, family: Family, from: &[u8], to: Option<&[u8]>) -> Vec<String> {
    let view = engine.view();
    let mut cursor = view.cursor(family, from, to);
    cursor.seek_to_first();
    let mut keys = Vec::new();
    while let Some((key, _)) = cursor.item() {
        keys.push(String::from_utf8(key.to_vec()).expect("text"));
        cursor.next();
    }
    assert_eq!(cursor.status(), Ok(()));
    keys
}
