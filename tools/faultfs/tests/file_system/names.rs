//! What is durable when: each rule of the library's documentation, one by one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use barnacle_faultfs::{Cut, FaultFs};

use crate::mounted::{Lab, names, sync_folder};

#[test]
fn a_name_is_durable_with_the_fsync_of_its_directory_and_data_with_that_of_the_file() {
    let Some(mut lab) = Lab::new() else { return };
    let file = |name: &str, sync: bool| {
        let mut file = File::create(lab.data().join(name)).expect("made");
        file.write_all(b"data").expect("written");
        if sync {
            file.sync_all().expect("synced");
        }
    };
    file("named", false);
    file("both", true);
    sync_folder(lab.data()).expect("synced");
    file("data", true);
    file("neither", false);
    let report = lab.restart();
    assert_eq!(names(lab.data()), ["both", "named"]);
    assert_eq!(fs::read(lab.data().join("both")).expect("read"), b"data");
    assert_eq!(fs::read(lab.data().join("named")).expect("read"), b"");
    assert_eq!((report.names_dropped, report.operations_dropped, report.bytes_dropped), (2, 2, 8));
}

#[test]
fn removals_and_renames_are_undone_unless_the_directory_is_synced() {
    let Some(mut lab) = Lab::new() else { return };
    let folder = lab.data().to_owned();
    for name in ["gone", "stays", "old", "older"] {
        fs::write(folder.join(name), name).expect("written");
        File::open(folder.join(name)).and_then(|file| file.sync_all()).expect("synced");
    }
    fs::remove_file(folder.join("gone")).expect("removed");
    sync_folder(&folder).expect("synced");
    fs::remove_file(folder.join("stays")).expect("removed");
    fs::rename(folder.join("old"), folder.join("older")).expect("renamed");
    assert_eq!(names(&folder), ["older"]);
    lab.restart();
    assert_eq!(names(&folder), ["old", "older", "stays"]);
    assert_eq!(fs::read(folder.join("older")).expect("read"), b"older");
    fs::rename(folder.join("old"), folder.join("older")).expect("renamed");
    sync_folder(&folder).expect("synced");
    lab.restart();
    assert_eq!(names(&folder), ["older", "stays"]);
    assert_eq!(fs::read(folder.join("older")).expect("read"), b"old");
}

#[test]
fn a_rename_between_directories_survives_in_both_or_in_neither() {
    for synced in [None, Some("from"), Some("to")] {
        let Some(mut lab) = Lab::new() else { return };
        let folder = lab.data().to_owned();
        for name in ["from", "to"] {
            fs::create_dir(folder.join(name)).expect("made");
        }
        fs::write(folder.join("from/file"), "").expect("written");
        sync_folder(&folder.join("from")).expect("synced");
        sync_folder(&folder).expect("synced");
        fs::rename(folder.join("from/file"), folder.join("to/file")).expect("renamed");
        if let Some(name) = synced {
            sync_folder(&folder.join(name)).expect("synced");
        }
        lab.restart();
        let expected = if synced.is_some() { "to" } else { "from" };
        for name in ["from", "to"] {
            assert_eq!(names(&folder.join(name)).len(), usize::from(name == expected), "{synced:?}: {name}");
        }
    }
}

#[test]
fn what_is_in_a_directory_needs_the_directorys_own_name() {
    let Some(mut lab) = Lab::new() else { return };
    let folder = lab.data().join("inner");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("file"), "").expect("written");
    sync_folder(&folder).expect("synced");
    lab.restart();
    assert!(names(lab.data()).is_empty());
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("file"), "").expect("written");
    sync_folder(lab.data()).expect("synced");
    lab.restart();
    assert_eq!((names(lab.data()).len(), names(&folder).len()), (1, 0));
    fs::write(folder.join("file"), "").expect("written");
    sync_folder(&folder).expect("synced");
    lab.restart();
    assert_eq!(names(&folder), ["file"]);
}

