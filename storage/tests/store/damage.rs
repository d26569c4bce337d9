//! Damage to every kind of file: a store opens with everything, or says what is in doubt, or refuses by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barnacle_storage::*;
use tempfile::TempDir;

use crate::support::*;

const MESSAGES: usize = 240;

/// What a store was told, and has to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents {
    /// Payloads that wait for each session.
    waiting: BTreeMap<String, Vec<String>>,
    retained: Vec<String>,
    inbound: Vec<u16>,
    open: Vec<(u16, bool)>,
    filters: Vec<String>,
}

/// A store with some of everything. Closed in order it is all in table files, else all in the write-ahead log.
fn planted(closed: bool) -> (TempDir, Contents) {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "own/#", 2);
    fixture.subscribe(&a, "both/+", 1);
    fixture.subscribe(&b, "both/+", 1);
    for number in 0..MESSAGES {
        let topic = ["own/x", "both/x", "both/y"][number % 3];
        fixture.publish(topic, &format!("{number:0>300}"));
    }
    for number in 0..20 {
        fixture.commit(vec![retain(&fixture.store, &format!("kept/{number}"), &format!("kept {number}"))]);
    }
    let pass = fixture.pass(&a, Lsn(0));
    let received = Exchange { received: true, qos: 2, ..exchange(1, &pass.entries[0]) };
    let sent = Exchange { qos: 2, ..exchange(2, &pass.entries[1]) };
    let open = vec![received, sent];
    fixture.save(&a, Outbound { position: pass.entries[1].lsn, last_packet_id: 2, open });
    fixture.commit_as(&a, vec![Operation::SaveInbound([7, 8, 12].into_iter().collect())]);
    let never = Detach { session_expiry_interval: u32::MAX, will: WillFate::Forget, now_millis: NOW };
    fixture.commit_as(&b, vec![Operation::Detach(never)]);
    let Fixture { directory, store, .. } = fixture;
    if closed {
        store.close().expect("closes");
    } else {
        drop(store);
    }
    let copy = copied(directory.path());
    let (store, _) = Store::open(Options::new(copy.path())).expect("opens");
    let contents = contents(&store).expect("whole");
    assert_eq!(contents.waiting["a"].len(), MESSAGES - 2);
    assert_eq!(contents.waiting["b"].len(), MESSAGES * 2 / 3);
    assert_eq!((contents.retained.len(), contents.inbound.len(), contents.open.len()), (20, 3, 2));
    (directory, contents)
}

/// Everything that a store gives to who asks; `Err`: what it says that it cannot give.
fn contents(store: &Store) -> Result<Contents, String> {
    let (mut waiting, mut filters) = (BTreeMap::new(), Vec::new());
    let (mut inbound, mut open) = (Vec::new(), Vec::new());
    for client_id in ["a", "b"] {
        let operations = vec![Operation::Attach(attach(client_id))];
        let committed = match outcome(store, Transaction { source: None, fence: None, operations }) {
            Ok(Outcome::Committed(committed)) => committed,
            other => return Err(format!("{other:?}")),
        };
        let Some(Answer::Attached(attached)) = committed.answers.into_iter().next() else {
            return Err("no session".to_owned());
        };
        let session = attached.session.expect("stored");
        let pass =
            store.read(&session.reader, session.outbound.position, ALL).map_err(|error| error.to_string())?;
        if !pass.damaged.is_empty() {
            return Err(format!("{:?}", pass.damaged));
        }
        waiting.insert(client_id.to_owned(), payloads(&pass));
        inbound.extend(session.inbound.iter());
        for exchange in &session.outbound.open {
            if !exchange.received
                && store.read_exchange(session.id, exchange).map_err(|error| error.to_string())?.is_none()
            {
                return Err(format!("exchange {} has lost its message", exchange.packet_id));
            }
            open.push((exchange.packet_id, exchange.received));
        }
        filters.extend(
            session.subscriptions.iter().map(|subscription| format!("{client_id} {}", subscription.filter)),
        );
    }
    let scan = RetainedScan { through: store.head(), after_topic: String::new() };
    let page = store.read_retained("#", &scan, ALL).map_err(|error| error.to_string())?;
    if page.damaged > 0 {
        return Err(format!("{} retained messages", page.damaged));
    }
    let retained = page.messages.iter().map(|(_, message)| text(message)).collect();
    Ok(Contents { waiting, retained, inbound, open, filters })
}

