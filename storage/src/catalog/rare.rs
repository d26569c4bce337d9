//! What only some sessions have.

use std::ops::{Deref, DerefMut};

use crate::record::GapsRow;
use crate::{Drops, PacketIdSet, Will};

/// What only some sessions have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) will: Option<Box<Will>>,
    /// When the will is due, in milliseconds since the Unix epoch; `None` while its connection lasts.
    pub(crate) will_due_at_millis: Option<u64>,
    /// What was dropped of its messages.
    pub(crate) drops: Option<Box<Drops>>,
    /// Parts of its logs that it passes over.
    pub(crate) gaps: Option<Box<GapsRow>>,
    /// QoS 2 identifiers of publishes that were refused. Sets of identifiers that its connection sent before it knew
    /// still have them.
    pub(crate) refused: Option<Box<PacketIdSet>>,
}

/// The same, in the place of a pointer: there are many sessions that have nothing of it. To change it makes it.
#[derive(Debug, Default)]
pub(crate) struct Rarely(Option<Box<Rare>>);

impl Rarely {
    /// Lets go of it if nothing is in it.
    pub(crate) fn settle(&mut self) {
        let Rare { will, will_due_at_millis, drops, gaps, refused } = &**self;
        let none = will.is_none() && will_due_at_millis.is_none() && drops.is_none();
        if none && gaps.is_none() && refused.is_none() {
            self.0 = None;
        }
    }
}

impl From<Rare> for Rarely {
    fn from(rare: Rare) -> Rarely {
        let mut rarely = Rarely(Some(Box::new(rare)));
        rarely.settle();
        rarely
    }
}

impl Deref for Rarely {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        static NOTHING: Rare =
            Rare { will: None, will_due_at_millis: None, drops: None, gaps: None, refused: None };
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Rarely {
    fn deref_mut(&mut self) -> &mut Rare {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_while_something_is_in_it() {
        let mut rarely = Rarely::from(Rare::default());
        assert!(rarely.0.is_none() && rarely.drops.is_none());
        rarely.will_due_at_millis = Some(7);
        rarely.settle();
        assert_eq!(rarely.will_due_at_millis, Some(7));
        rarely.will_due_at_millis = None;
        rarely.settle();
        assert!(rarely.0.is_none());
    }
}
