//! Families and keys.
//!
//! | family | key | record |
//! |---|---|---|
//! | `meta` | name | schema, state, drops in total, what of the logs is lost to damage |
//! | `session` | client identifier | the session |
//! | `subscription` | session (8 bytes) filter | options, start, the part of a filter's log that it reads |
//! | `filter` | filter | the log that is the filter's own; of a shared subscription, its group |
//! | `log` | log (8) last LSN (8) deadline (8) | a block of messages |
//! | `flow` | session (8) kind (1) \[packet identifier (2)\] | outbound state, inbound identifiers, held messages, drops, gaps |
//! | `retained` | topic | LSN, message |
//!
//! Numbers are big endian, so that keys sort as the numbers do. There is no family for bodies that several logs
//! share: a filter that several sessions hold has one log, so a message is written more than once only where filters
//! that overlap are held by different sets of sessions.

use crate::{LogId, Lsn, SessionId};

/// A family of rows; there are none but these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    name: &'static str,
    index: usize,
}

impl Family {
    /// As it is called on the disk.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    /// Its place in [`FAMILIES`].
    pub(crate) const fn index(self) -> usize {
        self.index
    }
}

pub(crate) const META: Family = Family { name: "meta", index: 0 };
pub(crate) const SESSION: Family = Family { name: "session", index: 1 };
pub(crate) const SUBSCRIPTION: Family = Family { name: "subscription", index: 2 };
pub(crate) const FILTER: Family = Family { name: "filter", index: 3 };
pub(crate) const LOG: Family = Family { name: "log", index: 4 };
pub(crate) const FLOW: Family = Family { name: "flow", index: 5 };
pub(crate) const RETAINED: Family = Family { name: "retained", index: 6 };

/// All families.
pub(crate) const FAMILIES: [Family; 7] = [META, SESSION, SUBSCRIPTION, FILTER, LOG, FLOW, RETAINED];

/// `meta`: the schema.
pub(crate) const SCHEMA: &[u8] = b"schema";
/// `meta`: the state as of the last batch.
pub(crate) const STATE: &[u8] = b"state";
/// `meta`: what was dropped, of all sessions that there were.
pub(crate) const DROPS: &[u8] = b"drops";

/// `meta`: what begins the names of records of damage that was passed over.
pub(crate) const QUARANTINE: &[u8] = b"quarantine/";

/// `meta`: the record of a damaged part of a log, by its last LSN.
pub(crate) fn quarantine(log: LogId, through: Lsn) -> Vec<u8> {
    [QUARANTINE, &log.0.to_be_bytes(), &through.0.to_be_bytes()].concat()
}

/// What a `flow` record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Outbound,
    Inbound,
    Held(u16),
    /// What was dropped.
    Drops,
    /// What is passed over.
    Gaps,
}

pub(crate) fn subscription(session: SessionId, filter: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + filter.len());
    key.extend_from_slice(&session.0.to_be_bytes());
    key.extend_from_slice(filter.as_bytes());
    key
}

pub(crate) fn parse_subscription(key: &[u8]) -> Option<(SessionId, &str)> {
    let (session, filter) = key.split_first_chunk()?;
    Some((SessionId(u64::from_be_bytes(*session)), std::str::from_utf8(filter).ok()?))
}

pub(crate) fn flow(session: SessionId, kind: Flow) -> Vec<u8> {
    let mut key = Vec::with_capacity(11);
    key.extend_from_slice(&session.0.to_be_bytes());
    match kind {
        Flow::Outbound => key.push(0),
        Flow::Inbound => key.push(1),
        Flow::Held(packet_id) => {
            key.push(2);
            key.extend_from_slice(&packet_id.to_be_bytes());
        }
        Flow::Drops => key.push(3),
        Flow::Gaps => key.push(4),
    }
    key
}

pub(crate) fn parse_flow(key: &[u8]) -> Option<(SessionId, Flow)> {
    let (session, rest) = key.split_first_chunk()?;
    let kind = match rest {
        [0] => Flow::Outbound,
        [1] => Flow::Inbound,
        [2, high, low] => Flow::Held(u16::from_be_bytes([*high, *low])),
        [3] => Flow::Drops,
        [4] => Flow::Gaps,
        _ => return None,
    };
    Some((SessionId(u64::from_be_bytes(*session)), kind))
}

pub(crate) fn block(log: LogId, last: Lsn, deadline: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&log.0.to_be_bytes());
    key[8..16].copy_from_slice(&last.0.to_be_bytes());
    key[16..].copy_from_slice(&deadline.to_be_bytes());
    key
}

/// Log and last LSN of a block.
pub(crate) fn parse_block(key: &[u8]) -> Option<(LogId, Lsn)> {
    let key: &[u8; 24] = key.try_into().ok()?;
    let number = |at: usize| u64::from_be_bytes(key[at..at + 8].try_into().expect("eight of 24 bytes"));
    Some((LogId(number(0)), Lsn(number(8))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_sort_as_their_numbers() {
        let keys = [block(LogId(1), Lsn(255), 0), block(LogId(1), Lsn(256), 9), block(LogId(2), Lsn(1), 0)];
        assert!(keys.is_sorted());
        assert_eq!(parse_block(&keys[1]), Some((LogId(1), Lsn(256))));
        assert_eq!(parse_block(&keys[1][..23]), None);

        let session = SessionId(0x0102_0304_0506_0708);
        for kind in [Flow::Outbound, Flow::Inbound, Flow::Held(0x1234), Flow::Drops, Flow::Gaps] {
            assert_eq!(parse_flow(&flow(session, kind)), Some((session, kind)));
        }
        assert_eq!(parse_flow(&[0; 8]), None);
        assert_eq!(parse_flow(&[0, 0, 0, 0, 0, 0, 0, 1, 7]), None);
        assert_eq!(parse_subscription(&subscription(session, "a/#")), Some((session, "a/#")));
        assert_eq!(parse_subscription(&[0; 7]), None);
        assert_eq!(parse_subscription(&[0, 0, 0, 0, 0, 0, 0, 1, 0xff]), None);
    }

    #[test]
    fn every_family_knows_its_place() {
        assert!(FAMILIES.iter().enumerate().all(|(at, family)| family.index() == at));
    }

    #[test]
    fn the_written_keys_are_these() {
        assert_eq!(
            block(LogId(1), Lsn(2), 3),
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]
        );
        assert_eq!(flow(SessionId(7), Flow::Held(0x0102)), [0, 0, 0, 0, 0, 0, 0, 7, 2, 1, 2]);
        assert_eq!(subscription(SessionId(7), "a"), [0, 0, 0, 0, 0, 0, 0, 7, b'a']);
        assert_eq!(
            quarantine(LogId(1), Lsn(2)),
            [b"quarantine/".as_slice(), &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]].concat()
        );
    }
}
