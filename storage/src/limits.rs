//! How much may wait: limits on what is queued, and what happens to messages beyond them.

/// What waits, in messages and in bytes. Bytes are those of the messages as the store has them: topic, publisher,
/// properties and payload, with some twenty bytes of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Load {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Load {
    /// What of this is beyond `other`: nothing where that is more.
    pub(crate) fn beyond(self, other: Load) -> Load {
        Load {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    pub(crate) fn plus(self, other: Load) -> Load {
        Load {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What happens to messages beyond a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The oldest that wait go.
    #[default]
    DropOldest,
    /// The newest are left out.
    DropNewest,
    /// The publish is refused as a whole, if its publisher can be told so; else as [`Policy::DropNewest`].
    Reject,
}

/// A limit on what waits. It is reached with the message that brings the messages or the bytes up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Messages; `None`: any number.
    pub max_messages: Option<u64>,
    /// Bytes; `None`: any number.
    pub max_bytes: Option<u64>,
    /// What happens beyond it.
    pub policy: Policy,
}

/// All limits on what waits. None by default: then only the disk limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For each session.
    pub session: Limit,
    /// For each group of a shared subscription. What waits there is what no member has taken for good: it counts until a
    /// stored member's exchange is recorded, or another member has acknowledged it (QoS 1) or is about to be sent it (QoS 2).
    /// What a member has in its window is not dropped.
    pub group: Limit,
    /// For all sessions and groups together. A message counts once for each log that has it, however many sessions share the log.
    pub total: Limit,
}

impl Limit {
    /// Whether it limits anything.
    pub fn is_set(&self) -> bool {
        self.max_messages.is_some() || self.max_bytes.is_some()
    }

    /// Whether nothing more is to wait.
    pub(crate) fn is_reached(&self, load: Load) -> bool {
        self.max_messages.is_some_and(|max| load.messages >= max)
            || self.max_bytes.is_some_and(|max| load.bytes >= max)
    }

    /// Whether more waits than is to.
    pub(crate) fn is_exceeded(&self, load: Load) -> bool {
        self.max_messages.is_some_and(|max| load.messages > max)
            || self.max_bytes.is_some_and(|max| load.bytes > max)
    }

    /// This limit's part, in hundredths: with `percent` of it the load is as high as that.
    pub(crate) fn part(&self, percent: u64) -> Limit {
        let part = |max: u64| u64::try_from(u128::from(max) * u128::from(percent) / 100).unwrap_or(u64::MAX);
        Limit {
            max_messages: self.max_messages.map(|max| part(max).max(1)),
            max_bytes: self.max_bytes.map(|max| part(max).max(1)),
            policy: self.policy,
        }
    }

    /// This limit less a sixty-fourth, at least by one: where a session of shared logs that was full takes messages again.
    pub(crate) fn less_a_little(&self) -> Limit {
        let less = |max: u64| max - (max / 64).max(1).min(max);
        Limit {
            max_messages: self.max_messages.map(less),
            max_bytes: self.max_bytes.map(less),
            policy: self.policy,
        }
    }

    /// How much is left to it; as good as everything where there is no limit.
    pub(crate) fn left(&self, load: Load) -> Load {
        let left = |max: Option<u64>, now: u64| max.map_or(u64::MAX, |max| max.saturating_sub(now));
        Load { messages: left(self.max_messages, load.messages), bytes: left(self.max_bytes, load.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_before_it_is_exceeded() {
        let limit = Limit { max_messages: Some(10), max_bytes: Some(100), policy: Policy::Reject };
        let load = |messages, bytes| Load { messages, bytes };
        assert!(
            !limit.is_reached(load(9, 99)) && limit.is_reached(load(10, 0)) && limit.is_reached(load(0, 100))
        );
        assert!(!limit.is_exceeded(load(10, 100)) && limit.is_exceeded(load(11, 0)));
        assert!(!Limit::default().is_set() && !Limit::default().is_reached(load(u64::MAX, u64::MAX)));
        assert_eq!(limit.part(80).max_messages, Some(8));
        assert_eq!(limit.less_a_little().max_messages, Some(9));
        assert_eq!(Limit { max_messages: Some(640), ..limit }.less_a_little().max_messages, Some(630));
        assert_eq!(limit.left(load(4, 400)), load(6, 0));
        assert_eq!(load(4, 4).plus(load(1, 1)).beyond(load(2, 9)), load(3, 0));
    }
}
