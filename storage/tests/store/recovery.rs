//! Opening: what is refused, what is recovered, and what is missing.

use std::fs::File;
use std::path::{Path, PathBuf};

use barnacle_storage::*;

use crate::support::*;

fn refusal(directory: &Path) -> OpenError {
    match Store::open(Options::new(directory)) {
        Ok((_, recovery)) => panic!("it has opened: {recovery}"),
        Err(error) => error,
    }
}

fn newest_wal(directory: &Path) -> PathBuf {
    let files =
        std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .max()
        .expect("a write-ahead log")
}

#[test]
fn a_new_store_is_empty_and_says_so() {
    let fixture = fixture();
    let recovery = &fixture.recovery;
    assert!(recovery.clean && recovery.lost.is_none() && recovery.ended.is_empty());
    assert_eq!((recovery.sessions, recovery.head), (0, Lsn(0)));
    assert!(recovery.to_string().starts_with("0 sessions, 0 subscriptions, 0 filters, head 0"), "{recovery}");
}

#[test]
fn checksums_are_computed_in_hardware() {
    let supported = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    assert_eq!(fixture().recovery.fast_checksum, Some(supported));
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for number in 0..100 {
        fixture.publish("t", &number.to_string());
    }
    let head = fixture.store.head();
    let fixture = fixture.reopen();
    assert!(!fixture.recovery.clean);
    assert_eq!((fixture.recovery.head, fixture.recovery.lost), (head, None));
    assert_eq!(
        (fixture.recovery.sessions, fixture.recovery.subscriptions, fixture.recovery.filters),
        (1, 1, 1)
    );
    assert_eq!(fixture.recovery.interrupted_sessions, 1);
    let client = fixture.attach("a");
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(fixture.read(&client, Lsn(0)), expected);
    // The log's count goes on where it was: a pass over both parts finds no gap.
    fixture.publish("t", "100");
    assert_eq!(fixture.read(&client, Lsn(0)).len(), 101);
    let fixture = fixture.reopen_with(|options| options.tail_cache_bytes = 0);
    let client = fixture.attach("a");
    assert_eq!(fixture.read(&client, Lsn(0)).len(), 101);
}

#[test]
fn numbers_are_not_given_out_twice() {
    let fixture = fixture();
    let first = fixture.attach("a").id;
    fixture.commit_as(&fixture.attach("a"), vec![Operation::End]);
    let fixture = fixture.reopen();
    assert!(fixture.attach("a").id > first);
}

#[test]
fn sessions_that_had_expired_or_ended_with_the_crash_end() {
    let fixture = fixture();
    let expired = fixture.attach("expired");
    // Long ago, by the clock of the one who opens the store.
    fixture.detach(&expired);
    fixture.attach("interrupted");
    fixture.attach("bound");
    fixture.attached(Attach { session_expiry_interval: 0, ..attach("bound") });
    let fixture = fixture.reopen();
    let mut ended: Vec<_> = fixture.recovery.ended.iter().map(|ended| ended.client_id.to_string()).collect();
    ended.sort();
    assert_eq!(ended, ["bound", "expired"]);
    assert_eq!(fixture.store.counts(), Counts { sessions: 1, connected: 0, subscriptions: 0, filters: 0 });
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
            as u64;
    let deadline = fixture.store.next_deadline().expect("the interrupted session's clock runs");
    let from_now = now + u64::from(HOUR) * 1000;
    assert!((from_now - 60_000..=from_now).contains(&deadline), "{deadline}");
}

#[test]
fn an_orderly_end_is_told_from_a_crash() {
    let Fixture { directory, store, .. } = fixture();
    store.close().expect("closes");
    let open = || Store::open(Options::new(directory.path())).expect("opens");
    let (store, recovery) = open();
    assert!(recovery.clean);
    drop(store);
    let (_store, recovery) = open();
    assert!(!recovery.clean, "the mark was taken back when the store was opened");
}

#[test]
fn acknowledged_data_that_is_missing_is_reported() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    fixture.publish("t", "1");
    let wal = newest_wal(fixture.directory.path());
    // Where the next commit will be written.
    let kept = std::fs::read(&wal).expect("read").len() as u64;
    let commits = fixture.recovery.commit + fixture.store.statistics().commits;
    fixture.publish("t", "2");
    fixture.publish("t", "3");
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    File::options().write(true).open(&wal).and_then(|file| file.set_len(kept)).expect("truncated");

    let (store, recovery) = Store::open(Options::new(directory.path())).expect("opens");
    assert_eq!(recovery.lost, Some((commits, commits + 1)));
    assert!(recovery.to_string().contains("ACKNOWLEDGED DATA IS LOST"), "{recovery}");
    let fixture = Fixture { directory, store, recovery };
    let client = fixture.attach("a");
    assert_eq!(fixture.read(&client, Lsn(0)), ["1"]);
    let fixture = fixture.reopen();
    assert_eq!(fixture.recovery.lost, None, "reported once");
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let fixture = fixture();
    let error = refusal(fixture.directory.path());
    let OpenError::InUse { process, .. } = &error else { panic!("{error}") };
    assert_eq!(*process, Some(std::process::id()));
    assert!(error.to_string().contains(&fixture.directory.path().display().to_string()), "{error}");
}

