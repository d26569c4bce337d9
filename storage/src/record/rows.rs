//! The records of the small families: meta, session, subscription, filter, flow and retained.

use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use super::limits::{CountFields, counts_of, drops_of};
use super::{bytes_record, decode_message, encode_message, fields_record, only_fields, open, take_fields};
use crate::clock::TimeMark;
use crate::packet_ids::Range;
use crate::{
    DecodeError, Drops, LogId, Lsn, Message, Outbound, PacketIdSet, RetainedScan, Span, SubscriptionOptions,
    Will,
};

/// `meta`, key `state`: in every batch that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct State {
    /// Number of the batch.
    pub(crate) commit: u64,
    /// The last LSN given out.
    pub(crate) last: Lsn,
    /// The next session or log.
    pub(crate) next_id: u64,
    /// The store was closed after this batch.
    pub(crate) clean: bool,
    /// When it was put together.
    pub(crate) time: TimeMark,
}

/// `session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) protocol_level: u8,
    pub(crate) session_expiry_interval: u32,
    pub(crate) connected: bool,
    pub(crate) detached_at_millis: u64,
    pub(crate) unsaved_through: Lsn,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will>,
    /// When the will is due; `None` while its connection lasts.
    pub(crate) will_due_at_millis: Option<u64>,
}

#[derive(Encode, Decode)]
struct SessionFields {
    id: u64,
    epoch: u64,
    protocol_level: u8,
    session_expiry_interval: u32,
    connected: bool,
    detached_at_millis: u64,
    unsaved_through: Lsn,
    keep_alive: u16,
    will: Option<WillFields>,
    will_due_at_millis: Option<u64>,
}

#[derive(Encode, Decode)]
struct WillFields {
    delay_interval: u32,
    message_expiry_interval: Option<u32>,
}

/// `subscription`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SubscriptionRow {
    pub(crate) options: SubscriptionOptions,
    pub(crate) start: Lsn,
    pub(crate) held: bool,
    pub(crate) retained_scan: Option<RetainedScan>,
    pub(crate) membership: Option<Membership>,
    pub(crate) earlier: Vec<Membership>,
}

/// The part of a filter's log that a subscription reads: above `from`, at or below `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Membership {
    pub(crate) log: LogId,
    pub(crate) from: Lsn,
    pub(crate) until: Lsn,
}

/// `meta`, key `quarantine/…`: a part of a log that is lost to damage, and was reported.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct QuarantineRow {
    pub(crate) log: LogId,
    /// The last LSN before it that could be read, or that the log had lost already.
    pub(crate) after: Lsn,
    pub(crate) through: Lsn,
    /// How many messages, where the ordinals on both sides tell.
    pub(crate) messages: Option<u64>,
    /// What was wrong.
    pub(crate) reason: String,
    pub(crate) found_at_millis: u64,
}

/// `filter`, of a shared subscription: its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) log: LogId,
    /// What no member has taken.
    pub(crate) open: Vec<Span>,
    /// What members that are not stored were sent at QoS 2 and have not received for certain.
    pub(crate) sent: Vec<Lsn>,
    /// What was dropped of its messages.
    pub(crate) drops: Drops,
}

#[derive(Encode, Decode)]
struct GroupFields {
    log: LogId,
    open: Vec<Span>,
    sent: Vec<Lsn>,
    drops: Vec<CountFields>,
}

/// As schema 1 had it: without counts.
#[derive(Encode, Decode)]
struct GroupFieldsOfSchema1 {
    log: LogId,
    open: Vec<Span>,
    sent: Vec<Lsn>,
}

/// What stands before a held body.
#[derive(Encode, Decode)]
struct HeldFields {
    lsn: Lsn,
}

/// What stands before a retained body.
#[derive(Encode, Decode)]
struct RetainedFields {
    lsn: Lsn,
    expires_at_millis: Option<u64>,
}

pub(crate) fn encode_schema(schema: u32) -> Vec<u8> {
    fields_record(&schema)
}

pub(crate) fn decode_schema(record: &[u8]) -> Result<u32, DecodeError> {
    only_fields(open(record)?, "schema")
}

pub(crate) fn encode_state(state: &State) -> Vec<u8> {
    fields_record(state)
}

pub(crate) fn decode_state(record: &[u8]) -> Result<State, DecodeError> {
    only_fields(open(record)?, "state")
}

pub(crate) fn encode_quarantine(row: &QuarantineRow) -> Vec<u8> {
    fields_record(row)
}

pub(crate) fn decode_quarantine(record: &[u8]) -> Result<QuarantineRow, DecodeError> {
    only_fields(open(record)?, "quarantine")
}

pub(crate) fn encode_session(row: &SessionRow) -> Vec<u8> {
    let fields = SessionFields {
        id: row.id,
        epoch: row.epoch,
        protocol_level: row.protocol_level,
        session_expiry_interval: row.session_expiry_interval,
        connected: row.connected,
        detached_at_millis: row.detached_at_millis,
        unsaved_through: row.unsaved_through,
        keep_alive: row.keep_alive,
        will: row.will.as_ref().map(|will| WillFields {
            delay_interval: will.delay_interval,
            message_expiry_interval: will.message_expiry_interval,
        }),
        will_due_at_millis: row.will_due_at_millis,
    };
    match &row.will {
        Some(will) => bytes_record(&fields, &encode_message(&will.message, &mut BytesMut::new())),
        None => fields_record(&fields),
    }
}

