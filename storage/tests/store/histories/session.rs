//! One session of the oracle: what it asked for, what it has coming, what it has under way.

use std::collections::{BTreeMap, BTreeSet};

use barnacle_storage::topics::topic_matches;
use barnacle_storage::*;
use bytes::Bytes;

use super::model::Handed;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Session {
    /// Once the store has told it.
    pub(super) id: Option<SessionId>,
    /// Its place among all that were made.
    pub(super) made: u64,
    pub(super) epoch: Epoch,
    pub(super) connected: bool,
    pub(super) session_expiry_interval: u32,
    pub(super) detached_at_millis: u64,
    pub(super) unsaved_through: Lsn,
    /// In seconds.
    pub(super) keep_alive: u16,
    pub(super) will: Option<Will>,
    /// Once its connection has ended.
    pub(super) will_due_at_millis: Option<u64>,
    pub(super) position: Lsn,
    pub(super) last_packet_id: u16,
    pub(super) open: Vec<Open>,
    /// Bodies that exchanges have of their own.
    pub(super) held: BTreeMap<(u16, Lsn), Bytes>,
    pub(super) inbound: BTreeSet<u16>,
    /// By filter.
    pub(super) subscriptions: BTreeMap<String, Subscribed>,
    /// Above the position: what a subscription of QoS 1 or 2 asked for.
    pub(super) waiting: BTreeMap<Lsn, Waiting>,
}

/// An exchange under way, and its encoded message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) exchange: Exchange,
    pub(super) body: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subscribed {
    pub(super) options: SubscriptionOptions,
    pub(super) start: Lsn,
    /// It has been of QoS 1 or 2 at some time: its start stays.
    pub(super) held: bool,
    pub(super) retained_scan: Option<RetainedScan>,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) body: Bytes,
    /// The filters that asked for it and are still subscribed: with none left it may still come, but need not.
    pub(super) wanted_by: BTreeSet<String>,
}

