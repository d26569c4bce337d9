//! A message as a log, a retained entry or a held exchange has it.

use bytes::Bytes;
use bytestring::ByteString;

use crate::Lsn;

/// A message on its way through the store. The topic, properties and payload of a message that was read share
/// one buffer with its neighbours: copy what is to be kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Quality of service it was published with: 0, 1 or 2 (0 only in retained messages).
    pub qos: u8,
    /// The RETAIN flag it was published with (Retain As Published needs it).
    pub retain: bool,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub published_at_millis: u64,
    /// When it expires, in milliseconds since the Unix epoch; `None`: never. Message Expiry Interval [MQTT-3.3.2-5].
    pub expires_at_millis: Option<u64>,
    /// Client identifier of the publisher, for No Local.
    pub publisher: ByteString,
    /// Topic name.
    pub topic: ByteString,
    /// MQTT 5 properties to be forwarded unchanged, as an already validated property block without its length;
    /// opaque to the store.
    pub properties: Bytes,
    /// Application payload.
    pub payload: Bytes,
}

/// A message read from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order.
    pub lsn: Lsn,
    /// The log it was read from (one of them, when several hold it).
    pub log: crate::LogId,
    /// The message.
    pub message: Message,
}
