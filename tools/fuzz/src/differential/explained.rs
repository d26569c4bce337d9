//! Where other codecs differ from ours, and why ours is right or both are.

use super::Case;

/// A way to differ that has been looked into. Empty or `None`: any.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The other codec.
    pub peer: &'static str,
    /// MQTT 5 or not.
    pub v5: Option<bool>,
    /// The types of packet.
    pub packet_types: &'static [u8],
    /// What the broker's decoder says, as in [`Case::ours`].
    pub ours: &'static [&'static str],
    /// What the other says.
    pub theirs: &'static [&'static str],
    /// The reason.
    pub why: &'static str,
}

impl Difference {
    /// Whether it is this one.
    #[must_use]
    pub fn explains(&self, case: &Case) -> bool {
        self.peer == case.peer
            && self.v5.is_none_or(|v5| v5 == case.v5)
            && (self.packet_types.is_empty() || self.packet_types.contains(&case.packet_type))
            && (self.ours.is_empty() || self.ours.contains(&case.ours.as_str()))
            && self.theirs.contains(&case.theirs)
    }
}

const RUMQTTC: &str = "rumqttc";
const MQTT_PROTO: &str = "mqtt-proto";

/// The other accepts what the standard does not allow, in packets of any type.
const fn lenient(peer: &'static str, ours: &'static [&'static str], why: &'static str) -> Difference {
    Difference { peer, v5: None, packet_types: &[], ours, theirs: &["accepts", "unwritable"], why }
}

/// The other does not read a packet that the standard allows.
const fn unread(
    peer: &'static str,
    v5: bool,
    packet_types: &'static [u8],
    theirs: &'static [&'static str],
    why: &'static str,
) -> Difference {
    Difference { peer, v5: Some(v5), packet_types, ours: &["accepts"], theirs, why }
}

/// All that is known.
pub const EXPLAINED: &[Difference] = &[
    lenient(
        RUMQTTC,
        &["HeaderFlags", "AcknowledgeFlags", "ReservedConnectFlag"],
        "it does not look at reserved bits",
    ),
    lenient(RUMQTTC, &["SubscriptionOptions"], "it masks the bits of the options that it knows"),
    lenient(RUMQTTC, &["PacketIdZero"], "it checks packet identifiers of PUBLISH alone"),
    lenient(RUMQTTC, &["NoFilter"], "it takes an UNSUBSCRIBE for nothing"),
    lenient(RUMQTTC, &["NotUtf8", "NullCharacter"], "it keeps some strings as bytes, and allows U+0000"),
    lenient(
        RUMQTTC,
        &["TopicName", "TopicFilter", "NoTopic", "NoLocalOfShared"],
        "it leaves topics to its user",
    ),
    lenient(
        RUMQTTC,
        &["TrailingBytes", "Truncated"],
        "it reads as far as it understands, and what is missing as absent",
    ),
    lenient(
        RUMQTTC,
        &["VariableIntegerNotMinimal", "VariableIntegerTooLong"],
        "it takes any form of a variable byte integer",
    ),
    lenient(
        RUMQTTC,
        &[
            "UnknownProperty",
            "MisplacedProperty",
            "RepeatedProperty",
            "PropertyValue",
            "AuthenticationDataAlone",
        ],
        "it takes the last of repeated properties, any value, and reads a CONNECT's by the level alone",
    ),
    lenient(
        RUMQTTC,
        &["DupAtQoS0", "PasswordAlone", "WillFlags", "SessionPresentInRefusal"],
        "it does not relate flags",
    ),
    unread(RUMQTTC, false, &[1], &["refuses"], "it does not speak 3.1"),
    unread(RUMQTTC, true, &[1], &["refuses"], "it takes passwords and will payloads for text"),
    unread(
        RUMQTTC,
        true,
        &[14],
        &["refuses", "incomplete"],
        "it does not know the short forms of DISCONNECT",
    ),
    unread(
        RUMQTTC,
        false,
        &[1],
        &["another"],
        "it writes no password without a user name, or with an empty one",
    ),
    unread(RUMQTTC, true, &[1], &["another"], "it writes no password with an empty user name"),
    unread(RUMQTTC, true, &[15], &["refuses"], "it has no AUTH"),
    unread(
        RUMQTTC,
        true,
        &[3],
        &["another"],
        "it writes the length of several Subscription Identifiers wrongly",
    ),
    unread(MQTT_PROTO, true, &[1], &["refuses"], "it looks into a will payload that is said to be text"),
    lenient(MQTT_PROTO, &["TrailingBytes"], "it reads as far as it understands"),
    lenient(MQTT_PROTO, &["NullCharacter"], "it allows U+0000 in some strings"),
    lenient(
        MQTT_PROTO,
        &["TopicName", "TopicFilter", "NoTopic", "NoLocalOfShared"],
        "it allows empty topics and shared filters of other forms",
    ),
    lenient(MQTT_PROTO, &["VariableIntegerNotMinimal"], "it takes any form of a variable byte integer"),
    lenient(
        MQTT_PROTO,
        &["PropertyValue", "AuthenticationDataAlone", "NoAuthenticationMethod"],
        "it leaves values and what goes together to its user",
    ),
    lenient(MQTT_PROTO, &["NoReasonCode"], "it takes an acknowledgement of nothing"),
    lenient(
        MQTT_PROTO,
        &["DupAtQoS0", "PasswordAlone", "WillFlags", "SessionPresentInRefusal", "NoClientIdentifier"],
        "it does not relate flags and fields",
    ),
    unread(
        MQTT_PROTO,
        false,
        &[1],
        &["incomplete"],
        "in 3.1 the flags may promise a user name that is not there",
    ),
    unread(MQTT_PROTO, false, &[9], &["another"], "it writes the return code of a failure as 3"),
    unread(MQTT_PROTO, true, &[3], &["refuses"], "it knows one Subscription Identifier in a PUBLISH"),
    unread(
        MQTT_PROTO,
        true,
        &[14],
        &["refuses"],
        "table 2-6 has 0x8C for DISCONNECT, and the table of DISCONNECT has not",
    ),
];
