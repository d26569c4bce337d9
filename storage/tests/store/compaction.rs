//! A compaction that comes upon a damaged block, and files that cannot be read while the store is open.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use barnacle_storage::*;

use crate::support::*;

const MESSAGES: usize = 300;

/// Sessions whose logs share table files: one has much, the others little.
fn with_shared_files() -> (Fixture, [Client; 3]) {
    let options = |options: &mut Options| {
        options.trimming.dead_bytes = 1;
        options.trimming.interval = Duration::from_secs(3600);
    };
    let fixture = fixture_with(options);
    for client_id in ["a", "b", "c"] {
        let client = fixture.attach(client_id);
        fixture.subscribe(&client, &format!("{client_id}/#"), 1);
    }
    for first in (0..MESSAGES).step_by(3) {
        let numbers =
            (first..first + 3).flat_map(|number| ["a", "b", "c"].map(|client_id| (number, client_id)));
        let some = numbers.map(|(number, client_id)| {
            publish(&fixture.store, &format!("{client_id}/t"), &format!("{client_id} {number:0>400}"))
        });
        fixture.commit(some.collect());
    }
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let mut with = Options::new(directory.path());
    with.space.ballast_bytes = 0;
    options(&mut with);
    let (store, recovery) = Store::open(with).expect("opens");
    let fixture = Fixture { directory, store, recovery };
    let clients = ["a", "b", "c"].map(|client_id| fixture.attach(client_id));
    (fixture, clients)
}

/// The table file that has some bytes, and where.
fn find(directory: &Path, bytes: &str) -> (PathBuf, u64) {
    let files = std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten();
    let tables = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|is| is == "sst"));
    for path in tables {
        let found = std::fs::read(&path).expect("read");
        if let Some(at) = found.windows(bytes.len()).position(|window| window == bytes.as_bytes()) {
            return (path, at as u64);
        }
    }
    panic!("{bytes} is in no table file");
}

/// Flips a bit of a file that somebody has open.
fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}

/// Has everything of `a` rewritten, and with it what shares its files.
fn compact(fixture: &Fixture, a: &Client) {
    fixture.save(a, Outbound { position: fixture.store.head(), last_packet_id: 0, open: vec![] });
    fixture.store.trim();
    fixture.store.trim();
    assert!(fixture.store.statistics().trims > 0);
}

