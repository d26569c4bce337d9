//! Passes over logs, and pages of retained messages.

use std::sync::atomic::{AtomicBool, Ordering};

use barnacle_storage::*;

use crate::support::*;

/// A store whose tail holds nothing, so that every read is one from the disk.
fn without_tail() -> Fixture {
    fixture_with(|options| options.tail_cache_bytes = 0)
}

#[test]
fn the_tail_and_the_disk_give_the_same() {
    let expected: Vec<Pass> = [fixture(), without_tail()]
        .iter()
        .map(|fixture| {
            let (a, b) = (fixture.attach("a"), fixture.attach("b"));
            fixture.subscribe(&a, "own", 1);
            fixture.subscribe(&a, "both/#", 1);
            fixture.subscribe(&b, "both/#", 1);
            for number in 0..500 {
                let topic = ["own", "both/x", "both/y", "neither"][number % 4];
                let size = if number == 77 { 200_000 } else { number };
                fixture.publish(topic, &format!("{number} {}", "x".repeat(size)));
            }
            let budget = Budget { messages: 7, bytes: 3000 };
            let (mut position, mut all) = (Lsn(0), Vec::new());
            loop {
                let pass = fixture.store.read(&a.reader, position, budget).expect("whole");
                assert!(pass.entries.len() <= 7);
                if pass.entries.is_empty() && !pass.more {
                    break;
                }
                position = pass.through;
                all.extend(pass.entries);
            }
            assert_eq!(position, fixture.store.head());
            let one = fixture.pass(&a, Lsn(0));
            let lsns =
                |entries: &[Entry]| entries.iter().map(|entry| (entry.lsn, entry.log)).collect::<Vec<_>>();
            assert_eq!(lsns(&all), lsns(&one.entries), "in small passes as in one");
            assert_eq!(all, one.entries);
            one
        })
        .collect();
    assert_eq!(expected[0].entries.len(), 375);
    assert!(expected[0].entries.windows(2).all(|pair| pair[0].lsn < pair[1].lsn));
    assert_eq!(expected[0], expected[1]);
}

#[test]
fn the_tail_says_when_it_does_not_reach() {
    let fixture = fixture_with(|options| options.tail_cache_bytes = 10_000);
    let a = fixture.attach("a");
    fixture.subscribe(&a, "t", 1);
    for number in 0..100 {
        fixture.publish("t", &format!("{number:0>1000}"));
    }
    assert!(fixture.store.read_tail(&a.reader, Lsn(0), ALL).is_none());
    let from = Lsn(fixture.store.head().0 - 3);
    let pass = fixture.store.read_tail(&a.reader, from, ALL).expect("the last are in memory");
    assert_eq!(pass, fixture.store.read(&a.reader, from, ALL).expect("whole"));
    assert_eq!(pass.entries.len(), 3);
    assert_eq!(fixture.read(&a, Lsn(0)).len(), 100);
}

#[test]
fn a_pass_yields_at_least_one_message_and_stays_in_its_budget() {
    for fixture in [fixture(), without_tail()] {
        let a = fixture.attach("a");
        fixture.subscribe(&a, "t", 1);
        for number in 0..10 {
            fixture.publish("t", &format!("{number:0>1000}"));
        }
        let small = Budget { messages: 100, bytes: 1 };
        let pass = fixture.store.read(&a.reader, Lsn(0), small).expect("whole");
        assert_eq!((pass.entries.len(), pass.more), (1, true));
        let three = Budget { messages: 3, bytes: usize::MAX };
        let pass = fixture.store.read(&a.reader, pass.through, three).expect("whole");
        assert_eq!((pass.entries.len(), pass.more), (3, true));
        let pass = fixture.pass(&a, pass.through);
        assert_eq!((pass.entries.len(), pass.more, pass.through), (6, false, fixture.store.head()));
    }
}

#[test]
fn a_position_reaches_the_head_although_nothing_was_for_the_reader() {
    let fixture = fixture();
    let a = fixture.attach("a");
    fixture.subscribe(&a, "t", 1);
    let last = fixture.publish("other", "x");
    let pass = fixture.pass(&a, Lsn(0));
    assert_eq!(pass, Pass { entries: vec![], through: last, more: false, damaged: vec![] });
}

