//! Damage met by a running broker, and the commands for a store that is stopped.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use barnacle_wire::{Client, Packet, Publish, Subscribe, Version, kind, packets};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::broker::store::{run, text};

const MESSAGES: usize = 400;

/// A broker in which messages wait for an offline session, one batch for each.
fn with_backlog() -> Broker {
    Broker::with_backlog(MESSAGES, 200)
}

/// The numbers that the session gets, up to the last.
fn received(client: &mut Client) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(MESSAGES - 1)) {
        let message = client.expect_publish();
        numbers.push(text(&message.payload).parse().expect("a number"));
        client.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
    }
    numbers
}

fn newest(directory: &Path, ending: &str) -> PathBuf {
    let files = std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten();
    let of_kind = files.filter(|file| file.path().extension().is_some_and(|found| found == ending));
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    of_kind.map(|file| file.path()).max_by_key(size).expect("there is one")
}

fn flip(path: &Path, hundredths: usize) {
    let mut bytes = std::fs::read(path).expect("read");
    let at = bytes.len() * hundredths / 100;
    bytes[at] ^= 0x08;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn a_byte_flipped_in_the_middle_of_the_write_ahead_log_costs_its_batch_and_is_said() {
    let mut broker = with_backlog();
    broker.kill();
    let directory = broker.data_directory();
    flip(&newest(&directory, "log"), 50);

    let checked = run(&["check", "--json"], &directory);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stderr));
    let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let finding = report["findings"].as_array().expect("findings").iter();
    let named = finding.filter(|finding| finding["kind"] == "write_ahead_log").count();
    assert_eq!(named, 1, "{report:#}");

    broker.start_again();
    let log = broker.log();
    assert!(log.contains("ACKNOWLEDGED DATA IS IN DOUBT"), "{log}");
    let mut reader = broker.resume(Version::V5, "reader");
    let numbers = received(&mut reader);
    assert_eq!(numbers.len(), MESSAGES - 1, "one batch is lost");
    assert!(numbers.is_sorted());
    let lost = (0..MESSAGES).find(|number| !numbers.contains(number)).expect("one is missing");
    // LSN 1 is the first message's.
    let range = log.lines().find(|line| line.contains("IN DOUBT")).expect("a line");
    assert!(range.contains(&format!("LSN {} to {}", lost + 1, lost + 2)), "{lost}: {range}");

    // Afterwards all is as it was, and what is lost is told as known.
    reader.disconnect();
    assert!(broker.terminate().success());
    let checked = run(&["check"], &directory);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    assert!(text(&checked.stdout).contains("Quarantined in log"), "{}", text(&checked.stdout));
}

#[test]
fn a_damaged_part_of_a_log_is_passed_over_named_and_repaired() {
    let mut broker = with_backlog();
    assert!(broker.terminate().success());
    let directory = broker.data_directory();
    flip(&newest(&directory, "sst"), 50);

    let checked = run(&["check"], &directory);
    let report = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{report}");
    assert!(
        report.contains("Unreadable in log, log 1 above LSN") && report.contains("waited for by reader"),
        "{report}"
    );
    let inspected = run(&["inspect"], &directory);
    assert!(text(&inspected.stdout).contains("reader"), "{}", text(&inspected.stdout));

    // A repaired copy has all that can be read, and nothing is damaged in it.
    let copies = TempDir::new().expect("a temporary directory");
    let into = copies.path().join("repaired");
    let into_text = into.to_str().expect("UTF-8");
    let repaired = run(&["repair", "--into", into_text], &directory);
    assert_eq!(repaired.status.code(), Some(0), "{}{}", text(&repaired.stdout), text(&repaired.stderr));
    assert_eq!(run(&["check"], &into).status.code(), Some(0));
    assert_eq!(run(&["check"], &directory).status.code(), Some(1), "the damaged store is as it was");
    let again = run(&["repair", "--into", into_text], &directory);
    assert_eq!(again.status.code(), Some(2), "the place is taken");
    assert_eq!(run(&["repair"], &directory).status.code(), Some(2), "never without a copy");
    let waiting = |directory: &Path| {
        let inspected = run(&["inspect", "--json", "--messages", "1000"], directory);
        let inspection: Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
        inspection["sessions"][0]["messages"].as_array().map_or(0, Vec::len)
    };
    let saved = waiting(&into);
    assert!(saved > MESSAGES / 2 && saved < MESSAGES, "{saved}");

    // The damaged store serves all the same, and says once what is lost.
    broker.start_again();
    let mut reader = broker.resume(Version::V5, "reader");
    let numbers = received(&mut reader);
    assert_eq!(numbers.len(), saved);
    assert!(numbers.is_sorted());
    let log = broker.log();
    assert_eq!(log.matches("a part of a log is damaged").count(), 1, "{log}");
}

/// The table file that has some bytes, and where.
fn find(directory: &Path, bytes: &[u8]) -> Option<(PathBuf, usize)> {
    let files = std::fs::read_dir(directory.join("rocksdb")).expect("there").flatten();
    let tables = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|is| is == "sst"));
    tables.into_iter().find_map(|path| {
        let found = std::fs::read(&path).ok()?;
        let at = found.windows(bytes.len()).position(|window| window == bytes)?;
        Some((path, at))
    })
}

/// The connection lives.
fn ping(client: &mut Client) {
    client.send(&packets::ping()).expect("PINGREQ is sent");
    client.expect(&Packet::PingResp);
}

