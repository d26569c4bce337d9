//! The check: for every acknowledgement the write of its record ended, then a sync of that file began and returned 0,
//! then the send began.

use std::collections::{BTreeMap, HashMap};

use super::conversation::{Acknowledgement, Promise, acknowledgements};
use super::token::{Token, tokens};
use super::trace::{Action, Call};
use super::wal::{self, Record, Row};

/// Version and checksum, before the fields of a row's value.
const FRAME_LENGTH: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Acknowledgements that were checked, by name.
    pub(super) checked: BTreeMap<&'static str, usize>,
    /// Calls of `fdatasync`, for any file.
    pub(super) fdatasyncs: usize,
    /// The acknowledgements that were sent too early, and what was missing.
    pub(super) violations: Vec<String>,
}

impl Findings {
    /// Acknowledgements of all kinds.
    pub(super) fn acknowledgements(&self) -> usize {
        self.checked.values().sum()
    }
}

/// Packet identifiers: first and last of each range.
type Ranges = Vec<(u16, u16)>;

/// What is known of the write-ahead log.
struct Log<'a> {
    records: Vec<Record<'a>>,
    /// Syncs that returned 0, by file.
    syncs: HashMap<&'a str, Vec<&'a Call>>,
    /// The first record that contains a token.
    tokens: HashMap<Token, usize>,
    /// Sessions by client identifier.
    sessions: HashMap<String, u64>,
    /// The open inbound identifiers of each session, and the records that say so.
    inbound: HashMap<u64, Vec<(usize, Ranges)>>,
}

/// Checks a trace.
pub(super) fn check(calls: &[Call]) -> Findings {
    let mut findings = Findings {
        fdatasyncs: calls.iter().filter(|call| call.action == Action::Sync { data_only: true }).count(),
        ..Findings::default()
    };
    let acknowledgements = acknowledgements(calls);
    let log = Log::new(calls, &acknowledgements);
    for acknowledgement in &acknowledgements {
        *findings.checked.entry(acknowledgement.name).or_default() += 1;
        if let Err(missing) = log.bears_out(acknowledgement) {
            let Acknowledgement { name, client, sent, .. } = acknowledgement;
            findings.violations.push(format!("line {}: {name} to {client}: {missing}", sent + 1));
        }
    }
    findings
}

impl<'a> Log<'a> {
    fn new(calls: &'a [Call], acknowledgements: &[Acknowledgement]) -> Self {
        let mut log = Self {
            records: wal::records(calls),
            syncs: HashMap::new(),
            tokens: HashMap::new(),
            sessions: HashMap::new(),
            inbound: HashMap::new(),
        };
        for call in calls.iter().filter(|call| matches!(call.action, Action::Sync { .. }) && call.succeeded) {
            log.syncs.entry(&call.file).or_default().push(call);
        }
        let clients: HashMap<&[u8], &str> = acknowledgements
            .iter()
            .map(|acknowledgement| (acknowledgement.client.as_bytes(), acknowledgement.client.as_str()))
            .collect();
        for (at, record) in log.records.iter().enumerate() {
            for token in tokens(&record.bytes) {
                log.tokens.entry(token).or_insert(at);
            }
            for Row { key, value } in record.rows() {
                if let (Some(client), Some(value)) = (clients.get(key), value) {
                    log.sessions.insert((*client).to_owned(), integer(&mut &value[FRAME_LENGTH..]));
                } else if let Some(session) = inbound_key(key) {
                    let open = value.map(identifiers).unwrap_or_default();
                    log.inbound.entry(session).or_default().push((at, open));
                }
            }
        }
        log
    }

    /// Sees that what an acknowledgement stands for was on the disk before it was sent; says what was not.
    fn bears_out(&self, acknowledgement: &Acknowledgement) -> Result<(), String> {
        let sent = acknowledgement.sent;
        match &acknowledgement.promise {
            Promise::Tokens(tokens) => tokens.iter().try_for_each(|token| {
                let record = self.tokens.get(token).ok_or_else(|| format!("{token} was never written"))?;
                self.synced_before(*record, sent, token)
            }),
            Promise::Released { packet_id, read } => {
                let release = format!("the release of {packet_id}");
                let session = self.sessions.get(&acknowledgement.client);
                let session = session.ok_or_else(|| "its session was never written".to_owned())?;
                let states = self.inbound.get(session).map(Vec::as_slice).unwrap_or_default();
                let closed = |open: &[(u16, u16)]| {
                    !open.iter().any(|(first, last)| (*first..=*last).contains(packet_id))
                };
                let record = states
                    .iter()
                    .find(|(record, open)| self.records[*record].begin > *read && closed(open))
                    .ok_or_else(|| format!("{release} was never written"))?;
                self.synced_before(record.0, sent, &release)
            }
        }
    }

    fn synced_before(&self, record: usize, sent: usize, what: &str) -> Result<(), String> {
        let record = &self.records[record];
        let syncs = self.syncs.get(record.file).map(Vec::as_slice).unwrap_or_default();
        let on_disk = syncs.iter().filter(|sync| sync.begin > record.end).map(|sync| sync.end).min();
        match on_disk {
            _ if record.end >= sent => Err(format!("{what} was written on line {}", record.end + 1)),
            None => Err(format!("no sync followed the write of {what} on line {}", record.end + 1)),
            Some(line) if line >= sent => {
                Err(format!("{what}, written on line {}, was synced on line {}", record.end + 1, line + 1))
            }
            Some(_) => Ok(()),
        }
    }
}

/// The session of a row that holds open inbound identifiers: session (8 bytes), then 1.
fn inbound_key(key: &[u8]) -> Option<u64> {
    let (session, kind) = key.split_first_chunk()?;
    (kind == [1]).then(|| u64::from_be_bytes(*session))
}

/// The ranges in such a row.
fn identifiers(value: &[u8]) -> Ranges {
    let mut rest = &value[FRAME_LENGTH..];
    let mut identifier = |what| u16::try_from(integer(&mut rest)).expect(what);
    let count = identifier("a session has at most 65,535 ranges");
    (0..count).map(|_| (identifier("an identifier has 16 bits"), identifier("here too"))).collect()
}

/// One integer of variable length as bincode writes it, little endian.
fn integer(rest: &mut &[u8]) -> u64 {
    let (first, behind) = rest.split_first().expect("a row holds whole fields");
    let length = match first {
        251 => 2,
        252 => 4,
        253 => 8,
        _ => 0,
    };
    let (bytes, behind) = behind.split_at(length);
    *rest = behind;
    if length == 0 {
        return u64::from(*first);
    }
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