#[test]
fn sizes_holes_and_overwrites_are_part_of_the_data() {
    let Some(mut lab) = Lab::new() else { return };
    let path = lab.data().join("file");
    let file = File::create(&path).expect("made");
    file.write_all_at(&[1; 10_000], 0).expect("written");
    file.sync_all().expect("synced");
    sync_folder(lab.data()).expect("synced");
    file.set_len(100).expect("shortened");
    file.write_all_at(&[2; 10], 50).expect("written");
    drop(file);
    lab.restart();
    assert_eq!(fs::read(&path).expect("read"), vec![1; 10_000], "nothing of it was synced");
    let file = OpenOptions::new().write(true).open(&path).expect("opened");
    file.set_len(100).expect("shortened");
    file.set_len(200).expect("lengthened");
    file.write_all_at(&[2; 10], 50).expect("written");
    file.sync_data().expect("synced");
    file.write_all_at(&[3; 10], 150).expect("written");
    drop(file);
    lab.restart();
    let mut expected = vec![1; 100];
    expected.resize(200, 0);
    expected[50..60].fill(2);
    assert_eq!(fs::read(&path).expect("read"), expected);
}

#[test]
fn a_removed_file_can_be_used_while_it_is_open_and_a_hard_link_keeps_it() {
    let Some(mut lab) = Lab::new() else { return };
    let folder = lab.data().to_owned();
    let mut file =
        OpenOptions::new().read(true).write(true).create_new(true).open(folder.join("a")).expect("made");
    file.write_all(b"one").expect("written");
    file.sync_all().expect("synced");
    fs::hard_link(folder.join("a"), folder.join("b")).expect("linked");
    sync_folder(&folder).expect("synced");
    fs::remove_file(folder.join("a")).expect("removed");
    fs::remove_file(folder.join("b")).expect("removed");
    file.write_all(b"two").expect("written");
    file.seek(SeekFrom::Start(0)).expect("sought");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "onetwo");
    drop(file);
    lab.restart();
    assert_eq!(names(&folder), ["a", "b"]);
    fs::write(folder.join("a"), "three").expect("written");
    File::open(folder.join("b")).and_then(|file| file.sync_all()).expect("synced");
    lab.restart();
    assert_eq!(fs::read(folder.join("b")).expect("read"), b"three");
}

#[test]
fn an_orderly_end_keeps_everything() {
    let Some(mut lab) = Lab::new() else { return };
    fs::create_dir(lab.data().join("inner")).expect("made");
    fs::write(lab.data().join("inner/file"), "text").expect("written");
    lab.unmount();
    assert_eq!(names(lab.durable()), ["inner"]);
    assert_eq!(fs::read(lab.durable().join("inner/file")).expect("read"), b"text");
    assert!(names(lab.data()).is_empty(), "unmounted");
}

#[test]
fn a_cut_waits_for_nobody_who_has_a_file_open() {
    let Some(mut lab) = Lab::new() else { return };
    let mut file = File::create(lab.data().join("file")).expect("made");
    file.write_all(b"text").expect("written");
    lab.cut(Cut::DropAll);
    assert!(names(lab.durable()).is_empty());
    let error = file.write_all(b"more").and_then(|()| file.sync_all()).expect_err("the power is off");
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    lab.mount();
    assert!(names(lab.data()).is_empty());
}

#[test]
fn mounts_that_could_not_work_are_refused() {
    let Some(lab) = Lab::new() else { return };
    let mount =
        |durable, mount_point| FaultFs::mount(durable, mount_point).err().map(|error| error.to_string());
    let other = tempfile::tempdir().expect("a folder");
    let reason = mount(other.path(), lab.data()).expect("refused");
    assert!(reason.contains("mounted there already"), "{reason}");
    let reason = mount(other.path(), other.path()).expect("refused");
    assert!(reason.contains("overlap"), "{reason}");
    let reason = mount(&other.path().join("missing"), other.path()).expect("refused");
    assert!(reason.contains("missing"), "{reason}");
    File::create(lab.data().join(".faultfs")).expect_err("a name of its own");
}
