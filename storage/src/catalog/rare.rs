//! What only some sessions have, and none that is away with nothing under way.

use std::ops::{Deref, DerefMut};

use crate::record::GapsRow;
use crate::{Drops, Exchange, Lsn, PacketIdSet, Reader, Will};

/// What only some sessions have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Of the current attachment.
    pub(crate) reader: Option<Reader>,
    pub(crate) exchanges: Option<Box<Exchanges>>,
    pub(crate) inbound: Option<Box<PacketIdSet>>,
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

/// What a session has under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    pub(crate) open: Vec<Exchange>,
    /// Exchanges with a copy of their own: packet identifier and LSN.
    pub(crate) held: Vec<(u16, Lsn)>,
}

/// The same, in the place of a pointer: there are many sessions that have nothing of it. To change it makes it.
#[derive(Debug, Default)]
pub(crate) struct Rarely(Option<Box<Rare>>);

impl Rarely {
    /// What a session has that has just been read: nothing, if it has no will.
    pub(crate) fn of_will(will: Option<Will>, will_due_at_millis: Option<u64>) -> Rarely {
        let any = will.is_some() || will_due_at_millis.is_some();
        Rarely(
            any.then(|| Box::new(Rare { will: will.map(Box::new), will_due_at_millis, ..Rare::default() })),
        )
    }

    /// Lets go of it if nothing is in it.
    pub(crate) fn settle(&mut self) {
        let Rare { reader, exchanges, inbound, will, will_due_at_millis, drops, gaps, refused } = &**self;
        let rests = reader.is_none() && exchanges.is_none() && inbound.is_none();
        let has_no_will = will.is_none() && will_due_at_millis.is_none();
        if rests && has_no_will && drops.is_none() && gaps.is_none() && refused.is_none() {
            self.0 = None;
        }
    }
}

impl Deref for Rarely {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        static NOTHING: Rare = Rare {
            reader: None,
            exchanges: None,
            inbound: None,
            will: None,
            will_due_at_millis: None,
            drops: None,
            gaps: None,
            refused: None,
        };
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
        let mut rarely = Rarely::of_will(None, None);
        assert!(rarely.0.is_none() && rarely.drops.is_none());
        rarely.will_due_at_millis = Some(7);
        rarely.settle();
        assert_eq!(rarely.will_due_at_millis, Some(7));
        rarely.will_due_at_millis = None;
        rarely.settle();
        assert!(rarely.0.is_none());
    }
}
