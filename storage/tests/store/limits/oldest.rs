//! Drop-oldest: what was there first goes, but never what has begun or may have been sent.

use super::*;

/// Trims until the committer has done what the trimmer asked for.
fn settle(fixture: &Fixture) {
    fixture.store.trim();
    fixture.commit(vec![Operation::TakePosition]);
}

#[test]
fn an_offline_session_keeps_the_newest() {
    let fixture = limited(5, Policy::DropOldest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    leave(&fixture, &client);
    publish_numbers(&fixture, "t", 1..=100);
    settle(&fixture);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(95));
    assert_eq!(backlog(&fixture, "a").own.messages, 5);
    let fixture = reopen(fixture, 5, Policy::DropOldest);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(95));
    publish_numbers(&fixture, "t", 101..=103);
    settle(&fixture);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(98));
    let client = fixture.attach("a");
    assert_eq!(read_all(&fixture, &client, Lsn(0)), numbers(99..=103));
}

#[test]
fn bytes_count_and_the_newest_stays_whatever_it_weighs() {
    let session = Limit { max_messages: None, max_bytes: Some(1000), policy: Policy::DropOldest };
    let fixture = fixture_with(|options| options.limits.session = session);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    leave(&fixture, &client);
    for _ in 0..20 {
        fixture.publish("t", &"x".repeat(100));
    }
    settle(&fixture);
    let waiting = backlog(&fixture, "a").own;
    assert!(waiting.bytes <= 1000 && waiting.bytes > 800, "{waiting:?}");
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(20 - waiting.messages));
    fixture.publish("t", &"x".repeat(5000));
    settle(&fixture);
    assert_eq!(backlog(&fixture, "a").own.messages, 1);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(20));
}

#[test]
fn shared_logs_count_as_an_upper_bound_and_nobody_else_notices() {
    let fixture = limited(6, Policy::DropOldest);
    let (one, other) = (fixture.attach("one"), fixture.attach("other"));
    for filter in ["t", "t/#"] {
        fixture.subscribe(&one, filter, 1);
    }
    fixture.subscribe(&other, "t", 1);
    fixture.subscribe(&other, "t/#", 1);
    leave(&fixture, &one);
    for number in 1..=20 {
        let lsn = fixture.publish("t", &number.to_string());
        other.reader.set_taken(lsn);
        save_position(&fixture, &other, lsn);
    }
    settle(&fixture);
    // Each message is in two logs, so three messages are six at most.
    assert_eq!(dropped(&fixture, "one", DropReason::SessionLimit), shared(34));
    assert!(dropped(&fixture, "other", DropReason::SessionLimit).is_zero());
    assert_eq!(read_all(&fixture, &other, Lsn(0)), numbers(1..=20));
    let one = fixture.attach("one");
    assert_eq!(read_all(&fixture, &one, Lsn(0)), numbers(18..=20));
}

#[test]
fn a_connection_is_told_what_to_pass_over() {
    let fixture = limited(5, Policy::DropOldest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    client.reader.take_over_limit();
    publish_numbers(&fixture, "t", 1..=5);
    assert!(!client.reader.take_over_limit());
    publish_numbers(&fixture, "t", 6..=20);
    assert!(client.reader.take_over_limit() && !client.reader.take_over_limit());
    // It has taken three messages that no record tells of.
    let taken = fixture.pass(&client, Lsn(0)).entries[2].lsn;
    let excess = fixture.store.excess(&client.reader, taken).expect("whole").expect("there is too much");
    assert_eq!(excess.dropped.own.messages, 12);
    assert_eq!(read_all(&fixture, &client, excess.through), numbers(16..=20));
    assert_eq!(fixture.store.excess(&client.reader, excess.through), Ok(None));
    let operations = vec![
        Operation::SaveOutbound(Outbound { position: excess.through, ..Outbound::default() }),
        Operation::CountDrops {
            reason: excess.reason,
            dropped: Dropped::exactly(excess.dropped.own.messages),
        },
    ];
    fixture.commit_as(&client, operations);
    let fixture = reopen(fixture, 5, Policy::DropOldest);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(12));
    assert_eq!(backlog(&fixture, "a").own.messages, 5);
}

#[test]
fn what_may_have_been_sent_is_not_dropped() {
    let fixture = limited(5, Policy::DropOldest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    publish_numbers(&fixture, "t", 1..=20);
    // The broker dies with the session connected: it may have sent all of them.
    let fixture = reopen(fixture, 5, Policy::DropOldest);
    publish_numbers(&fixture, "t", 21..=40);
    settle(&fixture);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(15));
    let fixture = reopen(fixture, 5, Policy::DropOldest);
    let client = fixture.attach("a");
    assert_eq!(read_all(&fixture, &client, Lsn(0)), numbers((1..=20).chain(36..=40)));
}

#[test]
fn an_exchange_that_has_begun_goes_on_when_its_message_is_passed_over() {
    let fixture = limited(5, Policy::DropOldest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    publish_numbers(&fixture, "t", 1..=3);
    let first = fixture.pass(&client, Lsn(0)).entries[0].clone();
    let open = vec![exchange(1, &first)];
    fixture.save(&client, Outbound { position: first.lsn, last_packet_id: 1, open: open.clone() });
    leave(&fixture, &client);
    publish_numbers(&fixture, "t", 4..=100);
    settle(&fixture);
    settle(&fixture);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(94));
    let fixture = reopen(fixture, 5, Policy::DropOldest);
    let found = fixture.store.read_exchange(client.id, &open[0]).expect("whole").expect("it is open");
    assert_eq!(text(&found), "1");
}

#[test]
fn what_is_passed_over_is_trimmed() {
    let fixture = fixture_with(|options| {
        options.limits = session_limits(100, Policy::DropOldest);
        options.tail_cache_bytes = 1 << 20;
        options.trimming.dead_bytes = 1 << 20;
    });
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    leave(&fixture, &client);
    for _ in 0..40 {
        let publishes = (0..200).map(|_| publish(&fixture.store, "t", &"x".repeat(4000)));
        fixture.commit(publishes.collect());
        settle(&fixture);
    }
    for _ in 0..4 {
        settle(&fixture);
    }
    let drops = dropped(&fixture, "a", DropReason::SessionLimit);
    assert_eq!(drops, Dropped::exactly(40 * 200 - 100));
    assert!(fixture.store.statistics().trims > 0, "some of 32 MiB was made free");
    let client = fixture.attach("a");
    assert_eq!(read_all(&fixture, &client, Lsn(0)).len(), 100);
}
