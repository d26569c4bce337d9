//! Filters: who holds them, which logs they write to, and what UNSUBSCRIBE and a change of QoS do.

use barnacle_storage::*;

use crate::support::*;

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_filter_gets_its_own_log_at_the_second_holder_and_nobody_notices() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t/+", 1);
    fixture.publish("t/x", "1");
    fixture.publish("t/y", "2");
    let started = fixture.subscribe(&b, "t/+", 1).subscription.start;
    assert_eq!(started, fixture.store.head());
    fixture.publish("t/x", "3");
    fixture.publish("t/z", "4");
    let before = fixture.store.statistics().appends;
    fixture.publish("t/x", "5");
    assert_eq!(fixture.store.statistics().appends, before + 1, "one append for both");
    fixture.unsubscribe(&b, "t/+");
    fixture.publish("t/x", "6");
    assert_eq!(fixture.read(&a, Lsn(0)), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(fixture.read(&b, Lsn(0)), none(), "what waited went with UNSUBSCRIBE");

    // And the same from the disk.
    let fixture = fixture.reopen();
    let a = fixture.attach("a");
    assert_eq!(fixture.read(&a, Lsn(0)), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn the_second_holder_reads_only_what_came_after_it() {
    let fixture = fixture();
    let a = fixture.attach("a");
    fixture.subscribe(&a, "t", 1);
    fixture.publish("t", "1");
    let b = fixture.attach("b");
    fixture.subscribe(&b, "t", 1);
    fixture.publish("t", "2");
    let c = fixture.attach("c");
    fixture.subscribe(&c, "t", 1);
    fixture.publish("t", "3");
    let everything = |fixture: &Fixture, a: &Client, b: &Client, c: &Client| {
        assert_eq!(fixture.read(a, Lsn(0)), ["1", "2", "3"]);
        assert_eq!(fixture.read(b, Lsn(0)), ["2", "3"]);
        assert_eq!(fixture.read(c, Lsn(0)), ["3"]);
    };
    everything(&fixture, &a, &b, &c);
    let fixture = fixture.reopen();
    let (a, b, c) = (fixture.attach("a"), fixture.attach("b"), fixture.attach("c"));
    everything(&fixture, &a, &b, &c);
}

#[test]
fn a_publish_routed_before_the_subscriptions_changed_is_matched_again() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    let nobody = publish(&fixture.store, "t", "routed before anybody subscribed");
    fixture.subscribe(&a, "t", 1);
    fixture.commit(vec![nobody]);
    let alone = publish(&fixture.store, "t", "routed while one held the filter");
    fixture.subscribe(&b, "t", 1);
    fixture.commit(vec![alone]);
    let both = publish(&fixture.store, "t", "routed while two held the filter");
    fixture.commit_as(&a, vec![Operation::End]);
    fixture.commit_as(&b, vec![Operation::End]);
    let c = fixture.attach("c");
    fixture.subscribe(&c, "#", 1);
    fixture.commit(vec![both]);
    assert_eq!(fixture.read(&c, Lsn(0)), ["routed while two held the filter"]);
}

#[test]
fn both_holders_get_what_was_routed_to_one() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    let stale = publish(&fixture.store, "t", "x");
    fixture.subscribe(&b, "t", 1);
    fixture.commit(vec![stale]);
    assert_eq!((fixture.read(&a, Lsn(0)), fixture.read(&b, Lsn(0))), (vec!["x".into()], vec!["x".into()]));
}

#[test]
fn overlapping_filters_give_each_message_once() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t/#", 1);
    fixture.subscribe(&a, "t/+", 1);
    fixture.subscribe(&a, "t/x", 2);
    let before = fixture.store.statistics().appends;
    fixture.publish("t/x", "1");
    assert_eq!(fixture.store.statistics().appends, before + 1, "one append to the session's own log");
    // Now one of the three has a log of its own, and a message is in two logs.
    fixture.subscribe(&b, "t/+", 1);
    fixture.publish("t/x", "2");
    assert_eq!(fixture.store.statistics().appends, before + 3);
    assert_eq!(fixture.read(&a, Lsn(0)), ["1", "2"]);
    assert_eq!(fixture.read(&b, Lsn(0)), ["2"]);
    let fixture = fixture.reopen();
    let a = fixture.attach("a");
    assert_eq!(fixture.read(&a, Lsn(0)), ["1", "2"]);
}

#[test]
fn subscribing_again_keeps_the_position_and_what_waits() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    let first = fixture.subscribe(&a, "t", 1);
    assert!(!first.existed);
    fixture.publish("t", "1");
    let again = fixture.subscribe(&a, "t", 2);
    assert!(again.existed);
    assert_eq!((again.subscription.start, again.subscription.options.qos), (first.subscription.start, 2));
    fixture.subscribe(&b, "t", 1);
    fixture.publish("t", "2");
    assert_eq!(fixture.subscribe(&a, "t", 1).subscription.start, first.subscription.start);
    assert_eq!(fixture.read(&a, Lsn(0)), ["1", "2"]);
}

