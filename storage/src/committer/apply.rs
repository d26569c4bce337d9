//! Transactions, applied to the catalog and the batch at their place in the order.

use crate::catalog::{Catalog, Exchanges, Head, Session};
use crate::keys::{self, Flow};
use crate::record;
use crate::shared::Shared;
use crate::sweep::ExpiredRetained;
use crate::{
    Answer, DropReason, Dropped, Exchange, LogId, Lsn, Operation, Outbound, Publish, PublishedWill,
    ReadError, RetainedChange, RetainedScan, SessionId, Targets, Transaction,
};

use super::Applied;
use super::batch::{Batch, Prepared};
use super::foresee::passing;
use super::late::LateBody;

pub(crate) struct Apply<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) shared: &'a Shared,
    pub(super) batch: Batch,
    /// Version of the routes. Only the committer changes them, so it need not ask.
    pub(super) version: u64,
    /// What the transaction at hand has published of itself.
    pub(super) wills: Vec<PublishedWill>,
}

impl<'a> Apply<'a> {
    pub(crate) fn new(catalog: &'a mut Catalog, shared: &'a Shared) -> Apply<'a> {
        let version = shared.routes.read().version;
        Apply { catalog, shared, batch: Batch::new(), version, wills: Vec::new() }
    }

    pub(crate) fn finish(self) -> Prepared {
        self.batch.finish(self.catalog, self.shared)
    }

    /// In the first batch of an open store.
    pub(crate) fn put_schema(&mut self, schema: u32) {
        self.batch.put(keys::META, keys::SCHEMA, record::encode_schema(schema));
    }

    /// The record of a part of a log that is lost.
    pub(crate) fn put_quarantine(&mut self, row: &record::QuarantineRow) {
        self.batch.put(keys::META, &keys::quarantine(row.log, row.through), record::encode_quarantine(row));
    }

    pub(crate) fn transaction(&mut self, transaction: Transaction) -> Applied {
        if let Some((id, epoch)) = transaction.fence
            && self.catalog.sessions.get(&id).is_none_or(|session| session.epoch != epoch)
        {
            return Applied::Fenced;
        }
        let session = transaction.fence.map(|(id, _)| id);
        let before = self.catalog.last;
        let mut first = None;
        let mut answers = Vec::new();
        let (mut publishes, mut refused) = (0, Vec::new());
        for operation in transaction.operations {
            match operation {
                Operation::Publish(publish) => {
                    first.get_or_insert(Lsn(self.catalog.last.0 + 1));
                    if !self.publish(session, publish) {
                        refused.push(publishes);
                    }
                    publishes += 1;
                }
                other => self.operation(session, other, &mut answers),
            }
        }
        let wills = std::mem::take(&mut self.wills);
        Applied::Taken { lsn: first.unwrap_or(before), answers, refused, wills }
    }

    fn operation(&mut self, session: Option<SessionId>, operation: Operation, answers: &mut Vec<Answer>) {
        match operation {
            Operation::Attach(attach) => return self.attach(attach, answers),
            Operation::ExpireSessions { now_millis } => {
                return answers.push(Answer::Ended(self.expire_sessions(now_millis)));
            }
            Operation::PublishDueWills { now_millis } => return self.publish_due_wills(now_millis),
            Operation::JoinGroup { filter, member } => return self.join_group(&filter, Some(member)),
            Operation::LeaveGroup { filter, member, unsent } => {
                return self.leave_group_transient(&filter, member, &unsent);
            }
            Operation::TakeFromGroup(take) => return self.take_from_group(&take),
            Operation::CountRefused(logs) => return logs.iter().for_each(|log| self.count_refused(*log)),
            Operation::TakePosition => return,
            _ => {}
        }
        let id = session.expect("submit refuses operations on a session without a fence");
        if !self.catalog.sessions.contains_key(&id) {
            // An operation before it in this transaction has ended the session.
            return;
        }
        match operation {
            Operation::Detach(detach) => self.detach(id, &detach, answers),
            Operation::End => drop(self.end(id)),
            Operation::Subscribe(subscriptions) => {
                answers.push(Answer::Subscribed(self.subscribe(id, subscriptions)));
            }
            Operation::Unsubscribe(filters) => {
                answers.push(Answer::Unsubscribed(self.unsubscribe(id, &filters)))
            }
            Operation::SaveInbound(mut inbound) => {
                let session = self.session(id);
                // The connection may not know yet what was refused. Its client does, as soon as it is told, and uses the
                // identifier for another message: a restarted broker must not take that for a repeated one.
                for packet_id in session.rare.refused.iter().flat_map(|refused| refused.iter()) {
                    inbound.remove(packet_id);
                }
                session.set_inbound(inbound);
                self.batch.touch(id).inbound = true;
            }
            Operation::SaveOutbound(outbound) => self.save_outbound(id, outbound),
            Operation::NoteUnsaved => self.note_unsaved(id),
            Operation::SaveRetainedScan { filter, through, after_topic } => {
                self.save_retained_scan(id, &filter, through, after_topic.as_deref());
            }
            Operation::CountDrops { reason, dropped } => self.count_drops(id, reason, dropped),
            Operation::Hold { packet_id, lsn, body } => self.hold_message(id, packet_id, lsn, &body),
            Operation::ReturnToGroup { log, unsent } => self.return_unsent(id, log, &unsent),
            Operation::Attach(_)
            | Operation::ExpireSessions { .. }
            | Operation::PublishDueWills { .. }
            | Operation::Publish(_)
            | Operation::JoinGroup { .. }
            | Operation::LeaveGroup { .. }
            | Operation::TakeFromGroup(_)
            | Operation::CountRefused(_)
            | Operation::TakePosition => unreachable!("taken above"),
        }
    }

    pub(super) fn session(&mut self, id: SessionId) -> &mut Session {
        self.catalog.sessions.get_mut(&id).expect("the caller knows that the session exists")
    }

    /// `false`: it is refused.
    pub(super) fn publish(&mut self, session: Option<SessionId>, mut publish: Publish) -> bool {
        let mut logs = Targets::default().logs;
        if publish.qos > 0 {
            logs = if publish.targets.version == self.version {
                std::mem::take(&mut publish.targets.logs)
            } else {
                self.shared.routes.read().targets(&publish.topic).logs
            };
        }
        // Before it takes its place: a session that turns out to have room has it for this message already.
        let refused = !logs.is_empty() && self.refuses(&publish, &logs);
        self.note_packet_id(session, publish.packet_id, refused);
        self.catalog.last.0 += 1;
        let lsn = self.catalog.last;
        if refused {
            crate::statistics::add(&self.shared.counters.refused, 1);
            return false;
        }
        logs.retain(|log| !self.leaves_out(*log));
        for log in logs.iter().copied() {
            self.append(log, lsn, &publish.body, publish.expires_at_millis);
        }
        logs.into_iter().for_each(|log| self.grown(log, publish.body.len()));
        self.batch.messages += 1;
        let topic = publish.topic.as_bytes();
        match publish.retained {
            RetainedChange::Leave => {}
            RetainedChange::Set => {
                if let Some(deadline) = publish.expires_at_millis {
                    self.shared.next_retained_expiry.note(deadline);
                }
                let row = record::encode_retained(lsn, publish.expires_at_millis, &publish.body);
                self.batch.put(keys::RETAINED, topic, row);
            }
            RetainedChange::Forget => self.forget_older_retained(topic),
            RetainedChange::Clear => self.batch.delete(keys::RETAINED, topic),
        }
        true
    }

    fn note_packet_id(&mut self, session: Option<SessionId>, packet_id: Option<u16>, refused: bool) {
        let (Some(id), Some(packet_id)) = (session, packet_id) else { return };
        let Some(session) = self.catalog.sessions.get_mut(&id) else { return };
        if refused {
            session.rare.refused.get_or_insert_default().insert(packet_id);
        } else if let Some(known) = &mut session.rare.refused {
            known.remove(packet_id);
            session.rare.refused = session.rare.refused.take().filter(|known| !known.is_empty());
        }
    }

    /// The sweep's wish, before anything else of the batch: what it has found goes, if it is still there.
    pub(crate) fn forget_retained(&mut self, expired: &[ExpiredRetained]) {
        for ExpiredRetained { topic, lsn } in expired {
            let row = self.shared.engine.view().get(keys::RETAINED, topic);
            let known = row.ok().flatten().and_then(|row| record::decode_retained_deadline(&row).ok());
            if known.is_some_and(|(known, _)| known == *lsn) {
                self.batch.delete(keys::RETAINED, topic);
                crate::statistics::add(&self.shared.counters.expired_retained, 1);
            }
        }
    }

    /// Of a message that there is no room for, the topic has none rather than an older one [MQTT-3.3.1-5]; nothing is
    /// written where there was none. One of the same batch that cannot be seen here stays, as if it had come later.
    fn forget_older_retained(&mut self, topic: &[u8]) {
        match self.shared.engine.view().get(keys::RETAINED, topic) {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => self.batch.delete(keys::RETAINED, topic),
        }
    }

    pub(super) fn append(&mut self, log: LogId, lsn: Lsn, body: &[u8], expires_at_millis: Option<u64>) {
        let head = || found_end(self.catalog, self.shared, log);
        self.batch.append(log, head, lsn, body, expires_at_millis);
    }

    /// Appends the message of an exchange, which is read late.
    pub(super) fn append_late(&mut self, log: LogId, lsn: Lsn, session: SessionId, exchange: &Exchange) {
        let head = || found_end(self.catalog, self.shared, log);
        self.batch.append_late(log, head, lsn, LateBody::Of(session, exchange.clone()));
    }

    fn save_outbound(&mut self, id: SessionId, outbound: Outbound) {
        for packet_id in self.session(id).set_outbound(outbound) {
            self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Held(packet_id)));
        }
        self.batch.touch(id).outbound = true;
        self.catalog.moved.insert(id);
        self.hold_of_logs_left(id);
        self.moved(id);
    }

    /// Counts for the session and in total.
    pub(super) fn count_drops(&mut self, id: SessionId, reason: DropReason, dropped: Dropped) {
        if dropped.is_zero() || crate::planted!(DropsUncounted) {
            return;
        }
        self.session(id).rare.drops.get_or_insert_default().add(reason, dropped);
        self.batch.touch(id).drops = true;
        self.count_in_total(reason, dropped);
    }

    pub(super) fn count_in_total(&mut self, reason: DropReason, dropped: Dropped) {
        self.catalog.drops.add(reason, dropped);
        self.batch.drops |= !dropped.is_zero();
    }

    fn save_retained_scan(&mut self, id: SessionId, filter: &str, through: Lsn, after_topic: Option<&str>) {
        let session = self.session(id);
        let Ok(at) = session.find(filter) else { return };
        let subscription = &mut session.subscriptions[at];
        if subscription.retained_scan().is_none_or(|scan| scan.through != through) {
            // The filter has been subscribed again since: its new scan knows nothing of the old one's progress.
            return;
        }
        let scan = after_topic.map(|topic| RetainedScan { through, after_topic: topic.to_owned() });
        subscription.set_retained_scan(scan);
        let row = record::encode_subscription(&subscription.row());
        self.batch.put(keys::SUBSCRIPTION, &keys::subscription(id, filter), row);
    }

    /// Gives an exchange its own copy of its message.
    pub(super) fn hold_message(&mut self, id: SessionId, packet_id: u16, lsn: Lsn, body: &[u8]) {
        self.has_copy(id, packet_id, lsn);
        let key = keys::flow(id, Flow::Held(packet_id));
        self.batch.put(keys::FLOW, &key, record::encode_held(lsn, body));
    }

    /// From here on an exchange has a copy of its own.
    pub(super) fn has_copy(&mut self, id: SessionId, packet_id: u16, lsn: Lsn) {
        let held = &mut self.session(id).rare.exchanges.get_or_insert_with(Box::<Exchanges>::default).held;
        held.retain(|(known, _)| *known != packet_id);
        held.push((packet_id, lsn));
    }

    /// The trimmer's wish: an exchange that is still open and has no copy gets one.
    pub(crate) fn rescue(&mut self, id: SessionId, packet_id: u16, lsn: Lsn, body: &[u8]) {
        let Some(session) = self.catalog.sessions.get(&id) else { return };
        if session.exchanges_in_logs().any(|exchange| exchange.packet_id == packet_id && exchange.lsn == lsn)
        {
            self.hold_message(id, packet_id, lsn, body);
            self.catalog.moved.insert(id);
            crate::statistics::add(&self.shared.counters.rescued_exchanges, 1);
        }
    }
}

/// The same; `None`: the disk does not say now.
fn found_end(catalog: &Catalog, shared: &Shared, log: LogId) -> Option<Head> {
    let found = end_of_log(catalog, shared, log);
    passing(shared, &found);
    found.ok()
}

/// Where a log ends. Found on the disk when it was not needed since the store was opened; an error only if it may pass.
pub(super) fn end_of_log(catalog: &Catalog, shared: &Shared, log: LogId) -> Result<Head, ReadError> {
    if let Some(head) = catalog.heads.get(&log) {
        return Ok(*head);
    }
    if catalog.sessions.get(&SessionId(log.0)).is_some_and(|session| session.is_new) {
        return Ok(Head::default());
    }
    // With less than the most that it can have, the tail would pass for all that there is.
    shared.end_of_log_or_damage(log, Lsn(catalog.last.0.saturating_sub(1)))
}
