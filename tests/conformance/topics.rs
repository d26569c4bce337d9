//! Topic names and topic filters: what they match (section 4.7).

use barnacle_wire::{Publish, Subscribe, Unsubscribe};

use crate::server::Server;

tests! {
    filters_match_level_by_level: BOTH;
    a_stored_session_is_matched_alike: BOTH;
    wildcards_do_not_match_topics_that_begin_with_a_dollar: BOTH;
    nothing_is_normalized: BOTH;
    topics_may_be_as_long_as_a_string: BOTH;
}

/// Filter, topic, and whether they match.
const MATCHES: [(&str, &str, bool); 44] = [
    ("a/b", "a/b", true),
    ("a/b", "a/B", false),
    ("a/b", "a/b/c", false),
    ("a/b", "a/b/", false),
    ("a/b", "/a/b", false),
    ("a/+", "a/b", true),
    ("a/+", "a/", true),
    ("a/+", "a", false),
    ("a/+", "a/b/c", false),
    ("+", "a", true),
    ("+", "/a", false),
    ("+", "a/", false),
    ("/+", "/a", true),
    ("/+", "a", false),
    ("+/+", "/a", true),
    ("+/+", "a/b", true),
    ("+/+", "a/b/c", false),
    ("+/+", "/", true),
    ("+/b/+", "a/b/c", true),
    ("+/b/+", "a/c/c", false),
    ("a/+/c", "a//c", true),
    ("a/#", "a", true),
    ("a/#", "a/", true),
    ("a/#", "a/b/c/d", true),
    ("a/#", "ab", false),
    ("a/#", "b/a", false),
    ("a/b/#", "a", false),
    ("+/#", "a", true),
    ("+/#", "/", true),
    ("+/#", "a/b/c", true),
    ("/#", "/", true),
    ("/#", "/a/b", true),
    ("/#", "a", false),
    ("#", "a", true),
    ("#", "/", true),
    ("#", "a/b/c", true),
    ("/", "/", true),
    ("/", "//", false),
    ("a//b", "a//b", true),
    ("a//b", "a/b", false),
    ("$x/#", "$x/y", true),
    ("$x/+", "$x/y", true),
    ("a/$x", "a/$x", true),
    ("a/+", "a/$x", true),
];

/// Levels are compared one by one: `+` takes one whole level, an empty one too; `#` takes its parent and everything below
/// it; a slash more or less is another topic. Each message that matches comes, and none of the others.
/// [MQTT5 4.7.0-1, 4.7.1-1, 4.7.1-2] [MQTT311 4.7.1-1, 4.7.1-2, 4.7.1-3]
fn filters_match_level_by_level(server: &Server) {
    let mut reader = server.client("reader");
    let mut publisher = server.client("publisher");
    for (filter, topic, matches) in MATCHES {
        reader.subscribe(&Subscribe::new(1, filter, 1).and("marker/of/the/test", 1));
        publisher.deliver(&Publish::new(topic, topic).qos(1, 1));
        publisher.deliver(&Publish::new("marker/of/the/test", "marker").qos(1, 1));
        if matches {
            let message = reader.message();
            assert_eq!(message.topic, topic, "{filter} matches {topic}");
            reader.ack(barnacle_wire::kind::PUBACK, message.packet_id);
        }
        let marker = reader.message();
        assert_eq!(marker.payload, b"marker", "{filter} does not match {topic}");
        reader.ack(barnacle_wire::kind::PUBACK, marker.packet_id);
        reader.unsubscribe(&Unsubscribe::new(2, filter));
    }
}