impl Session {
    pub(super) fn new(attach: &Attach, made: u64, last: Lsn) -> Session {
        Session {
            id: None,
            made,
            epoch: Epoch(1),
            connected: true,
            session_expiry_interval: attach.session_expiry_interval,
            detached_at_millis: 0,
            unsaved_through: Lsn(0),
            keep_alive: attach.keep_alive,
            will: attach.will.clone(),
            will_due_at_millis: None,
            position: last,
            last_packet_id: 0,
            open: Vec::new(),
            held: BTreeMap::new(),
            inbound: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    pub(super) fn expires_at_millis(&self) -> Option<u64> {
        let expires = !self.connected && self.session_expiry_interval != u32::MAX;
        expires.then(|| self.detached_at_millis + u64::from(self.session_expiry_interval) * 1000)
    }

    pub(super) fn can_resume(&self, now_millis: u64) -> bool {
        self.session_expiry_interval > 0 && self.expires_at_millis().is_none_or(|at| at > now_millis)
    }

    pub(super) fn resume(&mut self, attach: &Attach, head: Lsn) {
        if self.connected {
            self.unsaved_through = self.unsaved_through.max(head);
        }
        if self.unsaved_through <= self.position {
            self.unsaved_through = Lsn(0);
        }
        self.epoch.0 += 1;
        self.connected = true;
        self.session_expiry_interval = attach.session_expiry_interval;
        self.keep_alive = attach.keep_alive;
        self.will.clone_from(&attach.will);
        self.will_due_at_millis = None;
    }

    /// A will that is overdue when its client returns, or whose connection was taken over.
    pub(super) fn owes_will(&self, now_millis: u64) -> bool {
        match (&self.will, self.will_due_at_millis) {
            (None, _) => false,
            (Some(_), Some(due)) => due <= now_millis,
            (Some(will), None) => self.connected && will.delay_interval == 0,
        }
    }

    /// The store is opened: the client counts as gone once it would have been silent for too long. Whether it ends at once.
    pub(super) fn settle(&mut self, last: Lsn, now_millis: u64) -> bool {
        let grace = 60_000;
        let silence = if self.keep_alive == 0 { grace } else { grace.min(u64::from(self.keep_alive) * 1500) };
        let ends_with_connection = self.session_expiry_interval == 0;
        if self.connected {
            if ends_with_connection && self.will.is_none() {
                return true;
            }
            self.unsaved_through = last;
            self.connected = false;
            self.detached_at_millis = now_millis + if ends_with_connection { silence } else { 0 };
        }
        if !ends_with_connection && self.will_due_at_millis.is_none() {
            self.will_due_at_millis = self.will_due(now_millis + silence);
        }
        false
    }

    fn will_due(&self, ended_at_millis: u64) -> Option<u64> {
        self.will.as_ref().map(|will| ended_at_millis + u64::from(will.delay_interval) * 1000)
    }

    pub(super) fn detach(&mut self, detach: &Detach) {
        self.connected = false;
        self.session_expiry_interval = detach.session_expiry_interval;
        self.detached_at_millis = detach.now_millis;
        if detach.will == WillFate::Publish {
            self.will_due_at_millis = self.will_due(detach.now_millis);
        }
    }

    pub(super) fn handed(&self) -> Handed {
        Handed {
            epoch: self.epoch,
            subscriptions: self
                .subscriptions
                .iter()
                .map(|(filter, subscribed)| subscribed.named(filter))
                .collect(),
            outbound: self.outbound(),
            sent_unsaved_through: Some(self.unsaved_through).filter(|through| *through > self.position),
            inbound: self.inbound.iter().copied().collect(),
        }
    }

    pub(super) fn outbound(&self) -> Outbound {
        Outbound {
            position: self.position,
            last_packet_id: self.last_packet_id,
            open: self.open.iter().map(|open| open.exchange.clone()).collect(),
        }
    }

    /// The filters that ask for messages on this topic.
    pub(super) fn wanting(&self, topic: &str) -> BTreeSet<String> {
        let asking = self
            .subscriptions
            .iter()
            .filter(|(filter, subscribed)| subscribed.options.qos > 0 && topic_matches(filter, topic));
        asking.map(|(filter, _)| filter.clone()).collect()
    }

    pub(super) fn subscribe(&mut self, last: Lsn, wanted: &NewSubscription) -> (bool, Subscription) {
        let filter = wanted.filter.to_string();
        let known = self.subscriptions.get(&filter).cloned();
        let existed = known.is_some();
        let mut subscribed = known.unwrap_or(Subscribed {
            options: SubscriptionOptions { qos: 0, ..wanted.options },
            start: last,
            held: false,
            retained_scan: None,
        });
        if wanted.options.qos > 0 && !subscribed.held {
            subscribed.start = last;
            subscribed.held = true;
        }
        subscribed.options = wanted.options;
        if wanted.retain_handling == 0 || (wanted.retain_handling == 1 && !existed) {
            subscribed.retained_scan = Some(RetainedScan { through: last, after_topic: String::new() });
        }
        let answer = subscribed.named(&filter);
        self.subscriptions.insert(filter, subscribed);
        (existed, answer)
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> bool {
        for waiting in self.waiting.values_mut() {
            waiting.wanted_by.remove(filter);
        }
        self.subscriptions.remove(filter).is_some()
    }

    pub(super) fn save_outbound(&mut self, outbound: &Outbound) {
        let open = outbound.open.iter().map(|exchange| Open {
            exchange: exchange.clone(),
            body: self.body_of(exchange).expect("an exchange is begun with a message that was read"),
        });
        self.open = open.collect();
        self.position = self.position.max(outbound.position);
        self.last_packet_id = outbound.last_packet_id;
        self.waiting = self.waiting.split_off(&Lsn(self.position.0 + 1));
        let open = &self.open;
        self.held.retain(|(packet_id, lsn), _| {
            open.iter().any(|open| open.exchange.packet_id == *packet_id && open.exchange.lsn == *lsn)
        });
    }

    fn body_of(&self, exchange: &Exchange) -> Option<Bytes> {
        let known = self
            .open
            .iter()
            .find(|open| open.exchange.packet_id == exchange.packet_id && open.exchange.lsn == exchange.lsn)
            .map(|open| &open.body);
        let held = || self.held.get(&(exchange.packet_id, exchange.lsn));
        let waiting = || self.waiting.get(&exchange.lsn).map(|waiting| &waiting.body);
        known.or_else(held).or_else(waiting).cloned()
    }

    /// Of the scan of an earlier SUBSCRIBE, nothing is saved.
    pub(super) fn save_retained_scan(&mut self, filter: &str, through: Lsn, after_topic: Option<&str>) {
        let Some(subscribed) = self.subscriptions.get_mut(filter) else { return };
        let Some(scan) = subscribed.retained_scan.as_mut().filter(|scan| scan.through == through) else {
            return;
        };
        match after_topic {
            Some(topic) => topic.clone_into(&mut scan.after_topic),
            None => subscribed.retained_scan = None,
        }
    }

    pub(super) fn hold(&mut self, packet_id: u16, lsn: Lsn, body: Bytes) {
        self.held.retain(|(known, _), _| *known != packet_id);
        self.held.insert((packet_id, lsn), body);
    }
}

impl Subscribed {
    pub(super) fn named(&self, filter: &str) -> Subscription {
        Subscription {
            filter: filter.into(),
            options: self.options,
            start: self.start,
            retained_scan: self.retained_scan.clone(),
        }
    }
}