pub(crate) fn decode_session(record: &[u8]) -> Result<SessionRow, DecodeError> {
    let (fields, rest) = take_fields::<SessionFields>(open(record)?, "session")?;
    let will = match fields.will {
        Some(will) => {
            let message = Bytes::copy_from_slice(rest);
            Some(Will {
                message: decode_message(&message, &message)?,
                delay_interval: will.delay_interval,
                message_expiry_interval: will.message_expiry_interval,
            })
        }
        None if rest.is_empty() => None,
        None => return Err(DecodeError::Malformed("session")),
    };
    Ok(SessionRow {
        id: fields.id,
        epoch: fields.epoch,
        protocol_level: fields.protocol_level,
        session_expiry_interval: fields.session_expiry_interval,
        connected: fields.connected,
        detached_at_millis: fields.detached_at_millis,
        unsaved_through: fields.unsaved_through,
        keep_alive: fields.keep_alive,
        will,
        will_due_at_millis: fields.will_due_at_millis,
    })
}

pub(crate) fn encode_subscription(row: &SubscriptionRow) -> Vec<u8> {
    fields_record(row)
}

pub(crate) fn decode_subscription(record: &[u8]) -> Result<SubscriptionRow, DecodeError> {
    only_fields(open(record)?, "subscription")
}

pub(crate) fn encode_filter(log: LogId) -> Vec<u8> {
    fields_record(&log)
}

pub(crate) fn decode_filter(record: &[u8]) -> Result<LogId, DecodeError> {
    only_fields(open(record)?, "filter")
}

pub(crate) fn encode_group(row: &GroupRow) -> Vec<u8> {
    let GroupRow { log, open, sent, drops } = row.clone();
    fields_record(&GroupFields { log, open, sent, drops: counts_of(&drops) })
}

/// Reads what schema 1 had as well: neither of the two is the other with an end that is missing.
pub(crate) fn decode_group(record: &[u8]) -> Result<GroupRow, DecodeError> {
    let body = self::open(record)?;
    if let Ok(GroupFieldsOfSchema1 { log, open, sent }) = only_fields(body, "group") {
        return Ok(GroupRow { log, open, sent, drops: Drops::default() });
    }
    let GroupFields { log, open, sent, drops } = only_fields(body, "group")?;
    Ok(GroupRow { log, open, sent, drops: drops_of(drops)? })
}

#[cfg(test)]
pub(crate) fn encode_group_of_schema_1(row: &GroupRow) -> Vec<u8> {
    let GroupRow { log, open, sent, .. } = row.clone();
    fields_record(&GroupFieldsOfSchema1 { log, open, sent })
}

pub(crate) fn encode_outbound(outbound: &Outbound) -> Vec<u8> {
    fields_record(outbound)
}

pub(crate) fn decode_outbound(record: &[u8]) -> Result<Outbound, DecodeError> {
    only_fields(open(record)?, "outbound state")
}

pub(crate) fn encode_inbound(inbound: &PacketIdSet) -> Vec<u8> {
    fields_record(&inbound.ranges())
}

pub(crate) fn decode_inbound(record: &[u8]) -> Result<PacketIdSet, DecodeError> {
    let ranges: Vec<Range> = only_fields(open(record)?, "inbound identifiers")?;
    PacketIdSet::from_ranges(ranges).ok_or(DecodeError::Malformed("inbound identifiers"))
}

/// As schema 0 had it: each number by itself.
pub(crate) fn decode_inbound_of_schema_0(record: &[u8]) -> Result<Vec<u16>, DecodeError> {
    only_fields(open(record)?, "inbound identifiers")
}

#[cfg(test)]
pub(crate) fn encode_inbound_of_schema_0(identifiers: &[u16]) -> Vec<u8> {
    fields_record(&identifiers.to_vec())
}

pub(crate) fn encode_held(lsn: Lsn, body: &[u8]) -> Vec<u8> {
    bytes_record(&HeldFields { lsn }, body)
}

pub(crate) fn decode_held_lsn(record: &[u8]) -> Result<Lsn, DecodeError> {
    take_fields::<HeldFields>(open(record)?, "held message").map(|(fields, _)| fields.lsn)
}

pub(crate) fn decode_held(record: &Bytes) -> Result<(Lsn, Message), DecodeError> {
    let (fields, body) = take_fields::<HeldFields>(open(record)?, "held message")?;
    Ok((fields.lsn, decode_message(record, body)?))
}

pub(crate) fn encode_retained(lsn: Lsn, expires_at_millis: Option<u64>, body: &[u8]) -> Vec<u8> {
    bytes_record(&RetainedFields { lsn, expires_at_millis }, body)
}

/// LSN and deadline alone.
pub(crate) fn decode_retained_deadline(record: &[u8]) -> Result<(Lsn, Option<u64>), DecodeError> {
    let (fields, _) = take_fields::<RetainedFields>(open(record)?, "retained message")?;
    Ok((fields.lsn, fields.expires_at_millis))
}

pub(crate) fn decode_retained(record: &Bytes) -> Result<(Lsn, Message), DecodeError> {
    let (fields, body) = take_fields::<RetainedFields>(open(record)?, "retained message")?;
    Ok((fields.lsn, decode_message(record, body)?))
}
