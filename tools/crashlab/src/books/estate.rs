//! What becomes of wills: published once if the client died, never if it said good-bye. Knows no socket and no clock.

use crate::books::finding::{Kind, Wrong};

/// The wills of a trial, by number.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    wills: Vec<Will>,
}

#[derive(Debug)]
struct Will {
    fate: Fate,
    published: u32,
}

/// What is to become of a will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// CONNECT was sent, or the client lives.
    Open,
    /// The client had a CONNACK and died: its will is due.
    Due,
    /// The client said good-bye and the broker closed; before so many breaks.
    Withdrawn { breaks: u64 },
    /// Nobody can tell: CONNECT or DISCONNECT was sent and not answered.
    InDoubt,
}

impl Estate {
    /// A will that is about to be sent; gives its number.
    pub(crate) fn make(&mut self) -> usize {
        self.wills.push(Will { fate: Fate::Open, published: 0 });
        self.wills.len() - 1
    }

    /// What is to become of it is known.
    pub(crate) fn decide(&mut self, will: usize, fate: Fate) {
        self.wills[will].fate = fate;
    }

    /// A will came. Errs if it should not have.
    pub(crate) fn published(&mut self, will: usize, breaks: u64) -> Result<(), Wrong> {
        let known = self
            .wills
            .get_mut(will)
            .ok_or_else(|| Kind::Phantom.says(format!("will {will} was never made")))?;
        known.published += 1;
        match known.fate {
            _ if known.published > 1 => {
                Err(Kind::Will.says(format!("will {will} was published {} times", known.published)))
            }
            // A good-bye is not acknowledged: one right before a kill may be lost with it.
            Fate::Withdrawn { breaks: before } if before == breaks => {
                Err(Kind::Will.says(format!("will {will} was published after a good-bye")))
            }
            _ => Ok(()),
        }
    }

    /// Says no more about the wills that there were.
    pub(crate) fn checkpoint(&mut self) {
        for will in self.wills.iter_mut().filter(|will| will.fate == Fate::Due && will.published == 0) {
            will.fate = Fate::InDoubt;
        }
    }

    /// Wills that are due and have not come.
    pub(crate) fn missing(&self) -> Vec<String> {
        let due = |(_, will): &(usize, &Will)| will.fate == Fate::Due && will.published == 0;
        self.wills.iter().enumerate().filter(due).map(|(number, _)| format!("will {number} is due")).collect()
    }
}

#[test]
fn planted_faults_of_wills_are_found() {
    let mut estate = Estate::default();
    let wills: Vec<usize> = (0..4).map(|_| estate.make()).collect();
    estate.decide(wills[0], Fate::Due);
    estate.decide(wills[1], Fate::Withdrawn { breaks: 3 });
    estate.decide(wills[2], Fate::InDoubt);
    assert_eq!(estate.missing(), ["will 0 is due"]);
    estate.published(wills[0], 3).expect("it is due");
    assert!(estate.published(wills[0], 3).is_err(), "twice");
    assert!(estate.published(wills[1], 3).is_err(), "withdrawn");
    assert!(estate.published(wills[2], 3).is_ok(), "in doubt");
    assert!(estate.published(9, 3).is_err(), "unknown");
    assert!(estate.missing().is_empty());
}