#[test]
fn a_newer_schema_is_refused_by_name_and_left_alone() {
    let Fixture { directory, store, .. } = fixture();
    store.close().expect("closes");
    {
        let db = raw(directory.path(), &FAMILIES);
        // The record of schema 3: version 1, checksum, 3.
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[1, 3]);
        let record = [&[1][..], &hasher.finalize().to_le_bytes(), &[3]].concat();
        db.put_cf(db.cf_handle("meta").expect("there"), "schema", record).expect("written");
    }
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::NewerSchema { found: 3, known: 2, .. }), "{error}");
    // Also when it has families that this version does not know.
    drop(raw(directory.path(), &[&FAMILIES[..], &["future"]].concat()));
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::NewerSchema { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn a_directory_that_holds_something_else_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("thesis.tex"), "do not touch").expect("written");
    let error = refusal(directory.path());
    assert!(matches!(&error, OpenError::NotAStore { found, .. } if found.contains("thesis.tex")), "{error}");

    let directory = tempfile::tempdir().expect("a temporary directory");
    drop(raw(directory.path(), &["default", "blocks"]));
    let error = refusal(directory.path());
    assert!(matches!(&error, OpenError::NotAStore { found, .. } if found.contains("blocks")), "{error}");
}

#[test]
fn a_store_whose_database_is_gone_does_not_start_empty() {
    let Fixture { directory, store, .. } = fixture();
    store.close().expect("closes");
    std::fs::remove_dir_all(directory.path().join("rocksdb")).expect("removed");
    let error = refusal(directory.path());
    assert!(matches!(&error, OpenError::NotAStore { found, .. } if found.contains("no database")), "{error}");
}

#[test]
fn a_damaged_record_of_a_session_is_named() {
    let fixture = fixture();
    fixture.attach("my client");
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    {
        let db = raw(directory.path(), &FAMILIES);
        let family = db.cf_handle("session").expect("there");
        let mut record = db.get_cf(family, "my client").expect("read").expect("there");
        *record.last_mut().expect("not empty") ^= 1;
        db.put_cf(family, "my client", record).expect("written");
    }
    let error = refusal(directory.path());
    let OpenError::Damaged { damaged, .. } = error else { panic!("{error}") };
    assert_eq!(
        (damaged.family, damaged.key.as_str(), damaged.reason),
        ("session", "my client", DecodeError::Checksum)
    );
}

#[test]
fn a_damaged_or_missing_block_of_a_log_is_reported_and_the_rest_is_read() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let lsns: Vec<Lsn> = (0..5).map(|number| fixture.publish("t", &number.to_string())).collect();
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let keys: Vec<Box<[u8]>> = {
        let db = raw(directory.path(), &FAMILIES);
        let family = db.cf_handle("log").expect("there");
        let blocks: Vec<_> = db.iterator_cf(family, rocksdb::IteratorMode::Start).flatten().collect();
        assert_eq!(blocks.len(), 5, "one for each commit");
        let mut record = blocks[1].1.to_vec();
        record[20] ^= 4;
        db.put_cf(family, &blocks[1].0, record).expect("written");
        blocks.into_iter().map(|(key, _)| key).collect()
    };
    let (store, recovery) = Store::open(Options::new(directory.path())).expect("messages are not read");
    let fixture = Fixture { directory, store, recovery };
    let client = fixture.attach("a");
    let pass = fixture.pass(&client, Lsn(0));
    let [lost] = pass.damaged[..] else { panic!("{:?}", pass.damaged) };
    let log = lost.log;
    assert_eq!(lost, DamagedRange { log, after: lsns[0], through: lsns[1], messages: Some(1) });
    assert_eq!(payloads(&pass), ["0", "2", "3", "4"]);
    assert_eq!(fixture.pass(&client, Lsn(0)), pass, "each who comes there is told");
    assert_eq!(fixture.store.statistics().damaged_ranges, 1, "it is reported once");
    assert_eq!(fixture.pass(&client, lsns[1]).damaged, [], "who is behind it is not");

    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    {
        let db = raw(directory.path(), &FAMILIES);
        db.delete_cf(db.cf_handle("log").expect("there"), &keys[3]).expect("deleted");
    }
    let (store, _) = Store::open(Options::new(directory.path())).expect("opens");
    let attached = commit(
        &store,
        Transaction { source: None, fence: None, operations: vec![Operation::Attach(attach("a"))] },
    );
    let Answer::Attached(attached) = &attached.answers[0] else { panic!("{attached:?}") };
    let reader = &attached.session.as_ref().expect("stored").reader;
    let pass = store.read(reader, lsns[1], ALL).expect("it is passed over");
    assert_eq!(payloads(&pass), ["2", "4"]);
    assert_eq!(pass.damaged, [DamagedRange { log, after: lsns[2], through: lsns[3], messages: Some(1) }]);
}
