//! CONNECT, CONNACK, PINGREQ, PINGRESP, DISCONNECT and AUTH that are refused.

use super::super::{ProtocolVersion, ReasonCode};
use super::notation::bytes;
use super::refused::{MALFORMED, NEW, PROTOCOL, V5, V31, V311, check, decoder};

const VERSION: ReasonCode = ReasonCode::UnsupportedProtocolVersion;

#[test]
fn connect_protocol() {
    const NAME: &str = "CONNECT: the protocol name is not MQTT, or MQIsdp with level 3";
    check(&[
        // [MQTT-3.1.2-1]
        (NEW, "10[<MQTX> 04 02 003C <zen>]", VERSION, NAME),
        (NEW, "10[<mqtt> 04 02 003C <zen>]", VERSION, NAME),
        (NEW, "10[<> 04 02 003C <zen>]", VERSION, NAME),
        (NEW, "10[<MQTT> 03 02 003C <zen>]", VERSION, NAME),
        (NEW, "10[<MQIsdp> 04 02 003C <zen>]", VERSION, NAME),
        (NEW, "10[0004 FFFFFFFF 04 02 003C <zen>]", MALFORMED, "CONNECT: the protocol name is not UTF-8"),
        // [MQTT-3.1.2-2]
        (NEW, "10[<MQTT> 00 02 003C <zen>]", VERSION, "CONNECT: the protocol level is 0"),
        (NEW, "10[<MQTT> 06 02 003C [] <zen>]", VERSION, "CONNECT: the protocol level is 6"),
        (NEW, "10[<MQTT> 84 02 003C <zen>]", VERSION, "CONNECT: the protocol level is 132"),
    ]);
}

#[test]
fn connect_flags() {
    const RESERVED: &str = "CONNECT: the reserved connect flag is set";
    const WILL: &str = "CONNECT: there is no will, but a will QoS or will retain flag";
    const PASSWORD: &str = "CONNECT: it has a password without a user name";
    check(&[
        // [MQTT-3.1.2-3]
        (NEW, "10[<MQIsdp> 03 03 003C <zen>]", MALFORMED, RESERVED),
        (NEW, "10[<MQTT> 04 03 003C <zen>]", MALFORMED, RESERVED),
        (NEW, "10[<MQTT> 05 03 003C [] <zen>]", MALFORMED, RESERVED),
        // [MQTT-3.1.2-11]
        (NEW, "10[<MQTT> 04 0A 003C <zen>]", PROTOCOL, WILL),
        (NEW, "10[<MQTT> 05 12 003C [] <zen>]", PROTOCOL, WILL),
        // [MQTT-3.1.2-13]
        (NEW, "10[<MQTT> 04 22 003C <zen>]", PROTOCOL, WILL),
        // [MQTT-3.1.2-12]
        (NEW, "10[<MQTT> 04 1E 003C <zen> <t> <p>]", MALFORMED, "CONNECT: the will QoS is 3"),
        (NEW, "10[<MQTT> 05 1A 003C [] <zen>]", MALFORMED, "CONNECT: the will QoS is 3"),
        // [MQTT-3.1.2-22 of 3.1.1]
        (NEW, "10[<MQIsdp> 03 42 003C <zen> <pass>]", PROTOCOL, PASSWORD),
        (NEW, "10[<MQTT> 04 42 003C <zen> <pass>]", PROTOCOL, PASSWORD),
    ]);
}