/// A copy of a store of its own, to be damaged.
fn copied(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for folder in ["", "rocksdb"] {
        std::fs::create_dir_all(copy.path().join(folder)).expect("made");
        for entry in std::fs::read_dir(directory.join(folder)).expect("there").flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), copy.path().join(folder).join(entry.file_name()))
                    .expect("copied");
            }
        }
    }
    copy
}

/// Files of a store, by their names below the data directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["", "rocksdb"] {
        for entry in std::fs::read_dir(directory.join(folder)).expect("there").flatten() {
            if entry.path().is_file() {
                files.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    files.sort();
    files
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    /// A bit, at so many hundredths of the file.
    Flip(usize),
    /// The file ends after so many hundredths.
    Cut(usize),
    Remove,
}

const HARMS: [Harm; 8] = [
    Harm::Flip(2),
    Harm::Flip(37),
    Harm::Flip(71),
    Harm::Flip(99),
    Harm::Cut(50),
    Harm::Cut(95),
    Harm::Cut(0),
    Harm::Remove,
];

impl Harm {
    fn on(self, path: &Path) {
        let mut bytes = std::fs::read(path).expect("read");
        match self {
            Harm::Flip(_) if bytes.is_empty() => return,
            Harm::Flip(at) => {
                let at = bytes.len() * at / 100;
                bytes[at] ^= 0x10;
            }
            Harm::Cut(at) => bytes.truncate(bytes.len() * at / 100),
            Harm::Remove => return std::fs::remove_file(path).expect("removed"),
        }
        std::fs::write(path, bytes).expect("written");
    }
}

/// What became of a damaged store.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    SaysSo(String),
    Refused(String),
}

fn fate(directory: &Path, expected: &Contents) -> Fate {
    let (store, recovery) = match Store::open(Options::new(directory)) {
        Ok(opened) => opened,
        Err(error) => return Fate::Refused(error.to_string()),
    };
    let said = recovery.lost.is_some() || recovery.mark_unreadable || !recovery.in_doubt.is_empty();
    match contents(&store) {
        Ok(found) if found == *expected => Fate::Whole,
        Ok(_) if said => Fate::SaysSo(recovery.to_string()),
        Err(reason) => Fate::SaysSo(reason),
        Ok(found) => panic!("lost in silence: {recovery}\n{found:?}"),
    }
}

#[test]
fn whatever_file_is_damaged_the_store_is_whole_or_says_so_or_refuses_by_name() {
    let (mut refused, mut said, mut whole) = (0, 0, 0);
    for closed in [true, false] {
        let (planted, expected) = planted(closed);
        for file in files(planted.path()) {
            for harm in HARMS {
                let copy = copied(planted.path());
                harm.on(&copy.path().join(&file));
                let fate = fate(copy.path(), &expected);
                println!("{closed} {} {harm:?}: {fate:?}", file.display());
                let is_log = file.extension().is_some_and(|is| is == "log");
                if is_log && closed && matches!(harm, Harm::Remove) {
                    // Nothing is in the log of a store that was closed in order.
                    assert!(!matches!(fate, Fate::Refused(_)), "{fate:?}");
                }
                match fate {
                    Fate::Whole => whole += 1,
                    Fate::SaysSo(reason) => {
                        assert!(!reason.is_empty());
                        said += 1;
                    }
                    Fate::Refused(reason) => {
                        let directory = copy.path().display().to_string();
                        assert!(reason.contains(&directory), "{reason}");
                        let points = reason.contains("barnacle check") || reason.contains("no database");
                        assert!(points, "{}: {harm:?}: {reason}", file.display());
                        refused += 1;
                    }
                }
            }
        }
    }
    // The table has met each of the three.
    assert!(refused > 20 && said > 10 && whole > 20, "{refused} {said} {whole}");
}

