//! Numbered payloads, and the account of what arrived.

use crate::options::shape::Shape;
use std::collections::HashSet;

/// Bytes of every payload that say which message it is: publisher, then number.
pub(crate) const HEADER: usize = 12;

/// Bytes to fill payloads with that do not compress, the same in every run.
pub(crate) struct Filler {
    pool: Vec<u8>,
    length: usize,
}

impl Filler {
    /// Filler for payloads of `size` bytes.
    pub(crate) fn new(size: usize) -> Filler {
        let length = size.saturating_sub(HEADER);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let pool = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        });
        Filler { pool: pool.take(length + 65_536).collect(), length }
    }

    /// Appends the payload of message `number` of `publisher`.
    pub(crate) fn put(&self, publisher: u32, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&publisher.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        // A different stretch of the pool for neighbours, so that a store cannot compress one against the other.
        let offset = (number.wrapping_mul(7_919) + u64::from(publisher) * 104_729) % 65_536;
        let offset = usize::try_from(offset).expect("below 65,536");
        out.extend_from_slice(&self.pool[offset..offset + self.length]);
    }
}

/// Publisher and number of a payload; `None` if it is not one of ours.
pub(crate) fn identify(payload: &[u8]) -> Option<(u32, u64)> {
    let (publisher, rest) = payload.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*publisher), u64::from_be_bytes(*number)))
}

/// What arrived of what was expected.
#[derive(Debug)]
pub(crate) struct Account {
    publishers: Vec<Arrivals>,
    /// The topic of which this subscriber gets the messages; `None`: of all topics.
    only: Option<(Shape, u64)>,
    /// Messages that arrived for the first time.
    pub(crate) arrived: u64,
    /// Messages that arrived again.
    pub(crate) repeated: u64,
    /// First arrivals behind a later message of the same publisher.
    pub(crate) out_of_order: u64,
    /// Messages that nobody in this run sent, or that somebody else should have got.
    pub(crate) foreign: u64,
    expected: u64,
}

#[derive(Debug)]
struct Arrivals {
    seen: Seen,
    /// Numbers from here on are nobody's.
    end: u64,
    next: u64,
}

#[derive(Debug)]
enum Seen {
    /// A bit for each number.
    Bits(Vec<u64>),
    /// The numbers themselves, where few are expected of many.
    Numbers(HashSet<u64>),
}

impl Seen {
    /// Notes `number`; `false` if it was noted before.
    fn note(&mut self, number: u64) -> bool {
        match self {
            Seen::Numbers(numbers) => numbers.insert(number),
            Seen::Bits(words) => {
                let word = &mut words[(number / 64) as usize];
                let is_new = *word & 1 << (number % 64) == 0;
                *word |= 1 << (number % 64);
                is_new
            }
        }
    }
}

impl Account {
    /// Expects `shares[p]` messages of publisher `p`.
    pub(crate) fn new(shares: &[u64]) -> Account {
        let bits = |expected: u64| {
            let words =
                usize::try_from(expected.div_ceil(64)).expect("a bit for each message fits into memory");
            Seen::Bits(vec![0; words])
        };
        Account::with(shares, bits, None, shares.iter().sum())
    }

    /// Expects the messages on one topic of a load that is spread evenly over topics.
    pub(crate) fn of_topic(shape: &Shape, topic: u64) -> Account {
        let (count, publishers) = (shape.messages(), u64::from(shape.publishers));
        let is_ours = |in_all: &u64| {
            let publisher = u32::try_from(in_all % publishers).expect("below the number of publishers");
            shape.topic_number(publisher, in_all / publishers) == topic
        };
        // Topics take turns, so that each has the same number of a multiple of theirs; fewer are looked for one by one.
        let rest = count % u64::from(shape.topics.max(1));
        let expected = count / u64::from(shape.topics.max(1)) + (0..rest).filter(is_ours).count() as u64;
        Account::with(
            &shape.shares(),
            |_| Seen::Numbers(HashSet::new()),
            Some((shape.clone(), topic)),
            expected,
        )
    }

