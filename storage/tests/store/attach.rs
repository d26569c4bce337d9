//! Sessions: attached, fenced, resumed, ended.

use barnacle_storage::*;
use bytes::Bytes;

use crate::support::*;

fn ended(answers: &[Answer]) -> Vec<String> {
    let Some(Answer::Ended(ended)) = answers.last() else { panic!("{answers:?} instead of Ended") };
    ended.iter().map(|ended| ended.client_id.to_string()).collect()
}

fn will(payload: &'static str) -> Will {
    Will { message: message("will", payload), delay_interval: 7, message_expiry_interval: Some(9) }
}

#[test]
fn a_session_is_made_resumed_and_fences_off_its_older_connection() {
    let fixture = fixture();
    let first = fixture.attached(attach("a"));
    assert!(!first.present);
    let first = first.session.expect("stored");
    assert_eq!((first.epoch, first.sent_unsaved_through), (Epoch(1), None));

    let second = fixture.attached(attach("a"));
    assert!(second.present);
    let second = second.session.expect("stored");
    assert_eq!((second.id, second.epoch), (first.id, Epoch(2)));
    assert!(first.reader.is_fenced() && !second.reader.is_fenced());

    let late =
        Transaction { source: None, fence: Some((first.id, first.epoch)), operations: vec![Operation::End] };
    assert!(matches!(outcome(&fixture.store, late), Ok(Outcome::Fenced)));
    assert_eq!(fixture.store.counts().sessions, 1);
}

#[test]
fn a_fenced_transaction_falls_away_as_a_whole() {
    let fixture = fixture();
    let old = fixture.attach("a");
    fixture.subscribe(&old, "t", 1);
    let new = fixture.attach("a");
    let late = Transaction {
        source: None,
        fence: Some((old.id, old.epoch)),
        operations: vec![
            publish(&fixture.store, "t", "late"),
            Operation::SaveInbound([1].into_iter().collect()),
        ],
    };
    assert!(matches!(outcome(&fixture.store, late), Ok(Outcome::Fenced)));
    assert_eq!(fixture.read(&new, Lsn(0)), Vec::<String>::new());
    let again = fixture.attached(attach("a")).session.expect("stored");
    assert!(again.inbound.is_empty());
}

#[test]
fn the_reader_of_a_fenced_connection_gets_nothing_more() {
    let fixture = fixture();
    let old = fixture.attach("a");
    fixture.subscribe(&old, "t", 1);
    fixture.publish("t", "1");
    assert_eq!(fixture.read(&old, Lsn(0)), ["1"]);
    let new = fixture.attach("a");
    assert_eq!(fixture.read(&old, Lsn(0)), Vec::<String>::new());
    assert_eq!(fixture.read(&new, Lsn(0)), ["1"]);
}

#[test]
fn clean_start_ends_what_was_stored_and_says_so() {
    let fixture = fixture();
    let old = fixture.attach("a");
    fixture.subscribe(&old, "t", 1);
    fixture.publish("t", "gone");
    let clean = Attach { clean_start: true, will: Some(will("next")), ..attach("a") };
    let answers = fixture.commit(vec![Operation::Attach(clean)]).answers;
    let Answer::Attached(attached) = &answers[0] else { panic!("{answers:?}") };
    assert!(!attached.present);
    let session = attached.session.as_ref().expect("stored");
    assert!(session.id > old.id && session.subscriptions.is_empty());
    assert_eq!(ended(&answers), ["a"]);
    assert!(fixture.store.route("t").is_empty());
    assert_eq!(fixture.store.counts(), Counts { sessions: 1, connected: 1, subscriptions: 0, filters: 0 });
}

#[test]
fn a_session_that_ends_with_its_connection_is_not_stored() {
    let fixture = fixture();
    let attached = fixture.attached(Attach { session_expiry_interval: 0, ..attach("a") });
    assert!(!attached.present && attached.session.is_none());
    assert_eq!(fixture.store.counts().sessions, 0);
}

