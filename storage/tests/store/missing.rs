//! Files of the write-ahead log that are not there: refused by name where another shows that, and repair goes without.

use std::path::{Path, PathBuf};

use barnacle_storage::*;

use crate::support::*;

/// Files of the write-ahead log, oldest first, with their lengths.
fn logs(directory: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten();
    let mut files: Vec<(PathBuf, u64)> = files
        .map(|file| (file.path(), file.metadata().expect("a file").len()))
        .filter(|(path, _)| path.extension().is_some_and(|is| is == "log"))
        .collect();
    files.sort();
    files
}

fn copied(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for folder in ["", "rocksdb"] {
        std::fs::create_dir_all(copy.path().join(folder)).expect("made");
        for entry in std::fs::read_dir(directory.join(folder)).expect("there").flatten() {
            if entry.path().is_file() {
                let target = copy.path().join(folder).join(entry.file_name());
                std::fs::copy(entry.path(), target).expect("copied");
            }
        }
    }
    copy
}

/// A killed store with several files of the log: large messages fill the buffers of one family, and the others still need
/// the first file.
fn killed() -> tempfile::TempDir {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for number in 0..60 {
        fixture.publish("t", &number.to_string().repeat(900_000));
    }
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    directory
}

#[test]
fn a_missing_file_in_the_log_or_at_its_end_is_named_and_repair_goes_without() {
    let killed = killed();
    let logs = logs(killed.path());
    let with_batches: Vec<&PathBuf> =
        logs.iter().filter(|(_, length)| *length > 0).map(|(path, _)| path).collect();
    assert!(with_batches.len() >= 3, "{logs:?}");
    // That the first is missing cannot be told from one that never was.
    for path in with_batches.into_iter().skip(1) {
        let copy = copied(killed.path());
        std::fs::remove_file(copy.path().join("rocksdb").join(path.file_name().expect("a name")))
            .expect("removed");
        for opened in [Store::open(Options::new(copy.path())).map(drop), Checker::open(copy.path()).map(drop)]
        {
            let Err(OpenError::MissingLog { reason, .. }) = opened else { panic!("{path:?}: {opened:?}") };
            assert!(reason.contains("LSN") && reason.contains("in doubt"), "{reason}");
        }
        let into = tempfile::tempdir().expect("a temporary directory");
        let report = repair_copy(copy.path(), into.path()).expect("repaired");
        assert!(report.steps.iter().any(|step| step.contains("without a file")), "{:#?}", report.steps);
        assert!(report.after.is_clean(), "{:#?}", report.after.findings);
        // It opens, and goes on opening, killed or closed.
        for number in 0..4 {
            let (store, recovery) = Store::open(Options::new(into.path())).expect("opens");
            assert_eq!((recovery.lost, recovery.sessions), (None, 1), "{number}: {path:?}");
            let message = publish(&store, "t", &number.to_string());
            commit(&store, Transaction { source: None, fence: None, operations: vec![message] });
            drop(store);
        }
    }
}

/// Killed at every stage of its life, a whole store opens; so does one whose log went when nothing was in it.
#[test]
fn no_whole_store_is_refused() {
    let mut fixture = fixture();
    let mut expected = 0;
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for round in 0..8 {
        // Some lives end before anything of their log went to table files, some after.
        for number in 0..[0, 1, 30, 2, 45, 0, 25, 3][round] {
            fixture.publish("t", &number.to_string().repeat(900_000));
            expected += 1;
        }
        if round % 3 == 2 {
            let Fixture { directory, store, .. } = fixture;
            store.close().expect("closes");
            for (path, length) in logs(directory.path()) {
                assert_eq!(length, 0, "all is in table files");
                std::fs::remove_file(path).expect("removed");
            }
            let mut options = Options::new(directory.path());
            options.space.ballast_bytes = 0;
            let (store, recovery) = Store::open(options).expect("nothing is missing");
            fixture = Fixture { directory, store, recovery };
        } else {
            fixture = fixture.reopen();
        }
        let client = fixture.attach("a");
        let budget = Budget { messages: usize::MAX, bytes: usize::MAX };
        let pass = fixture.store.read(&client.reader, Lsn(0), budget).expect("whole");
        assert_eq!((pass.entries.len(), fixture.recovery.lost), (expected, None), "{round}");
    }
}
