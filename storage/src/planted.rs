//! Bugs that are there on purpose, one at a time: what finds bugs is tried on them.
//!
//! They exist in builds with the cargo feature `planted-faults` only, and such a build needs a word at compile time as well
//! (`BARNACLE_PLANTED_FAULTS=yes`), so that nobody comes to one by `--all-features`. Where one is planted stands a single
//! line in the code. `BARNACLE_PLANT` names the one that is active; without it there is none.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const _: () = assert!(
    option_env!("BARNACLE_PLANTED_FAULTS").is_some(),
    "the feature `planted-faults` builds a broker that loses messages, for the tests of those who look for lost messages. \
     Set BARNACLE_PLANTED_FAULTS=yes to build it"
);

/// The environment variable that names the fault.
pub const VARIABLE: &str = "BARNACLE_PLANT";

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// Everything is acknowledged before the batch that keeps it is written.
    AckBeforeCommit = 1,
    /// A session's position is kept without the exchanges that have begun below it.
    PositionBeforeExchanges,
    /// An inbound QoS 2 message is kept in one batch, and its packet identifier in the next.
    IdentifierAfterMessage,
    /// A new subscription begins one message too late.
    StartOffByOne,
    /// PUBCOMP leaves before the release of its packet identifier is kept.
    PubcompBeforeRelease,
    /// What a member of a shared group had not acknowledged at QoS 1 is lost when its session ends.
    GroupEntryLost,
    /// What a session drops for its limit or because it has expired is not counted.
    DropsUncounted,
    /// The expiry of every session that is away counts anew when the store is opened.
    ExpiryAnew,
    /// Where a log ends is taken for damaged when the disk does not give it.
    UnreadTakenForDamage,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 9] = [
        Fault::AckBeforeCommit,
        Fault::PositionBeforeExchanges,
        Fault::IdentifierAfterMessage,
        Fault::StartOffByOne,
        Fault::PubcompBeforeRelease,
        Fault::GroupEntryLost,
        Fault::DropsUncounted,
        Fault::ExpiryAnew,
        Fault::UnreadTakenForDamage,
    ];

    /// Its name, as `BARNACLE_PLANT` has it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::AckBeforeCommit => "ack-before-commit",
            Fault::PositionBeforeExchanges => "position-before-exchanges",
            Fault::IdentifierAfterMessage => "identifier-after-message",
            Fault::StartOffByOne => "start-off-by-one",
            Fault::PubcompBeforeRelease => "pubcomp-before-release",
            Fault::GroupEntryLost => "group-entry-lost",
            Fault::DropsUncounted => "drops-uncounted",
            Fault::ExpiryAnew => "expiry-anew",
            Fault::UnreadTakenForDamage => "unread-taken-for-damage",
        }
    }

    /// The fault of a name.
    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// The active one; 0: none.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// Plants a fault, or takes it out again, in the whole process.
pub fn plant(fault: Option<Fault>) {
    ACTIVE.store(fault.map_or(0, |fault| fault as usize), Relaxed);
}

/// Plants what the environment names, if it names one.
///
/// # Errors
///
/// The name, when no fault has it.
pub fn plant_from_environment() -> Result<Option<Fault>, String> {
    let Ok(name) = std::env::var(VARIABLE) else { return Ok(None) };
    let fault = Fault::named(&name).ok_or(name)?;
    plant(Some(fault));
    Ok(Some(fault))
}

/// Whether this one is planted.
pub fn is(fault: Fault) -> bool {
    ACTIVE.load(Relaxed) == fault as usize
}