/// A compaction is forced by a session that consumes tens of megabytes: what is dead is rewritten, and with it the file
/// in which the messages of others lie.
#[test]
fn a_byte_flipped_in_a_table_file_and_compacted_costs_its_block_while_the_service_goes_on() {
    const LARGE: usize = 900 << 10;
    const LARGE_MESSAGES: usize = 56;
    let mut broker = Broker::start();
    for client_id in ["large", "harmed", "whole"] {
        let mut session = broker.new_session(Version::V5, client_id);
        session.subscribe(&Subscribe::new(1, &format!("{client_id}/#"), 1));
        session.disconnect();
    }
    let mut publisher = broker.client(Version::V5, "publisher");
    for number in 0..MESSAGES {
        for client_id in ["harmed", "whole"] {
            let payload = format!("{client_id} {number:0>200}");
            publisher.deliver(&Publish::new(&format!("{client_id}/t"), payload.as_bytes()).qos(1, 1));
        }
    }
    // More than a write buffer: what came before goes to a table file with it.
    for number in 0..LARGE_MESSAGES {
        let payload = vec![u8::try_from(number).expect("below 256"); LARGE];
        publisher.deliver(&Publish::new("large/t", payload).qos(1, 1));
    }
    let directory = broker.data_directory();
    let middle = format!("harmed {:0>200}", MESSAGES / 2);
    let patience = Instant::now() + Duration::from_secs(60);
    let (table, at) = loop {
        if let Some(found) = find(&directory, middle.as_bytes()) {
            break found;
        }
        assert!(Instant::now() < patience, "nothing was written to a table file");
        std::thread::sleep(Duration::from_millis(50));
    };
    let file = std::fs::File::options().read(true).write(true).open(&table).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64 + 100).expect("read");
    file.write_all_at(&[byte[0] ^ 8], at as u64 + 100).expect("written");

    let mut whole = broker.resume(Version::V5, "whole");
    let mut large = broker.resume(Version::V5, "large");
    for _ in 0..LARGE_MESSAGES {
        let message = large.expect_publish();
        assert_eq!(message.payload.len(), LARGE);
        large.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
    }
    let patience = Instant::now() + Duration::from_secs(90);
    while !broker.log().contains("a damaged table file was taken out of the database") {
        assert!(Instant::now() < patience, "no compaction met the damage: {}", broker.log());
        ping(&mut publisher);
        ping(&mut large);
        std::thread::sleep(Duration::from_millis(100));
    }
    let end = |client_id: &str| format!("{client_id} {:0>200}", MESSAGES);
    for client_id in ["harmed", "whole"] {
        let payload = end(client_id);
        publisher.deliver(&Publish::new(&format!("{client_id}/t"), payload.as_bytes()).qos(1, 1));
    }
    let take = |client: &mut Client, client_id: &str| {
        let mut numbers: Vec<usize> = Vec::new();
        while numbers.last() != Some(&MESSAGES) {
            let message = client.expect_publish();
            let payload = text(&message.payload);
            let (name, number) = payload.split_once(' ').expect("two words");
            assert_eq!(name, client_id);
            numbers.push(number.parse().expect("a number"));
            client.ack(kind::PUBACK, message.packet_id).expect("PUBACK is sent");
        }
        numbers
    };
    assert_eq!(take(&mut whole, "whole"), (0..=MESSAGES).collect::<Vec<_>>());
    let mut harmed = broker.resume(Version::V5, "harmed");
    let numbers = take(&mut harmed, "harmed");
    assert!(numbers.is_sorted() && !numbers.contains(&(MESSAGES / 2)));
    let lost = MESSAGES + 1 - numbers.len();
    assert!(lost < 100, "a block of some kilobytes: {lost}");
    for client in [&mut whole, &mut large, &mut harmed, &mut publisher] {
        ping(client);
    }

    broker.kill();
    let log = broker.log();
    assert_eq!(log.matches("a part of a log is damaged").count(), 1, "{log}");
    assert!(log.contains(table.file_name().and_then(|name| name.to_str()).expect("a name")), "{log}");
    let checked = run(&["check"], &directory);
    let report = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{report}");
    assert!(report.contains("Quarantined in log") && report.contains(&format!("{lost} ")), "{report}");
    broker.start_again();
    // The session is there, and the last message perhaps again.
    broker.resume(Version::V5, "whole");
}

#[test]
fn a_store_in_use_or_none_at_all_is_2_and_a_whole_one_0() {
    let mut broker = with_backlog();
    let directory = broker.data_directory();
    let copies = TempDir::new().expect("a temporary directory");
    let into = copies.path().join("repaired");
    let into = into.to_str().expect("UTF-8");
    for arguments in [&["check"] as &[&str], &["inspect"], &["repair", "--into", into]] {
        let refused = run(arguments, &directory);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let expected = format!("in use by process {}: a broker", broker.process_id());
        assert!(text(&refused.stderr).contains(&expected), "{}", text(&refused.stderr));
        assert_eq!(run(arguments, copies.path()).status.code(), Some(2), "{arguments:?}");
    }
    broker.kill();
    let checked = run(&["check"], &directory);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    assert!(text(&checked.stdout).contains("whole: nothing is damaged"));

    let inspected = run(&["inspect"], &directory);
    assert_eq!(inspected.status.code(), Some(0));
    let table = text(&inspected.stdout);
    let line = table.lines().find(|line| line.starts_with("reader")).expect("a line for the session");
    assert!(line.contains(&format!(" {MESSAGES} ")), "{table}");
    let one = run(&["inspect", "--session", "reader", "--messages", "3", "--topic", "line/+"], &directory);
    let one = text(&one.stdout);
    assert!(one.contains("line/#") && one.contains(&format!("{:0>60}", 0)), "{one}");
    assert_eq!(run(&["inspect", "--session", "nobody"], &directory).status.code(), Some(1));
}
