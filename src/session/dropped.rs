//! What a session itself drops: messages that it had, and that its client does not get.

/// Messages that were passed over, by reason. They are kept in the transaction that keeps the position behind them, so
/// that each counts once, whenever the broker dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Their Message Expiry Interval had passed [MQTT-3.3.2-5].
    pub expired: u64,
    /// Larger than the client's Maximum Packet Size [MQTT-3.1.2-25].
    pub too_large: u64,
    /// Their subscription was removed while they waited.
    pub unsubscribed: u64,
    /// They cannot be read.
    pub damaged: u64,
    /// They cannot be read, in parts of logs of which it is not known how much of them was the session's: an upper bound.
    pub damaged_at_most: u64,
    /// Beyond the session's limit, counted one by one.
    pub over_limit: u64,
    /// Beyond the session's limit, in logs that it shares with others: an upper bound.
    pub over_limit_shared_at_most: u64,
    /// Beyond the limit of all that waits, counted one by one.
    pub over_total: u64,
    /// Beyond the limit of all that waits, in logs that it shares with others: an upper bound.
    pub over_total_shared_at_most: u64,
}

impl Dropped {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            expired: self.expired + other.expired,
            too_large: self.too_large + other.too_large,
            unsubscribed: self.unsubscribed + other.unsubscribed,
            damaged: self.damaged + other.damaged,
            damaged_at_most: self.damaged_at_most + other.damaged_at_most,
            over_limit: self.over_limit + other.over_limit,
            over_limit_shared_at_most: self.over_limit_shared_at_most + other.over_limit_shared_at_most,
            over_total: self.over_total + other.over_total,
            over_total_shared_at_most: self.over_total_shared_at_most + other.over_total_shared_at_most,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
