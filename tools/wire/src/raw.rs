//! Packets byte by byte, right or wrong.

/// Builds the bytes of any packet: a first byte, then fields. Nothing is checked.
///
/// ```
/// use barnacle_wire::RawPacket;
/// // A PUBACK for packet identifier 7, and one that claims a byte more than it has.
/// assert_eq!(RawPacket::new(0x40).u16(7).finish(), [0x40, 2, 0, 7]);
/// assert_eq!(RawPacket::new(0x40).u16(7).finish_with_length(3), [0x40, 3, 0, 7]);
/// ```
#[derive(Clone, Debug)]
pub struct RawPacket {
    first: u8,
    body: Vec<u8>,
}

impl RawPacket {
    /// A packet whose first byte is `first`: type in the upper four bits, flags in the lower.
    pub fn new(first: u8) -> RawPacket {
        RawPacket { first, body: Vec::new() }
    }

    /// Appends one byte.
    pub fn u8(mut self, value: u8) -> RawPacket {
        self.body.push(value);
        self
    }

    /// Appends a two byte integer.
    pub fn u16(mut self, value: u16) -> RawPacket {
        self.body.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a four byte integer.
    pub fn u32(mut self, value: u32) -> RawPacket {
        self.body.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a variable byte integer in its shortest form.
    pub fn variable(mut self, value: u32) -> RawPacket {
        put_variable(&mut self.body, value);
        self
    }

    /// Appends a string with its two byte length.
    pub fn string(self, value: &str) -> RawPacket {
        self.binary(value.as_bytes())
    }

    /// Appends binary data with its two byte length.
    pub fn binary(mut self, value: &[u8]) -> RawPacket {
        put_binary(&mut self.body, value);
        self
    }

    /// Appends bytes as they are.
    pub fn bytes(mut self, value: &[u8]) -> RawPacket {
        self.body.extend_from_slice(value);
        self
    }

    /// The packet, with the remaining length that is true.
    pub fn finish(self) -> Vec<u8> {
        let length = u32::try_from(self.body.len()).expect("a packet built in a test is below 4 GiB");
        self.finish_with_length(length)
    }

    /// The packet with a remaining length of `length`, whatever it has.
    pub fn finish_with_length(self, length: u32) -> Vec<u8> {
        let mut packet = Vec::with_capacity(self.body.len() + 5);
        packet.push(self.first);
        put_variable(&mut packet, length);
        packet.extend_from_slice(&self.body);
        packet
    }

    /// The packet with the given bytes where the remaining length stands.
    pub fn finish_with_length_bytes(self, length: &[u8]) -> Vec<u8> {
        let mut packet = vec![self.first];
        packet.extend_from_slice(length);
        packet.extend_from_slice(&self.body);
        packet
    }
}

/// Appends `value` as a variable byte integer; beyond 268,435,455 it takes a fifth byte, which is malformed.
pub fn put_variable(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Appends binary data with its two byte length.
///
/// # Panics
///
/// If it is longer than 65,535 bytes: no such field can be written.
pub fn put_binary(out: &mut Vec<u8>, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("a length prefixed field holds at most 65,535 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}
