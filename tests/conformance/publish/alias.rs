//! Topic Alias, in both directions, and at its limits.

use super::*;

tests! {
    every_alias_up_to_the_maximum_is_taken: V5;
    an_alias_that_is_not_allowed_ends_the_connection: V5;
    a_clients_aliases_end_with_its_connection: V5;
    the_servers_aliases_end_with_the_connection: V5;
    the_servers_aliases_stay_within_the_clients_maximum: V5;
}

fn aliased(topic: &str, payload: &str, alias: u16) -> Publish {
    Publish::new(topic, payload).qos(1, 1).property(Property::TopicAlias(alias))
}

fn connect_with_aliases(client_id: &str, maximum: u16) -> Connect {
    Connect::persistent(V5, client_id).property(Property::TopicAliasMaximum(maximum))
}

/// The server's Topic Alias Maximum, as CONNACK says it.
#[track_caller]
fn connect(server: &Server, client_id: &str) -> (Peer, u16) {
    let (client, connack) = server.connect(&Connect::persistent(V5, client_id));
    let maximum = property(&connack.properties, |property| match property {
        Property::TopicAliasMaximum(maximum) => Some(*maximum),
        _ => None,
    });
    (client, maximum.unwrap_or(0))
}

/// Every alias from 1 to the maximum that CONNACK says is taken, stands for its topic, and can be given to another one;
/// at every QoS. No subscriber that did not ask for aliases sees one.
/// [MQTT5 3.3.2-12]
fn every_alias_up_to_the_maximum_is_taken(server: &Server) {
    let mut subscriber = server.client("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "alias/#", 2));
    let (mut publisher, maximum) = connect(server, "publisher of aliases");
    assert!(maximum > 0, "aliases are allowed");
    for round in ["first", "second"] {
        for alias in 1..=maximum {
            publisher.deliver(&aliased(&format!("alias/{round}/{alias}"), "named", alias));
        }
        for alias in (1..=maximum).rev() {
            let message = Publish { packet_id: 2, qos: (alias % 3) as u8, ..aliased("", "by alias", alias) };
            publisher.deliver(&message);
        }
        let messages = take_all(&mut subscriber, 2 * usize::from(maximum));
        for (message, alias) in messages.iter().zip((1..=maximum).chain((1..=maximum).rev())) {
            assert_eq!(message.topic, format!("alias/{round}/{alias}"));
            assert_eq!(topic_alias(message), None);
        }
    }
}

/// An alias of 0, one above the maximum, and one that stands for nothing yet end the connection.
/// [MQTT5 3.3.2-8, 3.3.2-9]
fn an_alias_that_is_not_allowed_ends_the_connection(server: &Server) {
    let version = server.version;
    let maximum = connect(server, "asks").1;
    refused(server, &aliased("t", "v", 0).encode(version), &[0x82, 0x94]);
    refused(server, &aliased("t", "v", maximum + 1).encode(version), &[0x94]);
    refused(server, &aliased("t", "v", u16::MAX).encode(version), &[0x94]);
    refused(server, &aliased("", "v", maximum).encode(version), &[0x82]);
    // An empty name without an alias.
    refused(server, &Publish::new("", "v").encode(version), &[0x82, 0x90]);
}

/// The aliases that a client set end with its connection, though its session goes on.
/// [MQTT5 3.3.2-7]
fn a_clients_aliases_end_with_its_connection(server: &Server) {
    let (mut publisher, _) = connect(server, "publisher of aliases");
    publisher.deliver(&aliased("t", "v", 1));
    publisher.deliver(&aliased("", "v", 1));
    publisher.disconnect();
    let mut publisher = server.resume("publisher of aliases");
    publisher.publish(&aliased("", "v", 1));
    expect_end(server, &mut publisher, &[0x82]);
}

/// The aliases that the server set end with the connection as well: on the next one each topic comes by name first,
/// also in what is sent again.
/// [MQTT5 3.3.2-7]
fn the_servers_aliases_end_with_the_connection(server: &Server) {
    let mut subscriber = server.connect(&connect_with_aliases("subscriber", 10)).0;
    subscriber.subscribe(&Subscribe::new(1, "alias/#", 1));
    for _ in 0..2 {
        server.publish(&Publish::new("alias/a", "v").qos(1, 1));
    }
    assert_eq!(subscriber.message().topic, "alias/a");
    subscriber.message();
    subscriber.abort();
    let (mut subscriber, connack) = server.connect(&connect_with_aliases("subscriber", 10));
    assert!(connack.session_present);
    let again = subscriber.message();
    assert_eq!((again.topic.as_str(), again.dup), ("alias/a", true));
    subscriber.abort();
    let mut without = server.resume("subscriber");
    for _ in 0..2 {
        let again = take(&mut without);
        assert_eq!((again.topic.as_str(), topic_alias(&again)), ("alias/a", None));
    }
}

/// The server's aliases are between 1 and the client's maximum, and stand for what they were last given to; it does use
/// them. Without a
/// maximum, or with 0, there are none.
/// [MQTT5 3.3.2-8, 3.3.2-11]
fn the_servers_aliases_stay_within_the_clients_maximum(server: &Server) {
    for maximum in [0, 1, 2, 65_535] {
        let client_id = format!("subscriber {maximum}");
        let mut subscriber = server.connect(&connect_with_aliases(&client_id, maximum)).0;
        subscriber.subscribe(&Subscribe::new(1, "alias/#", 1));
        let mut names = std::collections::BTreeMap::new();
        let mut used = 0;
        let mut publisher = server.client("publisher");
        for round in 0..3 {
            for topic in 0..70 {
                let topic = format!("alias/{topic}");
                publisher.deliver(&Publish::new(&topic, format!("{round}")).qos(1, 1));
                let message = take(&mut subscriber);
                let Some(alias) = topic_alias(&message) else {
                    assert_eq!(message.topic, topic);
                    continue;
                };
                assert!((1..=maximum).contains(&alias), "alias {alias}, the maximum is {maximum}");
                match message.topic.is_empty() {
                    true => used += 1,
                    false => drop(names.insert(alias, message.topic)),
                }
                assert_eq!(names.get(&alias), Some(&topic));
            }
        }
        assert_eq!(used > 0, maximum > 0, "a maximum of {maximum}");
        publisher.disconnect();
        subscriber.disconnect();
    }
    let mut silent = server.new_session("says nothing of aliases");
    silent.subscribe(&Subscribe::new(1, "alias/#", 1));
    for _ in 0..2 {
        server.publish(&Publish::new("alias/a", "v").qos(1, 1));
        let message = take(&mut silent);
        assert_eq!((message.topic.as_str(), topic_alias(&message)), ("alias/a", None));
    }
}
