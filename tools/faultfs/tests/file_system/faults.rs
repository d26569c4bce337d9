//! Each fault does what it says, as often as it says, where it says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use barnacle_faultfs::{AfterFailedFsync, Paths, Times};

use crate::mounted::{Lab, names, sync_folder};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn reads_and_writes_fail_as_often_as_they_are_told_and_where() {
    let Some(lab) = Lab::new() else { return };
    let faults = lab.disk().faults();
    let open = |name: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).open(lab.data().join(name)).expect("opened")
    };
    let (log, table) = (open("1.log"), open("2.sst"));
    let mut buffer = [0; 4];
    for file in [&log, &table] {
        file.write_all_at(b"text", 0).expect("written");
        file.read_exact_at(&mut buffer, 0).expect("read");
    }
    faults.fail_reads(Times::Next(2), Paths::EndingWith(".sst".into()));
    assert_eq!(code(log.read_at(&mut buffer, 0)), None);
    assert_eq!(code(table.read_at(&mut buffer, 0)), Some(EIO));
    assert_eq!(code(table.read_at(&mut buffer, 0)), Some(EIO));
    assert_eq!(code(table.read_at(&mut buffer, 0)), None);
    faults.fail_writes(Times::Forever, Paths::EndingWith(".log".into()));
    for _ in 0..5 {
        assert_eq!(code(log.write_at(b"lost", 0)), Some(EIO));
    }
    assert_eq!(code(log.set_len(1)), Some(EIO));
    assert_eq!(code(table.write_at(b"kept", 0)), None);
    faults.clear();
    log.read_exact_at(&mut buffer, 0).expect("read");
    assert_eq!(&buffer, b"text", "a failed write changes nothing");
    assert_eq!(code(log.write_at(b"kept", 0)), None);
    let counts = lab.disk().counts().faults;
    assert_eq!((counts.reads, counts.writes), (2, 6));
}

#[test]
fn what_a_failed_fsync_was_to_cover_is_lost_though_a_later_one_succeeds() {
    for fate in [AfterFailedFsync::Dropped, AfterFailedFsync::Kept] {
        let Some(mut lab) = Lab::new() else { return };
        let path = lab.data().join("file");
        let file = File::create(&path).expect("made");
        sync_folder(lab.data()).expect("synced");
        lab.disk().faults().set_after_failed_fsync(fate);
        file.write_all_at(b"aaaa", 0).expect("written");
        lab.disk().faults().fail_fsync(Times::Next(1), Paths::All);
        assert_eq!(code(file.sync_data()), Some(EIO));
        file.write_all_at(b"bbbb", 4).expect("written");
        file.sync_data().expect("synced, it says");
        drop(file);
        assert_eq!(fs::read(&path).expect("read"), b"aaaabbbb", "it stays readable");
        assert_eq!(lab.disk().counts().faults.fsyncs, 1);
        lab.restart();
        let lost: &[u8] = if fate == AfterFailedFsync::Dropped { b"\0\0\0\0bbbb" } else { b"aaaabbbb" };
        assert_eq!(fs::read(&path).expect("read"), lost);
    }
}

#[test]
fn a_failed_fsync_of_a_directory_loses_its_names() {
    let Some(mut lab) = Lab::new() else { return };
    fs::write(lab.data().join("first"), "").expect("written");
    lab.disk().faults().fail_fsync(Times::Next(1), Paths::All);
    assert_eq!(code(sync_folder(lab.data())), Some(EIO));
    fs::write(lab.data().join("second"), "").expect("written");
    sync_folder(lab.data()).expect("synced, it says");
    assert_eq!(names(lab.data()), ["first", "second"]);
    lab.restart();
    assert_eq!(names(lab.data()), ["second"]);
}

#[test]
fn fsyncs_can_fail_for_ever() {
    let Some(lab) = Lab::new() else { return };
    let mut file = File::create(lab.data().join("file")).expect("made");
    lab.disk().faults().fail_fsync(Times::Forever, Paths::All);
    for _ in 0..10 {
        file.write_all(b"text").expect("written");
        assert_eq!(code(file.sync_all()), Some(EIO));
    }
    lab.disk().faults().clear();
    file.sync_all().expect("synced");
}

