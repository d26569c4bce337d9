//! What a batch needs of the disk and did not get while it was put together: it is read late, behind the batch and before it is
//! written, while the catalog is free.
//!
//! What is foreseen is read before (see `foresee`), so little comes here: what something in the same batch has brought about, and
//! a read that fails between. As with a write that fails, the catalog is ahead of the disk by this one batch, nothing of it is
//! answered, and nothing later is taken until the disk gives what is missing. It is never given up as damaged.

use bytes::Bytes;

use crate::catalog::Head;
use crate::groups::body_of_exchange;
use crate::keys::{self, Flow};
use crate::record;
use crate::shared::Shared;
use crate::{CommitError, Exchange, LogId, Lsn, ReadError, SessionId};

use super::batch::{Append, Prepared};
use super::foresee::passing;
use super::persist::{give_up, pauses};

/// While the store is being opened nobody could stop it: it is tried so often, for about two seconds.
const ATTEMPTS_AT_OPENING: usize = 8;

/// What is read late.
#[derive(Default)]
pub(crate) struct Late {
    /// What is appended to logs of which the end or a message is not known.
    pub(super) appends: Vec<(LogId, Append)>,
    /// Exchanges that get copies of their messages.
    pub(super) copies: Vec<LateCopy>,
}

/// A message that is appended, and cannot be encoded yet.
pub(super) struct LateEntry {
    pub(super) lsn: Lsn,
    pub(super) body: LateBody,
}

pub(super) enum LateBody {
    /// It is here, with its deadline; what stands before it is not.
    Here(Bytes, Option<u64>),
    /// The message of a session's exchange.
    Of(SessionId, Exchange),
}

/// An exchange that gets a copy of its message.
pub(super) struct LateCopy {
    pub(super) session: SessionId,
    pub(super) exchange: Exchange,
}

/// What has been read.
struct Found {
    /// For each append: where the log ends, and what comes behind.
    appends: Vec<(Head, Vec<Message>)>,
    /// Keys and records of the copies.
    copies: Vec<(Vec<u8>, Vec<u8>)>,
}

/// LSN, encoded message, deadline.
type Message = (Lsn, Bytes, Option<u64>);

impl Late {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.copies.is_empty()
    }
}

/// Reads what the batch lacks, until it is there.
///
/// # Errors
///
/// The store was told to stop, or cannot be opened now: it has failed for good.
pub(super) fn fetch(shared: &Shared, prepared: &mut Prepared) -> Result<(), CommitError> {
    if prepared.late.is_empty() {
        return Ok(());
    }
    let late = std::mem::take(&mut prepared.late);
    let found = read_all(shared, &late)?;
    let writes = prepared.writes.as_mut().expect("a batch with something late is written");
    for (key, record) in found.copies {
        writes.put(keys::FLOW, &key, record);
    }
    for ((log, mut append), (head, messages)) in late.appends.into_iter().zip(found.appends) {
        append.head = Some(head);
        for (lsn, body, expires_at_millis) in messages {
            append.encode(lsn, &body, expires_at_millis);
        }
        let (head, blocks) = append.finish();
        for block in blocks {
            writes.put(keys::LOG, &keys::block(log, block.last, block.deadline), block.record.clone());
            prepared.blocks.push((log, block));
        }
        shared.catalog.lock().heads.insert(log, head);
    }
    Ok(())
}

fn read_all(shared: &Shared, late: &Late) -> Result<Found, CommitError> {
    let (mut pauses, mut attempts) = (pauses(shared), 0);
    loop {
        let found = try_to(shared, late);
        let Some(reason) = passing(shared, &found) else {
            if attempts > 0 {
                shared.board.set_failing(None);
                tracing::warn!("the disk can be read again");
            }
            return Ok(found.expect("it fails only for a reason that may pass"));
        };
        if shared.board.set_failing(Some(reason.as_str().into())) {
            tracing::error!(
                reason,
                "the disk does not give what a batch needs; nothing is committed until it does"
            );
        }
        attempts += 1;
        let is_over = shared.is_opening() && attempts >= ATTEMPTS_AT_OPENING;
        if is_over || !shared.wait_for_turn(pauses.next().unwrap_or_default()) {
            return Err(give_up(shared, reason));
        }
    }
}

/// One attempt; an error only if it may pass.
fn try_to(shared: &Shared, late: &Late) -> Result<Found, ReadError> {
    // A damaged file may not be replaced in between.
    let _open = shared.mending.lock();
    let mut found = Found { appends: Vec::new(), copies: Vec::new() };
    for (log, append) in &late.appends {
        let head = match append.head {
            Some(head) => head,
            None => end_before(shared, *log, append.late[0].lsn)?,
        };
        let mut messages = Vec::with_capacity(append.late.len());
        for LateEntry { lsn, body } in &append.late {
            match body {
                LateBody::Here(body, expires_at_millis) => {
                    messages.push((*lsn, body.clone(), *expires_at_millis));
                }
                LateBody::Of(session, exchange) => {
                    let read = body_of_exchange(shared, *session, exchange);
                    messages.extend(there(exchange, read)?.map(|(body, expires)| (*lsn, body, expires)));
                }
            }
        }
        found.appends.push((head, messages));
    }
    for LateCopy { session, exchange } in &late.copies {
        // It may have ended in the same batch, and its identifier may be another's by now.
        let is_wanted = shared.catalog.lock().sessions.get(session).is_some_and(|session| {
            let copies = session.rare.exchanges.iter().flat_map(|exchanges| &exchanges.held);
            copies.into_iter().any(|copy| *copy == (exchange.packet_id, exchange.lsn))
        });
        if is_wanted && let Some(entry) = there(exchange, shared.find_entry(exchange.log, exchange.lsn))? {
            let key = keys::flow(*session, Flow::Held(exchange.packet_id));
            found.copies.push((key, record::encode_held(exchange.lsn, entry.body())));
        }
    }
    Ok(found)
}

/// Where a log ends that gets a message with this LSN next.
fn end_before(shared: &Shared, log: LogId, next: Lsn) -> Result<Head, ReadError> {
    let known = shared.catalog.lock().heads.get(&log).copied();
    let before = Lsn(next.0 - 1);
    let head = match known {
        Some(head) => head,
        None => shared.end_of_log_or_damage(log, before)?,
    };
    // Where a damaged file was replaced meanwhile, it counts as ending with all that there is.
    Ok(Head { last: head.last.min(before), ..head })
}

/// Damage is said, and not waited for.
pub(super) fn there<T>(
    exchange: &Exchange,
    read: Result<Option<T>, ReadError>,
) -> Result<Option<T>, ReadError> {
    match read {
        Ok(Some(message)) => return Ok(Some(message)),
        Ok(None) => tracing::error!(?exchange, "the message of an open exchange is nowhere"),
        Err(error) if error.passing().is_some() => return Err(error),
        Err(error) => tracing::error!(%error, ?exchange, "the message of an open exchange is damaged"),
    }
    Ok(None)
}
