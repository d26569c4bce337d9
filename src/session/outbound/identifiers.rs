//! Outbound packet identifiers that a restarted broker can work out again.
//!
//! Identifiers are given out in sequence, in the order in which messages are read, and the sequence passes over those
//! that were open in the last durable outbound record. A broker that died resumes from that record, reads the same
//! messages in the same order and comes to the same identifiers: so a PUBLISH need not wait for a commit of its own, and
//! what is sent again after a crash carries its original identifier [MQTT-4.4.0-1].
//!
//! While a newer record is on its way to the disk, either of the two may be the one a crash leaves behind: an
//! identifier that only one of them would pass over is not given out until the newer one is durable.

use std::collections::VecDeque;

/// Messages that may be sent on the strength of one durable record. Far fewer than there are identifiers, so that the
/// sequence cannot come round to one given out since.
pub(super) const REACH: u32 = 4096;

const _: () = assert!(REACH + u16::MAX as u32 / 8 < u16::MAX as u32, "the sequence must not lap itself");

/// The sequence and the records it rests on.
#[derive(Debug)]
pub(super) struct Identifiers {
    last: u16,
    durable: OpenSet,
    /// Records submitted and not yet durable, oldest first.
    pending: VecDeque<OpenSet>,
    /// Given out since the durable record was taken.
    given: u32,
}

/// The identifiers open in one record, and how many were given out before it was taken.
#[derive(Debug, Default)]
struct OpenSet {
    open: Vec<u16>,
    given: u32,
}

/// Why no identifier can be given out now: a record must become durable first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AwaitRecord;

impl Identifiers {
    /// Resumes from a durable record.
    pub(super) fn resume(last: u16, open: impl Iterator<Item = u16>) -> Self {
        let mut open: Vec<u16> = open.collect();
        open.sort_unstable();
        Self { last, durable: OpenSet { open, given: 0 }, pending: VecDeque::new(), given: 0 }
    }

    /// The next identifier.
    pub(super) fn next(&mut self) -> Result<u16, AwaitRecord> {
        if self.given >= REACH {
            return Err(AwaitRecord);
        }
        let mut candidate = self.last;
        loop {
            candidate = if candidate == u16::MAX { 1 } else { candidate + 1 };
            let taken = self.durable.has(candidate);
            if self.pending.iter().any(|record| record.has(candidate) != taken) {
                return Err(AwaitRecord);
            }
            if !taken {
                break;
            }
        }
        self.last = candidate;
        self.given += 1;
        Ok(candidate)
    }

    /// The last one given out.
    pub(super) fn last(&self) -> u16 {
        self.last
    }

    /// How many were given out since the durable record was taken.
    pub(super) fn given(&self) -> u32 {
        self.given
    }

    /// A record with these open identifiers was submitted.
    pub(super) fn record_submitted(&mut self, open: impl Iterator<Item = u16>) {
        let mut open: Vec<u16> = open.collect();
        open.sort_unstable();
        self.pending.push_back(OpenSet { open, given: self.given });
    }

    /// The oldest submitted record is durable.
    pub(super) fn record_durable(&mut self) {
        let record = self.pending.pop_front().expect("a record becomes durable after it was submitted");
        self.given -= record.given;
        for later in &mut self.pending {
            later.given -= record.given;
        }
        self.durable = record;
    }

    /// Whether a submitted record is not yet durable.
    pub(super) fn awaiting(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl OpenSet {
    fn has(&self, packet_id: u16) -> bool {
        self.open.binary_search(&packet_id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_passes_over_what_the_durable_record_has_open() {
        let mut identifiers = Identifiers::resume(u16::MAX - 1, [u16::MAX, 1, 3].into_iter());
        assert_eq!((identifiers.next(), identifiers.next()), (Ok(2), Ok(4)));
    }

    #[test]
    fn an_identifier_that_only_one_record_passes_over_waits() {
        let mut identifiers = Identifiers::resume(4, [5].into_iter());
        identifiers.record_submitted([].into_iter());
        assert_eq!(identifiers.next(), Err(AwaitRecord));
        identifiers.record_durable();
        assert_eq!(identifiers.next(), Ok(5));
    }

    #[test]
    fn no_more_are_given_out_than_one_record_reaches() {
        let mut identifiers = Identifiers::resume(0, [].into_iter());
        for _ in 0..REACH {
            identifiers.next().expect("within reach");
        }
        assert_eq!(identifiers.next(), Err(AwaitRecord));
        identifiers.record_submitted([].into_iter());
        identifiers.record_durable();
        assert_eq!(identifiers.next(), Ok(u16::try_from(REACH).expect("small") + 1));
    }

    /// Whatever the client acknowledges and whenever records become durable: a broker that resumes from the durable
    /// record gives the same identifiers to the same messages.
    #[test]
    fn a_crash_at_any_point_gives_the_same_identifiers_again() {
        let mut random = 0x9E37_79B9_u64;
        let mut roll = move |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let mut identifiers = Identifiers::resume(0, [].into_iter());
        let mut open: Vec<u16> = Vec::new();
        // Per submitted record: its open identifiers, its last one, and what has been given out since.
        let mut records: VecDeque<(Vec<u16>, u16, Vec<u16>)> = VecDeque::from([(Vec::new(), 0, Vec::new())]);
        for _ in 0..400_000 {
            match roll(8) {
                0..=3 if open.len() < 256 => {
                    if let Ok(next) = identifiers.next() {
                        assert!(!open.contains(&next), "{next} is in use");
                        open.push(next);
                        records.iter_mut().for_each(|record| record.2.push(next));
                    }
                }
                4 | 5 if !open.is_empty() => {
                    // Mostly in order, and sometimes one that stays for a long time.
                    let index = if roll(50) == 0 { 0 } else { roll(open.len() as u64) as usize };
                    if index > 0 || roll(500) == 0 {
                        open.remove(index);
                    }
                }
                6 if records.len() == 1 && roll(100) == 0 => {
                    identifiers.record_submitted(open.iter().copied());
                    records.push_back((open.clone(), identifiers.last(), Vec::new()));
                }
                7 if records.len() == 2 && roll(100) == 0 => {
                    identifiers.record_durable();
                    records.pop_front();
                }
                _ => {}
            }
            if roll(1000) == 0 {
                for (open, last, given) in &records {
                    let mut resumed = Identifiers::resume(*last, open.iter().copied());
                    let again: Vec<u16> = given.iter().map_while(|_| resumed.next().ok()).collect();
                    assert_eq!(&again, given);
                }
            }
        }
    }
}
