//! The oracle: what a store is to keep and to answer, in plain maps. It knows neither engine, no log, no block and no floor.

use std::collections::{BTreeMap, BTreeSet};

use barnacle_storage::topics::topic_matches;
use barnacle_storage::*;
use bytes::{Bytes, BytesMut};

use super::session::{Session, Waiting};

/// Everything that a store knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    /// The last LSN given out.
    pub(super) last: Lsn,
    /// The last LSN that is readable.
    pub(super) head: Lsn,
    /// The greatest number that a session was told: none is given out again.
    pub(super) newest_session: SessionId,
    /// Sessions that were made: the older one comes first where the order matters.
    made: u64,
    /// By client identifier.
    pub(super) sessions: BTreeMap<String, Session>,
    /// By topic, each with its encoded message.
    pub(super) retained: BTreeMap<String, (Lsn, Bytes)>,
    /// What the transaction at hand publishes of itself.
    wills: Vec<PublishedWill>,
}

/// What a transaction is to be answered.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    Fenced,
    Taken { lsn: Lsn, answers: Vec<Told>, wills: Vec<PublishedWill> },
}

/// What an operation is to be answered; session numbers and readers are the store's own affair.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Attached {
        present: bool,
        session: Option<Box<Handed>>,
    },
    Subscribed(Vec<(bool, Subscription)>),
    Unsubscribed(Vec<bool>),
    /// The client identifiers of sessions that have ended, in order.
    Ended(Vec<String>),
}

