//! What must stay where one thing ends and another begins: a log that is damaged and grows on, a subscription that
//! gives a filter up and takes it again, a reader that held the others back and is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use barnacle_storage::*;

use crate::support::*;

/// Trims when told to, whatever is dead.
fn eager(options: &mut Options) {
    options.durability = Durability::Os;
    options.tail_cache_bytes = 0;
    options.trimming = Trimming { interval: Duration::from_secs(3600), dead_bytes: 1, ..Trimming::default() };
}

/// The table that holds a text.
fn table_with(directory: &Path, text: &[u8]) -> (PathBuf, usize) {
    for entry in std::fs::read_dir(directory.join("rocksdb")).expect("the database is there").flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "sst") {
            let bytes = std::fs::read(entry.path()).expect("a table can be read");
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
                return (entry.path(), at);
            }
        }
    }
    panic!("no table has it")
}

#[test]
fn a_log_whose_end_cannot_be_read_is_not_skipped_when_it_grows_on() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    fixture.publish("t", "a message that is damaged on the disk");
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let (table, at) = table_with(directory.path(), b"that is damaged");
    let mut bytes = std::fs::read(&table).expect("read");
    bytes[at] ^= 1;
    std::fs::write(&table, bytes).expect("written");

    let (store, recovery) = Store::open(Options::new(directory.path())).expect("messages are not read");
    let fixture = Fixture { directory, store, recovery };
    let client = fixture.attach("a");
    fixture.publish("t", "new");
    let pass = fixture.pass(&client, Lsn(0));
    let named: Vec<(Lsn, Lsn)> = pass.damaged.iter().map(|range| (range.after, range.through)).collect();
    assert_eq!(named, [(Lsn(0), Lsn(1))], "an acknowledged message is skipped without a word");
    assert_eq!(payloads(&pass), ["new"]);
}

#[test]
fn an_open_exchange_keeps_its_message_when_its_filter_is_given_up_and_taken_again() {
    let fixture = fixture_with(eager);
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    fixture.subscribe(&b, "t", 1);
    fixture.publish("t", "under way");
    let entry = fixture.pass(&a, Lsn(0)).entries.remove(0);
    let open = vec![exchange(1, &entry)];
    for _ in 0..8 {
        fixture.publish("t", &"x".repeat(500_000));
    }
    let position = fixture.store.head();
    fixture.save(&a, Outbound { position, last_packet_id: 1, open: open.clone() });
    fixture.subscribe(&a, "t", 0);
    fixture.subscribe(&a, "t", 1);
    let last = fixture.publish("t", "later");
    for client in [&a, &b] {
        let open = if client.id == a.id { open.clone() } else { vec![] };
        fixture.save(client, Outbound { position: last, last_packet_id: 1, open });
    }
    // Only what has reached the tables can be trimmed.
    let fixture = fixture.reopen_with(eager);
    fixture.store.trim();
    let message = fixture.store.read_exchange(a.id, &open[0]).expect("read");
    assert_eq!(message, Some(entry.message));
    // Nothing else keeps the log.
    let a = fixture.attach("a");
    fixture.save(&a, Outbound { position: last, last_packet_id: 1, ..Outbound::default() });
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().trims, 1);
}

#[test]
fn an_exchange_begun_from_a_log_that_was_left_keeps_its_message() {
    let fixture = fixture_with(eager);
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    for client in [&a, &b] {
        fixture.subscribe(client, "t", 1);
        fixture.subscribe(client, "#", 1);
    }
    fixture.publish("t", "read before");
    // The client reads on before its filter goes; the other filter still wants the message.
    let entry = fixture.pass(&a, Lsn(0)).entries.remove(0);
    for filter in ["t", "#"] {
        // Whichever log the entry was read from is left.
        fixture.unsubscribe(&a, filter);
        fixture.unsubscribe(&b, filter);
    }
    let open = vec![exchange(1, &entry)];
    fixture.save(&a, Outbound { position: entry.lsn, last_packet_id: 1, open: open.clone() });
    // The log is dead: opening drops what reaches the tables.
    let fixture = fixture.reopen_with(eager);
    fixture.store.trim();
    let held = fixture.store.read_exchange(a.id, &Exchange { log: LogId::RETAINED, ..open[0].clone() });
    assert_eq!(held, Ok(Some(entry.message)), "it has a copy of its own");
}

#[test]
fn a_reader_that_held_the_others_back_and_ends_gives_the_space_back() {
    let fixture = fixture_with(eager);
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    fixture.subscribe(&b, "t", 1);
    for _ in 0..8 {
        fixture.publish("t", &"x".repeat(500_000));
    }
    let position = fixture.store.head();
    fixture.save(&a, Outbound { position, ..Outbound::default() });
    // Only what has reached the tables can be trimmed.
    let fixture = fixture.reopen_with(eager);
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().trims, 0, "the other one has not read anything");
    let b = fixture.attach("b");
    // The one that is left does nothing more.
    fixture.commit_as(&b, vec![Operation::End]);
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().trims, 1);
}
