//! Values that a field may not have: topics, filters, options, reason codes.

use barnacle_wire::{Packet, Publish, RawPacket, Subscribe, Unsubscribe, Version, Will};

use crate::server::{Case, Server};

tests! {
    topic_names_have_no_wildcards: BOTH;
    a_topic_name_is_not_empty: BOTH;
    a_will_topic_is_a_topic_name: BOTH;
    filters_have_their_wildcards_where_they_may_be: BOTH;
    shared_filters_have_a_group_and_a_filter: V5;
    good_filters_are_taken: BOTH;
    a_subscribe_has_a_filter: BOTH;
    reserved_subscription_options_are_zero: BOTH;
    a_shared_subscription_has_no_no_local: V5;
    reason_codes_are_those_of_the_packet: V5;
}

/// `+` and `#` are for filters: a PUBLISH to a topic with one of them is refused (MQTT 5: 0x90, Topic Name invalid),
/// wherever it stands, and reaches nobody.
/// [MQTT5 3.3.2-2, 4.7.0-1] [MQTT311 3.3.2-2, 4.7.1-1]
fn topic_names_have_no_wildcards(server: &Server) {
    let mut witness = server.client("witness");
    witness.subscribe(&Subscribe::new(1, "#", 0));
    let mut cases = Vec::new();
    for topic in ["#", "+", "a/#", "a/+", "+/a", "#/a", "a+", "a#b", "a/+/b", "/+", "$x/#"] {
        for qos in 0..=2 {
            let bytes = Publish::new(topic, "v").qos(qos, 9).encode(server.version);
            cases.push(Case::new(format!("{topic} at QoS {qos}"), bytes, server.thrown_out(0x90)));
        }
    }
    server.expect_endings(&cases);
    server.publish(&Publish::new("marker", "v"));
    assert_eq!(witness.message(), Publish::new("marker", "v"));
}

/// A topic name has a character at least. In MQTT 5 an empty one with a Topic Alias is none of its own; without, it is a
/// protocol error.
/// [MQTT5 4.7.3-1] [MQTT311 4.7.3-1]
fn a_topic_name_is_not_empty(server: &Server) {
    let case = |qos| {
        let bytes = Publish::new("", "v").qos(qos, 9).encode(server.version);
        Case::new(format!("QoS {qos}"), bytes, server.thrown_out(0x82))
    };
    server.expect_endings(&[0, 1, 2].map(case));
}

/// A will is published to a topic name: empty or with a wildcard, it is refused when the client connects.
/// [MQTT5 3.1.4-1, 4.7.0-1, 4.7.3-1] [MQTT311 3.1.4-1, 4.7.1-1, 4.7.3-1]
fn a_will_topic_is_a_topic_name(server: &Server) {
    let case = |topic: &str| {
        let will = Will { topic: topic.to_owned(), ..Will::default() };
        Case::new(format!("{topic:?}"), server.hello("will").will(will).encode(), server.not_let_in(0x90))
    };
    server.expect_first_endings(&["", "#", "+", "a/#", "a/+/b", "a+"].map(case));
}

const BAD_FILTERS: [&str; 15] = [
    "#/a", "a/#/b", "a#", "a/b#", "##", "#/", "#+", "a/#/", "+a", "a+", "a/b+", "a+/b", "++", "a/++/b", "+#",
];

/// `#` is the last level and the whole of it, `+` the whole of a level. Anything else is no filter, nor is an empty string,
/// in SUBSCRIBE and in UNSUBSCRIBE (MQTT 5: 0x8F, Topic Filter invalid), alone and behind a good one.
/// [MQTT5 4.7.1-1, 4.7.1-2, 4.7.3-1] [MQTT311 4.7.1-2, 4.7.1-3, 4.7.3-1]
fn filters_have_their_wildcards_where_they_may_be(server: &Server) {
    let mut cases = Vec::new();
    for filter in BAD_FILTERS.into_iter().chain([""]) {
        let unsubscribe = |filters: &[&str]| {
            let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
            Unsubscribe { packet_id: 9, properties: vec![], filters }.encode(server.version)
        };
        let packets = [
            Subscribe::new(9, filter, 1).encode(server.version),
            Subscribe::new(9, "good", 1).and(filter, 1).encode(server.version),
            unsubscribe(&[filter]),
            unsubscribe(&["good", filter]),
        ];
        let case = |bytes| Case::new(format!("{filter:?}"), bytes, server.thrown_out(0x8f));
        cases.extend(packets.map(case));
    }
    server.expect_endings(&cases);
}

/// `$share/` is followed by a group of one character at least, without wildcards, by `/`, and by a filter that is one.
/// [MQTT5 4.8.2-1, 4.8.2-2]
fn shared_filters_have_a_group_and_a_filter(server: &Server) {
    let bad = [
        "$share/",
        "$share//",
        "$share//f",
        "$share/g",
        "$share/g/",
        "$share/+/f",
        "$share/#/f",
        "$share/g+/f",
        "$share/g#/f",
        "$share/#",
        "$share/+",
        "$share/g/f#",
        "$share/g/#/f",
        "$share/g/f+",
    ];
    let case = |filter: &str| {
        let bytes = Subscribe::new(9, filter, 1).encode(Version::V5);
        Case::new(filter, bytes, "DISCONNECT 0x8f")
    };
    server.expect_endings(&bad.map(case));
    let mut client = server.client("sharing");
    for (packet_id, filter) in
        (1..).zip(["$share/g/f", "$share/g/#", "$share/g/+/f", "$share/g//", "$sharing/+"])
    {
        assert_eq!(client.subscribe(&Subscribe::new(packet_id, filter, 1)).reasons, [1], "{filter}");
    }
}

