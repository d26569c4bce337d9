//! Keep-alive: the connection ends when nothing came for one and a half intervals [MQTT-3.1.2-22].

use super::Now;

/// Watches one connection's silence.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// `None`: keep-alive 0, the client may be silent for ever.
    silence_millis: Option<u64>,
    heard_at: u64,
}

impl KeepAlive {
    pub(super) fn new(seconds: u16, now: Now) -> Self {
        let silence_millis = (seconds > 0).then(|| u64::from(seconds) * 1500);
        Self { silence_millis, heard_at: now.monotonic_millis }
    }

    /// Something arrived, or the broker itself was not reading.
    pub(super) fn heard(&mut self, now: Now) {
        self.heard_at = now.monotonic_millis;
    }

    /// When the silence will have lasted too long, in monotonic milliseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.silence_millis.map(|silence| self.heard_at + silence)
    }

    pub(super) fn expired(&self, now: Now) -> bool {
        self.deadline().is_some_and(|deadline| now.monotonic_millis >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_millis: u64) -> Now {
        Now { monotonic_millis, unix_millis: 0 }
    }

    #[test]
    fn ends_after_one_and_a_half_intervals() {
        let mut keep_alive = KeepAlive::new(10, at(0));
        assert!(!keep_alive.expired(at(14_999)));
        assert!(keep_alive.expired(at(15_000)));
        keep_alive.heard(at(14_000));
        assert_eq!(keep_alive.deadline(), Some(29_000));
    }

    #[test]
    fn zero_never_ends() {
        assert!(!KeepAlive::new(0, at(0)).expired(at(u64::MAX)));
    }
}