#[test]
fn checking_a_whole_store_finds_nothing_and_changes_nothing() {
    for closed in [true, false] {
        let (planted, _) = planted(closed);
        let before = snapshot(planted.path());
        let report = Checker::open(planted.path()).expect("opens").check();
        assert!(report.is_clean(), "{:#?}", report.findings);
        assert_eq!(report.clean_shutdown, closed);
        let counts = report.counts;
        assert_eq!((counts.sessions, counts.subscriptions, counts.filters), (2, 3, 1));
        assert_eq!((counts.retained, counts.messages, counts.logs), (20, MESSAGES as u64, 2));
        assert_eq!(snapshot(planted.path()), before);
    }
}

fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(directory)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(directory.join(file)).expect("read")))
        .collect()
}

#[test]
fn what_is_inspected_is_what_was_stored() {
    let (planted, contents) = planted(false);
    let checker = Checker::open(planted.path()).expect("opens");
    let selection = Selection { messages: 5, ..Selection::default() };
    let inspection = checker.inspect(&selection);
    assert!(!inspection.damaged);
    let [a, b] = &inspection.sessions[..] else { panic!("{:?}", inspection.sessions) };
    assert_eq!(
        (a.client_id.as_str(), a.connected, b.client_id.as_str(), b.connected),
        ("a", true, "b", false)
    );
    assert_eq!(
        a.backlog_messages as usize + a.shared_backlog_messages_at_most as usize,
        contents.waiting["a"].len()
    );
    assert_eq!(
        (b.backlog_messages, b.shared_backlog_messages_at_most as usize),
        (0, contents.waiting["b"].len())
    );
    assert!(b.shared_backlog_bytes_at_most > 300 * b.shared_backlog_messages_at_most);
    assert_eq!((a.exchanges.len(), a.inbound, a.subscriptions.len()), (2, 3, 2));
    assert_eq!((inspection.retained_total, inspection.retained.len(), a.messages.len()), (20, 5, 5));
    let shown: Vec<&str> = b.messages.iter().map(|message| &message.payload[..]).collect();
    assert!(contents.waiting["b"].iter().zip(shown).all(|(whole, shown)| whole.starts_with(shown)));

    let selection =
        Selection { client_id: Some("b".to_owned()), filter: Some("both/y".to_owned()), messages: 1000 };
    let inspection = checker.inspect(&selection);
    assert_eq!(inspection.sessions.len(), 1);
    assert_eq!(inspection.sessions[0].messages.len(), MESSAGES / 3);
    assert!(inspection.retained.is_empty());
}

#[test]
fn what_is_no_store_is_not_checked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let refusal = |directory: &Path| Checker::open(directory).map(drop).expect_err("it is no store");
    assert!(matches!(refusal(directory.path()), OpenError::NotAStore { .. }));
    assert!(matches!(refusal(&directory.path().join("not there")), OpenError::Io { .. }));
    drop(raw(directory.path(), &["default", "blocks"]));
    assert!(matches!(refusal(directory.path()), OpenError::NotAStore { .. }));
}

/// The repaired copy of a damaged store, with what was found.
fn repaired(damaged: &Path) -> (TempDir, RepairReport) {
    let copy = tempfile::tempdir().expect("a temporary directory");
    let report = repair_copy(damaged, copy.path()).expect("repaired");
    assert!(report.after.is_clean(), "{:#?}\n{:#?}", report.steps, report.after.findings);
    (copy, report)
}

