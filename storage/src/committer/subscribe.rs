//! Subscriptions: who holds which filter, and which log it writes to.
//!
//! A session holds a filter that it subscribes to with QoS 1 or 2. While it is the only one, the filter writes to the
//! session's own log. When a second one comes, the filter gets a log of its own from that LSN on, which both read; it
//! keeps it until the last one has left, so that it does not change back and forth. A subscription that goes from QoS
//! 1 or 2 to 0 ceases to hold, but still reads what was waiting, also when it holds once more.

use std::collections::HashSet;

use bytestring::ByteString;

use crate::catalog::{Filter, Head, SharedLog, StoredSubscription};
use crate::groups::OPEN_END;
use crate::keys;
use crate::record::{self, Membership, SubscriptionRow};
use crate::topics::shared_filter;
use crate::{Exchange, LogId, NewSubscription, RetainedScan, SessionId, Subscribed};

use super::Apply;
use super::attach::own;
use super::foresee::passing;
use super::late::{LateCopy, there};

impl Apply<'_> {
    pub(super) fn subscribe(&mut self, id: SessionId, wanted: Vec<NewSubscription>) -> Vec<Subscribed> {
        let subscribed = wanted.iter().map(|wanted| self.subscribe_one(id, wanted)).collect();
        self.batch.touch(id).reader = true;
        subscribed
    }

    fn subscribe_one(&mut self, id: SessionId, wanted: &NewSubscription) -> Subscribed {
        let last = self.catalog.last;
        let session = self.session(id);
        let found = session.find(&wanted.filter);
        let at = match found {
            Ok(at) | Err(at) => at,
        };
        if found.is_err() {
            let unheld = SubscriptionRow {
                options: crate::SubscriptionOptions { qos: 0, ..wanted.options },
                start: last,
                held: false,
                retained_scan: None,
                membership: None,
                earlier: Vec::new(),
            };
            if session.subscriptions.is_empty() {
                // Most sessions have one.
                session.subscriptions.reserve_exact(1);
            }
            session.subscriptions.insert(at, StoredSubscription::new(&wanted.filter, unheld));
            self.catalog.subscriptions += 1;
        }
        if shared_filter(&wanted.filter).is_some() {
            self.join_group(&own(&wanted.filter), None);
            self.enter_group(id, &wanted.filter);
        } else {
            self.change_hold(id, at, wanted.options.qos > 0);
        }
        let subscription = &mut self.session(id).subscriptions[at];
        subscription.options = wanted.options;
        let existed = found.is_ok();
        // A shared subscription gets no retained messages (section 4.8.2).
        let sends_retained = wanted.retain_handling == 0 || (wanted.retain_handling == 1 && !existed);
        if sends_retained && !subscription.is_shared() {
            let scan = RetainedScan { through: last, after_topic: String::new() };
            subscription.set_retained_scan(Some(scan));
        }
        let answer = Subscribed { existed, subscription: subscription.subscription() };
        self.put_subscription(id, at);
        answer
    }

    /// Subscribing again keeps the position and what waits [MQTT-3.8.4-4], after a time at QoS 0 as well; unless nothing
    /// has been kept for it so far.
    fn change_hold(&mut self, id: SessionId, at: usize, hold: bool) {
        let last = self.catalog.last;
        let subscription = &self.session(id).subscriptions[at];
        let filter = subscription.filter.clone();
        match (subscription.is_holder(), hold) {
            (false, true) => {
                let membership = self.hold(id, &filter);
                let session = self.session(id);
                let position = session.position;
                let subscription = &mut session.subscriptions[at];
                if !subscription.held {
                    subscription.start = last;
                    subscription.start.0 += u64::from(crate::planted!(StartOffByOne));
                    subscription.held = true;
                }
                subscription.hold_again(membership, position);
                if let Some(part) = membership {
                    self.joined(id, part.log);
                }
            }
            (true, false) => {
                let subscription = &mut self.session(id).subscriptions[at];
                if let Some(membership) = subscription.membership() {
                    subscription.set_membership(Some(Membership { until: last, ..membership }));
                    self.released(id, membership.log);
                }
                self.release(&filter);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// One more session holds a filter; gives the part of the filter's log that is its, if the filter has one.
    fn hold(&mut self, id: SessionId, filter: &str) -> Option<Membership> {
        let from = self.catalog.last;
        let Some(mut known) = self.shared.routes.read().get(filter) else {
            self.route(filter, Some(Filter::sole(id)));
            return None;
        };
        if !known.has_log {
            known.log = self.give_own_log(filter, SessionId(known.log.0));
            known.has_log = true;
        }
        known.holders += 1;
        self.route(filter, Some(known));
        self.catalog.logs.get_mut(&known.log).expect("a filter's log is known").members.insert(id);
        Some(Membership { log: known.log, from, until: OPEN_END })
    }

    /// The filter has had one holder, and gets its own log for it and the next.
    fn give_own_log(&mut self, filter: &str, sole: SessionId) -> LogId {
        let from = self.catalog.last;
        let log = LogId(self.catalog.take_id());
        self.shared.floors.add(log);
        self.catalog.heads.insert(log, Head::default());
        let members = HashSet::from_iter([sole]);
        self.catalog.logs.insert(log, SharedLog { filter: filter.into(), members });
        self.batch.put(keys::FILTER, filter.as_bytes(), record::encode_filter(log));

        let session = self.session(sole);
        let at = session.find(filter).expect("who holds a filter subscribes to it");
        session.subscriptions[at].set_membership(Some(Membership { log, from, until: OPEN_END }));
        self.put_subscription(sole, at);
        self.batch.touch(sole).reader = true;
        self.joined(sole, log);
        log
    }

    /// One session less holds a filter; its log stays for those who read what is in it.
    fn release(&mut self, filter: &str) {
        let known = self.shared.routes.read().get(filter);
        let mut known = known.expect("a filter that is held is known");
        known.holders -= 1;
        self.route(filter, Some(known).filter(|known| known.holders > 0 || known.has_log));
    }

    pub(super) fn unsubscribe(&mut self, id: SessionId, filters: &[ByteString]) -> Vec<bool> {
        let removed = filters.iter().map(|filter| self.unsubscribe_one(id, filter)).collect();
        self.batch.touch(id).reader = true;
        removed
    }

    fn unsubscribe_one(&mut self, id: SessionId, filter: &ByteString) -> bool {
        let session = self.session(id);
        let Ok(at) = session.find(filter) else { return false };
        let subscription = session.subscriptions.remove(at);
        self.catalog.subscriptions -= 1;
        let mut parts: Vec<Membership> = subscription.parts().collect();
        parts.reverse();
        parts.iter().for_each(|part| self.unsubscribed(id, part));
        let group = self.catalog.groups.get(filter).map(|group| group.log);
        if let Some(log) = group.or(subscription.membership().map(|membership| membership.log)) {
            self.hold_open_exchanges(id, log);
        }
        self.leave(id, &subscription);
        self.batch.delete(keys::SUBSCRIPTION, &keys::subscription(id, filter));
        true
    }

    /// An exchange that has begun goes on after UNSUBSCRIBE [MQTT-3.10.4-3]: its message is copied out of a log that may die.
    fn hold_open_exchanges(&mut self, id: SessionId, log: LogId) {
        let exchanges: Vec<Exchange> =
            self.session(id).exchanges_in_logs().filter(|exchange| exchange.log == log).cloned().collect();
        self.hold_exchanges(id, &exchanges);
    }

    /// An exchange may begin with an entry that was read before its log was left, because another filter wants it as well.
    pub(super) fn hold_of_logs_left(&mut self, id: SessionId) {
        let logs = &self.catalog.logs;
        let reads = |log| log == id.own_log() || logs.get(&log).is_some_and(|log| log.members.contains(&id));
        let session = &self.catalog.sessions[&id];
        let exchanges: Vec<Exchange> =
            session.exchanges_in_logs().filter(|exchange| !reads(exchange.log)).cloned().collect();
        self.hold_exchanges(id, &exchanges);
    }

    fn hold_exchanges(&mut self, id: SessionId, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let read = self.shared.find_entry(exchange.log, exchange.lsn);
            passing(self.shared, &read);
            match there(exchange, read) {
                Ok(Some(entry)) => self.hold_message(id, exchange.packet_id, exchange.lsn, entry.body()),
                Ok(None) => {}
                Err(_) => {
                    self.has_copy(id, exchange.packet_id, exchange.lsn);
                    self.batch.copy_late(LateCopy { session: id, exchange: exchange.clone() });
                }
            }
        }
    }

    /// A session no longer has a subscription. A log that nobody reads ends.
    pub(super) fn leave(&mut self, id: SessionId, subscription: &StoredSubscription) {
        if subscription.is_shared() {
            return self.leave_group(id, &subscription.filter.as_str().into());
        }
        if subscription.is_holder() {
            self.release(&subscription.filter);
        }
        let Some(membership) = subscription.membership() else { return };
        let log = self.catalog.logs.get_mut(&membership.log).expect("a log that is read is known");
        log.members.remove(&id);
        if log.members.is_empty() {
            self.catalog.logs.remove(&membership.log);
            self.route(&subscription.filter, None);
            self.log_ended(membership.log);
            self.catalog.heads.remove(&membership.log);
            self.batch.ended_logs.push(membership.log);
            self.batch.delete(keys::FILTER, subscription.filter.as_bytes());
        } else if let Some(member) = log.members.iter().next() {
            // It may have been the one that held the floor down, and none of the others need ever move again.
            self.catalog.moved.insert(*member);
        }
    }

    fn route(&mut self, filter: &str, known: Option<Filter>) {
        let mut routes = self.shared.routes.write();
        routes.set(filter, known);
        self.version = routes.version;
    }

    fn put_subscription(&mut self, id: SessionId, at: usize) {
        let subscription = &self.catalog.sessions[&id].subscriptions[at];
        let key = keys::subscription(id, &subscription.filter);
        let row = record::encode_subscription(&subscription.row());
        self.batch.put(keys::SUBSCRIPTION, &key, row);
    }
}
