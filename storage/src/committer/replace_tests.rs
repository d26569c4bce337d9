//! Whatever table file is damaged while the store is open: what memory has comes back, and what it has not is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use bytes::{Bytes, BytesMut};
use rocksdb::DB;
use tempfile::TempDir;

use super::replace::replace_damaged;
use crate::engine::rocks::FOLDER;
use crate::engine::{EngineError, FailureKind};
use crate::{
    Answer, Attach, Attached, Checker, Detach, Exchange, Finding, FindingKind, Lsn, Message, NewSubscription,
    Operation, Options, Outbound, Outcome, Publish, RetainedChange, SessionId, Store, SubscriptionOptions,
    Transaction, Will, WillFate,
};

const SESSIONS: usize = 120;

fn commit(store: &Store, transaction: Transaction) -> Vec<Answer> {
    let (answer, answered) = mpsc::channel();
    store.submit(transaction, move |outcome| answer.send(outcome).expect("the test waits"));
    match answered.recv().expect("every transaction is answered") {
        Ok(Outcome::Committed(committed)) => committed.answers,
        other => panic!("{other:?} instead of Committed"),
    }
}

fn attach(store: &Store, client_id: &str, message: &Message) -> Attached {
    let will = Will { message: message.clone(), delay_interval: 7, message_expiry_interval: None };
    let attach = Attach {
        client_id: client_id.into(),
        clean_start: false,
        session_expiry_interval: u32::MAX,
        protocol_level: 5,
        keep_alive: 60,
        will: Some(will),
        now_millis: 0,
    };
    let operations = vec![Operation::Attach(attach)];
    match commit(store, Transaction { source: None, fence: None, operations }).pop() {
        Some(Answer::Attached(attached)) => *attached,
        other => panic!("{other:?} instead of Attached"),
    }
}

fn message(number: usize) -> Message {
    Message {
        qos: 2,
        retain: false,
        published_at_millis: 0,
        expires_at_millis: None,
        publisher: "publisher".into(),
        topic: format!("topic/{number}").into(),
        properties: Bytes::from_static(&[1, 1]),
        payload: Bytes::from(format!("{number:0>500}")),
    }
}

fn open(directory: &Path) -> Store {
    let mut options = Options::new(directory);
    options.space.ballast_bytes = 0;
    Store::open(options).expect("opens").0
}

/// A store, closed, with every kind of row in its table files.
fn planted() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = open(directory.path());
    for number in 0..SESSIONS {
        let client_id = format!("client-{number:0>60}");
        let session = attach(&store, &client_id, &message(number)).session.expect("stored");
        let fence = Some((session.id, session.epoch));
        let subscription = |filter: String, qos| NewSubscription {
            filter: filter.into(),
            options: SubscriptionOptions {
                qos,
                no_local: false,
                retain_as_published: false,
                identifier: Some(9),
            },
            retain_handling: 2,
        };
        let filters = vec![
            subscription(format!("own/{number:0>60}"), 1),
            subscription(format!("both/{:0>60}", number / 2), 2),
            subscription(format!("$share/group/both/{:0>60}", number / 3), 1),
        ];
        let open = vec![Exchange {
            packet_id: 3,
            lsn: Lsn(1),
            log: session.id.own_log(),
            qos: 2,
            received: true,
            retain: false,
            subscription_identifiers: vec![],
        }];
        let inbound = [4, 5, 60_000].into_iter().collect();
        let outbound = Outbound { position: Lsn(1), last_packet_id: 3, open };
        let targets = store.route("own/none");
        let publish = Publish {
            retained: RetainedChange::Set,
            ..Publish::of(&message(number), targets, &mut BytesMut::new())
        };
        let operations = vec![
            Operation::Subscribe(filters),
            Operation::Publish(publish),
            Operation::SaveInbound(inbound),
            Operation::SaveOutbound(outbound),
            Operation::Detach(Detach {
                session_expiry_interval: u32::MAX,
                will: WillFate::Forget,
                now_millis: 0,
            }),
        ];
        commit(&store, Transaction { source: None, fence, operations });
    }
    store.close().expect("closes");
    directory
}