#[test]
fn a_full_disk_says_so_before_and_when_it_is_full() {
    let Some(lab) = Lab::new() else { return };
    const MIB: u64 = 1 << 20;
    lab.disk().faults().set_capacity(Some(2 * MIB));
    let space = || rustix::fs::statvfs(lab.data()).expect("statvfs");
    assert_eq!(space().f_blocks * space().f_frsize, 2 * MIB);
    assert_eq!(space().f_bavail * space().f_frsize, 2 * MIB);
    let mut file = File::create(lab.data().join("file")).expect("made");
    file.write_all(&vec![1; MIB as usize]).expect("written");
    assert_eq!(space().f_bavail * space().f_frsize, MIB);
    assert_eq!(code(file.write_all(&vec![2; 2 * MIB as usize])), Some(ENOSPC));
    assert_eq!(file.metadata().expect("metadata").len(), 2 * MIB, "what fits is written");
    assert_eq!(space().f_bavail, 0);
    file.write_all_at(b"over", 0).expect("what is allocated can be written again");
    let other = File::create(lab.data().join("other")).expect("made");
    assert_eq!(code(other.write_at(b"x", 0)), Some(ENOSPC));
    assert_eq!(
        rustix::fs::fallocate(&other, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 1),
        Err(rustix::io::Errno::NOSPC)
    );
    assert!(lab.disk().counts().faults.no_space >= 3);
    drop(file);
    fs::remove_file(lab.data().join("file")).expect("removed");
    assert_eq!(space().f_bavail * space().f_frsize, 2 * MIB, "a removal makes room");
    other.write_all_at(b"x", 0).expect("written");
    lab.disk().faults().set_capacity(None);
    assert!(space().f_blocks * space().f_frsize > 2 * MIB);
}

#[test]
fn preallocated_space_counts_and_is_there_when_the_disk_is_full() {
    let Some(lab) = Lab::new() else { return };
    lab.disk().faults().set_capacity(Some(1 << 20));
    let mut log = File::create(lab.data().join("log")).expect("made");
    let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&log, keep, 0, 512 << 10).expect("allocated");
    assert_eq!(log.metadata().expect("metadata").len(), 0);
    let other = File::create(lab.data().join("other")).expect("made");
    assert_eq!(other.write_at(&vec![1; 1 << 20], 0).expect("a part"), 512 << 10);
    assert_eq!(code(other.write_at(&[1], 512 << 10)), Some(ENOSPC));
    log.write_all(&vec![2; 512 << 10]).expect("it has its room");
    assert_eq!(code(log.write(&[2])), Some(ENOSPC));
}

#[test]
fn a_slow_fsync_takes_that_long_and_can_be_freed() {
    let Some(lab) = Lab::new() else { return };
    let mut file = File::create(lab.data().join("file")).expect("made");
    lab.disk().faults().delay_fsync(Duration::from_millis(200));
    let began = Instant::now();
    file.sync_all().expect("synced");
    assert!(began.elapsed() >= Duration::from_millis(200));
    lab.disk().faults().delay_fsync(Duration::from_secs(3600));
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            file.sync_all().expect("synced");
            send.send(()).expect("awaited");
        });
        while lab.disk().counts().faults.delays < 2 {
            std::thread::yield_now();
        }
        // Others go on meanwhile.
        file.metadata().expect("metadata");
        fs::write(lab.data().join("other"), "text").expect("written");
        assert!(receive.try_recv().is_err(), "it still waits");
        lab.disk().faults().clear();
        receive.recv().expect("freed");
    });
    file.write_all(b"text").expect("written");
}

#[test]
fn rules_by_path_and_fsyncs_of_directories_do_not_wait_for_each_other() {
    let Some(lab) = Lab::new() else { return };
    let file = File::create(lab.data().join("file")).expect("made");
    lab.disk().faults().fail_writes(Times::Forever, Paths::EndingWith("another".into()));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..3000).for_each(|_| sync_folder(lab.data()).expect("synced")));
        scope.spawn(|| (0..3000).for_each(|_| file.write_all_at(b"text", 0).expect("written")));
    });
}
