//! Many mounts in one process, one after another: what they leave behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use barnacle_faultfs::Cut;

use crate::mounted::Lab;

/// Much longer than threads take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    threads: u64,
    files: usize,
}

fn held() -> Held {
    Held { threads: status("Threads:"), files: fs::read_dir("/proc/self/fd").expect("Linux").count() }
}

/// Whether this process has nothing to do but this test. If it has, another is started for it, and is waited for.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "FAULTFS_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("Linux knows");
    let mut command = Command::new(program);
    let status = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").status().expect("it runs");
    assert!(status.success());
    false
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says it");
    line.split_whitespace().nth(1).expect("a value").parse().expect("a number")
}

fn write(file: &mut File) {
    file.write_all(&[7; 1 << 20]).expect("written");
    file.sync_all().expect("synced");
    file.write_all(&[8; 1 << 20]).expect("written");
}

#[test]
fn a_hundred_mounts_leave_nothing_in_the_process() {
    const MOUNTS: u64 = 100;
    if !is_alone("many::a_hundred_mounts_leave_nothing_in_the_process") {
        return;
    }
    let Some(mut lab) = Lab::new() else { return };
    lab.cut(Cut::DropAll);
    let (before, mut settled) = (held(), 0);
    for mount in 0..MOUNTS {
        lab.mount();
        write(&mut File::create(lab.data().join("file")).expect("made"));
        lab.cut(Cut::DropAll);
        if mount == MOUNTS / 2 {
            settled = status("VmRSS:");
        }
    }
    assert_eq!(held(), before);
    // The allocator keeps the buffers of some threads, and uses them again. What each mount kept would be 100 MiB at least.
    let grown = status("VmRSS:").saturating_sub(settled);
    assert!(grown < MOUNTS / 2 * 4096, "{grown} KiB more after fifty mounts more");
}

#[test]
fn a_mount_that_ends_below_an_open_file_leaves_nothing_once_that_is_closed() {
    if !is_alone("many::a_mount_that_ends_below_an_open_file_leaves_nothing_once_that_is_closed") {
        return;
    }
    let Some(mut lab) = Lab::new() else { return };
    lab.cut(Cut::DropAll);
    let before = held();
    let mut open = Vec::new();
    for _ in 0..3 {
        lab.mount();
        let mut file = File::create(lab.data().join("file")).expect("made");
        write(&mut file);
        open.push(file);
        lab.cut(Cut::DropAll);
    }
    // Another that is there by now is not touched by the end of those.
    lab.mount();
    let mut alive = File::create(lab.data().join("alive")).expect("made");
    drop(open);
    let (began, with_one) = (Instant::now(), before.threads + 7);
    while held().threads != with_one {
        assert!(began.elapsed() < PATIENCE, "{:?}, and {before:?} before", held());
        sleep(Duration::from_millis(5));
    }
    write(&mut alive);
    drop(alive);
    lab.cut(Cut::DropAll);
    while held() != before {
        assert!(began.elapsed() < PATIENCE, "{:?}, and {before:?} before", held());
        sleep(Duration::from_millis(5));
    }
}