/// A session as its connection gets it.
#[derive(Debug, PartialEq)]
pub(super) struct Handed {
    pub(super) epoch: Epoch,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) outbound: Outbound,
    pub(super) sent_unsaved_through: Option<Lsn>,
    pub(super) inbound: PacketIdSet,
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            last: Lsn(0),
            head: Lsn(0),
            newest_session: SessionId(0),
            made: 0,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            wills: Vec::new(),
        }
    }

    /// The transaction takes its place in the order.
    pub(super) fn apply(&mut self, transaction: &Transaction) -> Expected {
        let name = match transaction.fence {
            None => None,
            Some(fence) => match self.fenced(fence) {
                Some(name) => Some(name),
                None => return Expected::Fenced,
            },
        };
        let before = self.last;
        let (mut lsn, mut answers) = (None, Vec::new());
        self.wills.clear();
        for operation in &transaction.operations {
            if matches!(operation, Operation::Publish(_)) {
                lsn.get_or_insert(Lsn(self.last.0 + 1));
            }
            self.operate(name.as_deref(), operation, &mut answers);
        }
        let wills = std::mem::take(&mut self.wills);
        Expected::Taken { lsn: lsn.unwrap_or(before), answers, wills }
    }

    /// What was applied is visible from here on.
    pub(super) fn publish_head(&mut self) {
        self.head = self.last;
    }

    /// The store is opened after a crash or an end: connections have ended, and what is overdue happens. Gives who has ended,
    /// and how the store stands after each of the batches that this takes.
    pub(super) fn settle(&mut self, now_millis: u64) -> (Vec<String>, Vec<Model>) {
        let mut ended = Vec::new();
        for name in self.sessions.keys().cloned().collect::<Vec<_>>() {
            let last = self.last;
            let session = self.sessions.get_mut(&name).expect("just listed");
            if session.settle(last, now_millis) {
                self.sessions.remove(&name);
                ended.push(name);
            }
        }
        self.head = self.last;
        let mut batches = vec![self.clone()];
        if self.next_deadline().is_some_and(|deadline| deadline <= now_millis) {
            self.publish_due_wills(now_millis);
            ended.extend(self.expire(now_millis));
            self.wills.clear();
            self.head = self.last;
            batches.push(self.clone());
        }
        ended.sort();
        (ended, batches)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        let sessions = self.sessions.values();
        sessions.flat_map(|session| [session.expires_at_millis(), session.will_due_at_millis]).flatten().min()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.sessions.values().map(|session| session.subscriptions.len()).sum()
    }

    pub(super) fn connected(&self) -> usize {
        self.sessions.values().filter(|session| session.connected).count()
    }

    /// What a scan of retained messages has before it.
    pub(super) fn retained_behind(&self, filter: &str, scan: &RetainedScan) -> Vec<(&str, Lsn, &Bytes)> {
        let matching = self.retained.iter().filter(|(topic, (lsn, _))| {
            topic_matches(filter, topic) && *lsn <= scan.through && **topic > scan.after_topic
        });
        matching.map(|(topic, (lsn, body))| (topic.as_str(), *lsn, body)).collect()
    }

    fn fenced(&self, (id, epoch): (SessionId, Epoch)) -> Option<String> {
        let holds = |session: &Session| session.id == Some(id) && session.epoch == epoch;
        self.sessions.iter().find(|(_, session)| holds(session)).map(|(name, _)| name.clone())
    }

    fn operate(&mut self, name: Option<&str>, operation: &Operation, answers: &mut Vec<Told>) {
        let last = self.last;
        match operation {
            Operation::Attach(attach) => return self.attach(attach, answers),
            Operation::ExpireSessions { now_millis } => {
                return answers.push(Told::Ended(self.expire(*now_millis)));
            }
            Operation::PublishDueWills { now_millis } => return self.publish_due_wills(*now_millis),
            Operation::Publish(publish) => {
                return self.publish(&publish.topic, publish.qos, &publish.body, publish.retained);
            }
            Operation::TakePosition => return,
            _ => {}
        }
        let name = name.expect("operations on a session are fenced");
        // An operation before it in the transaction may have ended the session.
        let Some(session) = self.sessions.get_mut(name) else { return };
        match operation {
            Operation::End => drop(self.sessions.remove(name)),
            Operation::Detach(detach) => self.detach(name, detach, answers),
            Operation::Subscribe(wanted) => {
                let subscribed = wanted.iter().map(|wanted| session.subscribe(last, wanted)).collect();
                answers.push(Told::Subscribed(subscribed));
            }
            Operation::Unsubscribe(filters) => {
                let known = filters.iter().map(|filter| session.unsubscribe(filter)).collect();
                answers.push(Told::Unsubscribed(known));
            }
            Operation::SaveInbound(inbound) => session.inbound = inbound.iter().collect::<BTreeSet<u16>>(),
            Operation::SaveOutbound(outbound) => session.save_outbound(outbound),
            Operation::SaveRetainedScan { filter, through, after_topic } => {
                session.save_retained_scan(filter, *through, after_topic.as_deref());
            }
            Operation::Hold { packet_id, lsn, body } => session.hold(*packet_id, *lsn, body.clone()),
            _ => unreachable!("taken above"),
        }
    }

    fn attach(&mut self, attach: &Attach, answers: &mut Vec<Told>) {
        let name = attach.client_id.to_string();
        let (head, now_millis) = (self.head, attach.now_millis);
        if !attach.clean_start && self.sessions.get(&name).is_some_and(|known| known.can_resume(now_millis)) {
            if self.sessions[&name].owes_will(now_millis) {
                self.publish_will(&name, now_millis);
            }
            let session = self.sessions.get_mut(&name).expect("just found");
            session.resume(attach, head);
            let session = Some(Box::new(session.handed()));
            return answers.push(Told::Attached { present: true, session });
        }
        let has_ended = self.sessions.contains_key(&name);
        if has_ended {
            self.end(&name, now_millis);
        }
        let lasts = attach.session_expiry_interval > 0;
        let mut handed = None;
        if lasts || attach.will.is_some() {
            self.made += 1;
            let session = Session::new(attach, self.made, self.last);
            handed = lasts.then(|| Box::new(session.handed()));
            self.sessions.insert(name.clone(), session);
        }
        answers.push(Told::Attached { present: false, session: handed });
        answers.extend(has_ended.then(|| Told::Ended(vec![name])));
    }

    fn detach(&mut self, name: &str, detach: &Detach, answers: &mut Vec<Told>) {
        let session = self.sessions.get_mut(name).expect("the caller has found it");
        if detach.will == WillFate::Forget {
            session.will = None;
        }
        if detach.session_expiry_interval == 0 {
            if detach.will != WillFate::Keep || session.will.is_none() {
                self.end(name, detach.now_millis);
                answers.push(Told::Ended(vec![name.to_owned()]));
            }
            return;
        }
        session.detach(detach);
        if session.will_due_at_millis.is_some_and(|due| due <= detach.now_millis) {
            self.publish_will(name, detach.now_millis);
        }
    }

    fn publish(&mut self, topic: &str, qos: u8, body: &Bytes, retained: RetainedChange) {
        self.last.0 += 1;
        if qos > 0 {
            for session in self.sessions.values_mut() {
                let wanted_by = session.wanting(topic);
                if !wanted_by.is_empty() {
                    session.waiting.insert(self.last, Waiting { body: body.clone(), wanted_by });
                }
            }
        }
        match retained {
            RetainedChange::Leave => {}
            RetainedChange::Set => {
                self.retained.insert(topic.to_owned(), (self.last, body.clone()));
            }
            RetainedChange::Clear | RetainedChange::Forget => drop(self.retained.remove(topic)),
        }
    }

    /// Those whose time has come, the longest overdue first.
    fn overdue(&self, now_millis: u64, deadline: impl Fn(&Session) -> Option<u64>) -> Vec<String> {
        let mut overdue: Vec<_> = self
            .sessions
            .iter()
            .filter_map(|(name, session)| Some((deadline(session)?, session.made, name.clone())))
            .filter(|(deadline, _, _)| *deadline <= now_millis)
            .collect();
        overdue.sort();
        overdue.into_iter().map(|(_, _, name)| name).collect()
    }

    fn publish_due_wills(&mut self, now_millis: u64) {
        for name in self.overdue(now_millis, |session| session.will_due_at_millis) {
            self.publish_will(&name, now_millis);
        }
    }

    fn expire(&mut self, now_millis: u64) -> Vec<String> {
        let names = self.overdue(now_millis, Session::expires_at_millis);
        for name in &names {
            self.end(name, now_millis);
        }
        names
    }

    /// The session ends, and its will is published.
    fn end(&mut self, name: &str, now_millis: u64) {
        let session = self.sessions.remove(name).expect("the caller has found it");
        self.publish_will_message(session.will, now_millis);
    }

    fn publish_will(&mut self, name: &str, now_millis: u64) {
        let session = self.sessions.get_mut(name).expect("the caller has found it");
        session.will_due_at_millis = None;
        let will = session.will.take();
        self.publish_will_message(will, now_millis);
    }

    fn publish_will_message(&mut self, will: Option<Will>, now_millis: u64) {
        let Some(Will { mut message, message_expiry_interval, .. }) = will else { return };
        message.published_at_millis = now_millis;
        message.expires_at_millis =
            message_expiry_interval.map(|seconds| now_millis + u64::from(seconds) * 1000);
        let retained = match (message.retain, message.payload.is_empty()) {
            (false, _) => RetainedChange::Leave,
            (true, false) => RetainedChange::Set,
            (true, true) => RetainedChange::Clear,
        };
        let body = encode_message(&message, &mut BytesMut::new());
        self.publish(&message.topic, message.qos, &body, retained);
        self.wills.push(PublishedWill { lsn: self.last, message });
    }
}

