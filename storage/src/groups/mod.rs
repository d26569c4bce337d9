//! Groups: shared subscriptions, `$share/{group}/{filter}`, whose members divide a log among them.
//!
//! A group's log has every message of QoS 1 or 2 that its filter matches. Its members *pull*: each reserves entries, as
//! many as its window has room for, and takes them. There are two images of what nobody has taken:
//!
//! - `open`, durable, in the group's record: what no member has taken durably. A message leaves it in the transaction in
//!   which the member's exchange is recorded (or, of a member that is not stored, is acknowledged), and comes back
//!   in the transaction that ends the member's session.
//! - `free`, in the [`Pool`]: `open` without what members have reserved. A broker that dies forgets reservations, and
//!   hands the messages out again.
//!
//! So a message is at every moment open, or in the record of one member, or done. A member whose session ends with
//! its connection leaves a QoS 1 message open until it has acknowledged it, and takes one of QoS 2 before it is sent: what was
//! sent at QoS 2 goes to nobody else [MQTT-4.8.2-5].

mod pool;
mod pull;
mod spans;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub(crate) use pool::{Pool, Pools};
pub use pull::{GroupMember, Pulled};
pub use spans::Span;
pub(crate) use spans::{OPEN_END, Spans};

use crate::keys::{self, Flow};
use crate::record::{self, GroupRow};
use crate::shared::Shared;
use crate::{Damaged, Drops, Exchange, LogId, Lsn, ReadError, SessionId};

/// A group, as the catalog knows it. Which stored sessions are its members is with its log.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) log: LogId,
    pub(crate) open: Spans,
    /// Members whose sessions end with their connections, each with the QoS 2 messages that it was sent and has not
    /// received for certain.
    pub(crate) transient: HashMap<u64, BTreeSet<Lsn>>,
    pub(crate) pool: Arc<Pool>,
    /// What was dropped of its messages.
    pub(crate) drops: Drops,
}

impl Group {
    /// A group whose log begins behind `after`.
    pub(crate) fn new(log: LogId, after: Lsn) -> Group {
        let open = Spans::above(after);
        let pool = Arc::new(Pool::new(log, open.clone()));
        Group { log, pool, open, transient: HashMap::new(), drops: Drops::default() }
    }

    /// Stands for the members that were not stored and went with the broker that died: no connection has this number.
    pub(crate) const EARLIER: u64 = u64::MAX;

    /// A group from its record. What members that were not stored were sent at QoS 2 goes to nobody else
    /// [MQTT-4.8.2-5].
    pub(crate) fn recovered(row: GroupRow) -> Option<Group> {
        let open = Spans::from_record(row.open)?;
        let pool = Arc::new(Pool::new(row.log, open.clone()));
        let sent: BTreeSet<Lsn> = row.sent.into_iter().collect();
        let transient = (!sent.is_empty()).then_some((Group::EARLIER, sent)).into_iter().collect();
        Some(Group { log: row.log, pool, open, transient, drops: row.drops })
    }

    pub(crate) fn row(&self) -> GroupRow {
        GroupRow {
            log: self.log,
            open: self.open.as_slice().to_vec(),
            sent: self.transient.values().flatten().copied().collect(),
            drops: self.drops.clone(),
        }
    }

    /// What was taken comes back.
    pub(crate) fn give_back(&mut self, span: Span) {
        self.open.add(span);
        self.pool.give_back(span);
    }
}

/// What the message of a member's exchange is, encoded, and when it expires: its copy, or else what the group's log has.
pub(crate) fn body_of_exchange(
    shared: &Shared,
    member: SessionId,
    exchange: &Exchange,
) -> Result<Option<(Bytes, Option<u64>)>, ReadError> {
    let key = keys::flow(member, Flow::Held(exchange.packet_id));
    let damaged = |reason| Damaged::new(keys::FLOW, &key, reason);
    if let Some(row) = shared.engine.view().get(keys::FLOW, &key)? {
        let (lsn, message) = record::decode_held(&row).map_err(damaged)?;
        if lsn == exchange.lsn {
            let body = record::encode_message(&message, &mut BytesMut::new());
            return Ok(Some((body, message.expires_at_millis)));
        }
    }
    // Its copy is in the batch that is put together: then the log still has it.
    let Some(found) = shared.find_entry(exchange.log, exchange.lsn)? else { return Ok(None) };
    let body = Bytes::copy_from_slice(found.body());
    let message = record::decode_message(&body, &body).map_err(damaged)?;
    Ok(Some((body, message.expires_at_millis)))
}
