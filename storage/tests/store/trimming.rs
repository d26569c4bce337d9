//! Trimming: consumed messages give their space back, and an exchange that is stuck keeps nothing but its own message.

use std::time::{Duration, Instant};

use barnacle_storage::*;

use crate::support::*;

const MIB: u64 = 1024 * 1024;

fn eager() -> Fixture {
    fixture_with(|options| {
        options.durability = Durability::Os;
        options.trimming = Trimming {
            interval: Duration::from_secs(3600),
            dead_bytes: 4 * MIB,
            stuck_after: 100,
            stuck_bytes: u64::MAX,
        };
    })
}

/// Publishes about 4 MiB that do not compress.
fn publish_much(fixture: &Fixture) {
    let mut state = 88_172_645_463_325_252u64;
    let operations = (0..256)
        .map(|_| {
            let words = (0..1000).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("{state:016x}")
            });
            publish(&fixture.store, "t", &words.collect::<String>())
        })
        .collect();
    fixture.commit(operations);
}

fn consume(fixture: &Fixture, client: &Client, position: Lsn) -> Lsn {
    let pass = fixture.pass(client, position);
    fixture.save(client, Outbound { position: pass.through, ..Outbound::default() });
    pass.through
}

#[test]
fn the_disk_does_not_grow_with_what_is_published_and_consumed() {
    let fixture = eager();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    fixture.subscribe(&b, "t", 1);
    let (mut at_a, mut at_b) = (Lsn(0), Lsn(0));
    let mut most = 0;
    // 400 MiB in all.
    for _ in 0..100 {
        publish_much(&fixture);
        at_a = consume(&fixture, &a, at_a);
        at_b = consume(&fixture, &b, at_b);
        fixture.store.trim();
        most = most.max(disk_bytes(fixture.directory.path()));
    }
    assert!(fixture.store.statistics().trims > 0);
    // Write buffers and their log, which RocksDB bounds at 128 MiB and recycles, and not much else.
    assert!(most < 250 * MIB, "{} MiB", most / MIB);
    let kept = Budget { messages: 1, bytes: 1 };
    assert_eq!(fixture.store.read(&a.reader, at_a, kept).expect("whole").entries.len(), 0);
}

#[test]
fn what_a_slow_reader_has_not_seen_stays() {
    let fixture = eager();
    let (fast, slow) = (fixture.attach("fast"), fixture.attach("slow"));
    fixture.subscribe(&fast, "t", 1);
    fixture.subscribe(&slow, "t", 1);
    let mut at = Lsn(0);
    for _ in 0..20 {
        publish_much(&fixture);
        at = consume(&fixture, &fast, at);
        fixture.store.trim();
    }
    assert_eq!(fixture.store.statistics().trims, 0);
    assert_eq!(fixture.pass(&slow, Lsn(0)).entries.len(), 20 * 256);
    consume(&fixture, &slow, Lsn(0));
    publish_much(&fixture);
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().trims, 1);
    assert_eq!(fixture.pass(&slow, at).entries.len(), 256, "what was not consumed is still there");
    // The count of the log goes on behind what was trimmed.
    let fixture = fixture.reopen_with(|options| options.tail_cache_bytes = 0);
    let slow = fixture.attach("slow");
    publish_much(&fixture);
    assert_eq!(fixture.pass(&slow, at).entries.len(), 512);
}

