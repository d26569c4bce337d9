//! What was dropped, and why: counted for each session and in total, kept with the transaction that drops.

/// Why a message that waited for a session, or was to, never reached its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// The limit of the session's backlog.
    SessionLimit = 0,
    /// The limit of a shared group's backlog.
    GroupLimit = 1,
    /// The limit of everything that waits.
    TotalLimit = 2,
    /// Its Message Expiry Interval passed while it waited [MQTT-3.3.2-5], or its session expired with it waiting.
    Expired = 3,
    /// Larger than the client's Maximum Packet Size [MQTT-3.1.2-25].
    TooLarge = 4,
    /// It waited for a subscription that was removed.
    Unsubscribed = 5,
    /// The mailbox of a connection was full: what is not kept on the disk.
    Mailbox = 6,
    /// Its record cannot be read.
    Damaged = 7,
    /// The session of a member of a shared group ended while it was under way at QoS 2 [MQTT-4.8.2-5].
    GroupDiscarded = 8,
    /// A member of a shared group refused it: it goes to nobody else [MQTT-4.8.2-6].
    GroupRefused = 9,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [DropReason; 10] = [
        DropReason::SessionLimit,
        DropReason::GroupLimit,
        DropReason::TotalLimit,
        DropReason::Expired,
        DropReason::TooLarge,
        DropReason::Unsubscribed,
        DropReason::Mailbox,
        DropReason::Damaged,
        DropReason::GroupDiscarded,
        DropReason::GroupRefused,
    ];

    /// What it is called where counts are shown.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::SessionLimit => "session_limit",
            DropReason::GroupLimit => "group_limit",
            DropReason::TotalLimit => "total_limit",
            DropReason::Expired => "expired",
            DropReason::TooLarge => "too_large",
            DropReason::Unsubscribed => "unsubscribed",
            DropReason::Mailbox => "mailbox",
            DropReason::Damaged => "damaged",
            DropReason::GroupDiscarded => "group_discarded",
            DropReason::GroupRefused => "group_refused",
        }
    }
}

/// How many messages were dropped for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Messages counted one by one: those of the session's own log, and those that the session itself passed over.
    pub exactly: u64,
    /// Messages of the logs of filters that several sessions share: an upper bound, since a message that several of the
    /// session's filters match counts for each of their logs.
    pub shared_at_most: u64,
}

impl Dropped {
    /// So many, exactly.
    pub fn exactly(messages: u64) -> Dropped {
        Dropped { exactly: messages, shared_at_most: 0 }
    }

    /// Whether there are none.
    pub fn is_zero(self) -> bool {
        self == Dropped::default()
    }

    /// All of them: an upper bound when some are.
    pub fn at_most(self) -> u64 {
        self.exactly.saturating_add(self.shared_at_most)
    }
}

/// Drops by their reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [Dropped; DropReason::ALL.len()],
}

impl Drops {
    /// The count of one reason.
    pub fn get(&self, reason: DropReason) -> Dropped {
        self.counts[reason as usize]
    }

    /// Adds to the count of one reason.
    pub fn add(&mut self, reason: DropReason, dropped: Dropped) {
        let count = &mut self.counts[reason as usize];
        count.exactly = count.exactly.saturating_add(dropped.exactly);
        count.shared_at_most = count.shared_at_most.saturating_add(dropped.shared_at_most);
    }

    /// The reasons for which anything was dropped, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, Dropped)> {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.get(reason)))
            .filter(|(_, dropped)| !dropped.is_zero())
    }

    /// Whether nothing was dropped.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_where_its_number_says_and_has_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            assert!(names.insert(reason.name()));
        }
    }

    #[test]
    fn counts_add_up_by_reason() {
        let mut drops = Drops::default();
        assert!(drops.is_empty());
        drops.add(DropReason::Expired, Dropped::exactly(2));
        drops.add(DropReason::Expired, Dropped { exactly: 1, shared_at_most: 4 });
        drops.add(DropReason::Mailbox, Dropped::default());
        let expired = Dropped { exactly: 3, shared_at_most: 4 };
        assert_eq!(drops.iter().collect::<Vec<_>>(), [(DropReason::Expired, expired)]);
        assert_eq!((expired.at_most(), drops.get(DropReason::Mailbox)), (7, Dropped::default()));
    }
}
