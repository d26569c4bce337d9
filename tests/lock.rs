//! One at a time has a data directory: a broker, or a command for a stopped store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use barnacle_storage::{OpenError, Options, Store};
use barnacle_wire::Version;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::broker::store::{run, text};
use crate::broker::{Broker, barnacle, free_port};

/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker in which something waits, killed.
fn killed() -> Broker {
    let mut broker = Broker::with_backlog(50, 9000);
    broker.kill();
    broker
}

/// A repair of the store, in place, that has just taken it.
fn repairing(directory: &Path, backup: &Path) -> Child {
    let mut command = barnacle();
    command.arg("repair").arg(directory).arg("--backup").arg(backup);
    let child = command.stdout(Stdio::null()).spawn().expect("the binary was built with this test");
    let mine = format!("{} `barnacle repair`\n", child.id());
    let began = Instant::now();
    while fs::read_to_string(directory.join("lock")).expect("the broker has left it") != mine {
        assert!(began.elapsed() < PATIENCE, "the repair does not take the store");
        std::hint::spin_loop();
    }
    child
}

/// Lets it go on, and waits until it has come further or has ended.
fn go_on(child: &Child) {
    let path = format!("/proc/{}/schedstat", child.id());
    // How long it has run and waited for a processor, and how often.
    let ran = || fs::read_to_string(&path).expect("it is there until it is waited for");
    let before = ran();
    kill_process(Pid::from_child(child), Signal::CONT).expect("our own child can be signalled");
    let began = Instant::now();
    while ran() == before && state(child) != 'Z' {
        assert!(began.elapsed() < PATIENCE, "it does not go on");
        std::thread::yield_now();
    }
}

/// What it is doing: 'T' while it is stopped, 'Z' once it has ended.
fn state(child: &Child) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()));
    let stat = stat.expect("it is there until it is waited for");
    stat.rsplit_once(") ").and_then(|(_, state)| state.chars().next()).expect("Linux says it")
}

/// Stops it where it is. `false`: it has ended.
fn stopped(child: &mut Child) -> bool {
    kill_process(Pid::from_child(child), Signal::STOP).expect("our own child can be signalled");
    let began = Instant::now();
    loop {
        if child.try_wait().expect("our own child can be waited for").is_some() {
            return false;
        }
        if state(child) == 'T' {
            return true;
        }
        assert!(began.elapsed() < PATIENCE, "it does not stop");
        std::hint::spin_loop();
    }
}

/// The files of a store, and when each was written to.
fn snapshot(directory: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let folders = [directory.to_owned(), directory.join("rocksdb")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("it is there").flatten());
    let file = |entry: fs::DirEntry| {
        let metadata = entry.metadata().expect("nobody else is at it");
        (entry.path(), metadata.len(), metadata.modified().expect("Linux knows"))
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

#[test]
fn no_broker_starts_at_any_moment_of_a_repair() {
    let broker = killed();
    let directory = broker.data_directory();
    let copies = TempDir::new().expect("a temporary directory");
    let mut child = repairing(&directory, &copies.path().join("backup"));
    let mut looks = 0;
    while stopped(&mut child) {
        if looks == 0 {
            let listen = format!("mqtt://127.0.0.1:{}", free_port());
            let mut serve = barnacle();
            serve.arg("serve").arg("--data-dir").arg(&directory).args(["--listen", &listen]);
            let refused = serve.output().expect("the binary was built with this test");
            let said = text(&refused.stderr);
            let expected =
                format!("{} is in use by process {}: `barnacle repair`", directory.display(), child.id());
            assert!(!refused.status.success() && said.contains(&expected), "{said}");
        }
        match Store::open(Options::new(&directory)) {
            Err(OpenError::InUse { process, purpose, .. }) => {
                assert_eq!((process, purpose), (Some(child.id()), Some("`barnacle repair`")));
            }
            Err(error) => panic!("at look {looks}: {error}"),
            Ok((store, _)) => {
                // All that it has still to do is to say what it has done.
                drop(store);
                let left = snapshot(&directory);
                kill_process(Pid::from_child(&child), Signal::CONT).expect("our own child can be signalled");
                assert!(child.wait().expect("it ends").success());
                assert!(snapshot(&directory) == left, "it went on behind its lock");
                break;
            }
        }
        looks += 1;
        go_on(&child);
    }
    assert!(looks > 3, "{looks} looks");
    assert!(child.wait().expect("it has ended").success());
    let mut broker = broker;
    broker.start_again();
    broker.resume(Version::V5, "reader");
}

#[test]
fn a_broker_and_a_repair_that_are_killed_hold_nothing() {
    let mut broker = killed();
    let directory = broker.data_directory();
    let copies = TempDir::new().expect("a temporary directory");
    let mut child = repairing(&directory, &copies.path().join("first"));
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    let held = fs::read_to_string(directory.join("lock")).expect("it is still there");
    assert!(held.contains("`barnacle repair`"), "and says so of nobody: {held}");
    let repaired = repairing(&directory, &copies.path().join("second")).wait().expect("it ends");
    assert!(repaired.success());
    broker.start_again();
    let third = copies.path().join("third");
    let refused = run(&["repair", "--backup", third.to_str().expect("text")], &directory);
    let said = text(&refused.stderr);
    assert!(said.contains(&format!("in use by process {}: a broker", broker.process_id())), "{said}");
    assert!(!third.exists(), "nothing was copied");
    broker.kill_and_start_again();
    broker.resume(Version::V5, "reader");
}
