//! Sessions come, go, and end.

use bytes::Bytes;
use bytestring::ByteString;

use crate::catalog::Session;
use crate::keys::{self, Flow};
use crate::record::SessionRow;
use crate::{
    Answer, Attach, Attached, AttachedSession, Detach, EndedSession, Lsn, Message, PacketIdSet, Policy,
    Reader, SessionId, Will, WillFate,
};

use super::Apply;

impl Apply<'_> {
    pub(super) fn attach(&mut self, attach: Attach, answers: &mut Vec<Answer>) {
        let known = self.catalog.of_client(&attach.client_id);
        if let Some(id) = known
            && !attach.clean_start
            && self.catalog.sessions[&id].can_be_resumed(attach.now_millis)
        {
            let session = self.resume(id, attach);
            let fence = Some((session.id, session.epoch));
            let session = Some(session);
            answers.push(Answer::Attached(Box::new(Attached { present: true, session, fence })));
            return;
        }
        let ended = known.map(|id| self.end_and_publish(id, attach.now_millis));
        let lasts = attach.session_expiry_interval > 0;
        // Of a session that ends with its connection only the will is kept.
        let created = (lasts || attach.will.is_some()).then(|| self.create(attach));
        let fence = created.map(|id| (id, self.catalog.sessions[&id].epoch));
        let session = created.filter(|_| lasts).map(|id| {
            self.batch.touch(id).outbound = true;
            self.measure(id);
            self.hand_over(id)
        });
        answers.push(Answer::Attached(Box::new(Attached { present: false, session, fence })));
        if let Some(ended) = ended {
            answers.push(Answer::Ended(vec![ended]));
        }
    }

    fn resume(&mut self, id: SessionId, attach: Attach) -> AttachedSession {
        if self.session(id).owes_will(attach.now_millis) {
            self.publish_will(id, attach.now_millis);
        }
        self.catalog.set_will_due(id, None);
        self.catalog.set_expiry(id, false);
        if self.session(id).connected {
            // The connection is fenced off.
            self.note_unsaved(id);
        } else {
            self.catalog.connected += 1;
        }
        let session = self.session(id);
        if session.unsaved_through <= session.position {
            session.unsaved_through = Lsn(0);
        }
        session.epoch.0 += 1;
        session.connected = true;
        session.session_expiry_interval = attach.session_expiry_interval;
        session.protocol_level = attach.protocol_level;
        session.keep_alive = attach.keep_alive;
        session.rare.will = attach.will.as_ref().map(|will| Box::new(own_will(will)));
        let handed = self.hand_over(id);
        self.recheck(id);
        handed
    }

    /// A session's connection may have read, and sent, all that there is by now.
    pub(super) fn note_unsaved(&mut self, id: SessionId) {
        let head = self.shared.head();
        let session = self.session(id);
        session.unsaved_through = session.unsaved_through.max(head);
        self.batch.touch(id).session = true;
    }

    fn create(&mut self, attach: Attach) -> SessionId {
        let id = SessionId(self.catalog.take_id());
        self.shared.floors.add(id.own_log());
        let row = SessionRow {
            id: id.0,
            epoch: 1,
            protocol_level: attach.protocol_level,
            session_expiry_interval: attach.session_expiry_interval,
            connected: true,
            detached_at_millis: 0,
            unsaved_through: Lsn(0),
            keep_alive: attach.keep_alive,
            will: attach.will.as_ref().map(own_will),
            will_due_at_millis: None,
        };
        let mut session = Session::new((&*attach.client_id).into(), row);
        session.position = self.catalog.last;
        session.is_new = true;
        self.catalog.insert(id, session);
        self.catalog.connected += 1;
        self.batch.touch(id).session = true;
        id
    }

    /// Gives the session a new reader, and all that its connection needs to know.
    fn hand_over(&mut self, id: SessionId) -> AttachedSession {
        self.retire_reader(id);
        let touched = self.batch.touch(id);
        touched.session = true;
        touched.reader = true;
        let reader = Reader::new(id);
        // There may be more than the limit allows, by a little that was not worth while before.
        if self.limit().is_some_and(|limit| limit.policy == Policy::DropOldest) {
            reader.look_again();
        }
        let session = self.session(id);
        session.rare.reader = Some(reader.clone());
        session.rare.refused = None;
        session.rare.settle();
        AttachedSession {
            id,
            epoch: session.epoch,
            reader,
            subscriptions: session.subscriptions.iter().map(|stored| stored.subscription()).collect(),
            outbound: session.outbound(),
            sent_unsaved_through: Some(session.unsaved_through).filter(|through| *through > session.position),
            inbound: session.rare.inbound.as_deref().cloned().unwrap_or_else(PacketIdSet::default),
        }
    }

    pub(super) fn detach(&mut self, id: SessionId, detach: &Detach, answers: &mut Vec<Answer>) {
        if detach.will == WillFate::Forget {
            self.session(id).rare.will = None;
        }
        if detach.session_expiry_interval == 0 {
            if detach.will == WillFate::Keep && self.session(id).rare.will.is_some() {
                // It stays as it is: whoever opens the store next finds that its connection was interrupted.
                return;
            }
            answers.push(Answer::Ended(vec![self.end_and_publish(id, detach.now_millis)]));
            return;
        }
        self.retire_reader(id);
        self.catalog.set_expiry(id, false);
        let session = self.session(id);
        let was_connected = std::mem::replace(&mut session.connected, false);
        session.session_expiry_interval = detach.session_expiry_interval;
        session.detached_at_millis = detach.now_millis;
        self.catalog.connected -= usize::from(was_connected);
        self.catalog.set_expiry(id, true);
        self.batch.touch(id).session = true;
        if detach.will == WillFate::Publish {
            self.let_will_fall_due(id, detach.now_millis);
        }
        self.session(id).rare.settle();
    }

    fn let_will_fall_due(&mut self, id: SessionId, now_millis: u64) {
        let due = self.session(id).rare.will.as_ref().map(|will| will.due_at_millis(now_millis));
        match due {
            Some(due) if due <= now_millis => self.publish_will(id, now_millis),
            due => self.catalog.set_will_due(id, due),
        }
    }

    /// Ends a session: whatever is stored of it goes, and so do the filters and logs that it alone held.
    pub(super) fn end(&mut self, id: SessionId) -> EndedSession {
        self.retire_reader(id);
        self.catalog.set_expiry(id, false);
        self.catalog.set_will_due(id, None);
        let session = self.catalog.remove(id).expect("the caller knows that the session exists");
        self.catalog.connected -= usize::from(session.connected);
        self.catalog.moved.remove(&id);
        self.batch.forget(id);
        for subscription in &session.subscriptions {
            let key = keys::subscription(id, &subscription.filter);
            self.batch.delete(keys::SUBSCRIPTION, &key);
            self.leave(id, subscription);
        }
        self.return_exchanges(id, &session);
        self.catalog.subscriptions -= session.subscriptions.len();
        self.batch.delete(keys::SESSION, session.client_id.as_bytes());
        self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Outbound));
        self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Inbound));
        if let Some(quotas) = &mut self.catalog.quotas {
            quotas.forget(id);
        }
        if session.rare.gaps.is_some() {
            self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Gaps));
        }
        if session.rare.drops.is_some() {
            self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Drops));
        }
        for (packet_id, _) in session.rare.exchanges.iter().flat_map(|exchanges| &exchanges.held) {
            self.batch.delete(keys::FLOW, &keys::flow(id, Flow::Held(*packet_id)));
        }
        self.log_ended(id.own_log());
        self.catalog.heads.remove(&id.own_log());
        self.batch.ended_logs.push(id.own_log());
        session.ended()
    }

    /// The reader of an earlier attachment yields nothing any more.
    fn retire_reader(&mut self, id: SessionId) {
        if let Some(reader) = self.session(id).rare.reader.take() {
            reader.fence();
            self.shared.readers.remove(&reader);
        }
    }
}

/// A copy that does not keep alive the network buffer that the original is a slice of.
pub(super) fn own(text: &ByteString) -> ByteString {
    let text: &str = text;
    ByteString::from(text)
}

/// The same for a will.
pub(super) fn own_will(will: &Will) -> Will {
    let message = Message {
        publisher: own(&will.message.publisher),
        topic: own(&will.message.topic),
        properties: Bytes::copy_from_slice(&will.message.properties),
        payload: Bytes::copy_from_slice(&will.message.payload),
        ..will.message
    };
    Will { message, ..*will }
}
