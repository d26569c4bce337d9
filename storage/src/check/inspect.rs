//! What is in a store: sessions, what waits for them, what they have under way, and the messages themselves.
//!
//! Backlogs are differences of ordinals and take a few seeks for each log. For a session's own log they are exact;
//! for the logs of filters that several sessions hold they are an upper bound, since one message may be in several.

use bytes::Bytes;
use serde::Serialize;

use super::access::Access;
use super::report::CheckReport;
use super::rows::{Model, SessionRows};
use super::scan::{Found, scan};
use crate::keys;
use crate::read::log_bounds;
use crate::record::{self, BlockEntries};
use crate::topics::topic_matches;
use crate::{DropReason, Dropped, LogId, Lsn, Message, SessionId};

/// What is to be shown.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only the session of this client identifier.
    pub client_id: Option<String>,
    /// Only messages on topics that this filter matches.
    pub filter: Option<String>,
    /// So many waiting messages of each session, and so many retained ones; 0: none.
    pub messages: usize,
}

/// What a store has in it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inspection {
    /// The schema.
    pub schema: Option<u32>,
    /// The number of the last batch.
    pub commit: u64,
    /// The last LSN that was given out.
    pub head: u64,
    /// The store was closed in an orderly way.
    pub clean_shutdown: bool,
    /// Sessions by their numbers, which is in the order in which they came.
    pub sessions: Vec<SessionView>,
    /// Groups of shared subscriptions, by their filters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupView>,
    /// Retained messages in all.
    pub retained_total: u64,
    /// Some of them, as asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retained: Vec<MessageView>,
    /// Something could not be read: [`crate::Checker::check`] names it.
    pub damaged: bool,
}

/// What was dropped of a session for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DropView {
    /// The reason, as [`crate::DropReason::name`] has it.
    pub reason: &'static str,
    /// Messages counted one by one.
    pub exactly: u64,
    /// Messages of logs that it shares with others: an upper bound.
    pub shared_at_most: u64,
}

impl DropView {
    fn new(reason: DropReason, dropped: Dropped) -> DropView {
        DropView { reason: reason.name(), exactly: dropped.exactly, shared_at_most: dropped.shared_at_most }
    }
}

/// A stored session.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// Client identifier.
    pub client_id: String,
    /// Its number, which is its own log's too.
    pub id: u64,
    /// It had a connection when the store was last written to.
    pub connected: bool,
    /// Protocol level, 3, 4 or 5.
    pub protocol_level: u8,
    /// Session Expiry Interval in seconds; `u32::MAX`: never.
    pub session_expiry_interval: u32,
    /// When it was detached, in milliseconds since the Unix epoch; 0: it was not.
    pub detached_at_millis: u64,
    /// Topic of its will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub will_topic: Option<String>,
    /// Everything at or below this LSN has been taken.
    pub position: u64,
    /// Messages that wait in its own log.
    pub backlog_messages: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Messages that wait in logs that it reads with others, at most.
    pub shared_backlog_messages_at_most: u64,
    /// Their bytes, at most.
    pub shared_backlog_bytes_at_most: u64,
    /// QoS 2 packet identifiers received and not released.
    pub inbound: usize,
    /// What was dropped of what waited for it, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DropView>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionView>,
    /// Exchanges towards the client that have begun and not ended.
    pub exchanges: Vec<ExchangeView>,
    /// Some of the messages that wait, as asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageView>,
}

/// A group of a shared subscription.
#[derive(Debug, Clone, Serialize)]
pub struct GroupView {
    /// The whole filter, `$share/{group}/{filter}`.
    pub filter: String,
    /// Its log.
    pub log: u64,
    /// Client identifiers of the stored sessions that are its members.
    pub members: Vec<String>,
    /// Messages that no member has taken for good.
    pub waiting_messages: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Exchanges of its members that have begun and not ended.
    pub exchanges: usize,
    /// QoS 2 messages that were sent to members whose sessions end with their connection, and that they do not have for
    /// certain.
    pub sent: usize,
    /// What was dropped of its messages, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DropView>,
}

/// A subscription.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriptionView {
    /// Topic filter.
    pub filter: String,
    /// Maximum QoS.
    pub qos: u8,
    /// The filter's own log, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<u64>,
}

/// An open exchange.
#[derive(Debug, Clone, Serialize)]
pub struct ExchangeView {
    /// Packet identifier.
    pub packet_id: u16,
    /// QoS of the delivery.
    pub qos: u8,
    /// PUBREC has been seen.
    pub received: bool,
    /// LSN of its message.
    pub lsn: u64,
    /// The exchange has a copy of its message.
    pub held: bool,
}

/// A message.
#[derive(Debug, Clone, Serialize)]
pub struct MessageView {
    /// Its LSN.
    pub lsn: u64,
    /// Its topic.
    pub topic: String,
    /// QoS that it was published with.
    pub qos: u8,
    /// Client identifier of its publisher.
    pub publisher: String,
    /// When it was published, in milliseconds since the Unix epoch.
    pub published_at_millis: u64,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_millis: Option<u64>,
    /// Length of the payload.
    pub payload_bytes: usize,
    /// The beginning of the payload; what is not UTF-8 of it as escapes.
    pub payload: String,
}

