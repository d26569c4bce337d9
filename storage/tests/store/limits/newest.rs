//! Drop-newest: whoever is full gets no more.

use super::*;

#[test]
fn an_own_log_takes_no_more_than_its_limit_and_the_rest_is_counted() {
    let fixture = limited(5, Policy::DropNewest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    leave(&fixture, &client);
    publish_numbers(&fixture, "t", 1..=12);
    let mut fixture = reopen(fixture, 5, Policy::DropNewest);
    for round in 0..2 {
        publish_numbers(&fixture, "t", 13..=15);
        assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(10 + 3 * round));
        assert_eq!(backlog(&fixture, "a").own.messages, 5);
        fixture = reopen(fixture, 5, Policy::DropNewest);
    }
    let client = fixture.attach("a");
    assert_eq!(read_all(&fixture, &client, Lsn(0)), numbers(1..=5));
    save_position(&fixture, &client, fixture.store.head());
    publish_numbers(&fixture, "t", 16..=22);
    let position = Lsn(fixture.store.head().0 - 7);
    assert_eq!(read_all(&fixture, &client, position), numbers(16..=20));
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(15));
    assert_eq!(fixture.store.drops().get(DropReason::SessionLimit), Dropped::exactly(15));
}

#[test]
fn bytes_count_up_to_the_message_that_reaches_the_limit() {
    let one = encode_message(&message("t", &"x".repeat(100)), &mut bytes::BytesMut::new()).len() as u64;
    let session = Limit { max_messages: None, max_bytes: Some(3 * one), policy: Policy::DropNewest };
    let fixture = fixture_with(|options| options.limits.session = session);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for _ in 0..8 {
        fixture.publish("t", &"x".repeat(100));
    }
    assert_eq!(backlog(&fixture, "a").own, Load { messages: 3, bytes: 3 * one });
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(5));
}

#[test]
fn one_batch_is_kept_to_the_limit_as_many_are() {
    let fixture = limited(5, Policy::DropNewest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let publishes = (1..=9).map(|number: u64| publish(&fixture.store, "t", &number.to_string()));
    fixture.commit(publishes.collect());
    assert_eq!(read_all(&fixture, &client, Lsn(0)), numbers(1..=5));
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(4));
}

#[test]
fn what_the_connection_has_taken_does_not_wait() {
    let fixture = limited(3, Policy::DropNewest);
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    for number in 1..=50 {
        let lsn = fixture.publish("t", &number.to_string());
        client.reader.set_taken(lsn);
    }
    assert!(fixture.store.drops().is_empty());
    publish_numbers(&fixture, "t", 51..=55);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(2));
    let again = fixture.attach("a");
    assert_eq!(read_all(&fixture, &again, Lsn(0)), numbers(1..=53));
    publish_numbers(&fixture, "t", 56..=56);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit), Dropped::exactly(3), "nothing was saved");
}

/// Two sessions on one filter: one keeps up, the other does not.
fn two_readers(max_messages: u64) -> (Fixture, Client, Client) {
    let fixture = limited(max_messages, Policy::DropNewest);
    let (quick, slow) = (fixture.attach("quick"), fixture.attach("slow"));
    fixture.subscribe(&quick, "t", 1);
    fixture.subscribe(&slow, "t", 1);
    (fixture, quick, slow)
}

#[test]
fn in_a_shared_log_the_slow_one_passes_over_what_it_has_no_room_for() {
    let (fixture, quick, slow) = two_readers(5);
    for number in 1..=8 {
        let lsn = fixture.publish("t", &number.to_string());
        save_position(&fixture, &quick, lsn);
    }
    assert_eq!(read_all(&fixture, &quick, Lsn(0)), numbers(1..=8));
    assert_eq!(read_all(&fixture, &slow, Lsn(0)), numbers(1..=5));
    assert_eq!(backlog(&fixture, "slow").shared_at_most.messages, 5);

    // It makes room, and what comes then is its own again.
    save_position(&fixture, &slow, Lsn(3));
    assert_eq!(dropped(&fixture, "slow", DropReason::SessionLimit), shared(3));
    publish_numbers(&fixture, "t", 9..=20);
    let mut fixture = reopen(fixture, 5, Policy::DropNewest);
    publish_numbers(&fixture, "t", 21..=22);
    for _ in 0..2 {
        let slow = fixture.attach("slow");
        assert_eq!(read_all(&fixture, &slow, Lsn(3)), numbers([4, 5, 9, 10, 11]));
        assert_eq!(backlog(&fixture, "slow").shared_at_most.messages, 5);
        fixture = reopen(fixture, 5, Policy::DropNewest);
    }
    let slow = fixture.attach("slow");
    save_position(&fixture, &slow, fixture.store.head());
    assert_eq!(dropped(&fixture, "slow", DropReason::SessionLimit), shared(3 + 11));
    let behind = fixture.store.head();
    publish_numbers(&fixture, "t", 23..=24);
    assert_eq!(read_all(&fixture, &slow, behind), numbers(23..=24));
    assert!(dropped(&fixture, "quick", DropReason::SessionLimit).at_most() > 0, "it reads no more, either");
}

#[test]
fn a_session_of_several_logs_is_kept_to_the_sum() {
    let fixture = limited(10, Policy::DropNewest);
    let (client, other) = (fixture.attach("a"), fixture.attach("other"));
    for filter in ["one", "two", "three"] {
        fixture.subscribe(&client, filter, 1);
        fixture.subscribe(&other, filter, 1);
    }
    fixture.subscribe(&client, "own", 1);
    for number in 1..=9 {
        for topic in ["one", "own", "two", "three"] {
            fixture.publish(topic, &format!("{topic} {number}"));
        }
    }
    assert_eq!(read_all(&fixture, &client, Lsn(0)).len(), 10);
    assert_eq!(backlog(&fixture, "a").at_most().messages, 10);
    let fixture = reopen(fixture, 10, Policy::DropNewest);
    let client = fixture.attach("a");
    assert_eq!(read_all(&fixture, &client, Lsn(0)).len(), 10);
    assert_eq!(dropped(&fixture, "a", DropReason::SessionLimit).exactly, 6, "of its own log: 9 less 3");
    save_position(&fixture, &client, fixture.store.head());
    assert_eq!(
        dropped(&fixture, "a", DropReason::SessionLimit),
        Dropped { exactly: 6, shared_at_most: 3 * 9 - 7 }
    );
}

#[test]
fn a_filter_left_while_nothing_more_is_queued_counts_both_what_waited_and_what_did_not() {
    let (fixture, _, slow) = two_readers(4);
    publish_numbers(&fixture, "t", 1..=10);
    fixture.unsubscribe(&slow, "t");
    assert_eq!(dropped(&fixture, "slow", DropReason::Unsubscribed), shared(4));
    assert_eq!(dropped(&fixture, "slow", DropReason::SessionLimit), shared(6));
}

#[test]
fn without_a_limit_what_was_passed_over_stays_so_and_the_rest_is_read() {
    let (fixture, ..) = two_readers(5);
    publish_numbers(&fixture, "t", 1..=9);
    let fixture = fixture.reopen();
    assert_eq!(dropped(&fixture, "slow", DropReason::SessionLimit), shared(4));
    publish_numbers(&fixture, "t", 10..=12);
    let fixture = fixture.reopen();
    let slow = fixture.attach("slow");
    assert_eq!(read_all(&fixture, &slow, Lsn(0)), numbers([1, 2, 3, 4, 5, 10, 11, 12]));
}
