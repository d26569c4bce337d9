//! Properties of MQTT 5: where they belong, how often, with which values (section 2.2.2 and those of the packets).

use barnacle_wire::{Packet, Version};

use super::packets::{block, frame, text};
use crate::server::{Case, Server};

tests! {
    a_property_where_it_does_not_belong_is_malformed: V5;
    a_property_twice_is_a_protocol_error: V5;
    a_property_without_all_of_its_value_is_malformed: V5;
    a_property_that_does_not_exist_is_malformed: V5;
    a_property_out_of_its_range_is_a_protocol_error: V5;
    a_subscription_identifier_does_not_come_from_a_client: V5;
    properties_where_they_belong_are_taken: V5;
}

/// Every property: identifier, name, a value that is right wherever the property belongs.
const ALL: [(u8, &str, &[u8]); 27] = [
    (0x01, "Payload Format Indicator", &[1]),
    (0x02, "Message Expiry Interval", &[0, 0, 0, 60]),
    (0x03, "Content Type", b"\0\x01t"),
    (0x08, "Response Topic", b"\0\x01r"),
    (0x09, "Correlation Data", b"\0\x02\xff\0"),
    (0x0b, "Subscription Identifier", &[5]),
    (0x11, "Session Expiry Interval", &[0, 0, 0, 0]),
    (0x12, "Assigned Client Identifier", b"\0\x01a"),
    (0x13, "Server Keep Alive", &[0, 9]),
    (0x15, "Authentication Method", b"\0\x01m"),
    (0x16, "Authentication Data", b"\0\x01d"),
    (0x17, "Request Problem Information", &[1]),
    (0x18, "Will Delay Interval", &[0, 0, 0, 1]),
    (0x19, "Request Response Information", &[1]),
    (0x1a, "Response Information", b"\0\x01i"),
    (0x1c, "Server Reference", b"\0\x01s"),
    (0x1f, "Reason String", b"\0\x01w"),
    (0x21, "Receive Maximum", &[0, 9]),
    (0x22, "Topic Alias Maximum", &[0, 9]),
    (0x23, "Topic Alias", &[0, 1]),
    (0x24, "Maximum QoS", &[1]),
    (0x25, "Retain Available", &[1]),
    (0x26, "User Property", b"\0\x01k\0\x01v"),
    (0x27, "Maximum Packet Size", &[0, 0, 4, 0]),
    (0x28, "Wildcard Subscription Available", &[1]),
    (0x29, "Subscription Identifier Available", &[1]),
    (0x2a, "Shared Subscription Available", &[1]),
];

/// A packet that a client sends, around a block of properties.
struct Carrier {
    name: &'static str,
    /// The properties that belong there.
    takes: &'static [u8],
    /// The packet, with this block for its properties.
    packet: fn(&[u8]) -> Vec<u8>,
}

const CONNECT: &[u8] = b"\0\x04MQTT\x05";

const CARRIERS: [Carrier; 11] = [
    Carrier {
        name: "CONNECT",
        takes: &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
        packet: |properties| {
            frame(0x10, &[CONNECT, &[2, 0, 60], &block(Version::V5, properties), &text("c")].concat())
        },
    },
    Carrier {
        name: "the will",
        takes: &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
        packet: |properties| {
            let properties = block(Version::V5, properties);
            let payload = [&text("c")[..], &properties, &text("w"), &text("w")].concat();
            frame(0x10, &[CONNECT, &[6, 0, 60, 0], &payload].concat())
        },
    },
    Carrier {
        name: "PUBLISH",
        takes: &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26],
        packet: |properties| frame(0x30, &[b"\0\x01t", &block(Version::V5, properties)[..]].concat()),
    },
    Carrier { name: "PUBACK", takes: &[0x1f, 0x26], packet: |properties| acknowledgement(0x40, properties) },
    Carrier { name: "PUBREC", takes: &[0x1f, 0x26], packet: |properties| acknowledgement(0x50, properties) },
    Carrier { name: "PUBREL", takes: &[0x1f, 0x26], packet: |properties| acknowledgement(0x62, properties) },
    Carrier { name: "PUBCOMP", takes: &[0x1f, 0x26], packet: |properties| acknowledgement(0x70, properties) },
    Carrier {
        name: "SUBSCRIBE",
        takes: &[0x0b, 0x26],
        packet: |properties| {
            frame(0x82, &[&[0, 9], &block(Version::V5, properties)[..], b"\0\x01f\0"].concat())
        },
    },
    Carrier {
        name: "UNSUBSCRIBE",
        takes: &[0x26],
        packet: |properties| {
            frame(0xa2, &[&[0, 9], &block(Version::V5, properties)[..], b"\0\x01f"].concat())
        },
    },
    Carrier {
        name: "DISCONNECT",
        takes: &[0x11, 0x1c, 0x1f, 0x26],
        packet: |properties| frame(0xe0, &[&[0], &block(Version::V5, properties)[..]].concat()),
    },
    Carrier {
        name: "AUTH",
        takes: &[0x15, 0x16, 0x1f, 0x26],
        packet: |properties| frame(0xf0, &[&[0x18], &block(Version::V5, properties)[..]].concat()),
    },
];