/// So much of a payload is shown, in bytes.
const PAYLOAD_SHOWN: usize = 256;

pub(super) fn inspect(access: &Access, selection: &Selection) -> Inspection {
    let mut report = CheckReport::default();
    let model = Model::read(access, &mut report);
    let mut view = View { access, selection, damaged: false };
    let mut inspection = Inspection {
        schema: access.schema(),
        commit: report.commit,
        head: report.head,
        clean_shutdown: report.clean_shutdown,
        retained_total: report.counts.retained,
        ..Inspection::default()
    };
    for (id, session) in &model.sessions {
        let wanted = selection.client_id.as_deref().is_none_or(|client_id| client_id == session.client_id());
        if wanted && session.row.is_some() {
            inspection.sessions.push(view.session(*id, session, model.state.last));
        }
    }
    for (filter, row) in &model.groups {
        if selection.client_id.is_none() {
            inspection.groups.push(view.group(filter, row, &model));
        }
    }
    if selection.messages > 0 && selection.client_id.is_none() {
        inspection.retained = view.retained();
    }
    inspection.damaged = view.damaged || !report.is_clean();
    inspection
}

struct View<'a> {
    access: &'a Access,
    selection: &'a Selection,
    damaged: bool,
}

impl View<'_> {
    fn session(&mut self, id: SessionId, rows: &SessionRows, head: Lsn) -> SessionView {
        let (client_id, row) = rows.row.as_ref().expect("the caller shows sessions that have a row");
        let position = rows.outbound.position;
        let own = self.between(id.own_log(), position, head);
        let mut shared = (0, 0);
        for part in rows.memberships() {
            let (messages, bytes) = self.between(part.log, position.max(part.from), head.min(part.until));
            shared = (shared.0 + messages, shared.1 + bytes);
        }
        let subscription = |(filter, row): &(String, record::SubscriptionRow)| SubscriptionView {
            filter: filter.clone(),
            qos: row.options.qos,
            log: row.membership.map(|part| part.log.0),
        };
        let exchange = |exchange: &crate::Exchange| ExchangeView {
            packet_id: exchange.packet_id,
            qos: exchange.qos,
            received: exchange.received,
            lsn: exchange.lsn.0,
            held: rows.held.contains(&(exchange.packet_id, exchange.lsn)),
        };
        SessionView {
            client_id: client_id.clone(),
            id: id.0,
            connected: row.connected,
            protocol_level: row.protocol_level,
            session_expiry_interval: row.session_expiry_interval,
            detached_at_millis: row.detached_at_millis,
            will_topic: row.will.as_ref().map(|will| will.message.topic.to_string()),
            position: position.0,
            backlog_messages: own.0,
            backlog_bytes: own.1,
            shared_backlog_messages_at_most: shared.0,
            shared_backlog_bytes_at_most: shared.1,
            inbound: rows.inbound.len(),
            dropped: rows.drops.iter().map(|(reason, dropped)| DropView::new(reason, dropped)).collect(),
            subscriptions: rows.subscriptions.iter().map(subscription).collect(),
            exchanges: rows.outbound.open.iter().map(exchange).collect(),
            messages: self.waiting(id, rows, head),
        }
    }

    fn group(&mut self, filter: &str, row: &record::GroupRow, model: &Model) -> GroupView {
        let mut waiting = (0, 0);
        for span in &row.open {
            let (messages, bytes) = self.between(row.log, span.after, span.through.min(model.state.last));
            waiting = (waiting.0 + messages, waiting.1 + bytes);
        }
        let is_member = |rows: &&SessionRows| rows.subscriptions.iter().any(|(held, _)| held == filter);
        let members = model.sessions.values().filter(is_member);
        let exchanges = model.sessions.values().flat_map(|rows| &rows.outbound.open);
        GroupView {
            filter: filter.to_owned(),
            log: row.log.0,
            members: members.map(|rows| rows.client_id().to_owned()).collect(),
            waiting_messages: waiting.0,
            waiting_bytes: waiting.1,
            exchanges: exchanges.filter(|exchange| exchange.log == row.log).count(),
            sent: row.sent.len(),
            dropped: row.drops.iter().map(|(reason, dropped)| DropView::new(reason, dropped)).collect(),
        }
    }

    /// Messages and bytes of a log above `after` and at or below `through`.
    fn between(&mut self, log: LogId, after: Lsn, through: Lsn) -> (u64, u64) {
        if after >= through {
            return (0, 0);
        }
        let (Some(from), Some(to)) = (self.counts_at(log, after), self.counts_at(log, through)) else {
            return (0, 0);
        };
        (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1))
    }

    /// How many messages, and how many bytes, a log has had at or below an LSN; `None` if it has no block.
    fn counts_at(&mut self, log: LogId, lsn: Lsn) -> Option<(u64, u64)> {
        let (_, end) = log_bounds(log);
        let from = keys::block(log, Lsn(lsn.0.saturating_add(1)), 0);
        if let Some(mut block) = self.first_block(&from, &end) {
            let mut counts = (block.next_ordinal(), block.running_bytes());
            while let Ok(Some(entry)) = block.advance() {
                if entry.lsn > lsn {
                    break;
                }
                counts = (block.next_ordinal(), block.running_bytes());
            }
            return Some(counts);
        }
        // Nothing is above: the counts at the log's end.
        let family = self.access.family(keys::LOG)?;
        let (first, _) = log_bounds(log);
        let mut iterator = super::scan::iterator(&self.access.db, family, &first, Some(&end));
        iterator.seek_to_last();
        let Some((_, row)) = iterator.item() else {
            self.damaged |= iterator.status().is_err();
            return None;
        };
        match BlockEntries::open(Bytes::copy_from_slice(row)) {
            Ok(mut block) => {
                while let Ok(Some(_)) = block.advance() {}
                Some((block.next_ordinal(), block.running_bytes()))
            }
            Err(_) => {
                self.damaged = true;
                None
            }
        }
    }

    /// The first block of a range that can be read.
    fn first_block(&mut self, from: &[u8], to: &[u8]) -> Option<BlockEntries> {
        let family = self.access.family(keys::LOG)?;
        let mut iterator = super::scan::iterator(&self.access.db, family, from, Some(to));
        iterator.seek(from);
        while let Some((_, row)) = iterator.item() {
            match BlockEntries::open(Bytes::copy_from_slice(row)) {
                Ok(block) => return Some(block),
                Err(_) => self.damaged = true,
            }
            iterator.next();
        }
        self.damaged |= iterator.status().is_err();
        None
    }

    /// The first messages that wait for a session.
    fn waiting(&mut self, id: SessionId, rows: &SessionRows, head: Lsn) -> Vec<MessageView> {
        let limit = self.selection.messages;
        if limit == 0 {
            return Vec::new();
        }
        let position = rows.outbound.position;
        let mut found: Vec<(Lsn, Message)> = Vec::new();
        let parts = rows.memberships().map(|part| (part.log, position.max(part.from), head.min(part.until)));
        for (log, after, through) in std::iter::once((id.own_log(), position, head)).chain(parts) {
            self.entries(log, after, through, |lsn, message| found.push((lsn, message)));
        }
        found.sort_by_key(|(lsn, _)| *lsn);
        found.dedup_by_key(|(lsn, _)| *lsn);
        found.truncate(limit);
        found.iter().map(|(lsn, message)| message_view(*lsn, message)).collect()
    }

    /// The first entries of a part of a log that the selection wants.
    fn entries(&mut self, log: LogId, after: Lsn, through: Lsn, mut take: impl FnMut(Lsn, Message)) {
        let Some(family) = self.access.family(keys::LOG) else { return };
        let (_, end) = log_bounds(log);
        let mut iterator = super::scan::iterator(
            &self.access.db,
            family,
            &keys::block(log, Lsn(after.0 + 1), 0),
            Some(&end),
        );
        iterator.seek_to_first();
        let mut taken = 0;
        while let Some((_, row)) = iterator.item() {
            let record = Bytes::copy_from_slice(row);
            let Ok(mut block) = BlockEntries::open(record.clone()) else {
                self.damaged = true;
                iterator.next();
                continue;
            };
            while let Ok(Some(entry)) = block.advance() {
                if entry.lsn > through || taken == self.selection.messages {
                    return;
                }
                let message = record::decode_message(&record, &record[entry.body]);
                if let Ok(message) = message
                    && entry.lsn > after
                    && self.wants(&message.topic)
                {
                    taken += 1;
                    take(entry.lsn, message);
                }
            }
            iterator.next();
        }
        self.damaged |= iterator.status().is_err();
    }

    fn wants(&self, topic: &str) -> bool {
        self.selection.filter.as_deref().is_none_or(|filter| topic_matches(filter, topic))
    }

    fn retained(&mut self) -> Vec<MessageView> {
        let Some(family) = self.access.family(keys::RETAINED) else { return Vec::new() };
        let (mut views, limit) = (Vec::new(), self.selection.messages);
        scan(&self.access.db, family, &[], None, |found| {
            if let Found::Row(_, row) = found
                && views.len() < limit
                && let Ok((lsn, message)) = record::decode_retained(&Bytes::copy_from_slice(row))
                && self.wants(&message.topic)
            {
                views.push(message_view(lsn, &message));
            }
        });
        views
    }
}

fn message_view(lsn: Lsn, message: &Message) -> MessageView {
    let shown = &message.payload[..message.payload.len().min(PAYLOAD_SHOWN)];
    let payload = match std::str::from_utf8(shown) {
        Ok(text) if !text.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t') => {
            text.to_owned()
        }
        _ => shown.escape_ascii().to_string(),
    };
    MessageView {
        lsn: lsn.0,
        topic: message.topic.to_string(),
        qos: message.qos,
        publisher: message.publisher.to_string(),
        published_at_millis: message.published_at_millis,
        expires_at_millis: message.expires_at_millis,
        payload_bytes: message.payload.len(),
        payload,
    }
}