/// What the store has answered, in the oracle's words.
pub(super) fn told(outcome: &Outcome) -> Expected {
    let Outcome::Committed(committed) = outcome else { return Expected::Fenced };
    let answers = committed.answers.iter().map(|answer| match answer {
        Answer::Attached(attached) => {
            let session = attached.session.as_ref().map(|session| {
                Box::new(Handed {
                    epoch: session.epoch,
                    subscriptions: session.subscriptions.clone(),
                    outbound: session.outbound.clone(),
                    sent_unsaved_through: session.sent_unsaved_through,
                    inbound: session.inbound.clone(),
                })
            });
            Told::Attached { present: attached.present, session }
        }
        Answer::Subscribed(subscribed) => {
            let subscribed = subscribed.iter().map(|one| (one.existed, one.subscription.clone()));
            Told::Subscribed(subscribed.collect())
        }
        Answer::Unsubscribed(known) => Told::Unsubscribed(known.clone()),
        Answer::Ended(sessions) => Told::Ended(ended(sessions)),
    });
    let wills = committed.wills.clone();
    Expected::Taken { lsn: committed.lsn, answers: answers.collect(), wills }
}

/// The client identifiers of sessions that have ended.
pub(super) fn ended(sessions: &[EndedSession]) -> Vec<String> {
    sessions.iter().map(|session| session.client_id.to_string()).collect()
}