fn acknowledgement(first: u8, properties: &[u8]) -> Vec<u8> {
    frame(first, &[&[0, 9, 0], &block(Version::V5, properties)[..]].concat())
}

fn property(identifier: u8) -> Vec<u8> {
    let (_, _, value) = ALL.iter().find(|(other, _, _)| *other == identifier).expect("it is one of all");
    [&[identifier], *value].concat()
}

/// What has to stand before a property for it to be right: data needs a method.
fn prefix(carrier: &Carrier, identifier: u8) -> Vec<u8> {
    let needs_method = carrier.name == "AUTH" || identifier == 0x16;
    if needs_method && identifier != 0x15 { property(0x15) } else { Vec::new() }
}

/// Sends what is wrong in CONNECT as the first packet, and the rest after CONNECT.
fn expect_reasons(server: &Server, cases: Vec<(&Carrier, String, Vec<u8>, u8)>) {
    let (mut first, mut after) = (Vec::new(), Vec::new());
    for (carrier, what, properties, reason) in cases {
        let bytes = (carrier.packet)(&properties);
        let name = format!("{what} in {}", carrier.name);
        match bytes[0] {
            0x10 => first.push(Case::new(name, bytes, format!("CONNACK {reason:#04x}"))),
            _ => after.push(Case::new(name, bytes, format!("DISCONNECT {reason:#04x}"))),
        }
    }
    assert!(first.len() + after.len() > 0, "there is nothing to test");
    if !after.is_empty() {
        server.expect_endings(&after);
    }
    if !first.is_empty() {
        server.expect_first_endings(&first);
    }
}

/// Each of the twenty-seven properties in each packet that does not have it.
/// [MQTT5 4.13.1-1, 3.1.4-1, 2.2.2-1]
fn a_property_where_it_does_not_belong_is_malformed(server: &Server) {
    let mut cases = Vec::new();
    for carrier in &CARRIERS {
        for (identifier, name, _) in
            ALL.iter().filter(|(identifier, _, _)| !carrier.takes.contains(identifier))
        {
            cases.push((carrier, (*name).to_owned(), property(*identifier), 0x81));
        }
    }
    expect_reasons(server, cases);
}

/// Each property where it belongs, twice: only the User Property may be there more than once. (The Subscription Identifier
/// of a PUBLISH may too, towards clients; from one it may not be there at all.)
/// [MQTT5 4.13.1-1, 3.1.4-1]
fn a_property_twice_is_a_protocol_error(server: &Server) {
    let mut cases = Vec::new();
    for carrier in &CARRIERS {
        for identifier in carrier.takes.iter().filter(|identifier| **identifier != 0x26) {
            let (once, before) = (property(*identifier), prefix(carrier, *identifier));
            let twice = [&before[..], &once, &once].concat();
            let apart = [&before[..], &once, &property(0x26), &once].concat();
            cases.push((carrier, format!("{identifier:#04x} twice"), twice, 0x82));
            cases.push((carrier, format!("{identifier:#04x} twice, apart"), apart, 0x82));
        }
    }
    expect_reasons(server, cases);
}

/// Each property where it belongs, with its value cut at every byte and at the identifier: malformed.
/// [MQTT5 4.13.1-1, 3.1.4-1]
fn a_property_without_all_of_its_value_is_malformed(server: &Server) {
    let mut cases = Vec::new();
    for carrier in &CARRIERS {
        for identifier in carrier.takes {
            let whole = property(*identifier);
            for length in 1..whole.len() {
                let cut = [&prefix(carrier, *identifier), &whole[..length]].concat();
                cases.push((carrier, format!("{length} bytes of {identifier:#04x}"), cut, 0x81));
            }
        }
    }
    expect_reasons(server, cases);
}

