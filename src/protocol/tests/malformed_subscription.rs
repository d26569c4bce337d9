//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK that are refused.

use super::super::ReasonCode;
use super::refused::{MALFORMED, PROTOCOL, Row, V5, V31, V311, check};

const FILTER: ReasonCode = ReasonCode::TopicFilterInvalid;

#[test]
fn subscribe() {
    check(&[
        // [MQTT-3.8.1-1]
        (V311, "80[0001 <a> 00]", MALFORMED, "the fixed header has the flags 0b0000"),
        (V311, "8A[0001 <a> 00]", MALFORMED, "the fixed header has the flags 0b1010"),
        (V5, "83[0001 [] <a> 00]", MALFORMED, "the fixed header has the flags 0b0011"),
        (V311, "82[0000 <a> 00]", PROTOCOL, "SUBSCRIBE: the packet identifier is zero"),
        (V5, "82[0000 [] <a> 00]", PROTOCOL, "SUBSCRIBE: the packet identifier is zero"),
        // [MQTT-3.8.3-2]
        (V311, "82[0001]", PROTOCOL, "SUBSCRIBE: it has no topic filter"),
        (V5, "82[0001 []]", PROTOCOL, "SUBSCRIBE: it has no topic filter"),
        (V5, "82[0001]", MALFORMED, "SUBSCRIBE: it ends before the end of the property length"),
        (V311, "82[0001 <a>]", MALFORMED, "SUBSCRIBE: it ends before the end of the subscription options"),
        (V311, "82[0001 <a> 00 00]", MALFORMED, "SUBSCRIBE: it ends before the end of the topic filter"),
        // [MQTT-3.8.3-1]
        (V311, "82[0001 0001 FF 00]", MALFORMED, "SUBSCRIBE: the topic filter is not UTF-8"),
    ]);
}

#[test]
fn subscription_options() {
    check(&[
        // [MQTT-3.8.3-4 of 3.1.1]: nothing but the QoS.
        (V311, "82[0001 <a> 04]", MALFORMED, "SUBSCRIBE: the subscription options are 0b00000100"),
        (V311, "82[0001 <a> 80]", MALFORMED, "SUBSCRIBE: the subscription options are 0b10000000"),
        (V31, "82[0001 <a> 10]", MALFORMED, "SUBSCRIBE: the subscription options are 0b00010000"),
        (V311, "82[0001 <a> 03]", MALFORMED, "SUBSCRIBE: the maximum QoS is 3"),
        (V5, "82[0001 [] <a> 03]", MALFORMED, "SUBSCRIBE: the maximum QoS is 3"),
        // [MQTT-3.8.3-5]
        (V5, "82[0001 [] <a> 40]", MALFORMED, "SUBSCRIBE: the subscription options are 0b01000000"),
        (V5, "82[0001 [] <a> 80]", MALFORMED, "SUBSCRIBE: the subscription options are 0b10000000"),
        (V5, "82[0001 [] <a> 30]", PROTOCOL, "SUBSCRIBE: the retain handling is 3"),
        // [MQTT-3.8.3-4]
        (V5, "82[0001 [] <$share/g/a> 04]", PROTOCOL, "SUBSCRIBE: no local is set for a shared subscription"),
        // Not only in the first.
        (V5, "82[0001 [] <a> 00 <b> 03]", MALFORMED, "SUBSCRIBE: the maximum QoS is 3"),
    ]);
}

