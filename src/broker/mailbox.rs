//! A connection's mailbox: messages that reach it without the store, bounded in bytes.
//!
//! What it holds dies with the connection: QoS 0 messages, and all messages of a session that ends with its
//! connection. When it is full, QoS 0 goes first, then the connection (P8).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::session::Delivery;

/// A message on its way to live subscribers; all of them share it.
#[derive(Debug)]
pub(crate) struct LiveMessage {
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) publisher: ByteString,
    pub(crate) topic: ByteString,
    pub(crate) forwarded: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) expires_at_millis: Option<u64>,
}

impl LiveMessage {
    pub(crate) fn as_delivery(&self) -> Delivery<'_> {
        Delivery {
            qos: self.qos,
            retain: self.retain,
            publisher: &self.publisher,
            topic: &self.topic,
            forwarded: &self.forwarded,
            payload: &self.payload,
            expires_at_millis: self.expires_at_millis,
        }
    }

    /// What it weighs in a mailbox, in bytes.
    fn weight(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD + self.topic.len() + self.forwarded.len() + self.payload.len()
    }
}

/// A message in a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) message: Arc<LiveMessage>,
    /// Its LSN; `u64::MAX` when it has none.
    pub(crate) lsn: u64,
    /// The shared subscription that it comes by, if it does.
    pub(crate) group: Option<ByteString>,
}

/// The mailbox of one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    signal: Arc<Notify>,
    capacity_bytes: usize,
    /// Its session is stored: whatever comes this way is delivered at QoS 0.
    durable: bool,
}

#[derive(Debug, Default)]
struct Inner {
    letters: VecDeque<Letter>,
    bytes: usize,
    dropped: u64,
    overflowed: bool,
}

impl Mailbox {
    pub(crate) fn new(capacity_bytes: usize, durable: bool, signal: Arc<Notify>) -> Self {
        Self { inner: Mutex::new(Inner::default()), signal, capacity_bytes, durable }
    }

    pub(crate) fn push(&self, letter: Letter) {
        let mut inner = self.inner.lock();
        let weight = letter.message.weight();
        let droppable = self.durable || letter.message.qos == 0;
        if inner.bytes + weight > self.capacity_bytes {
            if !droppable {
                inner.make_room(weight, self.capacity_bytes);
            }
            if inner.bytes + weight > self.capacity_bytes {
                inner.dropped += 1;
                inner.overflowed |= !droppable;
                drop(inner);
                self.signal.notify_one();
                return;
            }
        }
        inner.bytes += weight;
        let was_empty = inner.letters.is_empty();
        inner.letters.push_back(letter);
        drop(inner);
        if was_empty {
            self.signal.notify_one();
        }
    }

    /// Takes the oldest letters, at most so many.
    pub(crate) fn take(&self, most: usize) -> VecDeque<Letter> {
        let mut inner = self.inner.lock();
        let count = most.min(inner.letters.len());
        let taken: VecDeque<Letter> = inner.letters.drain(..count).collect();
        inner.bytes -= taken.iter().map(|letter| letter.message.weight()).sum::<usize>();
        taken
    }

    /// Puts letters back in front that could not be delivered yet.
    pub(crate) fn put_back(&self, letters: VecDeque<Letter>) {
        let mut inner = self.inner.lock();
        inner.bytes += letters.iter().map(|letter| letter.message.weight()).sum::<usize>();
        for letter in letters.into_iter().rev() {
            inner.letters.push_front(letter);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.lock().letters.is_empty()
    }

    /// A QoS 1 or 2 message found no room: the connection is to end with Quota exceeded.
    pub(crate) fn overflowed(&self) -> bool {
        self.inner.lock().overflowed
    }

    /// How many messages found no room since last asked.
    pub(crate) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.inner.lock().dropped)
    }
}

impl Inner {
    /// Drops QoS 0 messages, oldest first, until there is room.
    fn make_room(&mut self, weight: usize, capacity_bytes: usize) {
        let mut bytes = self.bytes;
        let mut dropped = 0;
        self.letters.retain(|letter| {
            let drop = letter.message.qos == 0 && bytes + weight > capacity_bytes;
            if drop {
                bytes -= letter.message.weight();
                dropped += 1;
            }
            !drop
        });
        self.bytes = bytes;
        self.dropped += dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(qos: u8) -> Letter {
        let message = LiveMessage {
            qos,
            retain: false,
            publisher: ByteString::from_static("p"),
            topic: ByteString::from_static("t"),
            forwarded: Bytes::new(),
            payload: Bytes::from_static(&[0; 871]),
            expires_at_millis: None,
        };
        Letter { message: Arc::new(message), lsn: 1, group: None }
    }

    fn mailbox(durable: bool) -> Mailbox {
        Mailbox::new(3000, durable, Arc::new(Notify::new()))
    }

    #[test]
    fn qos_0_goes_first_then_the_connection() {
        let mailbox = mailbox(false);
        [0, 1, 0].into_iter().for_each(|qos| mailbox.push(letter(qos)));
        mailbox.push(letter(0));
        assert_eq!((mailbox.take_dropped(), mailbox.overflowed()), (1, false));
        mailbox.push(letter(1));
        mailbox.push(letter(2));
        assert_eq!((mailbox.take_dropped(), mailbox.overflowed()), (2, false));
        mailbox.push(letter(1));
        assert!(mailbox.overflowed());
        let kept: Vec<u8> = mailbox.take(9).iter().map(|letter| letter.message.qos).collect();
        assert_eq!(kept, [1, 1, 2]);
    }

    #[test]
    fn a_stored_session_never_ends_for_its_mailbox() {
        let mailbox = mailbox(true);
        (0..5).for_each(|_| mailbox.push(letter(1)));
        assert_eq!((mailbox.take_dropped(), mailbox.overflowed()), (2, false));
    }
}
