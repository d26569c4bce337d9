//! Where other codecs differ from ours, and why ours is right or both are.

use super::Case;

/// A way to differ that has been looked into. Empty or `None`: any.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The other codec.
    pub peer: &'static str,
    /// MQTT 5 or not.
    pub v5: Option<bool>,
    /// The types of packet.
    pub packet_types: &'static [u8],
    /// What the broker's decoder says, as in [`Case::ours`].
    pub ours: &'static [&'static str],
    /// What the other says.
    pub theirs: &'static [&'static str],
    /// The reason.
    pub why: &'static str,
}

impl Difference {
    /// Whether it is this one.
    #[must_use]
    pub fn explains(&self, case: &Case) -> bool {
        self.peer == case.peer
            && self.v5.is_none_or(|v5| v5 == case.v5)
            && (self.packet_types.is_empty() || self.packet_types.contains(&case.packet_type))
            && (self.ours.is_empty() || self.ours.contains(&case.ours.as_str()))
            && self.theirs.contains(&case.theirs)
    }
}

/// All that is known.
pub const EXPLAINED: &[Difference] = &[];
