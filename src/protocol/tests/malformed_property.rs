//! Properties where they do not belong, twice, out of range or cut short: each in each packet.

use super::super::{Decoder, Packet, ProtocolVersion, ReasonCode};
use super::notation::bytes;
use super::refused::{MALFORMED, NEW, PROTOCOL, V5, check};

/// What may carry properties, with `{}` for the block. `will` is that of a CONNECT.
const CARRIERS: [(&str, &str); 14] = [
    ("connect", "10[<MQTT> 05 02 003C [{}] <zen>]"),
    ("will", "10[<MQTT> 05 06 003C [] <zen> [{}] <t> <p>]"),
    ("connack", "20[00 00 [{}]]"),
    ("publish", "30[<a> [{}] 'x']"),
    ("puback", "40[0001 00 [{}]]"),
    ("pubrec", "50[0001 00 [{}]]"),
    ("pubrel", "62[0001 00 [{}]]"),
    ("pubcomp", "70[0001 00 [{}]]"),
    ("subscribe", "82[0001 [{}] <a> 00]"),
    ("suback", "90[0001 [{}] 00]"),
    ("unsubscribe", "A2[0001 [{}] <a>]"),
    ("unsuback", "B0[0001 [{}] 00]"),
    ("disconnect", "E0[00 [{}]]"),
    ("auth", "F0[00 [{}]]"),
];

const ACKNOWLEDGEMENTS: &str = "connack puback pubrec pubrel pubcomp suback unsuback disconnect auth";

/// Table 2-4 of the standard: identifier, name, a value, the packets that may have it.
const PROPERTIES: [(&str, &str, &str, &str); 27] = [
    ("01", "payload format indicator", "01", "publish will"),
    ("02", "message expiry interval", "00000001", "publish will"),
    ("03", "content type", "<text>", "publish will"),
    ("08", "response topic", "<r/t>", "publish will"),
    ("09", "correlation data", "<data>", "publish will"),
    ("0B", "subscription identifier", "01", "publish subscribe"),
    ("11", "session expiry interval", "00000001", "connect connack disconnect"),
    ("12", "assigned client identifier", "<id>", "connack"),
    ("13", "server keep alive", "0001", "connack"),
    ("15", "authentication method", "<method>", "connect connack auth"),
    ("16", "authentication data", "<data>", "connect connack auth"),
    ("17", "request problem information", "01", "connect"),
    ("18", "will delay interval", "00000001", "will"),
    ("19", "request response information", "01", "connect"),
    ("1A", "response information", "<info>", "connack"),
    ("1C", "server reference", "<server>", "connack disconnect"),
    ("1F", "reason string", "<reason>", ACKNOWLEDGEMENTS),
    ("21", "receive maximum", "0001", "connect connack"),
    ("22", "topic alias maximum", "0001", "connect connack"),
    ("23", "topic alias", "0001", "publish"),
    ("24", "maximum QoS", "01", "connack"),
    ("25", "retain available", "01", "connack"),
    (
        "26",
        "user property",
        "<a><1>",
        "connect will connack publish puback pubrec pubrel pubcomp subscribe \
      suback unsubscribe unsuback disconnect auth",
    ),
    ("27", "maximum packet size", "00000001", "connect connack"),
    ("28", "wildcard subscription available", "01", "connack"),
    ("29", "subscription identifiers available", "01", "connack"),
    ("2A", "shared subscription available", "01", "connack"),
];

/// Decodes a carrier with this block. An authentication method stands before it where there can be one, unless the
/// block is about the method itself.
fn decode(carrier: &str, template: &str, block: &str) -> Result<Packet, (ReasonCode, String)> {
    let about_method = block.starts_with("15") || block.contains("15<");
    let has_method = ["connect", "connack", "auth"].contains(&carrier) && !about_method;
    let method = if has_method { "15<method>" } else { "" };
    let mut decoder = Decoder::new(1000);
    if !template.starts_with("10") {
        decoder.set_version(ProtocolVersion::V5);
    }
    let mut packet = bytes(&template.replace("{}", &format!("{method}{block}")));
    match decoder.decode(&mut packet) {
        Ok(packet) => Ok(packet.expect("the packet is complete")),
        Err(error) => Err((error.reason_code(), error.fault().to_string())),
    }
}

fn every_pair(mut check: impl FnMut(&str, &str, bool, (&str, &str, &str))) {
    for (carrier, template) in CARRIERS {
        for (identifier, name, value, carriers) in PROPERTIES {
            let belongs = carriers.split_whitespace().any(|other| other == carrier);
            check(carrier, template, belongs, (identifier, name, value));
        }
    }
}

