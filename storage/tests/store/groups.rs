//! Groups: what members take, and what comes back.

use std::sync::Arc;

use barnacle_storage::*;

use crate::support::{
    ALL, Client, Fixture, exchange, fixture, fixture_with, pull, subscription, text, texts,
};

const JOBS: &str = "$share/workers/jobs/#";

fn member(fixture: &Fixture, connection: u64) -> GroupMember {
    fixture.store.group_member(JOBS, connection, Arc::new(|| {})).expect("the group is there")
}

fn take(connection: u64, pulled: &[Pulled]) -> GroupTake {
    GroupTake {
        filter: JOBS.into(),
        member: connection,
        taken: pulled.iter().map(|pulled| pulled.span).collect(),
        ..GroupTake::default()
    }
}

/// Takes what was pulled into exchanges, as a stored session does.
fn begin(fixture: &Fixture, client: &Client, connection: u64, pulled: &[Pulled], qos: u8) {
    let open = pulled.iter().zip(1..).map(|(pulled, id)| Exchange { qos, ..exchange(id, &pulled.entry) });
    let outbound = Outbound { position: fixture.store.head(), last_packet_id: 9, open: open.collect() };
    let operations =
        vec![Operation::SaveOutbound(outbound), Operation::TakeFromGroup(take(connection, pulled))];
    fixture.commit_as(client, operations);
}

/// What went to nobody.
fn discarded(fixture: &Fixture) -> u64 {
    fixture.store.drops().get(DropReason::GroupDiscarded).exactly
}

fn with_jobs(count: usize) -> (Fixture, Client) {
    let fixture = fixture();
    let client = fixture.attach("one");
    fixture.subscribe(&client, JOBS, 1);
    publish(&fixture, 1..=count);
    (fixture, client)
}

fn publish(fixture: &Fixture, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        fixture.publish("other", "not for the group");
        fixture.publish("jobs/x", &number.to_string());
    }
}

#[test]
fn members_divide_the_log_and_a_crash_gives_out_only_what_was_not_taken() {
    let (fixture, client) = with_jobs(6);
    let (one, two) = (member(&fixture, 1), member(&fixture, 2));
    let first = pull(&fixture, &one, 2);
    let second = pull(&fixture, &two, 2);
    assert_eq!((texts(&first), texts(&second)), (vec!["1".into(), "2".into()], vec!["3".into(), "4".into()]));
    begin(&fixture, &client, 2, &second, 1);
    drop((one, two));

    let fixture = fixture.reopen();
    let one = member(&fixture, 1);
    assert_eq!(texts(&pull(&fixture, &one, 9)), ["1", "2", "5", "6"], "3 and 4 are the first session's");
    let attached = fixture.attach("one");
    let resumed = fixture.store.read_exchange(attached.id, &exchange(1, &second[0].entry));
    assert_eq!(text(&resumed.expect("readable").expect("open")), "3");
}

#[test]
fn a_member_that_goes_leaves_free_what_it_had_reserved() {
    let (fixture, _) = with_jobs(3);
    let (one, two) = (member(&fixture, 1), member(&fixture, 2));
    assert_eq!(pull(&fixture, &one, 9).len(), 3);
    assert_eq!(pull(&fixture, &two, 9), []);
    drop(one);
    assert_eq!(texts(&pull(&fixture, &two, 9)), ["1", "2", "3"]);
}

#[test]
fn what_is_put_back_goes_to_the_next() {
    let (fixture, _) = with_jobs(3);
    let (one, two) = (member(&fixture, 1), member(&fixture, 2));
    let pulled = pull(&fixture, &one, 9);
    one.put_back(pulled[1..].iter().map(|pulled| pulled.span));
    assert_eq!(texts(&pull(&fixture, &two, 9)), ["2", "3"]);
}

/// Each pull that finds nothing waits, and is woken in its turn; one that cannot use it passes it on.
#[test]
fn those_that_wait_are_woken_in_turn() {
    use std::sync::Mutex;
    let (fixture, _) = with_jobs(0);
    let woken: Arc<Mutex<Vec<u64>>> = Arc::default();
    let members: Vec<GroupMember> = (1..=3)
        .map(|connection| {
            let woken = woken.clone();
            let wake = Arc::new(move || woken.lock().expect("no panic").push(connection));
            fixture.store.group_member(JOBS, connection, wake).expect("the group is there")
        })
        .collect();
    let names =
        |members: &[GroupMember]| members.iter().map(|member| pull(&fixture, member, 1).len()).sum::<usize>();
    assert_eq!(names(&members), 0);
    // The committer wakes when it has answered: the next answer comes behind that.
    let publish = |payload| {
        fixture.publish("jobs/x", payload);
        fixture.commit(vec![Operation::TakePosition]);
    };
    publish("a");
    assert_eq!(*woken.lock().expect("no panic"), [1]);
    assert_eq!(texts(&pull(&fixture, &members[0], 1)), ["a"]);
    assert_eq!(pull(&fixture, &members[0], 1), []);
    publish("b");
    assert_eq!(*woken.lock().expect("no panic"), [1, 2]);
    members[1].pass_on();
    assert_eq!(*woken.lock().expect("no panic"), [1, 2, 3]);
    assert_eq!(texts(&pull(&fixture, &members[2], 1)), ["b"]);
    assert_eq!(pull(&fixture, &members[1], 1), []);
    publish("c");
    assert_eq!(*woken.lock().expect("no panic"), [1, 2, 3, 1]);
}