#[test]
fn nothing_is_overtaken_in_two_logs_that_grow_during_the_passes() {
    const COUNT: usize = 20_000;
    for tail_cache_bytes in [16 * 1024 * 1024, 20_000] {
        let fixture = fixture_with(|options| {
            options.durability = Durability::Os;
            options.tail_cache_bytes = tail_cache_bytes;
        });
        let (a, b) = (fixture.attach("a"), fixture.attach("b"));
        for filter in ["one/#", "two/#"] {
            fixture.subscribe(&a, filter, 1);
            fixture.subscribe(&b, filter, 1);
        }
        fixture.subscribe(&a, "own", 1);
        let finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..COUNT {
                    let topic = ["one/x", "two/x", "own"][number % 3];
                    let operations = vec![publish(&fixture.store, topic, &number.to_string())];
                    fixture.store.submit(Transaction { source: None, fence: None, operations }, |outcome| {
                        assert!(outcome.is_ok())
                    });
                }
                fixture.commit(vec![Operation::TakePosition]);
                finished.store(true, Ordering::Release);
            });
            let (mut position, mut next) = (Lsn(0), 0);
            loop {
                let last = finished.load(Ordering::Acquire);
                let budget = Budget { messages: 50, bytes: 1_000_000 };
                let pass = fixture.store.read(&a.reader, position, budget).expect("whole");
                for payload in payloads(&pass) {
                    assert_eq!(payload, next.to_string(), "in order, without a gap");
                    next += 1;
                }
                assert!(pass.through >= position);
                position = pass.through;
                if last && pass.entries.is_empty() && !pass.more {
                    break;
                }
            }
            assert_eq!(next, COUNT);
        });
    }
}

#[test]
fn an_open_exchange_is_read_from_the_tail_and_from_the_disk() {
    for fixture in [fixture(), without_tail()] {
        let a = fixture.attach("a");
        fixture.subscribe(&a, "t", 1);
        for number in 0..100 {
            fixture.publish("t", &number.to_string());
        }
        for (index, entry) in fixture.pass(&a, Lsn(0)).entries.iter().enumerate() {
            let read = fixture.store.read_exchange(a.id, &exchange(1, entry)).expect("read").expect("there");
            assert_eq!((text(&read), &read), (index.to_string(), &entry.message));
        }
        let unknown = Exchange { lsn: Lsn(5000), ..exchange(1, &fixture.pass(&a, Lsn(0)).entries[0]) };
        assert_eq!(fixture.store.read_exchange(a.id, &unknown).expect("read"), None);
    }
}

fn page(fixture: &Fixture, filter: &str, through: Lsn, messages: usize) -> Vec<(String, String)> {
    let mut scan = RetainedScan { through, after_topic: String::new() };
    let mut all = Vec::new();
    loop {
        let budget = Budget { messages, bytes: usize::MAX };
        let page = fixture.store.read_retained(filter, &scan, budget).expect("whole");
        assert!(page.messages.len() <= messages);
        all.extend(page.messages.iter().map(|(_, message)| (message.topic.to_string(), text(message))));
        if page.done {
            return all;
        }
        assert!(page.after_topic > scan.after_topic, "each page gets on");
        scan.after_topic = page.after_topic;
    }
}

#[test]
fn retained_messages_are_set_replaced_cleared_and_matched_page_by_page() {
    let fixture = fixture();
    for number in 0..300 {
        fixture.commit(vec![retain(&fixture.store, &format!("room/{number:03}/light"), &number.to_string())]);
    }
    for topic in ["room", "roof", "$SYS/x", "room/007/heat", "zone"] {
        fixture.commit(vec![retain(&fixture.store, topic, topic)]);
    }
    fixture.commit(vec![retain(&fixture.store, "room/005/light", "replaced")]);
    fixture.commit(vec![retain(&fixture.store, "room/006/light", "")]);
    let fixture = fixture.reopen();
    let head = fixture.store.head();
    let topics = |filter: &str| {
        page(&fixture, filter, head, 7).into_iter().map(|(topic, _)| topic).collect::<Vec<_>>()
    };

    let lights = page(&fixture, "room/+/light", head, 7);
    assert_eq!(lights.len(), 299);
    assert!(lights.is_sorted());
    assert!(lights.contains(&("room/005/light".into(), "replaced".into())));
    assert_eq!(topics("room/007/#"), ["room/007/heat", "room/007/light"]);
    assert_eq!(topics("room/#").len(), 301);
    assert_eq!(topics("room/#")[0], "room");
    assert_eq!(topics("#").len(), 303);
    assert_eq!(topics("+"), ["roof", "room", "zone"]);
    assert_eq!(topics("$SYS/#"), ["$SYS/x"]);
    assert_eq!(topics("+/+/heat"), ["room/007/heat"]);
    assert_eq!(topics("room/006/light"), Vec::<String>::new());
    assert_eq!(topics("zone"), ["zone"]);
}