#[test]
fn each_property_is_taken_where_it_belongs_and_nowhere_else() {
    every_pair(|carrier, template, belongs, (identifier, name, value)| {
        let property = format!("{identifier}{value}");
        // Something that always belongs stands before it: the block is read to its end.
        for block in [property.clone(), format!("26<k><v>{property}")] {
            let decoded = decode(carrier, template, &block);
            if belongs {
                assert!(decoded.is_ok(), "{name} in {carrier}: {decoded:?}");
            } else {
                let message = format!("the property {name} does not belong here");
                assert_eq!(decoded, Err((MALFORMED, message)), "{name} in {carrier}");
            }
        }
    });
}

#[test]
fn a_property_stands_once() {
    every_pair(|carrier, template, belongs, (identifier, name, value)| {
        if !belongs {
            return;
        }
        let decoded = decode(carrier, template, &format!("{identifier}{value} 26<k><v> {identifier}{value}"));
        let many = name == "user property" || (name == "subscription identifier" && carrier == "publish");
        if many {
            assert!(decoded.is_ok(), "{name} in {carrier}: {decoded:?}");
        } else {
            let message = format!("the property {name} is there twice");
            assert_eq!(decoded, Err((PROTOCOL, message)), "{name} in {carrier}");
        }
    });
}

#[test]
fn a_property_has_all_of_its_value() {
    every_pair(|carrier, template, belongs, (identifier, name, value)| {
        if !belongs {
            return;
        }
        let whole = bytes(&format!("{identifier}{value}"));
        for length in 1..whole.len() {
            let cut: String = whole[..length].iter().map(|byte| format!("{byte:02X}")).collect();
            let decoded = decode(carrier, template, &cut);
            let message = format!("it ends before the end of the {name}");
            assert_eq!(decoded, Err((MALFORMED, message)), "{name} in {carrier} cut at {length}");
        }
    });
}

#[test]
fn values_out_of_range() {
    let rows = [
        ("connect", "17 02", "request problem information has the value 2"),
        ("connect", "19 FF", "request response information has the value 255"),
        ("connect", "21 0000", "receive maximum has the value 0"),
        ("connect", "27 00000000", "maximum packet size has the value 0"),
        ("will", "01 02", "payload format indicator has the value 2"),
        ("connack", "21 0000", "receive maximum has the value 0"),
        ("connack", "24 02", "maximum QoS has the value 2"),
        ("connack", "25 02", "retain available has the value 2"),
        ("connack", "27 00000000", "maximum packet size has the value 0"),
        ("connack", "28 02", "wildcard subscription available has the value 2"),
        ("connack", "29 02", "subscription identifiers available has the value 2"),
        ("connack", "2A 02", "shared subscription available has the value 2"),
        ("publish", "01 02", "payload format indicator has the value 2"),
        ("publish", "0B 00", "subscription identifier has the value 0"),
        ("subscribe", "0B 00", "subscription identifier has the value 0"),
    ];
    for (carrier, block, message) in rows {
        let (_, template) = CARRIERS.into_iter().find(|(name, _)| *name == carrier).expect("a carrier");
        let message = format!("the property {message}");
        assert_eq!(decode(carrier, template, block), Err((PROTOCOL, message)), "{block} in {carrier}");
    }
}

#[test]
fn identifiers_that_no_property_has() {
    for (carrier, template) in CARRIERS {
        for value in (0u8..0x80).filter(|value| !PROPERTIES.iter().any(|row| row.0 == format!("{value:02X}")))
        {
            let decoded = decode(carrier, template, &format!("{value:02X}00"));
            let message = format!("there is no property {value:#04x}");
            assert_eq!(decoded, Err((MALFORMED, message)), "{value:#x} in {carrier}");
        }
    }
}

#[test]
fn what_goes_beyond_one_property() {
    check(&[
        (V5, "30[<a> [8101 00]]", MALFORMED, "PUBLISH: there is no property 0x81"),
        (
            V5,
            "30[<a> [8100 00]]",
            MALFORMED,
            "PUBLISH: the property identifier takes more bytes than it needs",
        ),
        (V5, "40[0001 00 [A6]]", MALFORMED, "PUBACK: it ends before the end of the property identifier"),
        (
            NEW,
            "10[<MQTT> 05 02 003C [16<data>] <zen>]",
            PROTOCOL,
            "CONNECT: it has authentication data without an authentication method",
        ),
        (
            V5,
            "20[00 00 [16<data>]]",
            PROTOCOL,
            "CONNACK: it has authentication data without an authentication method",
        ),
        // A block that is longer than the packet, and one whose end is inside a property.
        (V5, "82[0001 7F 0B 01 <a> 00]", MALFORMED, "SUBSCRIBE: it ends before the end of the properties"),
        (V5, "90[0001 01 1F 00]", MALFORMED, "SUBACK: it ends before the end of the reason string"),
        (
            V5,
            "82[0001 8000 <a> 00]",
            MALFORMED,
            "SUBSCRIBE: the property length takes more bytes than it needs",
        ),
    ]);
}