#[test]
fn whatever_file_is_damaged_repair_makes_a_store_that_opens_and_is_whole() {
    let mut changed = 0;
    for closed in [true, false] {
        let (planted, expected) = planted(closed);
        for file in files(planted.path()) {
            for harm in [Harm::Flip(37), Harm::Cut(50), Harm::Remove] {
                let copy = copied(planted.path());
                harm.on(&copy.path().join(&file));
                println!("{closed} {} {harm:?}", file.display());
                let before = snapshot(copy.path());
                let (into, report) = repaired(copy.path());
                assert_eq!(snapshot(copy.path()), before, "the damaged store is only read");
                let (store, _) = Store::open(Options::new(into.path())).expect("opens");
                if contents(&store).as_ref() != Ok(&expected) {
                    assert!(!report.steps.is_empty() || !report.after.is_clean(), "silently lost");
                    changed += 1;
                }
            }
        }
    }
    assert!(changed > 5, "some damage costs something: {changed}");
}

#[test]
fn repair_never_takes_a_place_that_is_taken_and_leaves_a_copy_behind() {
    let (planted, expected) = planted(true);
    let taken = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(taken.path().join("thesis.tex"), "do not touch").expect("written");
    for refused in
        [repair_copy(planted.path(), taken.path()), repair_with_backup(planted.path(), taken.path())]
    {
        assert!(matches!(refused, Err(RepairError::Occupied(_))), "{refused:?}");
    }
    let mut before = snapshot(planted.path());
    assert_eq!(
        before.remove(Path::new("rocksdb/LOCK")),
        Some(vec![]),
        "a lock is nobody's but the original's"
    );
    let backup = tempfile::tempdir().expect("a temporary directory");
    let report = repair_with_backup(planted.path(), backup.path()).expect("repaired");
    assert_eq!((report.steps.as_slice(), report.after.is_clean()), (&[][..], true));
    assert_eq!(snapshot(backup.path()), before);
    let (store, _) = Store::open(Options::new(planted.path())).expect("opens");
    assert_eq!(contents(&store), Ok(expected));
}

/// Regression: a search for the next readable key took `x` and `x` with zeros behind it for the same, and passed over rows.
#[test]
fn a_damaged_block_costs_its_own_messages_and_repair_no_more_than_reading() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for number in 0..400 {
        fixture.publish("t", &format!("{number:0>200}"));
    }
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let tables =
        files(directory.path()).into_iter().filter(|file| file.extension().is_some_and(|is| is == "sst"));
    let size = |file: &PathBuf| std::fs::metadata(directory.path().join(file)).expect("there").len();
    let log = tables.max_by_key(size).expect("a table file");
    Harm::Flip(50).on(&directory.path().join(log));

    let report = Checker::open(directory.path()).expect("opens").check();
    let [finding] = &report.findings[..] else { panic!("{:#?}", report.findings) };
    let range = finding.range.expect("a part of a log");
    let lost = range.messages.expect("the ordinals on both sides tell");
    assert_eq!((finding.kind, lost), (FindingKind::Unreadable, range.through - range.after));
    assert_eq!(report.counts.messages + lost, 400);
    assert_eq!(finding.sessions, ["a"]);

    let (copy, report) = repaired(directory.path());
    assert_eq!(report.after.counts.messages + lost, 400);
    for directory in [directory.path(), copy.path()] {
        let (store, _) = Store::open(Options::new(directory)).expect("opens");
        let committed = commit(
            &store,
            Transaction { source: None, fence: None, operations: vec![Operation::Attach(attach("a"))] },
        );
        let Some(Answer::Attached(attached)) = committed.answers.first() else { panic!("{committed:?}") };
        let reader = &attached.session.as_ref().expect("stored").reader;
        let pass = store.read(reader, Lsn(0), ALL).expect("passed over");
        assert_eq!(pass.entries.len() as u64 + lost, 400);
        let [damaged] = pass.damaged[..] else { panic!("{:?}", pass.damaged) };
        assert_eq!(
            (damaged.after.0, damaged.through.0, damaged.messages),
            (range.after, range.through, Some(lost))
        );
    }
}
