//! A second MQTT codec and client, for tests, the load generator and the crash lab.
//!
//! It shares no code with the broker, so that a misreading of the standard on one side is seen by the other. It is
//! written to be able to send *wrong* packets as well as right ones: nothing a builder is given is checked, and
//! [`RawPacket`] writes any bytes at all. What comes from the server is parsed strictly.
//!
//! - [`packets`]: builders of everything that a client sends; [`raw`]: packets byte by byte.
//! - [`Packet`] and [`parse()`]: everything that a server sends, with its properties.
//! - [`Client`]: a blocking client with time limits, for tests.
//! - [`frames`]: frames and acknowledgements read in place, without allocation, for load.

pub mod client;
pub mod frames;
pub mod packets;
pub mod parse;
pub mod property;
pub mod raw;

pub use client::{Client, ClientError};
pub use packets::{Ack, Auth, Connect, Disconnect, Publish, Subscribe, Subscription, Unsubscribe, Will};
pub use parse::{ConnAck, Packet, ParseError, SubAck, parse};
pub use property::{Properties, Property};
pub use raw::RawPacket;

/// The protocol of a connection, by the protocol level in its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5.0, level 5.
    V5,
}

impl Version {
    /// The protocol level, the byte after the protocol name.
    pub fn level(self) -> u8 {
        match self {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V5 => 5,
        }
    }

    /// Whether packets carry properties and reason codes.
    pub fn has_properties(self) -> bool {
        self == Version::V5
    }
}

/// Packet types, the upper four bits of the first byte of a packet.
pub mod kind {
    /// CONNECT
    pub const CONNECT: u8 = 1;
    /// CONNACK
    pub const CONNACK: u8 = 2;
    /// PUBLISH
    pub const PUBLISH: u8 = 3;
    /// PUBACK
    pub const PUBACK: u8 = 4;
    /// PUBREC
    pub const PUBREC: u8 = 5;
    /// PUBREL
    pub const PUBREL: u8 = 6;
    /// PUBCOMP
    pub const PUBCOMP: u8 = 7;
    /// SUBSCRIBE
    pub const SUBSCRIBE: u8 = 8;
    /// SUBACK
    pub const SUBACK: u8 = 9;
    /// UNSUBSCRIBE
    pub const UNSUBSCRIBE: u8 = 10;
    /// UNSUBACK
    pub const UNSUBACK: u8 = 11;
    /// PINGREQ
    pub const PINGREQ: u8 = 12;
    /// PINGRESP
    pub const PINGRESP: u8 = 13;
    /// DISCONNECT
    pub const DISCONNECT: u8 = 14;
    /// AUTH
    pub const AUTH: u8 = 15;
}