/// Every filter that the standard allows is taken, in one SUBSCRIBE and one by one, and given up again.
/// [MQTT5 4.7.1-1, 4.7.1-2, 4.7.3-1] [MQTT311 4.7.1-2, 4.7.1-3, 4.7.3-1]
fn good_filters_are_taken(server: &Server) {
    let good = [
        "#",
        "+",
        "/",
        "//",
        "/#",
        "/+",
        "+/",
        "+/+",
        "+/#",
        "a/#",
        "a/+",
        "+/a",
        "a/+/b",
        "a//b",
        "a/+/#",
        " ",
        "$",
        "$x/#",
        "a b/ä/水",
    ];
    let mut client = server.client("filtering");
    let mut all = Subscribe::new(1, "first", 2);
    for (packet_id, filter) in (2..).zip(good) {
        assert_eq!(client.subscribe(&Subscribe::new(packet_id, filter, 1)).reasons, [1], "{filter}");
        client.unsubscribe(&Unsubscribe::new(packet_id, filter));
        all = all.and(filter, 0);
    }
    let reasons = client.subscribe(&all).reasons;
    assert_eq!(reasons, [&[2][..], &[0; 19]].concat());
    server.publish(&Publish::new("first", "v"));
    assert_eq!(client.message().topic, "first");
}

/// SUBSCRIBE and UNSUBSCRIBE without a filter ask for nothing: a protocol error.
/// [MQTT5 3.8.3-2, 3.10.3-2] [MQTT311 3.8.3-3, 3.10.3-2]
fn a_subscribe_has_a_filter(server: &Server) {
    let subscribe = Subscribe { packet_id: 9, ..Subscribe::default() }.encode(server.version);
    let unsubscribe = Unsubscribe { packet_id: 9, ..Unsubscribe::default() }.encode(server.version);
    let ending = server.thrown_out(0x82);
    server.expect_endings(&[
        Case::new("SUBSCRIBE", subscribe, &ending),
        Case::new("UNSUBSCRIBE", unsubscribe, &ending),
    ]);
}

/// The reserved bits of the subscription options are zero, and QoS is not 3: malformed. MQTT 5 reserves two bits, and has no
/// Retain Handling 3, a protocol error; MQTT 3.1.1 reserves six.
/// [MQTT5 3.8.3-5] [MQTT311 4.8.0-1]
fn reserved_subscription_options_are_zero(server: &Server) {
    let malformed: &[u8] = match server.version {
        Version::V5 => &[0x03, 0x07, 0x0b, 0x40, 0x80, 0xc0, 0x41, 0x82, 0xff],
        _ => &[0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x05, 0xfd, 0xff],
    };
    let case = |options: u8, reason| {
        let bytes = Subscribe::new(9, "f", options).encode(server.version);
        Case::new(format!("options {options:#010b}"), bytes, server.thrown_out(reason))
    };
    let mut cases: Vec<Case> = malformed.iter().map(|options| case(*options, 0x81)).collect();
    if server.v5() {
        cases.extend([0x30, 0x31, 0x3d].map(|options| case(options, 0x82)));
    }
    server.expect_endings(&cases);
    let good: &[u8] = if server.v5() { &[0, 1, 2, 0x0c, 0x10, 0x20, 0x2e] } else { &[0, 1, 2] };
    let mut client = server.client("options");
    for options in good {
        assert_eq!(client.subscribe(&Subscribe::new(1, "f", *options)).reasons, [options & 3]);
    }
}

/// No Local would have no meaning in a group: to ask for it is a protocol error.
/// [MQTT5 3.8.3-4]
fn a_shared_subscription_has_no_no_local(server: &Server) {
    let case = |options| {
        let bytes = Subscribe::new(9, "$share/g/f", options).encode(Version::V5);
        Case::new(format!("options {options:#010b}"), bytes, "DISCONNECT 0x82")
    };
    server.expect_endings(&[0x04, 0x05, 0x06, 0x2e].map(case));
    let mut client = server.client("sharing");
    assert_eq!(client.subscribe(&Subscribe::new(1, "$share/g/f", 1)).reasons, [1]);
}

/// Each acknowledgement has reason codes of its own. One that it does not have is a protocol error, those that it has are
/// taken.
/// [MQTT5 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1]
fn reason_codes_are_those_of_the_packet(server: &Server) {
    let received: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let released: &[u8] = &[0x00, 0x92];
    let mut cases = Vec::new();
    for (name, first, known) in [
        ("PUBACK", 0x40, received),
        ("PUBREC", 0x50, received),
        ("PUBREL", 0x62, released),
        ("PUBCOMP", 0x70, released),
    ] {
        let packet = |reason: u8| RawPacket::new(first).u16(9).u8(reason).finish();
        for reason in (0..=255).filter(|reason| !known.contains(reason)) {
            let name = format!("{name} with {reason:#04x}");
            cases.push(Case::new(name, packet(reason), "DISCONNECT 0x82"));
        }
        let mut client = server.client("answering");
        for reason in known {
            client.send(&packet(*reason));
        }
        client.send(&[0xc0, 0]);
        while client.receive() != Packet::PingResp {}
    }
    server.expect_endings(&cases);
}
