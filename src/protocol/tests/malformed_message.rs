//! PUBLISH and acknowledgements that are refused.

use super::super::ReasonCode;
use super::refused::{MALFORMED, PROTOCOL, Row, V5, V31, V311, check};

const NAME: ReasonCode = ReasonCode::TopicNameInvalid;

#[test]
fn publish_flags() {
    check(&[
        // [MQTT-3.3.1-4]
        (V31, "36[<a> 0001 'x']", MALFORMED, "PUBLISH: the QoS is 3"),
        (V311, "36[<a> 0001 'x']", MALFORMED, "PUBLISH: the QoS is 3"),
        (V5, "3F[<a> 0001 [] 'x']", MALFORMED, "PUBLISH: the QoS is 3"),
        // [MQTT-3.3.1-2]
        (V311, "38[<a> 'x']", PROTOCOL, "PUBLISH: DUP is set with QoS 0"),
        (V5, "39[<a> [] 'x']", PROTOCOL, "PUBLISH: DUP is set with QoS 0"),
    ]);
}

#[test]
fn publish_packet_id() {
    check(&[
        // [MQTT-2.2.1-3]
        (V311, "32[<a> 0000 'x']", PROTOCOL, "PUBLISH: the packet identifier is zero"),
        (V5, "34[<a> 0000 [] 'x']", PROTOCOL, "PUBLISH: the packet identifier is zero"),
        (V311, "32[<a>]", MALFORMED, "PUBLISH: it ends before the end of the packet identifier"),
        (V5, "34[<a> 00]", MALFORMED, "PUBLISH: it ends before the end of the packet identifier"),
    ]);
}

#[test]
fn publish_topic() {
    const WILDCARD: &str = "PUBLISH: the topic name has a wildcard";
    const MISSING: &str = "PUBLISH: it has neither a topic name nor a topic alias";
    check(&[
        // [MQTT-3.3.2-2]
        (V311, "30[<a/+> 'x']", NAME, WILDCARD),
        (V311, "30[<#> 'x']", NAME, WILDCARD),
        (V5, "30[<a#b> [] 'x']", NAME, WILDCARD),
        (V5, "30[<a+b> [23 0001] 'x']", NAME, WILDCARD),
        // [MQTT-4.7.3-1]
        (V311, "30[<> 'x']", PROTOCOL, MISSING),
        (V5, "30[<> [] 'x']", PROTOCOL, MISSING),
        (V5, "30[<> [02 00000001] 'x']", PROTOCOL, MISSING),
        // [MQTT-4.7.3-2]
        (V311, "30[0003 'a' 00 'b']", MALFORMED, "PUBLISH: the topic name has a null character"),
        (V5, "30[0004 'a' 00 'b+' []]", MALFORMED, "PUBLISH: the topic name has a null character"),
        // [MQTT-3.3.2-1]
        (V311, "30[0002 C080]", MALFORMED, "PUBLISH: the topic name is not UTF-8"),
        (V5, "30[0003 EDBFBF []]", MALFORMED, "PUBLISH: the topic name is not UTF-8"),
        (V311, "30[0003 'ab']", MALFORMED, "PUBLISH: it ends before the end of the topic name"),
        (V311, "30[00]", MALFORMED, "PUBLISH: it ends before the end of the topic name"),
        (V5, "30[]", MALFORMED, "PUBLISH: it ends before the end of the topic name"),
    ]);
}