#[test]
fn a_retained_message_above_the_bound_of_the_scan_arrives_live() {
    let fixture = fixture();
    fixture.commit(vec![retain(&fixture.store, "a", "old")]);
    fixture.commit(vec![retain(&fixture.store, "b", "old")]);
    let bound = fixture.store.head();
    fixture.commit(vec![retain(&fixture.store, "a", "new")]);
    assert_eq!(page(&fixture, "#", bound, 10), [("b".to_owned(), "old".to_owned())]);
}

#[test]
fn a_retained_message_of_qos_0_is_stored_too() {
    let fixture = fixture();
    let publish = Publish { qos: 0, retained: RetainedChange::Set, ..new_publish(&fixture.store, "a", "x") };
    fixture.commit(vec![Operation::Publish(publish)]);
    let fixture = fixture.reopen();
    assert_eq!(page(&fixture, "a", fixture.store.head(), 10).len(), 1);
}

#[test]
fn a_page_is_bounded_even_when_nothing_matches() {
    let fixture = fixture_with(|options| options.durability = Durability::Os);
    let operations =
        (0..10_000).map(|number| retain(&fixture.store, &format!("a/{number}/b/{number}"), "x")).collect();
    fixture.commit(operations);
    let scan = RetainedScan { through: fixture.store.head(), after_topic: String::new() };
    let page = fixture.store.read_retained("a/+/b/none", &scan, ALL).expect("whole");
    assert!(page.messages.is_empty() && !page.done && !page.after_topic.is_empty());
}

#[test]
fn subscriptions_ask_for_retained_messages_as_retain_handling_says() {
    let fixture = fixture();
    let a = fixture.attach("a");
    let subscribe = |filter: &str, retain_handling: u8| {
        let wanted = NewSubscription { retain_handling, ..subscription(filter, 1) };
        let answers = fixture.commit_as(&a, vec![Operation::Subscribe(vec![wanted])]).answers;
        let Answer::Subscribed(subscribed) = &answers[0] else { panic!("{answers:?}") };
        subscribed[0].subscription.retained_scan.clone()
    };
    fixture.publish("t", "x");
    let scan = RetainedScan { through: fixture.store.head(), after_topic: String::new() };
    assert_eq!(subscribe("always", 0), Some(scan.clone()));
    assert_eq!(subscribe("new", 1), Some(scan.clone()));
    assert_eq!(subscribe("never", 2), None);
    for filter in ["always", "new"] {
        let done =
            Operation::SaveRetainedScan { filter: filter.into(), through: scan.through, after_topic: None };
        fixture.commit_as(&a, vec![done]);
    }
    assert_eq!(subscribe("always", 0), Some(scan));
    assert_eq!(subscribe("new", 1), None, "it existed");
}

/// A save that was on its way when the filter was subscribed again is of the older scan.
#[test]
fn a_late_save_of_an_older_scan_neither_moves_nor_ends_the_newer() {
    let fixture = fixture();
    let a = fixture.attach("a");
    let wanted = NewSubscription { retain_handling: 0, ..subscription("t/#", 1) };
    let subscribe = || fixture.commit_as(&a, vec![Operation::Subscribe(vec![wanted.clone()])]);
    subscribe();
    let older = fixture.store.head();
    fixture.commit(vec![retain(&fixture.store, "t/1", "x")]);
    subscribe();
    let newer = fixture.store.head();
    assert!(older < newer);
    for after_topic in [Some("t/1".into()), None] {
        let late = Operation::SaveRetainedScan { filter: "t/#".into(), through: older, after_topic };
        fixture.commit_as(&a, vec![late]);
    }
    let fixture = fixture.reopen();
    let session = fixture.attached(attach("a")).session.expect("stored");
    let scan = RetainedScan { through: newer, after_topic: String::new() };
    assert_eq!(session.subscriptions[0].retained_scan, Some(scan));
}