/// QoS 1 goes back to the group when the session ends; what may have been sent at QoS 2 goes to nobody [MQTT-4.8.2-5].
#[test]
fn a_session_that_ends_gives_back_qos_1_and_nothing_of_qos_2() {
    for (qos, wanted) in [(1, vec!["1".to_owned(), "2".into(), "3".into()]), (2, vec!["3".into()])] {
        let (fixture, client) = with_jobs(3);
        let other = fixture.attach("two");
        fixture.subscribe(&other, JOBS, 1);
        let one = member(&fixture, 1);
        begin(&fixture, &client, 1, &pull(&fixture, &one, 2), qos);
        drop(one);
        fixture.commit_as(&client, vec![Operation::End]);
        let two = member(&fixture, 2);
        assert_eq!(texts(&pull(&fixture, &two, 9)), wanted, "QoS {qos}");
        drop(two);
        let fixture = fixture.reopen();
        assert_eq!(discarded(&fixture), 3 - wanted.len() as u64, "QoS {qos}");
        assert_eq!(texts(&pull(&fixture, &member(&fixture, 2), 9)), wanted, "QoS {qos}, after a crash");
    }
}

/// An exchange that goes on after UNSUBSCRIBE has its own copy; if its session then ends, the copy goes back.
#[test]
fn an_exchange_with_its_own_copy_goes_back_too() {
    let (fixture, client) = with_jobs(2);
    let other = fixture.attach("two");
    fixture.subscribe(&other, JOBS, 1);
    let one = member(&fixture, 1);
    begin(&fixture, &client, 1, &pull(&fixture, &one, 1), 1);
    drop(one);
    fixture.unsubscribe(&client, JOBS);
    fixture.commit_as(&client, vec![Operation::End]);
    let two = member(&fixture, 2);
    assert_eq!(texts(&pull(&fixture, &two, 9)), ["2", "1"], "it was appended again");
}

#[test]
fn a_member_that_is_not_stored_leaves_qos_1_open_until_it_has_acknowledged() {
    let (fixture, client) = with_jobs(2);
    fixture.commit(vec![Operation::JoinGroup { filter: JOBS.into(), member: 7 }]);
    let seven = member(&fixture, 7);
    let pulled = pull(&fixture, &seven, 2);
    fixture.commit(vec![Operation::TakeFromGroup(take(7, &pulled[..1]))]);
    drop((seven, client));
    let fixture = fixture.reopen();
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 8), 9)), ["2"]);
}

#[test]
fn what_a_member_that_is_not_stored_was_never_sent_at_qos_2_goes_back() {
    let (fixture, _) = with_jobs(3);
    fixture.commit(vec![Operation::JoinGroup { filter: JOBS.into(), member: 7 }]);
    let seven = member(&fixture, 7);
    let pulled = pull(&fixture, &seven, 3);
    let lsns: Vec<Lsn> = pulled.iter().map(|pulled| pulled.entry.lsn).collect();
    let sent = GroupTake { sent: lsns.clone(), ..take(7, &pulled) };
    fixture.commit(vec![Operation::TakeFromGroup(sent)]);
    let received = GroupTake { received: vec![lsns[0]], ..take(7, &[]) };
    fixture.commit(vec![Operation::TakeFromGroup(received)]);
    let leave = Operation::LeaveGroup { filter: JOBS.into(), member: 7, unsent: vec![lsns[0], lsns[2]] };
    fixture.commit(vec![leave]);
    drop(seven);
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 8), 9)), ["3"], "1 was received, 2 was sent");
    assert_eq!(discarded(&fixture), 1);
}

/// The broker dies, and with it the member: what it was sent is counted, once.
#[test]
fn what_went_with_the_broker_at_qos_2_is_counted_once() {
    let (fixture, _) = with_jobs(2);
    fixture.commit(vec![Operation::JoinGroup { filter: JOBS.into(), member: 7 }]);
    let seven = member(&fixture, 7);
    let pulled = pull(&fixture, &seven, 2);
    let sent = pulled.iter().map(|pulled| pulled.entry.lsn).collect();
    fixture.commit(vec![Operation::TakeFromGroup(GroupTake { sent, ..take(7, &pulled) })]);
    drop(seven);
    let fixture = fixture.reopen();
    assert_eq!(discarded(&fixture), 2);
    let fixture = fixture.reopen();
    assert_eq!(discarded(&fixture), 2);
    assert_eq!(pull(&fixture, &member(&fixture, 8), 9), []);
}

