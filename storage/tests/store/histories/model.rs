//! The oracle: what a store is to keep and to answer, in plain maps. It knows neither engine, no log, no block and no floor.

use std::collections::{BTreeMap, BTreeSet};

use barnacle_storage::topics::topic_matches;
use barnacle_storage::*;
use bytes::Bytes;

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
    /// By client identifier.
    pub(super) sessions: BTreeMap<String, Session>,
    /// By topic, each with its encoded message.
    pub(super) retained: BTreeMap<String, (Lsn, Bytes)>,
}

/// What a transaction is to be answered.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    Fenced,
    Taken { lsn: Lsn, answers: Vec<Told> },
}

/// What an operation is to be answered; session numbers and readers are the store's own affair.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Attached { present: bool, session: Option<Box<Handed>> },
    Subscribed(Vec<(bool, Subscription)>),
    Unsubscribed(Vec<bool>),
    Ended(Vec<Ended>),
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

/// Client identifier and will of a session that has ended.
pub(super) type Ended = (String, Option<Will>);

impl Model {
    pub(super) fn new() -> Model {
        Model {
            last: Lsn(0),
            head: Lsn(0),
            newest_session: SessionId(0),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
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
        let mut answers = Vec::new();
        for operation in &transaction.operations {
            self.operate(name.as_deref(), operation, &mut answers);
        }
        let published =
            transaction.operations.iter().any(|operation| matches!(operation, Operation::Publish(_)));
        let lsn = if published { Lsn(before.0 + 1) } else { before };
        Expected::Taken { lsn, answers }
    }

    /// What was applied is visible from here on.
    pub(super) fn publish_head(&mut self) {
        self.head = self.last;
    }

    /// The store is opened after a crash or an end.
    pub(super) fn settle(&mut self, now_millis: u64) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (name, session) in &mut self.sessions {
            if !session.connected {
                continue;
            }
            if session.session_expiry_interval == 0 {
                ended.push(name.clone());
            }
            session.unsaved_through = self.last;
            session.connected = false;
            session.detached_at_millis = now_millis;
        }
        let mut ended: Vec<Ended> = ended.into_iter().map(|name| self.end(&name)).collect();
        ended.extend(self.expire(now_millis));
        ended.sort_by(|one, other| one.0.cmp(&other.0));
        self.head = self.last;
        ended
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.sessions.values().filter_map(Session::expires_at_millis).min()
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
            Operation::Publish(publish) => return self.publish(publish),
            Operation::TakePosition => return,
            _ => {}
        }
        let name = name.expect("operations on a session are fenced");
        // An operation before it in the transaction may have ended the session.
        let Some(session) = self.sessions.get_mut(name) else { return };
        match operation {
            Operation::End => drop(self.end(name)),
            Operation::Detach(detach) if detach.session_expiry_interval == 0 => {
                answers.push(Told::Ended(vec![self.end(name)]));
            }
            Operation::Detach(detach) => session.detach(detach),
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
            Operation::SaveWill(will) => session.will.clone_from(will),
            Operation::SaveRetainedScan { filter, after_topic } => {
                session.save_retained_scan(filter, after_topic.as_deref());
            }
            Operation::Hold { packet_id, lsn, body } => session.hold(*packet_id, *lsn, body.clone()),
            _ => unreachable!("taken above"),
        }
    }

    fn attach(&mut self, attach: &Attach, answers: &mut Vec<Told>) {
        let name = attach.client_id.to_string();
        let head = self.head;
        if !attach.clean_start
            && let Some(session) = self.sessions.get_mut(&name)
            && session.can_resume(attach.now_millis)
        {
            session.resume(attach, head);
            let session = Some(Box::new(session.handed()));
            return answers.push(Told::Attached { present: true, session });
        }
        let ended = self.sessions.contains_key(&name).then(|| self.end(&name));
        let session = (attach.session_expiry_interval > 0).then(|| Session::new(attach, self.last));
        let handed = session.as_ref().map(|session| Box::new(session.handed()));
        answers.push(Told::Attached { present: false, session: handed });
        self.sessions.extend(session.map(|session| (name, session)));
        answers.extend(ended.map(|ended| Told::Ended(vec![ended])));
    }

    fn publish(&mut self, publish: &Publish) {
        self.last.0 += 1;
        if publish.qos > 0 {
            for session in self.sessions.values_mut() {
                let wanted_by = session.wanting(&publish.topic);
                if !wanted_by.is_empty() {
                    session.waiting.insert(self.last, Waiting { body: publish.body.clone(), wanted_by });
                }
            }
        }
        let topic = publish.topic.to_string();
        match publish.retained {
            RetainedChange::Leave => {}
            RetainedChange::Set => drop(self.retained.insert(topic, (self.last, publish.body.clone()))),
            RetainedChange::Clear => drop(self.retained.remove(&topic)),
        }
    }

    fn expire(&mut self, now_millis: u64) -> Vec<Ended> {
        let expired = |session: &Session| session.expires_at_millis().is_some_and(|at| at <= now_millis);
        let names: Vec<String> = self
            .sessions
            .iter()
            .filter(|(_, session)| expired(session))
            .map(|(name, _)| name.clone())
            .collect();
        names.iter().map(|name| self.end(name)).collect()
    }

    fn end(&mut self, name: &str) -> Ended {
        let session = self.sessions.remove(name).expect("the caller has found it");
        (name.to_owned(), session.will)
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
    Expected::Taken { lsn: committed.lsn, answers: answers.collect() }
}

/// Sessions that have ended, by client identifier.
pub(super) fn ended(sessions: &[EndedSession]) -> Vec<Ended> {
    let mut ended: Vec<Ended> =
        sessions.iter().map(|session| (session.client_id.to_string(), session.will.clone())).collect();
    ended.sort_by(|one, other| one.0.cmp(&other.0));
    ended
}