#[test]
fn a_stored_session_with_expiry_0_had_ended_with_its_connection() {
    let fixture = fixture();
    let old = fixture.attach("a");
    fixture.subscribe(&old, "t", 1);
    let resumed = fixture.attached(Attach { session_expiry_interval: 0, ..attach("a") });
    assert!(resumed.present, "expiry 0 from now on");
    let answers = fixture.commit(vec![Operation::Attach(attach("a"))]).answers;
    let Answer::Attached(attached) = &answers[0] else { panic!("{answers:?}") };
    assert!(
        !attached.present
            && attached.session.as_ref().is_some_and(|session| session.subscriptions.is_empty())
    );
    assert_eq!(ended(&answers), ["a"]);
}

#[test]
fn detach_starts_the_expiry_and_0_ends_the_session() {
    let fixture = fixture();
    let (a, b) = (fixture.attach("a"), fixture.attach("b"));
    assert_eq!(fixture.store.next_deadline(), None);
    fixture.detach(&a);
    let deadline = NOW + u64::from(HOUR) * 1000;
    assert_eq!(fixture.store.next_deadline(), Some(deadline));
    let detach =
        Operation::Detach(Detach { session_expiry_interval: 0, will: WillFate::Publish, now_millis: NOW });
    assert_eq!(ended(&fixture.commit_as(&b, vec![detach]).answers), ["b"]);

    let in_time = fixture.attached(Attach { now_millis: deadline - 1, ..attach("a") });
    assert!(in_time.present);
    assert_eq!(fixture.store.next_deadline(), None, "connected sessions do not expire");
}

#[test]
fn expired_sessions_end_when_asked_and_when_attached_too_late() {
    let fixture = fixture();
    let deadline = NOW + u64::from(HOUR) * 1000;
    for name in ["a", "b"] {
        let attached = fixture.attached(Attach { will: Some(will("missed")), ..attach(name) });
        let session = attached.session.expect("stored");
        fixture.detach(&Client { id: session.id, epoch: session.epoch, reader: session.reader });
    }
    let never = fixture.attach("c");
    let forever = Detach { session_expiry_interval: u32::MAX, will: WillFate::Publish, now_millis: NOW };
    fixture.commit_as(&never, vec![Operation::Detach(forever)]);

    let answers =
        fixture.commit(vec![Operation::Attach(Attach { now_millis: deadline, ..attach("a") })]).answers;
    assert_eq!(ended(&answers), ["a"]);
    let nobody = fixture.commit(vec![Operation::ExpireSessions { now_millis: deadline - 1 }]).answers;
    assert_eq!(ended(&nobody), Vec::<String>::new());
    let committed = fixture.commit(vec![Operation::ExpireSessions { now_millis: deadline }]);
    assert_eq!(ended(&committed.answers), ["b"]);
    assert_eq!(text(&committed.wills[0].message), "missed");
    let nobody = fixture.commit(vec![Operation::ExpireSessions { now_millis: u64::MAX }]).answers;
    assert_eq!(ended(&nobody), Vec::<String>::new(), "one is connected, one never expires");
}

