//! How fast a returning session is given what waited for it: a token bucket, with time passed in.

use parking_lot::Mutex;

/// So many messages a second, and a tenth of that at once.
#[derive(Debug)]
struct TokenBucket {
    /// Messages a second.
    rate: u64,
    /// Thousandths of a message.
    tokens: u64,
    at_millis: u64,
}

impl TokenBucket {
    /// Full, at this moment.
    pub(crate) fn new(rate: u64, now_millis: u64) -> Self {
        let mut bucket = Self { rate, tokens: 0, at_millis: now_millis };
        bucket.tokens = bucket.capacity();
        bucket
    }

    fn capacity(&self) -> u64 {
        (self.rate.saturating_mul(1000) / 10).max(1000)
    }

    /// How many messages may go now.
    pub(crate) fn available(&mut self, now_millis: u64) -> u64 {
        let passed = now_millis.saturating_sub(self.at_millis);
        self.at_millis = self.at_millis.max(now_millis);
        // A thousandth of a message for each millisecond and message a second.
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(self.rate)).min(self.capacity());
        self.tokens / 1000
    }

    /// So many have gone; no more than were available.
    pub(crate) fn take(&mut self, messages: u64) {
        self.tokens = self.tokens.saturating_sub(messages.saturating_mul(1000));
    }

    /// When the next message may go, in monotonic milliseconds.
    pub(crate) fn next_millis(&self) -> u64 {
        let missing = 1000_u64.saturating_sub(self.tokens);
        self.at_millis.saturating_add(missing.div_ceil(self.rate.max(1)))
    }
}

/// What all returning sessions share.
#[derive(Debug)]
pub(crate) struct SharedBucket(Option<Mutex<TokenBucket>>);

impl SharedBucket {
    /// `None`: as fast as it goes.
    pub(crate) fn new(rate: Option<u64>, now_millis: u64) -> Self {
        Self(rate.map(|rate| Mutex::new(TokenBucket::new(rate, now_millis))))
    }

    /// Takes up to so many; what is not used is given back. `Err`: none, until this moment.
    fn take(&self, most: u64, now_millis: u64) -> Result<u64, u64> {
        let Some(bucket) = &self.0 else { return Ok(most) };
        let mut bucket = bucket.lock();
        let taken = bucket.available(now_millis).min(most);
        bucket.take(taken);
        if taken == 0 && most > 0 { Err(bucket.next_millis()) } else { Ok(taken) }
    }

    fn give_back(&self, messages: u64) {
        if let Some(bucket) = &self.0 {
            let mut bucket = bucket.lock();
            bucket.tokens =
                bucket.tokens.saturating_add(messages.saturating_mul(1000)).min(bucket.capacity());
        }
    }
}

/// A session's catching up with what waited for it: from its return until it has come to the end of its logs.
#[derive(Debug)]
pub(crate) struct CatchUp {
    own: Option<TokenBucket>,
    /// It has come to the end: live traffic is not slowed.
    done: bool,
    /// Nothing may go before this moment, in monotonic milliseconds.
    waits_until: Option<u64>,
}

impl CatchUp {
    pub(crate) fn new(rate: Option<u64>, now_millis: u64) -> Self {
        Self { own: rate.map(|rate| TokenBucket::new(rate, now_millis)), done: false, waits_until: None }
    }

    /// Nothing is known to wait, until an allowance says so.
    pub(crate) fn begin_turn(&mut self) {
        self.waits_until = None;
    }

    /// How many messages may be taken now, of `most`; what is not taken of it is to be given back.
    pub(crate) fn allowance(&mut self, most: u64, shared: &SharedBucket, now_millis: u64) -> u64 {
        self.waits_until = None;
        if self.done {
            return most;
        }
        let own = self.own.as_mut().map_or(most, |bucket| bucket.available(now_millis).min(most));
        if own == 0 && most > 0 {
            self.waits_until = self.own.as_ref().map(TokenBucket::next_millis);
            return 0;
        }
        shared.take(own, now_millis).unwrap_or_else(|until| {
            self.waits_until = Some(until);
            0
        })
    }

    /// Of an allowance, so many were taken.
    pub(crate) fn taken(&mut self, taken: u64, allowance: u64, shared: &SharedBucket) {
        if self.done {
            return;
        }
        if let Some(bucket) = &mut self.own {
            bucket.take(taken);
        }
        shared.give_back(allowance - taken);
    }

    /// The end of the logs has been reached.
    pub(crate) fn caught_up(&mut self) {
        self.done = true;
        self.waits_until = None;
    }

    /// When it may go on, in monotonic milliseconds, if it waits.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.waits_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_a_tenth_of_it_at_once() {
        let mut bucket = TokenBucket::new(100, 1000);
        assert_eq!(bucket.available(1000), 10);
        bucket.take(10);
        assert_eq!((bucket.available(1000), bucket.next_millis()), (0, 1010));
        assert_eq!(bucket.available(1009), 0);
        assert_eq!(bucket.available(1010), 1);
        bucket.take(1);
        let mut given = 0;
        for now in 1011..=2010 {
            let available = bucket.available(now);
            bucket.take(available);
            given += available;
        }
        assert_eq!(given, 100, "in a second");
        assert_eq!(bucket.available(1_000_000), 10, "what is not used is not saved up");
        assert_eq!(bucket.available(0), 10, "a clock that goes back takes nothing");
    }

    #[test]
    fn a_slow_bucket_gives_one_by_one() {
        let mut bucket = TokenBucket::new(1, 0);
        assert_eq!(bucket.available(0), 1);
        bucket.take(1);
        assert_eq!((bucket.available(999), bucket.next_millis()), (0, 1000));
        assert_eq!(bucket.available(1000), 1);
    }

    #[test]
    fn whoever_has_caught_up_is_not_slowed() {
        let shared = SharedBucket::new(Some(20), 0);
        let mut one = CatchUp::new(Some(1000), 0);
        let mut other = CatchUp::new(None, 0);
        assert_eq!(one.allowance(50, &shared, 0), 2, "both buckets count");
        one.taken(1, 2, &shared);
        assert_eq!(other.allowance(50, &shared, 0), 1, "one was given back");
        other.taken(1, 1, &shared);
        assert_eq!((one.allowance(50, &shared, 0), one.deadline()), (0, Some(50)));
        one.caught_up();
        assert_eq!((one.allowance(50, &shared, 0), one.deadline()), (50, None));
        one.taken(50, 50, &shared);
        assert_eq!((other.allowance(50, &shared, 0), other.deadline()), (0, Some(50)));
        assert_eq!(CatchUp::new(None, 0).allowance(7, &SharedBucket::new(None, 0), 0), 7);
    }
}
