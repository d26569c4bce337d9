//! Deadlines: sessions expire, wills fall due. And what the end of the broker does to both.
//!
//! A will is published and removed at once: its message is appended to the logs that want it in the batch in which it goes
//! from its session's record. There is no moment at which a crash would publish it twice, or not at all.

use bytes::BytesMut;

use crate::catalog::Session;
use crate::{EndedSession, Message, Publish, PublishedWill, SessionId, Will};

use super::Apply;

impl Apply<'_> {
    /// Ends a session and publishes its will [MQTT-3.1.3-9].
    pub(super) fn end_and_publish(&mut self, id: SessionId, now_millis: u64) -> EndedSession {
        let will = self.session(id).rare.will.take();
        let ended = self.end(id);
        if let Some(will) = will {
            self.publish_will_message(*will, now_millis);
        }
        ended
    }

    /// Publishes a session's will, if it has one.
    pub(super) fn publish_will(&mut self, id: SessionId, now_millis: u64) {
        self.catalog.set_will_due(id, None);
        let session = self.session(id);
        let will = session.rare.will.take();
        session.rare.settle();
        let Some(will) = will else { return };
        self.batch.touch(id).session = true;
        self.publish_will_message(*will, now_millis);
    }

    fn publish_will_message(&mut self, will: Will, now_millis: u64) {
        let deadline = |seconds: u32| now_millis.saturating_add(u64::from(seconds) * 1000);
        let message = Message {
            published_at_millis: now_millis,
            expires_at_millis: will.message_expiry_interval.map(deadline),
            ..will.message
        };
        // Its session cannot be told, and is perhaps no more.
        let targets = self.shared.routes.read().targets(&message.topic);
        let publish = Publish::of(&message, targets, &mut BytesMut::new());
        let _never_refused = self.publish(None, publish);
        let lsn = self.catalog.last;
        self.wills.push(PublishedWill { lsn, message });
    }

    /// The oldest of the sessions that have expired end.
    pub(crate) fn expire_sessions(&mut self, now_millis: u64) -> Vec<EndedSession> {
        self.catalog.held_back.let_go(now_millis);
        let mut ended = Vec::new();
        for id in self.catalog.expired(now_millis) {
            self.count_expired(id);
            ended.push(self.end_and_publish(id, now_millis));
        }
        ended
    }

    /// The oldest of the wills that are due are published.
    pub(crate) fn publish_due_wills(&mut self, now_millis: u64) {
        self.catalog.held_back.let_go(now_millis);
        for id in self.catalog.due_wills(now_millis) {
            self.publish_will(id, now_millis);
        }
    }

    /// What an opened store does to the sessions that it finds: those that were connected when it was last open have lost
    /// their connection now, and those of them that were to end with it end.
    ///
    /// Their clients have had no time to come back. A client counts as gone when it would have been too silent, and at the
    /// latest when the grace has passed: its will is due from then on, and so a session that ends with its connection and
    /// has a will ends then.
    pub(crate) fn settle_sessions(&mut self, now_millis: u64) -> Vec<EndedSession> {
        self.forget_earlier_members();
        let last = self.catalog.last;
        let is_concerned = |session: &Session| {
            session.connected || session.rare.will.is_some() || crate::planted!(ExpiryAnew)
        };
        let concerned = self.catalog.sessions.iter().filter(|(_, session)| is_concerned(session));
        let mut ids: Vec<SessionId> = concerned.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let mut ended = Vec::new();
        for id in ids {
            if crate::planted!(ExpiryAnew) {
                self.count_anew(id, now_millis);
            }
            let gone_at = now_millis.saturating_add(self.silence_millis(id));
            let session = self.session(id);
            let ends_with_connection = session.session_expiry_interval == 0;
            if session.connected {
                if ends_with_connection && session.rare.will.is_none() {
                    ended.push(self.end(id));
                    continue;
                }
                session.unsaved_through = last;
                session.connected = false;
                session.detached_at_millis = if ends_with_connection { gone_at } else { now_millis };
                self.catalog.connected -= 1;
                self.catalog.set_expiry(id, true);
                self.batch.touch(id).session = true;
            }
            if !ends_with_connection {
                self.settle_will(id, gone_at);
            }
        }
        ended
    }

    /// Has a session that is away expire as if it had been left now: a bug on purpose.
    fn count_anew(&mut self, id: SessionId, now_millis: u64) {
        self.catalog.set_expiry(id, false);
        self.session(id).detached_at_millis = now_millis;
        self.catalog.set_expiry(id, true);
    }

    /// A will whose connection has ended without a word is due after its delay.
    fn settle_will(&mut self, id: SessionId, gone_at: u64) {
        let session = self.session(id);
        if let (Some(will), None) = (&session.rare.will, session.rare.will_due_at_millis) {
            let due = will.due_at_millis(gone_at);
            self.catalog.set_will_due(id, Some(due));
            self.batch.touch(id).session = true;
        }
    }

    /// How long a client may be silent after the store was opened: as its keep-alive has it [MQTT-3.1.2-22], but not longer
    /// than the grace.
    fn silence_millis(&self, id: SessionId) -> u64 {
        let grace = u64::try_from(self.shared.options.will_grace.as_millis()).unwrap_or(u64::MAX);
        match self.catalog.sessions[&id].keep_alive {
            0 => grace,
            seconds => grace.min(u64::from(seconds) * 1500),
        }
    }
}

impl Will {
    /// When it is due, if its connection ends at `ended_at_millis`.
    pub(super) fn due_at_millis(&self, ended_at_millis: u64) -> u64 {
        ended_at_millis.saturating_add(u64::from(self.delay_interval) * 1000)
    }
}

impl Session {
    /// Whether its client finds it again. One whose expiry interval is 0 has ended with its connection, even if nobody has
    /// noticed yet.
    pub(super) fn can_be_resumed(&self, now_millis: u64) -> bool {
        self.session_expiry_interval > 0 && self.expires_at_millis().is_none_or(|at| at > now_millis)
    }

    /// Whether a will is overdue when its client returns: its time has passed, or its connection was fenced off before it
    /// could say anything.
    pub(super) fn owes_will(&self, now_millis: u64) -> bool {
        match (&self.rare.will, self.rare.will_due_at_millis) {
            (Some(_), Some(due)) => due <= now_millis,
            (Some(will), None) => self.connected && will.delay_interval == 0,
            (None, _) => false,
        }
    }
}