/// Identifiers that no property has, of one byte and of more, are malformed everywhere.
/// [MQTT5 4.13.1-1, 3.1.4-1]
fn a_property_that_does_not_exist_is_malformed(server: &Server) {
    let known = |identifier: &u8| ALL.iter().any(|(other, _, _)| other == identifier);
    let unknown: Vec<u8> = (0..0x30).chain([0x7e, 0x7f]).filter(|identifier| !known(identifier)).collect();
    let mut cases = Vec::new();
    for carrier in &CARRIERS {
        for identifier in &unknown {
            cases.push((carrier, format!("{identifier:#04x}"), vec![*identifier, 0], 0x81));
        }
        for identifier in [&[0x80, 1][..], &[0x81, 0x80, 1], &[0xff, 0xff, 0xff, 0x7f]] {
            let properties = [identifier, &[0]].concat();
            cases.push((carrier, format!("{identifier:02x?}"), properties, 0x81));
        }
        cases.push((
            carrier,
            "an identifier of five bytes".to_owned(),
            vec![0x80, 0x80, 0x80, 0x80, 1],
            0x81,
        ));
    }
    expect_reasons(server, cases);
}

/// Values that a property may not have: what is neither 0 nor 1 where there is only yes and no, zero where there is a
/// number to be counted from one.
/// [MQTT5 4.13.1-1, 3.1.4-1, 3.3.2-8]
fn a_property_out_of_its_range_is_a_protocol_error(server: &Server) {
    let out_of_range: [(&str, &[u8], u8); 13] = [
        ("CONNECT", &[0x17, 2], 0x82),
        ("CONNECT", &[0x17, 255], 0x82),
        ("CONNECT", &[0x19, 2], 0x82),
        ("CONNECT", &[0x21, 0, 0], 0x82),
        ("CONNECT", &[0x27, 0, 0, 0, 0], 0x82),
        ("the will", &[0x01, 2], 0x82),
        ("the will", &[0x01, 255], 0x82),
        ("the will", &[0x08, 0, 1, b'#'], 0x90),
        ("PUBLISH", &[0x01, 2], 0x82),
        ("PUBLISH", &[0x01, 255], 0x82),
        ("PUBLISH", &[0x08, 0, 1, b'+'], 0x90),
        ("PUBLISH", &[0x23, 0, 0], 0x94),
        ("SUBSCRIBE", &[0x0b, 0], 0x82),
    ];
    let case = |(name, properties, reason): (&str, &[u8], u8)| {
        let carrier = CARRIERS.iter().find(|carrier| carrier.name == name).expect("it is one of them");
        (carrier, format!("{properties:02x?}"), properties.to_vec(), reason)
    };
    expect_reasons(server, out_of_range.map(case).into_iter().collect());
}

/// A Subscription Identifier in a PUBLISH says by which subscription it came: a client has none to give, and one that does
/// makes a protocol error, with one or several.
/// [MQTT5 3.3.4-6]
fn a_subscription_identifier_does_not_come_from_a_client(server: &Server) {
    let carrier = CARRIERS.iter().find(|carrier| carrier.name == "PUBLISH").expect("it is one of them");
    let properties: [&[u8]; 3] = [&[0x0b, 5], &[0x0b, 5, 0x0b, 6], &[0x0b, 0xff, 0xff, 0xff, 0x7f]];
    let case = |properties: &[u8]| (carrier, format!("{properties:02x?}"), properties.to_vec(), 0x82);
    expect_reasons(server, properties.map(case).into_iter().collect());
}

/// What the other tests of this module spoil is right before: each property once where it belongs, and all of a packet's
/// together, User Properties several times. A CONNECT with a method is refused for the method (0x8C) and not for its form.
/// [MQTT5 3.1.4-5, 3.15.2-1]
fn properties_where_they_belong_are_taken(server: &Server) {
    let mut complaints = Vec::new();
    for carrier in CARRIERS.iter().filter(|carrier| carrier.name != "AUTH") {
        let takes =
            carrier.takes.iter().filter(|identifier| carrier.name != "PUBLISH" || **identifier != 0x0b);
        let mut blocks: Vec<Vec<u8>> = takes
            .clone()
            .map(|identifier| [prefix(carrier, *identifier), property(*identifier)].concat())
            .collect();
        blocks.push(takes.flat_map(|identifier| property(*identifier)).collect());
        blocks.push([property(0x26), property(0x26), property(0x26)].concat());
        for properties in blocks {
            let bytes = (carrier.packet)(&properties);
            let what = format!("{properties:02x?} in {}", carrier.name);
            if bytes[0] == 0x10 {
                let expected = if properties.contains(&0x15) { 0x8c } else { 0 };
                let reason = server.open_with(&bytes).connack().reason;
                if reason != expected {
                    complaints.push(format!("{what}: CONNACK {reason:#04x}"));
                }
                continue;
            }
            let mut client = server.client("proper");
            client.send(&bytes);
            if carrier.name == "DISCONNECT" {
                assert_eq!(client.ending(), "closed", "{what}");
                continue;
            }
            client.send(&[0xc0, 0]);
            while client.receive() != Packet::PingResp {}
        }
    }
    assert!(complaints.is_empty(), "{complaints:?}");
}