#[test]
fn a_subscription_of_qos_0_holds_nothing_and_starts_anew_when_it_does() {
    let fixture = fixture();
    let a = fixture.attach("a");
    fixture.subscribe(&a, "t", 0);
    assert!(fixture.store.route("t").is_empty());
    fixture.publish("t", "not kept");
    let holds = fixture.subscribe(&a, "t", 1);
    assert!(holds.existed);
    assert_eq!(holds.subscription.start, fixture.store.head());
    fixture.publish("t", "kept");
    assert_eq!(fixture.read(&a, Lsn(0)), ["kept"]);
    fixture.subscribe(&a, "t", 0);
    assert!(fixture.store.route("t").is_empty());
    fixture.publish("t", "not kept either");
    assert_eq!(fixture.read(&a, Lsn(0)), ["kept"], "what waited is still read");
}

#[test]
fn a_subscription_that_goes_to_qos_0_still_reads_what_waited_in_a_shared_log() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    fixture.subscribe(&b, "t", 1);
    fixture.publish("t", "1");
    fixture.subscribe(&a, "t", 0);
    fixture.publish("t", "2");
    assert_eq!(
        (fixture.read(&a, Lsn(0)), fixture.read(&b, Lsn(0))),
        (vec!["1".into()], vec!["1".into(), "2".into()])
    );
    // The last holder goes to QoS 0 as well: the log lives for what waits in it, and takes nothing.
    fixture.subscribe(&b, "t", 0);
    assert!(fixture.store.route("t").is_empty());
    fixture.publish("t", "3");
    let fixture = fixture.reopen();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    assert_eq!(
        (fixture.read(&a, Lsn(0)), fixture.read(&b, Lsn(0))),
        (vec!["1".into()], vec!["1".into(), "2".into()])
    );
    // Held once more, it goes on in the same log, behind what waits there.
    fixture.subscribe(&b, "t", 2);
    fixture.publish("t", "4");
    assert_eq!(fixture.read(&b, Lsn(0)), ["1", "2", "4"]);
    fixture.unsubscribe(&a, "t");
    fixture.unsubscribe(&b, "t");
    assert_eq!(fixture.store.counts().filters, 0);
}

/// A backlog of QoS 1 survives that the subscription goes to QoS 0 and back: in the session's own log.
#[test]
fn what_waited_before_a_time_at_qos_0_is_still_its_own() {
    let fixture = fixture();
    let a = fixture.attach("a");
    let start = fixture.subscribe(&a, "t", 1).subscription.start;
    fixture.publish("t", "before");
    fixture.subscribe(&a, "t", 0);
    fixture.publish("t", "not kept");
    let again = fixture.subscribe(&a, "t", 1).subscription;
    assert_eq!(again.start, start, "what waits is above it");
    fixture.publish("t", "after");
    assert_eq!(fixture.read(&a, Lsn(0)), ["before", "after"]);
    let fixture = fixture.reopen();
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert_eq!(session.subscriptions[0].start, start);
    let a = Client { id: session.id, epoch: session.epoch, reader: session.reader };
    assert_eq!(fixture.read(&a, Lsn(0)), ["before", "after"]);
}

/// The same in a filter's log, where the others' messages of the time between are not its own.
#[test]
fn what_waited_in_a_shared_log_before_a_time_at_qos_0_is_still_its_own() {
    let fixture = fixture_with(|options| options.trimming.dead_bytes = 1);
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    let start = fixture.subscribe(&b, "t", 1).subscription.start;
    let mut expected = Vec::new();
    // Often enough that the oldest parts are put together.
    for round in 0..20 {
        fixture.publish("t", &format!("kept {round}"));
        expected.push(format!("kept {round}"));
        fixture.subscribe(&b, "t", 0);
        fixture.publish("t", &format!("between {round}"));
        assert_eq!(fixture.subscribe(&b, "t", 1).subscription.start, start);
    }
    let pass = fixture.pass(&a, Lsn(0));
    fixture.save(&a, Outbound { position: pass.through, ..Outbound::default() });
    fixture.store.trim();
    let of_b = |fixture: &Fixture, b: &Client| fixture.read(b, Lsn(0));
    let read = of_b(&fixture, &b);
    assert!(expected.iter().all(|wanted| read.contains(wanted)), "{read:?}");
    assert!(!read.contains(&"between 10".to_owned()), "{read:?}");
    let fixture = fixture.reopen_with(|options| options.tail_cache_bytes = 0);
    let b = fixture.attach("b");
    assert_eq!(of_b(&fixture, &b), read);
    // Read and gone: nothing of it is kept any longer.
    fixture.save(&b, Outbound { position: fixture.store.head(), ..Outbound::default() });
    fixture.subscribe(&b, "t", 0);
    fixture.subscribe(&b, "t", 2);
    fixture.publish("t", "new");
    assert_eq!(of_b(&fixture, &b).last().map(String::as_str), Some("new"));
    fixture.unsubscribe(&b, "t");
    assert_eq!(of_b(&fixture, &b), none());
}

