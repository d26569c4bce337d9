//! A message on its way to this session's client, borrowed from wherever it stands.

/// What the outbound side needs to know of a message. The same for one read from a log, from the retained
/// messages, from a held copy or from the mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// QoS it was published with, 0, 1 or 2.
    pub qos: u8,
    /// RETAIN flag it was published with.
    pub retain: bool,
    /// Client identifier of its publisher.
    pub publisher: &'a str,
    /// Topic name.
    pub topic: &'a str,
    /// Property block to be forwarded unchanged.
    pub forwarded: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
    /// Deadline in milliseconds since the Unix epoch; `None`: never.
    pub expires_at_millis: Option<u64>,
}

impl Delivery<'_> {
    /// Whether its Message Expiry Interval has passed [MQTT-3.3.2-5].
    pub(super) fn expired(&self, unix_millis: u64) -> bool {
        self.expires_at_millis.is_some_and(|deadline| deadline <= unix_millis)
    }

    /// The Message Expiry Interval to send: what is left of it, in whole seconds, at least one [MQTT-3.3.2-6].
    pub(super) fn remaining_expiry_seconds(&self, unix_millis: u64) -> Option<u32> {
        self.expires_at_millis.map(|deadline| {
            let seconds = deadline.saturating_sub(unix_millis).div_ceil(1000).max(1);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        })
    }
}

/// Where a message stands in the store: its LSN and a log that has it. The session compares and keeps these, and
/// knows no more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Log sequence number.
    pub lsn: u64,
    /// Number of a log that holds it; 0: only a copy held with the exchange.
    pub log: u64,
}
