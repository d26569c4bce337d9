//! Whole packets in their parts, so that they can be cut and spoilt everywhere.

use barnacle_wire::Version;
use barnacle_wire::raw::put_variable;

/// What a packet is that ends here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A field is missing, or is there in part: malformed.
    Malformed,
    /// All that has to be there is.
    Well,
    /// It can be read, and is a protocol error (0x82).
    Misused,
}

use End::{Malformed, Misused, Well};

/// A packet as a client sends it: its first byte, and its fields, each with what the packet is that ends behind it.
pub(super) struct Whole {
    pub(super) name: &'static str,
    pub(super) first: u8,
    /// What the packet is that has no field at all.
    pub(super) empty: End,
    pub(super) fields: Vec<(Vec<u8>, End)>,
}

impl Whole {
    fn new(name: &'static str, first: u8, empty: End, fields: Vec<(Vec<u8>, End)>) -> Self {
        Self { name, first, empty, fields }
    }

    /// Everything behind the remaining length.
    pub(super) fn body(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
    }

    /// The whole packet.
    pub(super) fn encode(&self) -> Vec<u8> {
        frame(self.first, &self.body())
    }

    /// What the packet is when it ends after so many bytes of its body.
    pub(super) fn cut(&self, length: usize) -> End {
        let mut at = 0;
        if length == 0 {
            return self.empty;
        }
        for (bytes, end) in &self.fields {
            at += bytes.len();
            if at == length {
                return *end;
            }
            if at > length {
                break;
            }
        }
        Malformed
    }
}

/// A packet with its true remaining length.
pub(super) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    put_variable(&mut packet, u32::try_from(body.len()).expect("packets of these tests are short"));
    packet.extend_from_slice(body);
    packet
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("it is short").to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

/// A block of properties with its length; nothing before MQTT 5.
pub(super) fn block(version: Version, properties: &[u8]) -> Vec<u8> {
    if version != Version::V5 {
        return Vec::new();
    }
    let mut block = Vec::new();
    put_variable(&mut block, u32::try_from(properties.len()).expect("it is short"));
    block.extend_from_slice(properties);
    block
}

/// User Property a: b, and Reason String.
const USER: &[u8] = b"\x26\0\x01a\0\x01b";
const REASON: &[u8] = b"\x1f\0\x03why";

/// CONNECT with everything in it, its flags as they have to be.
pub(super) fn connect(version: Version) -> Whole {
    let mut fields = vec![
        (text("MQTT"), Malformed),
        (vec![version.level()], Malformed),
        (vec![0b1110_1110], Malformed),
        (vec![0, 60], Malformed),
    ];
    let properties = [b"\x11\0\0\0\0\x21\0\x09", USER].concat();
    let will = [b"\x18\0\0\0\x01\x03\0\x01t", USER].concat();
    fields.extend([
        (block(version, &properties), Malformed),
        (text("cut"), Malformed),
        (block(version, &will), Malformed),
        (text("cut/will"), Malformed),
        (text("payload"), Malformed),
        (text("user"), Malformed),
        (text("password"), Well),
    ]);
    fields.retain(|(bytes, _)| !bytes.is_empty());
    Whole::new("CONNECT", 0x10, Malformed, fields)
}

/// One of each packet that a client sends after CONNECT, with all that they can have.
pub(super) fn after_connect(version: Version) -> Vec<Whole> {
    let v5 = version == Version::V5;
    let in_v5 = |end| if v5 { Malformed } else { end };
    let id = vec![0, 9];
    let options = if v5 { 0b0010_1001 } else { 1 };
    let message = [b"\x02\0\0\0\x07\x09\0\x02\x01\x02", USER].concat();
    let message = (block(version, &message), Well);
    let payload = || b"payload".iter().map(|byte| (vec![*byte], Well));
    let mut whole = Vec::new();
    let mut publish = vec![(text("cut/topic"), in_v5(Well)), message.clone()];
    publish.extend(payload());
    whole.push(Whole::new("PUBLISH of QoS 0", 0x31, Malformed, publish));
    for (name, first) in [("PUBLISH of QoS 1", 0x3b), ("PUBLISH of QoS 2", 0x34)] {
        let mut publish = vec![(text("cut/topic"), Malformed), (id.clone(), in_v5(Well)), message.clone()];
        publish.extend(payload());
        whole.push(Whole::new(name, first, Malformed, publish));
    }
    for (name, first, reason) in
        [("PUBACK", 0x40, 0x10), ("PUBREC", 0x50, 0x10), ("PUBREL", 0x62, 0x92), ("PUBCOMP", 0x70, 0x92)]
    {
        let mut fields = vec![(id.clone(), Well)];
        if v5 {
            fields.extend([(vec![reason], Well), (block(version, &[REASON, USER].concat()), Well)]);
        }
        whole.push(Whole::new(name, first, Malformed, fields));
    }
    let subscribe = [b"\x0b\x07", USER].concat();
    let mut fields = vec![(id.clone(), in_v5(Misused)), (block(version, &subscribe), Misused)];
    for filter in ["cut/+/x", "cut/#"] {
        fields.extend([(text(filter), Malformed), (vec![options], Well)]);
    }
    whole.push(Whole::new("SUBSCRIBE", 0x82, Malformed, fields));
    let mut fields = vec![(id, in_v5(Misused)), (block(version, USER), Misused)];
    fields.extend([(text("cut/+/x"), Well), (text("cut/#"), Well)]);
    whole.push(Whole::new("UNSUBSCRIBE", 0xa2, Malformed, fields));
    whole.push(Whole::new("PINGREQ", 0xc0, Well, vec![]));
    let disconnect = match v5 {
        true => vec![(vec![0x04], Well), (block(version, &[REASON, USER].concat()), Well)],
        false => vec![],
    };
    whole.push(Whole::new("DISCONNECT", 0xe0, Well, disconnect));
    if v5 {
        let method = [b"\x15\0\x01m\x16\0\x01d", REASON, USER].concat();
        let fields = vec![(vec![0x18], Malformed), (block(version, &method), Misused)];
        whole.push(Whole::new("AUTH", 0xf0, Misused, fields));
    }
    for packet in &mut whole {
        packet.fields.retain(|(bytes, _)| !bytes.is_empty());
    }
    whole
}
