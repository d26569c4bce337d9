//! What a trial hit. A trial that never hit something has not shown that the broker survives it.

use std::fmt;

/// When a count must not be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// In every trial.
    Always,
    /// In a long trial.
    Long,
    /// In a long trial whose faults end the broker's process under load.
    Crash,
    /// In a long trial with crashes, if the broker has QoS 2.
    Qos2,
    /// In a long trial, if the broker has retained messages.
    Retained,
    /// In a long trial, if the broker has shared subscriptions.
    Shared,
    /// In a long trial with crashes, if a member's session may end.
    HandsOn,
    /// In a long trial with crashes, if the broker has wills.
    Wills,
    /// In a long trial with crashes, if the broker lets sessions expire.
    Expiry,
    /// If the broker is killed while it starts.
    Recovery,
    /// If it is killed at the worst moments.
    Trap,
    /// If it is killed when its files change.
    Files,
    /// If the power is cut.
    PowerCut,
    /// If the disk fails.
    Disk,
    /// If the network fails.
    Network,
    /// Only counted.
    Never,
}

macro_rules! coverage {
    ($($field:ident $need:ident $text:literal;)+) => {
        /// Counts over a trial.
        #[derive(Clone, Debug, Default)]
        pub struct Coverage {
            $(#[doc = $text] pub $field: u64,)+
        }

        impl Coverage {
            /// What was counted, with its name.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$field),)+]
            }

            /// Adds the counts of another part of the trial.
            pub fn add(&mut self, other: &Coverage) {
                $(self.$field += other.$field;)+
            }

            /// Names of the counts that are zero and must not be.
            pub(crate) fn never_hit(&self, is_needed: impl Fn(Need) -> bool) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$field == 0 && is_needed(Need::$need) { names.push($text); })+
                names
            }
        }
    };
}

coverage! {
    faults Always "faults";
    acknowledged Always "messages acknowledged";
    delivered Always "messages delivered";
    acknowledged_just_before Crash "messages acknowledged < 50 ms before a crash";
    crashes Crash "crashes of a serving broker";
    trapped Trap "crashes right behind a packet of a client";
    kills_in_recovery Recovery "crashes during start";
    kills_at_files Files "crashes right behind a change of the files";
    writes_dropped PowerCut "writes that a power cut took or tore";
    disk_faults Disk "operations that a fault of the disk hit";
    connections_hit Network "connections that a fault of the network hit";
    publishes_in_flight Crash "publishes in flight at a break";
    inbound_open Qos2 "inbound QoS 2 identifiers open at a break";
    publish_sent Crash "outbound exchanges broken with PUBLISH unanswered";
    pubrec_sent Qos2 "outbound exchanges broken with PUBREC sent";
    pubrel_seen Qos2 "outbound exchanges broken with PUBREL seen";
    redeliveries Long "DUP redeliveries";
    repeated Never "QoS 1 duplicates";
    refused Never "publishes refused for want of room";
    resumed Long "sessions resumed";
    made Long "sessions made";
    ended Long "sessions ended";
    taken_over Long "connections taken over";
    subscribed Always "subscriptions made";
    unsubscribed Long "subscriptions removed";
    retained_found Retained "retained messages found as they must be";
    retained_absent Retained "retained messages absent as they must be";
    group_delivered Shared "messages of the group delivered";
    group_handed_on HandsOn "messages of the group handed on to another member";
    group_open Shared "exchanges of group members open at a break";
    group_ended HandsOn "sessions of group members ended";
    wills_published Wills "wills published";
    wills_withdrawn Wills "wills withdrawn by a good-bye";
    wills_orphaned Wills "wills of clients connected at a break";
    wills_delayed Never "wills with a delay";
    kept_until_expiry Expiry "sessions resumed before their expiry";
    expired Expiry "sessions gone behind their expiry";
    expired_across_breaks Expiry "sessions gone behind their expiry, with a break in between";
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(formatter, "  {count:>9}  {name}")?;
        }
        Ok(())
    }
}

#[test]
fn a_count_of_zero_is_named() {
    let coverage = Coverage { faults: 1, ..Coverage::default() };
    let missing = coverage.never_hit(|need| need == Need::Always);
    assert!(!missing.contains(&"faults") && missing.contains(&"messages acknowledged"), "{missing:?}");
    assert!(
        coverage.never_hit(|need| need == Need::PowerCut).contains(&"writes that a power cut took or tore")
    );
    let mut sum = coverage.clone();
    sum.add(&coverage);
    assert_eq!(sum.faults, 2);
}