#[test]
fn connect_payload() {
    let name = ReasonCode::TopicNameInvalid;
    let identifier = ReasonCode::ClientIdentifierNotValid;
    check(&[
        (NEW, "10[<MQTT> 04 02 003C]", MALFORMED, "CONNECT: it ends before the end of the client identifier"),
        (NEW, "10[<MQTT> 04 02 00]", MALFORMED, "CONNECT: it ends before the end of the keep alive"),
        (NEW, "10[]", MALFORMED, "CONNECT: it ends before the end of the protocol name"),
        (NEW, "10[<MQTT> 04 02 003C <zen> 00]", MALFORMED, "CONNECT: bytes after its last field: 1"),
        (NEW, "10[<MQTT> 04 02 003C 0001 FF]", MALFORMED, "CONNECT: the client identifier is not UTF-8"),
        // A surrogate [MQTT-1.5.4-1].
        (NEW, "10[<MQTT> 04 02 003C 0003 EDA080]", MALFORMED, "CONNECT: the client identifier is not UTF-8"),
        // [MQTT-1.5.4-2]
        (
            NEW,
            "10[<MQTT> 04 02 003C 0001 00]",
            MALFORMED,
            "CONNECT: the client identifier has a null character",
        ),
        (NEW, "10[<MQIsdp> 03 02 003C <>]", identifier, "CONNECT: the client identifier is empty"),
        (NEW, "10[<MQTT> 04 C2 003C <zen>]", MALFORMED, "CONNECT: it ends before the end of the user name"),
        (
            NEW,
            "10[<MQTT> 04 C2 003C <zen> <u>]",
            MALFORMED,
            "CONNECT: it ends before the end of the password",
        ),
        (NEW, "10[<MQTT> 04 82 003C <zen> 0001 80]", MALFORMED, "CONNECT: the user name is not UTF-8"),
        (
            NEW,
            "10[<MQTT> 04 82 003C <zen> 0001 00]",
            MALFORMED,
            "CONNECT: the user name has a null character",
        ),
        (
            NEW,
            "10[<MQIsdp> 03 82 003C <zen> 00]",
            MALFORMED,
            "CONNECT: it ends before the end of the user name",
        ),
        (
            NEW,
            "10[<MQTT> 04 06 003C <zen> <t>]",
            MALFORMED,
            "CONNECT: it ends before the end of the will payload",
        ),
        (NEW, "10[<MQTT> 04 06 003C <zen> <> <p>]", name, "CONNECT: the will topic is empty"),
        (NEW, "10[<MQTT> 04 06 003C <zen> <t/#> <p>]", name, "CONNECT: the will topic has a wildcard"),
        (NEW, "10[<MQTT> 05 06 003C [] <zen> [] <+> <p>]", name, "CONNECT: the will topic has a wildcard"),
        (
            NEW,
            "10[<MQTT> 04 06 003C <zen> 0001 00 <p>]",
            MALFORMED,
            "CONNECT: the will topic has a null character",
        ),
        (NEW, "10[<MQTT> 04 06 003C <zen> 0001 C0 <p>]", MALFORMED, "CONNECT: the will topic is not UTF-8"),
    ]);
}

#[test]
fn connect_where_it_does_not_belong() {
    check(&[
        // The decoder takes a second CONNECT for what it is; a malformed one it refuses.
        (V311, "10[<MQTT> 04 03 003C <zen>]", MALFORMED, "CONNECT: the reserved connect flag is set"),
        // [MQTT-3.1.0-1]
        (NEW, "C0 00", PROTOCOL, "the first packet is not CONNECT"),
        (NEW, "30[<a> 'x']", PROTOCOL, "the first packet is not CONNECT"),
        (NEW, "20[00 00]", PROTOCOL, "the first packet is not CONNECT"),
        (NEW, "F0 00", PROTOCOL, "the first packet is not CONNECT"),
        (NEW, "'GET / HTTP/1.1'", MALFORMED, "the fixed header has the flags 0b0111"),
    ]);
}

#[test]
fn connack() {
    check(&[
        (V311, "20[02 00]", MALFORMED, "CONNACK: the acknowledge flags are 0b00000010"),
        (V5, "20[80 00 []]", MALFORMED, "CONNACK: the acknowledge flags are 0b10000000"),
        (V311, "20[00 06]", PROTOCOL, "CONNACK: it has the reason code 0x06"),
        (V5, "20[00 01 []]", PROTOCOL, "CONNACK: it has the reason code 0x01"),
        (V5, "20[00 8B []]", PROTOCOL, "CONNACK: it has the reason code 0x8b"),
        (V311, "20[01 05]", PROTOCOL, "CONNACK: a session is present, but the connection is refused"),
        (V5, "20[01 87 []]", PROTOCOL, "CONNACK: a session is present, but the connection is refused"),
        (V311, "20[00]", MALFORMED, "CONNACK: it ends before the end of the return code"),
        (V5, "20[00 00]", MALFORMED, "CONNACK: it ends before the end of the property length"),
        (V311, "20[00 00 00]", MALFORMED, "CONNACK: bytes after its last field: 1"),
        (V5, "20[00 00 [] 00]", MALFORMED, "CONNACK: bytes after its last field: 1"),
    ]);
}

