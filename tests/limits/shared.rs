//! A filter that several sessions hold: what is counted is an upper bound, and nobody notices another's limit.

use super::*;

#[test]
fn the_slow_one_loses_what_it_has_no_room_for_and_the_others_nothing() {
    for policy in ["drop-oldest", "drop-newest"] {
        let limit = SessionLimit::messages(50, policy);
        let mut broker = limit.start();
        absent(&broker, "absent", "t/#");
        absent(&broker, "quick", "t/#");
        for round in 0..3 {
            let mut quick = Subscriber::new(broker.resume(Version::V5, "quick"));
            for tens in 0..6 {
                let first = round * 60 + tens * 10;
                publish(&broker, Version::V5, "t/x", first..first + 10);
                expect_sequence(&numbers(&quick.take(10)), first..first + 10);
            }
            leave(&broker, "quick", quick);
            let found = limit.killed(&mut broker, "absent");
            assert!(found.dropped(DropReason::SessionLimit).exactly == 0, "nothing of its own log");
        }
        let taken = take(&broker, "absent", 50);
        match policy {
            "drop-oldest" => expect_sequence(&taken, 130..180),
            _ => expect_sequence(&taken, 0..50),
        }
        let found = limit.killed(&mut broker, "absent");
        let dropped = found.dropped(DropReason::SessionLimit);
        assert_eq!(dropped, Dropped { exactly: 0, shared_at_most: 130 }, "{policy}: the bound is tight here");
        publish(&broker, Version::V5, "t/x", 180..190);
        expect_sequence(&take(&broker, "absent", 10), 180..190);
        let found = limit.killed(&mut broker, "quick");
        assert!(found.dropped(DropReason::SessionLimit).at_most() == 0, "{policy}");
    }
}

#[test]
fn with_filters_that_overlap_more_is_counted_than_was_lost() {
    let limit = SessionLimit::messages(50, "drop-newest");
    let mut broker = limit.start();
    for client_id in ["absent", "other"] {
        let mut client = broker.new_session(Version::V5, client_id);
        client.subscribe(&Subscribe::new(1, "t/#", 1).and("t/+", 1));
        client.disconnect();
    }
    publish(&broker, Version::V5, "t/x", 0..100);
    // Two logs have each message, so half as many fit, and twice as many are counted.
    expect_sequence(&take(&broker, "absent", 25), 0..25);
    let dropped = limit.killed(&mut broker, "absent").dropped(DropReason::SessionLimit);
    assert_eq!(dropped, Dropped { exactly: 0, shared_at_most: 150 });
}