#[test]
fn everything_that_a_session_saves_is_handed_over_also_after_a_crash() {
    let fixture = fixture();
    let client = fixture.attach("a");
    let wanted = NewSubscription {
        filter: "t/+".into(),
        options: SubscriptionOptions {
            qos: 2,
            no_local: true,
            retain_as_published: true,
            identifier: Some(77),
        },
        retain_handling: 0,
    };
    fixture.commit_as(&client, vec![Operation::Subscribe(vec![wanted.clone()])]);
    for payload in ["1", "2", "3"] {
        fixture.publish("t/x", payload);
    }
    let pass = fixture.pass(&client, Lsn(0));
    let mut second = exchange(8, &pass.entries[1]);
    second.received = true;
    second.subscription_identifiers = vec![77, 78];
    let outbound = Outbound {
        position: pass.entries[1].lsn,
        last_packet_id: 8,
        open: vec![exchange(7, &pass.entries[0]), second],
    };
    let inbound: PacketIdSet = [1, 2, 3, 500].into_iter().collect();
    fixture.commit_as(
        &client,
        vec![
            Operation::SaveOutbound(outbound.clone()),
            Operation::SaveInbound(inbound.clone()),
            Operation::SaveRetainedScan {
                filter: "t/+".into(),
                through: Lsn(0),
                after_topic: Some("t/b".into()),
            },
        ],
    );
    let fixture = fixture.reopen();
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert_eq!(session.outbound, outbound);
    assert_eq!(session.inbound, inbound);
    let scan = RetainedScan { through: Lsn(0), after_topic: "t/b".to_owned() };
    assert_eq!(
        session.subscriptions,
        [Subscription {
            filter: wanted.filter,
            options: wanted.options,
            start: Lsn(0),
            retained_scan: Some(scan)
        }]
    );
    let client = Client { id: session.id, epoch: session.epoch, reader: session.reader };
    assert_eq!(fixture.read(&client, outbound.position), ["3"]);
    let message = fixture.store.read_exchange(client.id, &outbound.open[0]).expect("read").expect("there");
    assert_eq!(text(&message), "1");

    fixture.commit_as(
        &client,
        vec![
            Operation::SaveInbound(PacketIdSet::default()),
            Operation::SaveRetainedScan { filter: "t/+".into(), through: Lsn(0), after_topic: None },
        ],
    );
    let fixture = fixture.reopen();
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert!(session.inbound.is_empty());
    assert_eq!(session.subscriptions[0].retained_scan, None);
}

#[test]
fn what_may_have_been_sent_unsaved_is_known_after_a_crash_and_a_take_over() {
    let fixture = fixture();
    let client = fixture.attach("a");
    fixture.subscribe(&client, "t", 1);
    let (first, second) = (fixture.publish("t", "1"), fixture.publish("t", "2"));
    fixture.save(&client, Outbound { position: first, ..Outbound::default() });
    let fixture = fixture.reopen();
    assert_eq!(fixture.recovery.interrupted_sessions, 1);
    fixture.publish("t", "3");
    // A second crash before the client has come back.
    let fixture = fixture.reopen();
    assert_eq!(fixture.recovery.interrupted_sessions, 0);
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert_eq!(session.sent_unsaved_through, Some(second), "what came after the crash was never sent");

    // Taken over: all that could be read may have been sent.
    let third = fixture.store.head();
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert_eq!(session.sent_unsaved_through, Some(third));
    let client = Client { id: session.id, epoch: session.epoch, reader: session.reader };

    // Orderly from here on: nothing is unsaved once the position has passed it.
    fixture.save(&client, Outbound { position: third, ..Outbound::default() });
    fixture.detach(&client);
    fixture.publish("t", "4");
    let session = fixture.attached(attach("a")).session.expect("stored");
    assert_eq!(session.sent_unsaved_through, None);
}

#[test]
fn what_a_session_keeps_does_not_keep_the_network_buffer() {
    let fixture = fixture();
    let buffer = Bytes::from(vec![b'a'; 1024 * 1024]);
    let name = bytestring::ByteString::try_from(buffer.slice(..3)).expect("text");
    let client = Attach { client_id: name.clone(), ..attach("") };
    let session = fixture.attached(client).session.expect("stored");
    let client = Client { id: session.id, epoch: session.epoch, reader: session.reader };
    fixture.commit_as(
        &client,
        vec![Operation::Subscribe(vec![NewSubscription { filter: name.clone(), ..subscription("", 1) }])],
    );
    drop((name, client));
    assert!(buffer.is_unique());
}

#[test]
fn operations_behind_an_end_in_the_same_transaction_do_nothing() {
    let fixture = fixture();
    let client = fixture.attach("a");
    let operations = vec![
        Operation::End,
        Operation::Subscribe(vec![subscription("t", 1)]),
        Operation::SaveOutbound(Outbound::default()),
        publish(&fixture.store, "t", "x"),
    ];
    let committed = fixture.commit_as(&client, operations);
    assert!(committed.answers.is_empty());
    assert_eq!(committed.lsn, fixture.store.head());
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.counts(), Counts { sessions: 0, connected: 0, subscriptions: 0, filters: 0 });
}