/// What waits for a session without a connection is matched in the same way: of all topics of the table, a session that
/// was away has what its filter matches, in order.
/// [MQTT5 4.7.1-1, 4.7.1-2, 4.7.2-1] [MQTT311 4.7.1-2, 4.7.1-3, 4.7.2-1]
fn a_stored_session_is_matched_alike(server: &Server) {
    let mut filters: Vec<&str> = MATCHES.iter().map(|(filter, _, _)| *filter).collect();
    filters.dedup();
    for filter in &filters {
        let (mut reader, _) = server.session(filter);
        reader.subscribe(&Subscribe::new(1, filter, 1));
        reader.disconnect();
    }
    let mut publisher = server.client("publisher");
    let mut topics: Vec<&str> = MATCHES.iter().map(|(_, topic, _)| *topic).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in &topics {
        publisher.deliver(&Publish::new(topic, "v").qos(1, 1));
    }
    for filter in &filters {
        let (mut reader, present) = server.session(filter);
        assert!(present);
        let mut received = Vec::new();
        loop {
            reader.send(&[0xc0, 0]);
            match reader.receive() {
                barnacle_wire::Packet::Publish(message) => received.push(message.topic),
                barnacle_wire::Packet::PingResp => {}
                other => panic!("{other:?}"),
            }
            let known: Vec<&str> = MATCHES
                .iter()
                .filter(|(other, topic, matches)| {
                    other == filter && *matches && !received.iter().any(|got| got == topic)
                })
                .map(|(_, topic, _)| *topic)
                .collect();
            if known.is_empty() {
                break;
            }
        }
        let wrong = MATCHES.iter().find(|(other, topic, matches)| {
            other == filter && !matches && received.iter().any(|got| got == topic)
        });
        assert_eq!(wrong, None, "{filter} has {received:?}");
    }
}

/// A filter that begins with a wildcard leaves topics alone that begin with `$`; one that names the first level gets
/// them. A subscription of `#` and of `+/x` sees the message before and the one behind, and not the one between.
/// [MQTT5 4.7.2-1] [MQTT311 4.7.2-1]
fn wildcards_do_not_match_topics_that_begin_with_a_dollar(server: &Server) {
    let cases = [
        ("#", "$x/y", "x/y"),
        ("+/y", "$x/y", "x/y"),
        ("+", "$x", "x"),
        ("+/#", "$x", "x"),
        ("$x/#", "x/y", "$x/y"),
    ];
    for (filter, hidden, seen) in cases {
        let mut client = server.client("reader");
        client.subscribe(&Subscribe::new(1, filter, 0));
        for topic in [seen, hidden, seen] {
            server.publish(&Publish::new(topic, topic).qos(1, 1));
        }
        for _ in 0..2 {
            assert_eq!(client.message().topic, seen, "{filter} matches {seen}, not {hidden}");
        }
        client.ping();
    }
}

/// Topics are compared as they are: composed and decomposed characters, upper and lower case, spaces, percent signs, control
/// characters and code points without a meaning are all different, and come as they were sent.
/// [MQTT5 4.7.3-4] [MQTT311 4.7.3-4]
fn nothing_is_normalized(server: &Server) {
    let topics = [
        "n/\u{e9}",
        "n/e\u{301}",
        "n/E",
        "n/e",
        "n/e ",
        "n/ e",
        "n/%65",
        "n/./e",
        "n/../n/e",
        "n/\\e",
        "n/\u{fb01}",
        "n/fi",
        "n/\u{ffff}",
        "n/\u{10fffe}",
        "n/\u{1}",
        "n/\u{7f}",
        "n/\u{200b}e",
        "n/e\u{fe0f}",
        "N/e",
    ];
    let mut publisher = server.client("publisher");
    for topic in topics {
        let mut reader = server.client("reader");
        reader.subscribe(&Subscribe::new(1, topic, 0));
        for other in topics {
            publisher.deliver(&Publish::new(other, other).qos(1, 1));
        }
        let message = reader.message();
        assert_eq!((&message.topic[..], &message.payload[..]), (topic, topic.as_bytes()));
        reader.ping();
    }
}

/// A topic name and a filter may have 65,535 bytes, which is what a string can have. (More cannot be written.) It need not
/// be one level, nor short ones: 32,768 levels are a topic too.
/// [MQTT5 4.7.3-3] [MQTT311 4.7.3-3]
fn topics_may_be_as_long_as_a_string(server: &Server) {
    let mut reader = server.client("reader");
    for topic in ["x".repeat(65_535), "/".repeat(65_535), "y/".repeat(32_767) + "y"] {
        assert_eq!(topic.len(), 65_535);
        assert_eq!(reader.subscribe(&Subscribe::new(1, &topic, 0)).reasons, [0]);
        server.publish(&Publish::new(&topic, "long"));
        assert!(reader.message() == Publish::new(&topic, "long"));
        reader.unsubscribe(&Unsubscribe::new(2, &topic));
    }
    reader.ping();
}