#[test]
fn an_exchange_that_is_stuck_pins_nothing_and_is_still_readable() {
    let fixture = eager();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let stuck = fixture.publish("t", "stuck");
    let entry = fixture.pass(&client, Lsn(0)).entries.remove(0);
    assert_eq!(entry.lsn, stuck);
    let open = vec![exchange(1, &entry)];
    let mut at = stuck;
    // More than RocksDB keeps in its write buffers.
    for _ in 0..20 {
        publish_much(&fixture);
        at = fixture.pass(&client, at).through;
        fixture.save(&client, Outbound { position: at, last_packet_id: 1, open: open.clone() });
        fixture.store.trim();
        // What the trimmer asks of the committer is done before this.
        fixture.commit(vec![Operation::TakePosition]);
    }
    fixture.store.trim();
    let statistics = fixture.store.statistics();
    assert_eq!(statistics.rescued_exchanges, 1);
    assert!(statistics.trims > 0, "{statistics:?}");
    let read = |fixture: &Fixture| {
        let message =
            fixture.store.read_exchange(client.id, &open[0]).expect("read").expect("it has its own copy");
        text(&message)
    };
    assert_eq!(read(&fixture), "stuck");
    let from_the_log = Exchange { packet_id: 2, ..open[0].clone() };
    let fixture = fixture.reopen_with(|options| options.tail_cache_bytes = 0);
    assert_eq!(
        fixture.store.read_exchange(client.id, &from_the_log).expect("read"),
        None,
        "the log let go of it"
    );
    assert_eq!(read(&fixture), "stuck");
}

#[test]
fn an_open_exchange_keeps_its_message_in_the_log() {
    let fixture = fixture_with(|options| {
        options.durability = Durability::Os;
        options.trimming.dead_bytes = 1;
    });
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    publish_much(&fixture);
    let open = exchange(1, &fixture.pass(&client, Lsn(0)).entries[100]);
    publish_much(&fixture);
    let position = fixture.store.head();
    fixture.save(&client, Outbound { position, last_packet_id: 1, open: vec![open.clone()] });
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let mut options = Options::new(directory.path());
    options.trimming.dead_bytes = 1;
    let (store, recovery) = Store::open(options).expect("opens");
    let fixture = Fixture { directory, store, recovery };
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().rescued_exchanges, 0);
    let message = fixture.store.read_exchange(client.id, &open).expect("read");
    assert!(message.is_some(), "the client may come back for it");
    let client = fixture.attach("a");
    assert_eq!(fixture.pass(&client, open.lsn).entries.len(), 512 - 101);
}

#[test]
fn the_log_of_a_session_that_has_ended_gives_its_space_back() {
    let fixture = eager();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for _ in 0..20 {
        publish_much(&fixture);
    }
    fixture.commit_as(&client, vec![Operation::End]);
    fixture.store.trim();
    assert_eq!(fixture.store.statistics().trims, 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    let tables = || {
        let files = std::fs::read_dir(fixture.directory.path().join("rocksdb")).expect("there").flatten();
        let tables = files.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "sst"));
        tables.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum::<u64>()
    };
    while tables() > 8 * MIB {
        assert!(Instant::now() < deadline, "{} MiB in tables", tables() / MIB);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_last_block_of_a_log_stays_so_that_its_count_goes_on() {
    let fixture = fixture_with(|options| {
        options.durability = Durability::Os;
        options.trimming.dead_bytes = 1;
    });
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for _ in 0..3 {
        publish_much(&fixture);
    }
    let last = fixture.store.head();
    consume(&fixture, &client, Lsn(0));
    // What is on the disk only after the store was closed is trimmed after the next opening.
    let Fixture { directory, store, .. } = fixture;
    store.close().expect("closes");
    let (store, _) = Store::open(Options {
        trimming: Trimming { dead_bytes: 1, ..Trimming::default() },
        ..Options::new(directory.path())
    })
    .expect("opens");
    store.trim();
    assert_eq!(store.statistics().trims, 1);
    store.close().expect("closes");

    let database = raw(directory.path(), &FAMILIES);
    let log = database.cf_handle("log").expect("there");
    let blocks: Vec<_> = database.iterator_cf(log, rocksdb::IteratorMode::Start).flatten().collect();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].0[8..16], last.0.to_be_bytes());
}

#[test]
fn the_store_trims_by_itself() {
    let fixture = fixture_with(|options| {
        options.durability = Durability::Os;
        options.trimming =
            Trimming { interval: Duration::from_millis(20), dead_bytes: 4 * MIB, ..Trimming::default() };
    });
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let mut at = Lsn(0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while fixture.store.statistics().trims == 0 {
        assert!(Instant::now() < deadline, "nothing was trimmed");
        publish_much(&fixture);
        at = consume(&fixture, &client, at);
    }
}
