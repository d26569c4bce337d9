//! A message that several subscriptions of one client match.

use super::*;

tests! {
    overlapping_subscriptions_bring_the_highest_qos: BOTH;
    overlapping_subscriptions_bring_all_their_identifiers: V5;
    subscribing_again_replaces_the_identifier: V5;
    retained_and_shared_messages_carry_the_identifier: V5;
}

/// Several subscriptions that match make one delivery, at the highest QoS that they were granted (or the message's, if
/// that is lower): live, stored, and after waiting.
/// [MQTT5 3.3.4-2] [MQTT311 3.3.5-1]
fn overlapping_subscriptions_bring_the_highest_qos(server: &Server) {
    let subscribe = Subscribe::new(1, "o/#", 0).and("o/+", 2).and("o/a", 1).and("+/a", 0);
    let (mut live, mut stored) = live_stored_and_away(server, &subscribe);
    for qos in [1, 2] {
        server.publish(&Publish::new("o/a", "v").qos(qos, 1));
    }
    // Only the subscription of QoS 0 matches these: what is away never gets them.
    server.publish(&Publish::new("o/a/b", "w").qos(2, 1));
    server.publish(&Publish::new("o/a", "x").qos(1, 1));
    let mut away = server.resume("away");
    for (subscriber, is_away) in [(&mut live, false), (&mut stored, false), (&mut away, true)] {
        let mut messages = take_all(subscriber, if is_away { 3 } else { 4 });
        messages.sort_by_key(text);
        let granted: Vec<_> = messages.iter().map(|message| (text(message), message.qos)).collect();
        let mut wanted =
            vec![("v".to_owned(), 1), ("v".to_owned(), 2), ("w".to_owned(), 0), ("x".to_owned(), 1)];
        if is_away {
            wanted.remove(2);
        }
        assert_eq!(granted, wanted);
    }
    server.publish(&Publish::new("o/a", "marker").qos(1, 1));
    for subscriber in [&mut live, &mut stored, &mut away] {
        assert_eq!(text(&take(subscriber)), "marker", "each came once");
    }
}

/// The one delivery carries the Subscription Identifier of every subscription that matches and has one, those of equal
/// value included, and of no other. As there is one copy only, there is none that would lack them.
/// [MQTT5 3.3.4-3, 3.3.4-4, 3.3.4-5]
fn overlapping_subscriptions_bring_all_their_identifiers(server: &Server) {
    let subscribe = |client: &mut Peer| {
        for (packet_id, (filter, identifier)) in (1..).zip([
            ("o/#", Some(268_435_455)),
            ("o/+", Some(1)),
            ("o/a", None),
            ("+/a", Some(128)),
            ("x", Some(3)),
        ]) {
            let mut subscribe = Subscribe::new(packet_id, filter, 2);
            let property =
                identifier.map(|identifier| Property::SubscriptionIdentifier(Variable(identifier)));
            subscribe.properties.extend(property);
            client.subscribe(&subscribe);
        }
    };
    let mut live = server.client("live");
    subscribe(&mut live);
    let mut stored = server.new_session("stored");
    subscribe(&mut stored);
    let mut away = server.new_session("away");
    subscribe(&mut away);
    away.disconnect();
    for qos in [1, 2] {
        server.publish(&Publish::new("o/a", "v").qos(qos, 1));
        server.publish(&Publish::new("o/b", "v").qos(qos, 1));
        server.publish(&Publish::new("o/b/c", "v").qos(qos, 1));
    }
    let mut away = server.resume("away");
    for subscriber in [&mut live, &mut stored, &mut away] {
        for message in take_all(subscriber, 6) {
            let wanted: &[u32] = match message.topic.as_str() {
                "o/a" => &[1, 128, 268_435_455],
                "o/b" => &[1, 268_435_455],
                _ => &[268_435_455],
            };
            assert_eq!(identifiers(&message), wanted, "{}", message.topic);
        }
    }
    server.publish(&Publish::new("x", "marker").qos(1, 1));
    for subscriber in [&mut live, &mut stored, &mut away] {
        assert_eq!(identifiers(&take(subscriber)), [3], "each came once");
    }
}

/// Subscribing again replaces the identifier, or takes it away; what is sent again has those it was first sent with.
/// [MQTT5 3.3.4-3, 3.8.4-3]
fn subscribing_again_replaces_the_identifier(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    let with = |identifier| {
        Subscribe::new(1, "t", 1).property(Property::SubscriptionIdentifier(Variable(identifier)))
    };
    subscriber.subscribe(&with(1));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    let first = subscriber.message();
    assert_eq!(identifiers(&first), [1]);
    subscriber.subscribe(&with(2));
    subscriber.abort();
    let mut subscriber = server.resume("subscriber");
    let again = take(&mut subscriber);
    assert_eq!((again.dup, identifiers(&again)), (true, vec![1]));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    assert_eq!(identifiers(&take(&mut subscriber)), [2]);
    subscriber.subscribe(&Subscribe::new(1, "t", 1));
    server.publish(&Publish::new("t", "v").qos(1, 1));
    assert_eq!(identifiers(&take(&mut subscriber)), Vec::<u32>::new());
}

/// A retained message carries the identifier of the subscription that it is sent for, and a shared subscription's
/// messages carry its.
/// [MQTT5 3.3.4-3]
fn retained_and_shared_messages_carry_the_identifier(server: &Server) {
    server.publish(&Publish::new("t", "v").qos(1, 1).retain(true));
    let mut subscriber = server.client("subscriber");
    let with = |filter, identifier| {
        Subscribe::new(1, filter, 1).property(Property::SubscriptionIdentifier(Variable(identifier)))
    };
    subscriber.subscribe(&with("t", 5));
    assert_eq!(identifiers(&take(&mut subscriber)), [5]);
    let mut member = server.client("member");
    member.subscribe(&with("$share/g/t", 6));
    server.publish(&Publish::new("t", "w").qos(1, 1));
    assert_eq!(identifiers(&take(&mut member)), [6]);
}