/// Waits until a damaged file has been replaced.
fn replaced(fixture: &Fixture) {
    let patience = Instant::now() + Duration::from_secs(60);
    while fixture.store.statistics().damaged_files == 0 {
        assert!(Instant::now() < patience, "nothing is replaced: {:?}", fixture.store.health());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_compaction_over_a_flipped_byte_costs_the_block_and_nothing_else() {
    let (fixture, [a, b, c]) = with_shared_files();
    let (path, at) = find(fixture.directory.path(), &format!("b {:0>400}", MESSAGES / 2));
    flip(&path, at + 100);
    compact(&fixture, &a);
    replaced(&fixture);
    let first = fixture.publish("b/t", "behind");
    fixture.publish("c/t", "behind");
    assert_eq!(fixture.store.health(), Health::Ok);
    let statistics = fixture.store.statistics();
    assert_eq!((statistics.damaged_files, statistics.reopenings), (1, 1));

    let pass = fixture.pass(&b, Lsn(0));
    let lost: u64 =
        pass.damaged.iter().map(|range| range.messages.expect("ordinals on both sides tell")).sum();
    assert!(lost > 0 && lost < 80, "one block of the file: {lost}");
    assert_eq!(pass.entries.len() as u64 + lost, MESSAGES as u64 + 1);
    assert!(
        pass.entries.is_sorted_by_key(|entry| entry.lsn)
            && pass.entries.last().is_some_and(|entry| entry.lsn == first)
    );
    assert_eq!(statistics.damaged_messages, lost);
    assert_eq!(fixture.read(&c, Lsn(0)).len(), MESSAGES + 1);

    // A second compaction of the same part finds nothing, and neither does the next start.
    compact(&fixture, &a);
    fixture.publish("c/t", "and again");
    assert_eq!(fixture.store.statistics().damaged_files, 1);
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    let report = Checker::open(directory.path()).expect("opens").check();
    assert!(report.is_clean(), "{:#?}", report.findings);
    let named: Vec<_> =
        report.findings.iter().filter(|finding| finding.kind == FindingKind::Quarantined).collect();
    let range = named.first().and_then(|finding| finding.range).expect("it is named");
    assert_eq!((named.len(), range.log, range.messages), (1, b.id.0, Some(lost)), "{named:#?}");
    let (store, recovery) = Store::open(Options::new(directory.path())).expect("opens");
    assert_eq!((recovery.lost, recovery.in_doubt.len()), (None, 0));
    let session = {
        let operations = vec![Operation::Attach(attach("b"))];
        match commit(&store, Transaction { source: None, fence: None, operations }).answers.pop() {
            Some(Answer::Attached(attached)) => attached.session.expect("stored"),
            other => panic!("{other:?} instead of Attached"),
        }
    };
    let again = store.read(&session.reader, Lsn(0), ALL).expect("readable");
    assert_eq!((again.entries.len(), again.damaged), (pass.entries.len(), pass.damaged));
}

#[test]
fn damage_at_the_end_of_a_log_is_told_and_no_ordinal_is_used_twice() {
    let (fixture, [a, _, c]) = with_shared_files();
    let (path, at) = find(fixture.directory.path(), &format!("c {:0>400}", MESSAGES - 1));
    flip(&path, at + 100);
    compact(&fixture, &a);
    replaced(&fixture);
    fixture.publish("b/t", "behind");
    let pass = fixture.pass(&c, Lsn(0));
    assert!(pass.entries.len() < MESSAGES && pass.damaged.len() == 1, "{:?}", pass.damaged);
    let last = fixture.publish("c/t", "behind");
    let pass = fixture.pass(&c, Lsn(0));
    assert_eq!(pass.entries.last().map(|entry| entry.lsn), Some(last));
    assert_eq!(pass.damaged.len(), 1, "{:?}", pass.damaged);
    let Fixture { directory, store, .. } = fixture;
    drop(store);
    let report = Checker::open(directory.path()).expect("opens").check();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// Where the file is to be kept, something is in the way: it is tried again until that is gone, though nobody compacts again.
#[test]
fn what_could_not_be_replaced_is_replaced_later_by_itself() {
    let (fixture, [a, b, _]) = with_shared_files();
    let (path, at) = find(fixture.directory.path(), &format!("b {:0>400}", MESSAGES / 2));
    flip(&path, at + 100);
    let in_the_way = fixture.directory.path().join("quarantine");
    std::fs::write(&in_the_way, "no folder").expect("written");
    let before = openings(fixture.directory.path());
    compact(&fixture, &a);
    // Opened to be mended, and once more as it was.
    let patience = Instant::now() + Duration::from_secs(60);
    while openings(fixture.directory.path()) < before + 2 {
        assert!(Instant::now() < patience, "nothing is tried: {:?}", fixture.store.health());
        std::thread::sleep(Duration::from_millis(10));
    }
    fixture.publish("b/t", "meanwhile");
    assert_eq!(fixture.store.statistics().damaged_files, 0);
    std::fs::remove_file(&in_the_way).expect("it was in the way all the time");
    replaced(&fixture);
    let last = fixture.publish("b/t", "behind");
    assert_eq!(fixture.store.health(), Health::Ok);
    let pass = fixture.pass(&b, Lsn(0));
    assert_eq!((pass.damaged.len(), pass.entries.last().map(|entry| entry.lsn)), (1, Some(last)));
}

/// How often the database has been opened: each time its log begins anew.
fn openings(directory: &Path) -> usize {
    let files = std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten();
    files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b"LOG.old")).count()
}