#[test]
fn publish_properties() {
    let alias = ReasonCode::TopicAliasInvalid;
    check(&[
        (V5, "30[<a>]", MALFORMED, "PUBLISH: it ends before the end of the property length"),
        (V5, "30[<a> 80]", MALFORMED, "PUBLISH: it ends before the end of the property length"),
        (V5, "30[<a> 02 01]", MALFORMED, "PUBLISH: it ends before the end of the properties"),
        (V5, "30[<a> 8000 'x']", MALFORMED, "PUBLISH: the property length takes more bytes than it needs"),
        (V5, "30[<a> 8080808000 'x']", MALFORMED, "PUBLISH: the property length takes more than four bytes"),
        // [MQTT-3.3.2-8]
        (V5, "30[<a> [23 0000] 'x']", alias, "PUBLISH: the property topic alias has the value 0"),
        (V5, "30[<> [23 0000] 'x']", alias, "PUBLISH: the property topic alias has the value 0"),
        (V5, "30[<a> [23 0001 23 0001] 'x']", PROTOCOL, "PUBLISH: the property topic alias is there twice"),
        // [MQTT-3.3.2-14]
        (V5, "30[<a> [08<r/#>] 'x']", NAME, "PUBLISH: the response topic has a wildcard"),
        (V5, "30[<a> [08<>] 'x']", NAME, "PUBLISH: the response topic is empty"),
        // [MQTT-3.3.2-13]
        (V5, "30[<a> [08 0001 FF] 'x']", MALFORMED, "PUBLISH: the response topic is not UTF-8"),
        // [MQTT-3.3.2-19]
        (V5, "30[<a> [03 0001 FF] 'x']", MALFORMED, "PUBLISH: the content type is not UTF-8"),
        (V5, "30[<a> [03 0001 00] 'x']", MALFORMED, "PUBLISH: the content type has a null character"),
        (V5, "30[<a> [26<k> 0001 FF] 'x']", MALFORMED, "PUBLISH: the user property is not UTF-8"),
        (V5, "30[<a> [26 0001 00 <v>] 'x']", MALFORMED, "PUBLISH: the user property has a null character"),
        (V5, "30[<a> [26<k>] 'x']", MALFORMED, "PUBLISH: it ends before the end of the user property"),
        (
            V5,
            "30[<a> [01 02] 'x']",
            PROTOCOL,
            "PUBLISH: the property payload format indicator has the value 2",
        ),
        (
            V5,
            "30[<a> [0B 00] 'x']",
            PROTOCOL,
            "PUBLISH: the property subscription identifier has the value 0",
        ),
        (
            V5,
            "30[<a> [0B 8100] 'x']",
            MALFORMED,
            "PUBLISH: the subscription identifier takes more bytes than it needs",
        ),
        (
            V5,
            "30[<a> [0B FFFFFFFF01] 'x']",
            MALFORMED,
            "PUBLISH: the subscription identifier takes more than four bytes",
        ),
        // Value and payload are not one: the block's length says where it ends.
        (
            V5,
            "30[<a> 03 09 0004 'data']",
            MALFORMED,
            "PUBLISH: it ends before the end of the correlation data",
        ),
    ]);
}

#[test]
fn acknowledgements() {
    let rows: [Row; 24] = [
        (V31, "40 00", MALFORMED, "PUBACK: it ends before the end of the packet identifier"),
        (V311, "40 01 00", MALFORMED, "PUBACK: it ends before the end of the packet identifier"),
        (V5, "50 01 00", MALFORMED, "PUBREC: it ends before the end of the packet identifier"),
        (V311, "40 02 0000", PROTOCOL, "PUBACK: the packet identifier is zero"),
        (V5, "62 02 0000", PROTOCOL, "PUBREL: the packet identifier is zero"),
        (V31, "70 02 0000", PROTOCOL, "PUBCOMP: the packet identifier is zero"),
        (V311, "40 03 0001 00", MALFORMED, "PUBACK: bytes after its last field: 1"),
        (V31, "50 04 0001 00 00", MALFORMED, "PUBREC: bytes after its last field: 2"),
        (V5, "40 05 0001 00 00 00", MALFORMED, "PUBACK: bytes after its last field: 1"),
        // [MQTT-3.4.2-1]
        (V5, "40 03 0001 01", PROTOCOL, "PUBACK: it has the reason code 0x01"),
        (V5, "40 03 0001 92", PROTOCOL, "PUBACK: it has the reason code 0x92"),
        (V5, "40 03 0001 7F", PROTOCOL, "PUBACK: it has the reason code 0x7f"),
        // [MQTT-3.5.2-1]
        (V5, "50 03 0001 82", PROTOCOL, "PUBREC: it has the reason code 0x82"),
        // [MQTT-3.6.2-1]
        (V5, "62 03 0001 10", PROTOCOL, "PUBREL: it has the reason code 0x10"),
        // [MQTT-3.7.2-1]
        (V5, "70 03 0001 80", PROTOCOL, "PUBCOMP: it has the reason code 0x80"),
        (V5, "40 04 0001 00 01", MALFORMED, "PUBACK: it ends before the end of the properties"),
        (V5, "50[0001 00 [1F<a> 1F<b>]]", PROTOCOL, "PUBREC: the property reason string is there twice"),
        (V5, "62[0001 00 [1F]]", MALFORMED, "PUBREL: it ends before the end of the reason string"),
        (V5, "70[0001 00 [1F 0001 00]]", MALFORMED, "PUBCOMP: the reason string has a null character"),
        // [MQTT-3.6.1-1]: the flags of PUBREL are not those of the others.
        (V311, "60 02 0001", MALFORMED, "the fixed header has the flags 0b0000"),
        (V5, "63 02 0001", MALFORMED, "the fixed header has the flags 0b0011"),
        (V311, "6A 02 0001", MALFORMED, "the fixed header has the flags 0b1010"),
        (V31, "64 02 0001", MALFORMED, "the fixed header has the flags 0b0100"),
        (V31, "48 02 0001", MALFORMED, "the fixed header has the flags 0b1000"),
    ];
    check(&rows);
}