    fn with(
        shares: &[u64],
        seen: impl Fn(u64) -> Seen,
        only: Option<(Shape, u64)>,
        expected: u64,
    ) -> Account {
        let arrivals = |&end: &u64| Arrivals { seen: seen(end), end, next: 0 };
        let publishers = shares.iter().map(arrivals).collect();
        Account { publishers, only, arrived: 0, repeated: 0, out_of_order: 0, foreign: 0, expected }
    }

    /// Expects no more than what was sent in the end: `sent[p]` messages of publisher `p`. Of one that was expected to send
    /// nothing, nothing is expected.
    pub(crate) fn limit(&mut self, sent: &[u64]) {
        for (arrivals, sent) in self.publishers.iter_mut().zip(sent) {
            arrivals.end = arrivals.end.min(*sent);
        }
        self.expected = self.publishers.iter().map(|arrivals| arrivals.end).sum();
    }

    /// Counts one arrival. Returns publisher and number of a message that arrived for the first time.
    pub(crate) fn arrive(&mut self, payload: &[u8]) -> Option<(u32, u64)> {
        let only = &self.only;
        let known = identify(payload).and_then(|(publisher, number)| {
            let is_ours = |(shape, topic): &(Shape, u64)| shape.topic_number(publisher, number) == *topic;
            let arrivals = self.publishers.get_mut(usize::try_from(publisher).ok()?)?;
            let is_known = number < arrivals.end && only.as_ref().is_none_or(is_ours);
            is_known.then_some((arrivals, publisher, number))
        });
        let Some((arrivals, publisher, number)) = known else {
            self.foreign += 1;
            return None;
        };
        if !arrivals.seen.note(number) {
            self.repeated += 1;
            return None;
        }
        self.arrived += 1;
        if number < arrivals.next {
            self.out_of_order += 1;
        }
        arrivals.next = arrivals.next.max(number + 1);
        Some((publisher, number))
    }

    /// Messages expected and not here.
    pub(crate) fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(account: &mut Account, publisher: u32, number: u64) {
        let mut payload = Vec::new();
        Filler::new(20).put(publisher, number, &mut payload);
        assert_eq!(payload.len(), 20);
        account.arrive(&payload);
    }

    #[test]
    fn everything_in_order_is_a_clean_account() {
        let mut account = Account::new(&[100, 3]);
        (0..100).for_each(|number| arrive(&mut account, 0, number));
        (0..3).for_each(|number| arrive(&mut account, 1, number));
        assert_eq!((account.arrived, account.missing(), account.repeated), (103, 0, 0));
        assert_eq!((account.out_of_order, account.foreign), (0, 0));
    }

    #[test]
    fn losses_repeats_reorders_and_strangers_are_counted() {
        let mut account = Account::new(&[5]);
        for number in [0, 2, 1, 2, 9] {
            arrive(&mut account, 0, number);
        }
        arrive(&mut account, 7, 0);
        account.arrive(b"short");
        assert_eq!((account.arrived, account.missing(), account.repeated), (3, 2, 1));
        assert_eq!((account.out_of_order, account.foreign), (1, 3));
    }

    #[test]
    fn of_one_topic_only_its_messages_are_expected() {
        let mut shape = Shape::of(100, 20);
        shape.topics = 20;
        let mut account = Account::of_topic(&shape, 7);
        assert_eq!(account.missing(), 5);
        for publisher in 0..shape.publishers {
            (0..shape.share(publisher)).for_each(|number| arrive(&mut account, publisher, number));
        }
        assert_eq!((account.arrived, account.missing(), account.foreign), (5, 0, 95));
    }

    #[test]
    fn what_was_not_sent_is_not_missing() {
        let mut account = Account::new(&[100, 0, 50]);
        (0..10).for_each(|number| arrive(&mut account, 0, number));
        account.limit(&[12, 9, 0]);
        assert_eq!(account.missing(), 2);
    }
}
