//! Reason codes against the table of section 2.4, and return codes of MQTT 3.1.1.

use super::super::{PacketType, QoS, ReasonCode};

/// Table 2-6: value, and the packets that use it.
const TABLE: [(u8, &str); 43] = [
    (0x00, "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"),
    (0x01, "SUBACK"),
    (0x02, "SUBACK"),
    (0x04, "DISCONNECT"),
    (0x10, "PUBACK PUBREC"),
    (0x11, "UNSUBACK"),
    (0x18, "AUTH"),
    (0x19, "AUTH"),
    (0x80, "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT"),
    (0x81, "CONNACK DISCONNECT"),
    (0x82, "CONNACK DISCONNECT"),
    (0x83, "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT"),
    (0x84, "CONNACK"),
    (0x85, "CONNACK"),
    (0x86, "CONNACK"),
    (0x87, "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT"),
    (0x88, "CONNACK"),
    (0x89, "CONNACK DISCONNECT"),
    (0x8A, "CONNACK"),
    (0x8B, "DISCONNECT"),
    (0x8C, "CONNACK DISCONNECT"),
    (0x8D, "DISCONNECT"),
    (0x8E, "DISCONNECT"),
    (0x8F, "SUBACK UNSUBACK DISCONNECT"),
    (0x90, "CONNACK PUBACK PUBREC DISCONNECT"),
    (0x91, "PUBACK PUBREC SUBACK UNSUBACK"),
    (0x92, "PUBREL PUBCOMP"),
    (0x93, "DISCONNECT"),
    (0x94, "DISCONNECT"),
    (0x95, "CONNACK DISCONNECT"),
    (0x96, "DISCONNECT"),
    (0x97, "CONNACK PUBACK PUBREC SUBACK DISCONNECT"),
    (0x98, "DISCONNECT"),
    (0x99, "CONNACK PUBACK PUBREC DISCONNECT"),
    (0x9A, "CONNACK DISCONNECT"),
    (0x9B, "CONNACK DISCONNECT"),
    (0x9C, "CONNACK DISCONNECT"),
    (0x9D, "CONNACK DISCONNECT"),
    (0x9E, "SUBACK DISCONNECT"),
    (0x9F, "CONNACK DISCONNECT"),
    (0xA0, "DISCONNECT"),
    (0xA1, "SUBACK DISCONNECT"),
    (0xA2, "SUBACK DISCONNECT"),
];

#[test]
fn every_value_and_where_it_goes() {
    for value in 0..=u8::MAX {
        let row = TABLE.iter().find(|(known, _)| *known == value);
        let Ok(reason) = ReasonCode::try_from(value) else {
            assert!(row.is_none(), "{value:#04x} is a reason code");
            continue;
        };
        let (_, packets) = row.unwrap_or_else(|| panic!("{value:#04x} is no reason code"));
        assert_eq!((reason.value(), reason.is_error()), (value, value >= 0x80));
        for type_bits in 1..16 {
            let packet_type = PacketType::of_first_byte(type_bits << 4).expect("a type for 1 to 15");
            let listed = packets.split(' ').any(|packet| packet == packet_type.to_string());
            assert_eq!(reason.fits(packet_type), listed, "{reason:?} in {packet_type}");
        }
    }
}

#[test]
fn granted_qos() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(ReasonCode::granted(qos).value(), u8::from(qos));
    }
}

#[test]
fn return_codes_of_connack() {
    for code in 0..=5 {
        let reason = ReasonCode::of_connect_return_code(code).expect("0 to 5 are return codes");
        assert_eq!(reason.connect_return_code_v3(), code);
    }
    assert_eq!(ReasonCode::of_connect_return_code(6), None);
    assert_eq!(ReasonCode::Banned.connect_return_code_v3(), 5);
    assert_eq!(ReasonCode::BadAuthenticationMethod.connect_return_code_v3(), 4);
    assert_eq!(ReasonCode::ServerBusy.connect_return_code_v3(), 3);
    assert_eq!(ReasonCode::QuotaExceeded.connect_return_code_v3(), 3);
}