/// A group lives as long as it has members, stored or not; then its log is dead.
#[test]
fn a_group_ends_with_its_last_member() {
    let (fixture, client) = with_jobs(2);
    fixture.commit(vec![Operation::JoinGroup { filter: JOBS.into(), member: 7 }]);
    fixture.unsubscribe(&client, JOBS);
    assert_eq!(texts(&pull(&fixture, &member(&fixture, 7), 9)), ["1", "2"]);
    fixture.commit(vec![Operation::LeaveGroup { filter: JOBS.into(), member: 7, unsent: vec![] }]);
    assert!(fixture.store.group_member(JOBS, 8, Arc::new(|| {})).is_none());
    assert!(fixture.store.route("jobs/x").is_empty());

    // Members that were not stored are gone with the broker.
    fixture.commit(vec![Operation::JoinGroup { filter: JOBS.into(), member: 9 }]);
    fixture.publish("jobs/x", "for nobody");
    let fixture = fixture.reopen();
    assert!(fixture.store.group_member(JOBS, 8, Arc::new(|| {})).is_none());
    assert!(fixture.store.route("jobs/x").is_empty());
    let client = fixture.attach("one");
    fixture.subscribe(&client, JOBS, 1);
    assert_eq!(pull(&fixture, &member(&fixture, 1), 9), [], "a new group has nothing of an older one");
}

#[test]
fn groups_of_one_filter_and_its_subscribers_each_get_everything() {
    let fixture = fixture();
    let client = fixture.attach("one");
    for filter in ["$share/a/jobs/#", "$share/b/jobs/#", "jobs/#"] {
        fixture.subscribe(&client, filter, 1);
    }
    assert!(fixture.subscribe(&client, "$share/a/jobs/#", 1).existed);
    let lsn = fixture.publish("jobs/x", "1");
    for filter in ["$share/a/jobs/#", "$share/b/jobs/#"] {
        let member = fixture.store.group_member(filter, 1, Arc::new(|| {})).expect("the group is there");
        assert_eq!(texts(&pull(&fixture, &member, 9)), ["1"]);
    }
    assert_eq!(fixture.read(&client, Lsn(lsn.0 - 1)), ["1"], "a group's log is not the session's");
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let fixture = fixture();
    let client = fixture.attach("one");
    let wanted = NewSubscription { retain_handling: 0, ..subscription(JOBS, 1) };
    let committed = fixture.commit_as(&client, vec![Operation::Subscribe(vec![wanted])]);
    let [Answer::Subscribed(subscribed)] = &committed.answers[..] else { panic!("{committed:?}") };
    assert_eq!(subscribed[0].subscription.retained_scan, None);
}

/// What is taken and done is dead, whoever took it; what is open or in an exchange is not.
#[test]
fn a_groups_log_is_trimmed_behind_what_is_open() {
    let fixture = fixture_with(|options| {
        options.trimming.dead_bytes = 0;
        options.trimming.interval = std::time::Duration::from_secs(3600);
        options.tail_cache_bytes = 0;
    });
    let client = fixture.attach("one");
    fixture.subscribe(&client, JOBS, 1);
    let body = "x".repeat(10_000);
    for _ in 0..20 {
        fixture.publish("jobs/x", &body);
    }
    let one = member(&fixture, 1);
    let pulled = fixture.store.pull(&one, ALL).expect("the log is whole");
    assert_eq!(pulled.len(), 20);
    let operations = |from: usize| {
        let open = vec![exchange(1, &pulled[from].entry)];
        let outbound = Outbound { position: fixture.store.head(), last_packet_id: 1, open };
        vec![Operation::SaveOutbound(outbound), Operation::TakeFromGroup(take(1, &pulled[..15]))]
    };
    fixture.commit_as(&client, operations(5));
    fixture.store.trim();
    fixture.store.trim();
    drop(one);
    let fixture = fixture.reopen_with(|options| options.tail_cache_bytes = 0);
    let session = fixture.attach("one");
    let kept = fixture.store.read_exchange(session.id, &exchange(1, &pulled[5].entry)).expect("readable");
    assert_eq!(kept.map(|message| text(&message)), Some(body.clone()));
    let again = fixture.store.pull(&member(&fixture, 2), ALL).expect("the log is whole");
    assert_eq!(again.len(), 5);
    assert_eq!(again[0].entry, pulled[15].entry);
}
