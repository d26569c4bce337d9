//! What the kills hit. A campaign that never hit something has not shown that it survives it.

use std::fmt;

/// Counts over the campaign.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Kills of a broker that was serving.
    pub(crate) kills: u64,
    /// Kills of a broker that had not begun to listen.
    pub(crate) kills_in_recovery: u64,
    /// Messages acknowledged, in all and in the round with the fewest.
    pub(crate) acknowledged: u64,
    /// The fewest messages acknowledged in one round.
    pub(crate) fewest_acknowledged: u64,
    /// Messages acknowledged less than 50 ms before a kill.
    pub(crate) acknowledged_just_before: u64,
    /// Messages sent and not acknowledged at a kill.
    pub(crate) publishes_in_flight: u64,
    /// Inbound QoS 2 identifiers between PUBREC and PUBCOMP at a kill.
    pub(crate) inbound_open: u64,
    /// Outbound exchanges at a kill whose PUBLISH the client had not answered.
    pub(crate) publish_sent: u64,
    /// Outbound QoS 2 exchanges at a kill whose PUBREC was sent.
    pub(crate) pubrec_sent: u64,
    /// Outbound QoS 2 exchanges at a kill whose PUBREL was read.
    pub(crate) pubrel_seen: u64,
    /// Redeliveries with DUP of exchanges that the client knew.
    pub(crate) redeliveries: u64,
    /// Messages delivered for the first time.
    pub(crate) delivered: u64,
    /// Sessions resumed, made anew and ended, taken over.
    pub(crate) resumed: u64,
    /// Sessions made.
    pub(crate) made: u64,
    /// Sessions ended by Clean Start or by a DISCONNECT.
    pub(crate) ended: u64,
    /// Connections taken over.
    pub(crate) taken_over: u64,
    /// Subscriptions made.
    pub(crate) subscribed: u64,
    /// Subscriptions removed.
    pub(crate) unsubscribed: u64,
    /// Retained messages looked up and found right.
    pub(crate) retained_found: u64,
    /// Topics looked up that rightly had none.
    pub(crate) retained_absent: u64,
    /// Messages of the shared subscription that a member got.
    pub(crate) group_delivered: u64,
    /// Those of them that another member had got before, and left.
    pub(crate) group_handed_on: u64,
    /// Exchanges of members of the group that were open at a kill.
    pub(crate) group_open: u64,
    /// Members of the group whose session ended.
    pub(crate) group_ended: u64,
    /// Wills published.
    pub(crate) wills_published: u64,
    /// Wills of clients that said good-bye.
    pub(crate) wills_withdrawn: u64,
    /// Wills of clients that were connected when the broker died.
    pub(crate) wills_orphaned: u64,
    /// Wills with a Will Delay.
    pub(crate) wills_delayed: u64,
}

impl Report {
    /// Names of the counts that are zero and must not be.
    pub(crate) fn never_hit(&self) -> Vec<&'static str> {
        self.rows().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }

    fn rows(&self) -> [(&'static str, u64); 28] {
        [
            ("kills of a serving broker", self.kills),
            ("kills during recovery", self.kills_in_recovery),
            ("messages acknowledged", self.acknowledged),
            ("messages acknowledged in the poorest round", self.fewest_acknowledged),
            ("messages acknowledged < 50 ms before a kill", self.acknowledged_just_before),
            ("publishes in flight at a kill", self.publishes_in_flight),
            ("inbound QoS 2 identifiers open at a kill", self.inbound_open),
            ("outbound exchanges killed with PUBLISH unanswered", self.publish_sent),
            ("outbound exchanges killed with PUBREC sent", self.pubrec_sent),
            ("outbound exchanges killed with PUBREL seen", self.pubrel_seen),
            ("DUP redeliveries", self.redeliveries),
            ("messages delivered", self.delivered),
            ("sessions resumed", self.resumed),
            ("sessions made", self.made),
            ("sessions ended", self.ended),
            ("connections taken over", self.taken_over),
            ("subscriptions made", self.subscribed),
            ("subscriptions removed", self.unsubscribed),
            ("retained messages found as they must be", self.retained_found),
            ("retained messages absent as they must be", self.retained_absent),
            ("messages of the group delivered", self.group_delivered),
            ("messages of the group handed on to another member", self.group_handed_on),
            ("exchanges of group members open at a kill", self.group_open),
            ("sessions of group members ended", self.group_ended),
            ("wills published", self.wills_published),
            ("wills withdrawn by a good-bye", self.wills_withdrawn),
            ("wills of clients connected at a kill", self.wills_orphaned),
            ("wills with a delay", self.wills_delayed),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(formatter, "  {count:>9}  {name}")?;
        }
        Ok(())
    }
}

#[test]
fn a_count_of_zero_is_named() {
    assert_eq!(Report::default().never_hit().len(), 28);
    let report = Report { kills: 1, ..Report::default() };
    assert!(!report.never_hit().contains(&"kills of a serving broker"));
}
