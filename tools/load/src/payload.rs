//! Numbered payloads, and the account of what arrived.

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
    /// Messages that arrived for the first time.
    pub(crate) arrived: u64,
    /// Messages that arrived again.
    pub(crate) repeated: u64,
    /// First arrivals behind a later message of the same publisher.
    pub(crate) out_of_order: u64,
    /// Messages that nobody in this run sent.
    pub(crate) foreign: u64,
    expected: u64,
}

#[derive(Debug)]
struct Arrivals {
    seen: Vec<u64>,
    expected: u64,
    next: u64,
}

impl Account {
    /// Expects `shares[p]` messages of publisher `p`.
    pub(crate) fn new(shares: &[u64]) -> Account {
        let arrivals = |&expected: &u64| {
            let words =
                usize::try_from(expected.div_ceil(64)).expect("a bit for each message fits into memory");
            Arrivals { seen: vec![0; words], expected, next: 0 }
        };
        Account {
            publishers: shares.iter().map(arrivals).collect(),
            arrived: 0,
            repeated: 0,
            out_of_order: 0,
            foreign: 0,
            expected: shares.iter().sum(),
        }
    }

    /// Counts one arrival.
    pub(crate) fn arrive(&mut self, payload: &[u8]) {
        let known = identify(payload).and_then(|(publisher, number)| {
            let arrivals = self.publishers.get_mut(usize::try_from(publisher).ok()?)?;
            (number < arrivals.expected).then_some((arrivals, number))
        });
        let Some((arrivals, number)) = known else {
            self.foreign += 1;
            return;
        };
        let word = &mut arrivals.seen[(number / 64) as usize];
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            self.repeated += 1;
            return;
        }
        *word |= bit;
        self.arrived += 1;
        if number < arrivals.next {
            self.out_of_order += 1;
        }
        arrivals.next = arrivals.next.max(number + 1);
    }

    /// Messages expected and not here.
    pub(crate) fn missing(&self) -> u64 {
        self.expected - self.arrived
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
}