#[test]
fn ping_and_disconnect() {
    check(&[
        (V311, "C0 01 00", MALFORMED, "PINGREQ: bytes after its last field: 1"),
        (V5, "D0 01 00", MALFORMED, "PINGRESP: bytes after its last field: 1"),
        (V31, "E0 01 00", MALFORMED, "DISCONNECT: bytes after its last field: 1"),
        (V311, "E0 01 00", MALFORMED, "DISCONNECT: bytes after its last field: 1"),
        (V5, "E0 01 01", PROTOCOL, "DISCONNECT: it has the reason code 0x01"),
        (V5, "E0 01 FF", PROTOCOL, "DISCONNECT: it has the reason code 0xff"),
        (V5, "E0 03 00 00 00", MALFORMED, "DISCONNECT: bytes after its last field: 1"),
        (V5, "E0 02 00 01", MALFORMED, "DISCONNECT: it ends before the end of the properties"),
    ]);
}

#[test]
fn auth() {
    check(&[
        (V31, "F0 00", MALFORMED, "the packet type 15 is reserved"),
        (V311, "F0 00", MALFORMED, "the packet type 15 is reserved"),
        (V5, "F0 01 00", MALFORMED, "AUTH: it ends before the end of the property length"),
        (V5, "F0[18 []]", PROTOCOL, "AUTH: it has no authentication method"),
        (V5, "F0[18 [16<data>]]", PROTOCOL, "AUTH: it has no authentication method"),
        (V5, "F0[01 [15<m>]]", PROTOCOL, "AUTH: it has the reason code 0x01"),
        (V5, "F0[00 [15<m>] 00]", MALFORMED, "AUTH: bytes after its last field: 1"),
    ]);
}

/// Whom a refused first packet can be answered to, and in what version.
#[test]
fn connack_in_answer_to_a_refused_connect() {
    let answer = |version, notation| {
        let error = decoder(version).decode(&mut bytes(notation)).expect_err(notation);
        error.connect_version().map(|version| (version, error.reason_code()))
    };
    let (v31, v311, v5) = (ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5);
    assert_eq!(answer(NEW, "10[<MQTT> 06 02 003C [] <zen>]"), Some((v5, VERSION)));
    assert_eq!(answer(NEW, "10[<MQTT> 02 02 003C <zen>]"), Some((v311, VERSION)));
    assert_eq!(answer(NEW, "10[<MQTT> 84 02 003C <zen>]"), Some((v311, VERSION)), "a bridge");
    assert_eq!(answer(NEW, "10[<MQTT> 05 03 003C [] <zen>]"), Some((v5, MALFORMED)));
    assert_eq!(answer(NEW, "10[<MQIsdp> 03 02 003C <>]"), Some((v31, ReasonCode::ClientIdentifierNotValid)));
    assert_eq!(answer(NEW, "10[<MQTT> 04 03 003C <zen>]"), None, "MQTT 3.1.1 just closes");
    assert_eq!(answer(NEW, "10[<HTTP> 05 03 003C <zen>]"), None, "not MQTT");
    assert_eq!(answer(NEW, "C0 00"), None);
    assert_eq!(answer(V5, "10[<MQTT> 05 03 003C [] <zen>]"), None, "not the first");
    assert_eq!(answer(V5, "C0 01 00"), None);
}

/// How large that answer may be, as far as it was read (MQTT-3.1.2-24).
#[test]
fn the_packet_size_of_a_refused_connect() {
    let maximum = |notation| {
        let error = decoder(NEW).decode(&mut bytes(notation)).expect_err(notation);
        error.connect_maximum_packet_size().map(std::num::NonZeroU32::get)
    };
    assert_eq!(maximum("10[<MQTT> 05 06 003C [27 00000004] <zen> [] <#> <>]"), Some(4), "its will's topic");
    assert_eq!(maximum("10[<MQTT> 05 02 003C [27 00000004 21 0000] <zen>]"), Some(4), "a property behind it");
    assert_eq!(maximum("10[<MQTT> 05 02 003C [27 00000004] <zen> 00]"), Some(4), "bytes behind all");
    assert_eq!(maximum("10[<MQTT> 05 02 003C [21 0000 27 00000004] <zen>]"), None, "a property before it");
    assert_eq!(maximum("10[<MQTT> 05 02 003C [27 00000000] <zen>]"), None, "the size itself");
    assert_eq!(maximum("10[<MQTT> 05 03 003C [27 00000004] <zen>]"), None, "the flags");
}
