//! RETAIN: what is kept for those who subscribe later, and what they are sent of it.

use super::*;

tests! {
    the_last_retained_message_is_kept_with_its_qos: BOTH;
    a_retained_message_of_qos_0_replaces_what_was_kept: BOTH;
    an_empty_retained_message_removes_what_was_kept: BOTH;
    a_message_without_retain_changes_nothing_that_is_kept: BOTH;
    a_subscription_brings_what_is_kept: BOTH;
    retain_handling_1_sends_to_new_subscriptions_only: V5;
    unsubscribe_right_before_makes_a_subscription_new: V5;
    retain_handling_2_sends_nothing_that_is_kept: V5;
    what_is_published_now_has_retain_0: BOTH;
    retain_as_published_keeps_the_publishers_flag: V5;
    what_is_kept_outlives_its_publisher: BOTH;
    what_is_kept_expires: V5;
}

/// Subscribes, and collects the retained messages that come because of it, by topic. The filter must match
/// `marker_topic`.
#[track_caller]
fn retained_at(
    server: &Server,
    subscriber: &mut Peer,
    subscribe: &Subscribe,
    marker_topic: &str,
) -> Vec<(String, String)> {
    subscriber.subscribe(subscribe);
    server.publish(&Publish::new(marker_topic, "marker").qos(1, 1));
    let mut found = Vec::new();
    loop {
        let message = take(subscriber);
        if text(&message) == "marker" {
            found.sort();
            return found;
        }
        assert!(message.retain, "{message:?} does not say that it is a retained one");
        found.push((message.topic.clone(), text(&message)));
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

fn retained(topic: &str, payload: &str) -> Publish {
    Publish::new(topic, payload).qos(1, 1).retain(true)
}

/// A message with RETAIN takes the place of the one kept for its topic, and is kept with its QoS: who subscribes later
/// gets it, and only it, with RETAIN 1.
/// [MQTT5 3.3.1-5] [MQTT311 3.3.1-5, 3.3.1-6, 3.3.1-8]
fn the_last_retained_message_is_kept_with_its_qos(server: &Server) {
    for old in 0..=2 {
        for new in 0..=2 {
            let topic = format!("r/{old}/{new}");
            server.publish(&Publish::new(&topic, "old").qos(old, 1).retain(true));
            server.publish(&Publish::new(&topic, "new").qos(new, 1).retain(true));
            let mut subscriber = server.client("subscriber");
            subscriber.subscribe(&Subscribe::new(1, &topic, 2));
            let message = take(&mut subscriber);
            assert_eq!((text(&message).as_str(), message.qos, message.retain), ("new", new, true));
            nothing_before_marker(server, &mut subscriber, &topic);
        }
    }
}

/// A retained message of QoS 0 too takes the place of what was kept: the older one is not sent any more. This broker
/// keeps the newer one, which it need not in 3.1.1.
/// [MQTT5 3.3.1-5] [MQTT311 3.3.1-7]
fn a_retained_message_of_qos_0_replaces_what_was_kept(server: &Server) {
    server.publish(&retained("r/t", "old"));
    server.publish(&Publish::new("r/t", "new").retain(true));
    let mut subscriber = server.client("subscriber");
    let found = retained_at(server, &mut subscriber, &Subscribe::new(1, "r/+", 1), "r/marker");
    assert_eq!(found, pairs(&[("r/t", "new")]));
}

/// With an empty payload, RETAIN removes what was kept, and is not itself kept. For subscribers of the moment it is a
/// message as any other.
/// [MQTT5 3.3.1-6, 3.3.1-7] [MQTT311 3.3.1-10, 3.3.1-11]
fn an_empty_retained_message_removes_what_was_kept(server: &Server) {
    for qos in 0..=2 {
        let mut live = server.client("live");
        live.subscribe(&Subscribe::new(1, "r/t", 2));
        server.publish(&retained("r/t", "v"));
        assert_eq!(text(&take(&mut live)), "v");
        server.publish(&Publish::new("r/t", "").qos(qos, 1).retain(true));
        let message = take(&mut live);
        assert_eq!((text(&message).as_str(), message.qos, message.retain), ("", qos, false));
        let mut later = server.client("later");
        let found = retained_at(server, &mut later, &Subscribe::new(1, "r/+", 1), "r/marker");
        assert_eq!(found, [], "after an empty one of QoS {qos}");
    }
}

/// Without RETAIN nothing is kept, and what was kept stays: an empty payload does not remove it either.
/// [MQTT5 3.3.1-8] [MQTT311 3.3.1-12]
fn a_message_without_retain_changes_nothing_that_is_kept(server: &Server) {
    server.publish(&retained("r/t", "kept"));
    for qos in 0..=2 {
        for payload in ["v", ""] {
            server.publish(&Publish::new("r/t", payload).qos(qos, 1));
            server.publish(&Publish::new("r/u", payload).qos(qos, 1));
        }
    }
    let mut subscriber = server.client("subscriber");
    let found = retained_at(server, &mut subscriber, &Subscribe::new(1, "r/+", 1), "r/marker");
    assert_eq!(found, pairs(&[("r/t", "kept")]));
}

/// Retain Handling 0, and 3.1.1 always: each SUBSCRIBE brings every matching retained message, the first and the
/// repeated one, at the QoS granted. Wildcards find them all, and `$` topics only by name.
/// [MQTT5 3.3.1-9] [MQTT311 3.3.1-6, 3.3.1-8, 3.8.4-3]
fn a_subscription_brings_what_is_kept(server: &Server) {
    for topic in ["r/a", "r/a/b", "r/c/b", "s", "$r/a"] {
        server.publish(&retained(topic, "v"));
    }
    let mut subscriber = server.client("subscriber");
    for _ in 0..2 {
        let mut ask = |filter: &str, marker: &str| {
            let found = retained_at(server, &mut subscriber, &Subscribe::new(1, filter, 1), marker);
            subscriber.unsubscribe(&Unsubscribe::new(2, filter));
            found.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>()
        };
        assert_eq!(ask("r/+", "r/marker"), ["r/a"]);
        assert_eq!(ask("r/+/b", "r/marker/b"), ["r/a/b", "r/c/b"]);
        assert_eq!(ask("#", "marker"), ["r/a", "r/a/b", "r/c/b", "s"]);
        assert_eq!(ask("$r/+", "$r/marker"), ["$r/a"]);
    }
    let mut again = server.client("again");
    for _ in 0..3 {
        let found = retained_at(server, &mut again, &Subscribe::new(1, "r/+", 1), "r/marker");
        assert_eq!(found, pairs(&[("r/a", "v")]), "subscribing again brings it again");
    }
}

/// Retain Handling 1: what is kept comes when the subscription is new. It is not while the session has it, across
/// connections, whatever the other options; it is again after UNSUBSCRIBE.
/// [MQTT5 3.3.1-10]
fn retain_handling_1_sends_to_new_subscriptions_only(server: &Server) {
    let version = server.version;
    server.publish(&retained("r/a", "v"));
    let mut subscriber = server.new_session("subscriber");
    let subscribe = |options| Subscribe::new(1, "r/+", SEND_IF_NEW | options);
    let all = pairs(&[("r/a", "v")]);
    assert_eq!(retained_at(server, &mut subscriber, &subscribe(1), "r/marker"), all, "it is new");
    for options in [1, 2, 2 | RETAIN_AS_PUBLISHED] {
        assert_eq!(retained_at(server, &mut subscriber, &subscribe(options), "r/marker"), [], "it was there");
    }
    subscriber.disconnect();
    let mut subscriber = server.resume("subscriber");
    assert_eq!(retained_at(server, &mut subscriber, &subscribe(1), "r/marker"), [], "the session had it");
    subscriber.unsubscribe(&Unsubscribe::new(2, "r/+"));
    assert_eq!(retained_at(server, &mut subscriber, &subscribe(1), "r/marker"), all, "it is new again");
    let twice = subscribe(1).and("r/a", 1 | SEND_IF_NEW);
    assert_eq!(retained_at(server, &mut subscriber, &twice, "r/marker"), all, "the second filter is new");
    subscriber.disconnect();
    let mut fresh = server.connect(&Connect::new(version, "subscriber")).0;
    assert_eq!(retained_at(server, &mut fresh, &subscribe(1), "r/marker"), all, "the session is new");
}

/// The subscription is new also if UNSUBSCRIBE came right before, in the same breath, and it is not if another SUBSCRIBE
/// did.
/// [MQTT5 3.3.1-10]
fn unsubscribe_right_before_makes_a_subscription_new(server: &Server) {
    server.publish(&retained("r/a", "v"));
    let subscribe = Subscribe::new(1, "r/+", 1 | SEND_IF_NEW);
    for mut subscriber in [server.client("live"), server.new_session("stored")] {
        subscriber.subscribe(&subscribe);
        assert!(take(&mut subscriber).retain, "it is new");
        let [add, remove] = [subscribe.encode(V5), Unsubscribe::new(2, "r/+").encode(V5)];
        subscriber.send(&[&remove[..], &add].concat());
        assert!(matches!(subscriber.receive(), Packet::UnsubAck(answer) if answer.reasons == [0]));
        assert!(matches!(subscriber.receive(), Packet::SubAck(answer) if answer.reasons == [1]));
        assert!(take(&mut subscriber).retain, "it is new again");
        subscriber.send(&[&add[..], &add].concat());
        for _ in 0..2 {
            assert!(matches!(subscriber.receive(), Packet::SubAck(answer) if answer.reasons == [1]));
        }
        server.publish(&Publish::new("r/marker", "marker").qos(1, 1));
        assert_eq!(text(&take(&mut subscriber)), "marker", "it was there");
        subscriber.disconnect();
    }
}

/// Retain Handling 2: nothing that is kept comes, be the subscription new or not.
/// [MQTT5 3.3.1-11]
fn retain_handling_2_sends_nothing_that_is_kept(server: &Server) {
    server.publish(&retained("r/a", "v"));
    for mut subscriber in [server.client("live"), server.new_session("stored")] {
        for _ in 0..2 {
            let subscribe = Subscribe::new(1, "r/+", 1 | NEVER_SEND);
            assert_eq!(retained_at(server, &mut subscriber, &subscribe, "r/marker"), []);
        }
    }
}

/// A message that goes to a subscription as it is published has RETAIN 0, whatever its publisher set. In 5.0 this is so
/// without Retain As Published; 3.1.1 knows nothing else.
/// [MQTT5 3.3.1-12] [MQTT311 3.3.1-9]
fn what_is_published_now_has_retain_0(server: &Server) {
    assert_eq!(flags_of_what_is_published_now(server, 2), [false; 4]);
}

/// With Retain As Published RETAIN is as the publisher set it, live and for what waited.
/// [MQTT5 3.3.1-13]
fn retain_as_published_keeps_the_publishers_flag(server: &Server) {
    assert_eq!(flags_of_what_is_published_now(server, 2 | RETAIN_AS_PUBLISHED), [true, false, true, false]);
}

/// RETAIN of four messages that are published with it and without in turn, the same for every subscriber.
#[track_caller]
fn flags_of_what_is_published_now(server: &Server, options: u8) -> [bool; 4] {
    let (mut live, mut stored) = live_stored_and_away(server, &Subscribe::new(1, "r/+", options));
    for qos in [1, 2] {
        for retain in [true, false] {
            server.publish(&Publish::new("r/a", "v").qos(qos, 1).retain(retain));
        }
    }
    let mut away = server.resume("away");
    let [live, stored, away] = [&mut live, &mut stored, &mut away].map(|subscriber| {
        let messages = take_all(subscriber, 4);
        [0, 1, 2, 3].map(|at: usize| messages[at].retain)
    });
    assert_eq!([stored, away], [live; 2]);
    live
}

/// What is kept is of no session: it stays when its publisher's session ends.
/// [MQTT5 3.3.1-5] [MQTT311 3.3.1-5]
fn what_is_kept_outlives_its_publisher(server: &Server) {
    let mut publisher = server.new_session("leaves");
    publisher.deliver(&retained("r/a", "v"));
    publisher.disconnect();
    end_session(server, "leaves");
    let mut subscriber = server.client("subscriber");
    let found = retained_at(server, &mut subscriber, &Subscribe::new(1, "r/+", 1), "r/marker");
    assert_eq!(found, pairs(&[("r/a", "v")]));
}

/// A retained message is sent no more when its Message Expiry Interval has passed, and before that with what is left.
/// [MQTT5 3.3.2-5, 3.3.2-6]
fn what_is_kept_expires(server: &Server) {
    server.publish(&retained("r/short", "v").property(Property::MessageExpiryInterval(1)));
    server.publish(&retained("r/long", "v").property(Property::MessageExpiryInterval(1000)));
    seconds_pass(server, 2);
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "r/#", 1));
    let message = take(&mut subscriber);
    let left = expiry(&message).expect("the interval is passed on");
    assert_eq!(message.topic, "r/long");
    assert!((900..=998).contains(&left), "{left} s are left of 1000 after 2");
    nothing_before_marker(server, &mut subscriber, "r/marker");
}