#[test]
fn an_open_exchange_outlives_the_log_that_unsubscribe_ends() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    fixture.subscribe(&a, "t", 1);
    fixture.subscribe(&b, "t", 1);
    for payload in ["1", "2", "3"] {
        fixture.publish("t", payload);
    }
    let pass = fixture.pass(&a, Lsn(0));
    let mut received = exchange(2, &pass.entries[1]);
    received.received = true;
    let open = vec![exchange(1, &pass.entries[0]), received];
    let outbound = Outbound { position: pass.entries[1].lsn, last_packet_id: 2, open };
    // Saved in the same transaction.
    let operations =
        vec![Operation::SaveOutbound(outbound.clone()), Operation::Unsubscribe(vec!["t".into(), "u".into()])];
    let answers = fixture.commit_as(&a, operations).answers;
    assert!(matches!(&answers[..], [Answer::Unsubscribed(known)] if *known == [true, false]));
    fixture.unsubscribe(&b, "t");
    assert_eq!(fixture.store.counts().filters, 0, "the log is gone");
    let check = |fixture: &Fixture, a: SessionId| {
        let message =
            fixture.store.read_exchange(a, &outbound.open[0]).expect("read").expect("it has a copy");
        assert_eq!(text(&message), "1");
    };
    check(&fixture, a.id);
    let fixture = fixture.reopen();
    check(&fixture, a.id);
    let a = fixture.attach("a");
    assert_eq!(fixture.read(&a, Lsn(0)), none());

    // The exchange ends, and its copy with it.
    fixture.save(&a, Outbound { position: outbound.position, ..Outbound::default() });
    let fixture = fixture.reopen();
    let gone = Exchange { log: LogId::RETAINED, ..outbound.open[0].clone() };
    assert_eq!(fixture.store.read_exchange(a.id, &gone).expect("read"), None);
}

#[test]
fn a_held_body_lives_as_long_as_its_exchange() {
    let fixture = fixture();
    let a = fixture.attach("a");
    let held = Exchange {
        packet_id: 5,
        lsn: Lsn(3),
        log: LogId::RETAINED,
        qos: 1,
        received: false,
        retain: true,
        subscription_identifiers: vec![],
    };
    let body = encode_message(&message("r", "retained"), &mut bytes::BytesMut::new());
    let open = Outbound { position: Lsn(0), last_packet_id: 5, open: vec![held.clone()] };
    fixture.commit_as(
        &a,
        vec![Operation::Hold { packet_id: 5, lsn: Lsn(3), body }, Operation::SaveOutbound(open.clone())],
    );
    let read = |fixture: &Fixture, exchange: &Exchange| {
        fixture.store.read_exchange(a.id, exchange).expect("read").map(|message| text(&message))
    };
    assert_eq!(read(&fixture, &held).as_deref(), Some("retained"));
    let other = Exchange { lsn: Lsn(4), ..held.clone() };
    assert_eq!(read(&fixture, &other), None, "the copy is another exchange's");
    let fixture = fixture.reopen();
    let a = fixture.attach("a");
    fixture.save(&a, open);
    assert_eq!(
        fixture.store.read_exchange(a.id, &held).expect("read").map(|message| text(&message)).as_deref(),
        Some("retained")
    );
    // The same identifier, but another message: the copy is of no use any more.
    let next = Outbound { open: vec![other], ..Outbound::default() };
    fixture.save(&a, next);
    assert_eq!(fixture.store.read_exchange(a.id, &held).expect("read"), None);
}

#[test]
fn ten_thousand_offline_sessions_on_a_filter_cost_what_two_do() {
    let bytes_for = |sessions: usize| {
        let fixture = fixture_with(|options| options.durability = Durability::Os);
        for number in 0..sessions {
            let client = fixture.attach(&format!("client {number}"));
            fixture.subscribe(&client, "plant/#", 1);
            fixture.detach(&client);
        }
        let before = fixture.store.statistics();
        for number in 0..300 {
            fixture.publish("plant/1/temperature", &format!("{number:0>256}"));
        }
        let after = fixture.store.statistics();
        assert_eq!(after.appends - before.appends, 300);
        (after.wal_bytes - before.wal_bytes) as f64 / 300.0
    };
    let (two, many) = (bytes_for(2), bytes_for(10_000));
    assert!(two > 256.0 && (many - two).abs() <= two * 0.1, "{two} bytes a message for 2, {many} for 10,000");
}
