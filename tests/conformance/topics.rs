//! Topic names and topic filters: what they match (section 4.7).

use barnacle_wire::{Publish, Subscribe};

use crate::server::Server;

tests! {
    wildcards_do_not_match_topics_that_begin_with_a_dollar: BOTH;
}

/// A filter that begins with a wildcard leaves topics alone that begin with `$`; one that names the first level gets
/// them. A subscription of `#` and of `+/x` sees the message before and the one behind, and not the one between.
/// [MQTT5 4.7.2-1] [MQTT311 4.7.2-1]
fn wildcards_do_not_match_topics_that_begin_with_a_dollar(server: &Server) {
    for (filter, hidden, seen) in
        [("#", "$x/y", "x/y"), ("+/y", "$x/y", "x/y"), ("+", "$x", "x"), ("$x/#", "x/y", "$x/y")]
    {
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