/// All that the rows of the small families say.
fn rows(store: &Store) -> BTreeMap<SessionId, String> {
    let catalog = store.shared().catalog.lock();
    let mut rows: BTreeMap<SessionId, String> = catalog
        .sessions
        .iter()
        .map(|(id, session)| {
            let subscriptions: Vec<_> = session.subscriptions.iter().map(|known| known.row()).collect();
            let outbound = session.outbound();
            let text =
                format!("{:?} {subscriptions:?} {outbound:?} {:?}", session.row(*id), session.rare.inbound);
            (*id, text)
        })
        .collect();
    let mut logs: Vec<_> = catalog.logs.iter().map(|(log, known)| (*log, known.filter.clone())).collect();
    logs.sort();
    let mut groups: Vec<_> = catalog.groups.iter().map(|(filter, group)| (filter, group.row())).collect();
    groups.sort_by_key(|(filter, _)| (*filter).clone());
    rows.insert(SessionId(0), format!("{logs:?} {groups:?}"));
    rows
}

/// The table files of a closed store, each with the family whose rows it has.
fn tables(directory: &Path) -> Vec<(PathBuf, String)> {
    let path = directory.join(FOLDER);
    let options = rocksdb::Options::default();
    let families = DB::list_cf(&options, &path).expect("families");
    let db = DB::open_cf_for_read_only(&options, &path, families, false).expect("opens");
    let files = db.live_files().expect("files").into_iter();
    files.map(|file| (PathBuf::from(file.name.trim_start_matches('/')), file.column_family_name)).collect()
}

fn copied(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for folder in ["", FOLDER] {
        std::fs::create_dir_all(copy.path().join(folder)).expect("made");
        for entry in std::fs::read_dir(directory.join(folder)).expect("there").flatten() {
            let target = copy.path().join(folder).join(entry.file_name());
            if entry.path().is_file() {
                std::fs::copy(entry.path(), target).expect("copied");
            }
        }
    }
    copy
}

#[test]
fn whatever_table_file_is_damaged_memory_gives_back_what_it_has_and_the_rest_is_named() {
    let planted = planted();
    let tables = tables(planted.path());
    let families: BTreeSet<&str> = tables.iter().map(|(_, family)| family.as_str()).collect();
    assert!(families.len() >= 6, "{families:?}");
    for (file, family) in &tables {
        // A block of rows, another, and the end, without which nothing of the file can be read.
        for hundredths in [10, 40, 99] {
            let case = format!("{family} at {hundredths} hundredths");
            let directory = copied(planted.path());
            let store = open(directory.path());
            let before = rows(&store);
            let path = directory.path().join(FOLDER).join(file);
            let mut bytes = std::fs::read(&path).expect("read");
            let at = bytes.len() * hundredths / 100;
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).expect("written");

            let reason = format!("Corruption: block checksum mismatch in {}", path.display());
            let failure = EngineError { kind: FailureKind::Corruption, reason };
            replace_damaged(store.shared(), &failure).expect("replaced");
            assert_eq!(store.statistics().damaged_files, 1);
            let late = attach(&store, "late", &message(0)).session.expect("stored").id;
            drop(store);

            let report = Checker::open(directory.path()).expect("opens").check();
            let named = |finding: &&Finding| finding.kind == FindingKind::Quarantined;
            let named = report.findings.iter().filter(named).count();
            assert!(report.is_clean(), "{case}: {:#?}", report.findings);
            assert_eq!(named, usize::from(family == "retained"), "{case}: {:#?}", report.findings);
            assert!(directory.path().join("quarantine").join(file).exists(), "{case}");
            let store = open(directory.path());
            let mut after = rows(&store);
            assert!(after.remove(&late).is_some(), "{case}");
            assert_eq!(after, before, "{case}");
        }
    }
}
