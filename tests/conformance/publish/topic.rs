//! The Topic Name of PUBLISH.

use super::*;

tests! {
    the_topic_name_is_utf_8: BOTH;
    the_topic_name_has_no_wildcards: BOTH;
    subscribers_are_sent_what_their_filter_matches: BOTH;
}

/// The Topic Name stands first in the packet and is UTF-8: what is not is malformed.
/// [MQTT5 3.3.2-1] [MQTT311 3.3.2-1]
fn the_topic_name_is_utf_8(server: &Server) {
    for topic in [&[0xff_u8][..], &[b'a', 0xc3], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf]] {
        let mut packet = RawPacket::new(0x30).binary(topic);
        if server.v5() {
            packet = packet.u8(0);
        }
        refused(server, &packet.bytes(b"v").finish(), &[0x81]);
    }
    // Nothing at all where it should stand.
    refused(server, &RawPacket::new(0x30).finish(), &[0x81]);
}

/// A Topic Name has no wildcards, at any QoS.
/// [MQTT5 3.3.2-2] [MQTT311 3.3.2-2]
fn the_topic_name_has_no_wildcards(server: &Server) {
    let version = server.version;
    for topic in ["#", "+", "a/#", "a/+/b", "a+", "#b"] {
        for qos in 0..=2 {
            refused(server, &Publish::new(topic, "v").qos(qos, 1).encode(version), &[0x90]);
        }
    }
}

/// A subscriber is sent what its filter matches and nothing else, under the name it was published with.
/// [MQTT5 3.3.2-3] [MQTT311 3.3.2-3]
fn subscribers_are_sent_what_their_filter_matches(server: &Server) {
    let mut subscriber = server.new_session("subscriber");
    subscriber.subscribe(&Subscribe::new(1, "a/+/c", 1).and("b/#", 1).and("d", 1));
    let topics =
        ["a", "a/c", "a/b/c", "a//c", "a/b/c/d", "A/b/c", "b", "b/", "b/c/d", "bb", "d", "/d", "d/", "D"];
    for topic in topics {
        server.publish(&Publish::new(topic, "v").qos(1, 1));
    }
    for wanted in ["a/b/c", "a//c", "b", "b/", "b/c/d", "d"] {
        assert_eq!(take(&mut subscriber).topic, wanted);
    }
    nothing_before_marker(server, &mut subscriber, "d");
}