#[test]
fn topic_filters() {
    const MISPLACED: &str = "SUBSCRIBE: the topic filter has a wildcard that is not a level of its own, or '#' before the last level";
    const SHARE: &str =
        "UNSUBSCRIBE: the topic filter begins with '$share/' but is not '$share/group/filter'";
    check(&[
        // [MQTT-4.7.3-1]
        (V311, "82[0001 <> 00]", FILTER, "SUBSCRIBE: the topic filter is empty"),
        // [MQTT-4.7.3-2]
        (V5, "82[0001 [] 0002 'a' 00 00]", MALFORMED, "SUBSCRIBE: the topic filter has a null character"),
        // [MQTT-4.7.1-1]
        (V311, "82[0001 <a#> 00]", FILTER, MISPLACED),
        (V311, "82[0001 <#/a> 00]", FILTER, MISPLACED),
        (V5, "82[0001 [] <$share/g/a/#/b> 00]", FILTER, MISPLACED),
        // [MQTT-4.7.1-2]
        (V311, "82[0001 <a/b+> 00]", FILTER, MISPLACED),
        (V5, "82[0001 [] <++> 00]", FILTER, MISPLACED),
        // [MQTT-4.8.2-1]
        (V5, "A2[0001 [] <$share//a>]", FILTER, SHARE),
        (V5, "A2[0001 [] <$share/>]", FILTER, SHARE),
        // [MQTT-4.8.2-2]
        (V5, "A2[0001 [] <$share/g>]", FILTER, SHARE),
        (V5, "A2[0001 [] <$share/g+/a>]", FILTER, SHARE),
        (V311, "A2[0001 <$share/#/a>]", FILTER, SHARE),
        (V5, "A2[0001 [] <$share/g/>]", FILTER, SHARE),
    ]);
}

#[test]
fn unsubscribe() {
    check(&[
        // [MQTT-3.10.1-1]
        (V311, "A0[0001 <a>]", MALFORMED, "the fixed header has the flags 0b0000"),
        (V5, "A6[0001 [] <a>]", MALFORMED, "the fixed header has the flags 0b0110"),
        (V311, "A2[0000 <a>]", PROTOCOL, "UNSUBSCRIBE: the packet identifier is zero"),
        // [MQTT-3.10.3-2]
        (V311, "A2[0001]", PROTOCOL, "UNSUBSCRIBE: it has no topic filter"),
        (V5, "A2[0001 []]", PROTOCOL, "UNSUBSCRIBE: it has no topic filter"),
        (V311, "A2[0001 <a> 00]", MALFORMED, "UNSUBSCRIBE: it ends before the end of the topic filter"),
        // [MQTT-3.10.3-1]
        (V5, "A2[0001 [] 0001 FF]", MALFORMED, "UNSUBSCRIBE: the topic filter is not UTF-8"),
    ]);
}

#[test]
fn answers() {
    let rows: [Row; 12] = [
        (V311, "92[0001 00]", MALFORMED, "the fixed header has the flags 0b0010"),
        (V311, "90[0000 00]", PROTOCOL, "SUBACK: the packet identifier is zero"),
        (V311, "90[0001]", PROTOCOL, "SUBACK: it has no reason code"),
        (V5, "90[0001 []]", PROTOCOL, "SUBACK: it has no reason code"),
        (V311, "90[0001 03]", PROTOCOL, "SUBACK: it has the reason code 0x03"),
        // [MQTT-3.9.3-2 of 3.1.1]
        (V311, "90[0001 87]", PROTOCOL, "SUBACK: it has the reason code 0x87"),
        // [MQTT-3.9.3-2]
        (V5, "90[0001 [] 00 11]", PROTOCOL, "SUBACK: it has the reason code 0x11"),
        (V5, "B0[0001 []]", PROTOCOL, "UNSUBACK: it has no reason code"),
        // [MQTT-3.11.3-2]
        (V5, "B0[0001 [] 01]", PROTOCOL, "UNSUBACK: it has the reason code 0x01"),
        (V311, "B0[0001 00]", MALFORMED, "UNSUBACK: bytes after its last field: 1"),
        (V311, "B0[0000]", PROTOCOL, "UNSUBACK: the packet identifier is zero"),
        (V31, "B0[00]", MALFORMED, "UNSUBACK: it ends before the end of the packet identifier"),
    ];
    check(&rows);
}
