//! Groups: members come and go, take messages and give them back.

use std::collections::HashSet;

use bytestring::ByteString;

use crate::catalog::{Exchanges, Head, Session, SharedLog};
use crate::groups::{Group, body_of_exchange};
use crate::keys;
use crate::topics::shared_filter;
use crate::{DropReason, Exchange, GroupTake, LogId, Lsn, SessionId};

use super::Apply;
use super::foresee::passing;
use super::late::there;

impl Apply<'_> {
    /// There is such a group from here on; `member` is in it, if it is a connection whose session is not stored.
    pub(super) fn join_group(&mut self, filter: &ByteString, member: Option<u64>) {
        if !self.catalog.groups.contains_key(filter) {
            self.make_group(filter);
        }
        if let Some(member) = member {
            let group = self.catalog.groups.get_mut(filter).expect("it was there, or has just been made");
            group.transient.entry(member).or_default();
        }
    }

    fn make_group(&mut self, filter: &ByteString) {
        let log = LogId(self.catalog.take_id());
        self.shared.floors.add(log);
        self.catalog.heads.insert(log, Head::default());
        let filter = super::attach::own(filter);
        self.catalog.logs.insert(log, SharedLog { filter: filter.clone(), members: HashSet::default() });
        let group = Group::new(log, self.catalog.last);
        self.group_made(log);
        self.shared.pools.insert(&filter, group.pool.clone());
        self.catalog.groups.insert(filter.clone(), group);
        self.batch.touch_group(&filter);
        self.route_group(&filter, log, true);
    }

    /// A stored session is a member from here on.
    pub(super) fn enter_group(&mut self, id: SessionId, filter: &str) {
        let log = self.catalog.groups.get(filter).expect("the caller has made it").log;
        self.catalog.logs.get_mut(&log).expect("a group's log is known").members.insert(id);
    }

    /// A stored session is no member any more.
    pub(super) fn leave_group(&mut self, id: SessionId, filter: &ByteString) {
        let Some(log) = self.catalog.groups.get(filter).map(|group| group.log) else { return };
        self.catalog.logs.get_mut(&log).expect("a group's log is known").members.remove(&id);
        self.end_group_without_members(filter);
    }

    /// A connection is no member any more. What it was sent at QoS 2 goes to nobody else [MQTT-4.8.2-5].
    pub(super) fn leave_group_transient(&mut self, filter: &ByteString, member: u64, unsent: &[Lsn]) {
        let Some(group) = self.catalog.groups.get_mut(filter) else { return };
        let Some(mut sent) = group.transient.remove(&member) else { return };
        let log = group.log;
        if !sent.is_empty() {
            self.batch.touch_group(filter);
        }
        for lsn in unsent.iter().filter(|lsn| sent.remove(lsn)) {
            self.give_back(log, *lsn);
        }
        self.count_group_drops(filter, DropReason::GroupDiscarded, sent.len() as u64);
        self.end_group_without_members(filter);
    }

    /// Members that were not stored are gone with the broker that died.
    pub(super) fn forget_earlier_members(&mut self) {
        let groups = &self.catalog.groups;
        let with_any = groups.iter().filter(|(_, group)| group.transient.contains_key(&Group::EARLIER));
        let filters: Vec<ByteString> = with_any.map(|(filter, _)| filter.clone()).collect();
        for filter in filters {
            self.leave_group_transient(&filter, Group::EARLIER, &[]);
        }
    }

    fn end_group_without_members(&mut self, filter: &ByteString) {
        let Some(group) = self.catalog.groups.get(filter) else { return };
        let log = group.log;
        if !group.transient.is_empty() || !self.catalog.logs[&log].members.is_empty() {
            return;
        }
        self.group_ended(log);
        self.catalog.groups.remove(filter);
        self.catalog.logs.remove(&log);
        self.log_ended(log);
        self.catalog.heads.remove(&log);
        self.shared.pools.remove(filter);
        self.batch.ended_logs.push(log);
        self.batch.delete(keys::FILTER, filter.as_bytes());
        self.route_group(filter, log, false);
    }

    fn route_group(&mut self, filter: &str, log: LogId, present: bool) {
        let divided = shared_filter(filter).expect("only shared subscriptions have groups");
        let mut routes = self.shared.routes.write();
        if present {
            routes.add_group(divided, log);
        } else {
            routes.remove_group(divided, log);
        }
        self.version = routes.version;
    }

    /// A member takes what it had reserved.
    pub(super) fn take_from_group(&mut self, take: &GroupTake) {
        let Some(group) = self.catalog.groups.get_mut(&take.filter) else { return };
        let without_entries = group.pool.taken(take.member, &take.taken);
        let log = group.log;
        for span in take.taken.iter().chain(&without_entries) {
            self.take_out(log, *span);
        }
        let group = self.catalog.groups.get_mut(&take.filter).expect("it is still there");
        if let Some(sent) = group.transient.get_mut(&take.member) {
            sent.extend(&take.sent);
            sent.retain(|lsn| !take.received.contains(lsn));
        }
        self.batch.touch_group(&take.filter);
        if !self.catalog.moved_groups.contains(&take.filter) {
            self.catalog.moved_groups.insert(take.filter.clone());
        }
    }

    /// A session has ended: what it took from its groups at QoS 1 and did not acknowledge goes back to them. What
    /// it may have been sent at QoS 2 goes to nobody else [MQTT-4.8.2-5].
    pub(super) fn return_exchanges(&mut self, id: SessionId, session: &Session) {
        let Some(exchanges) = &session.rare.exchanges else { return };
        for exchange in exchanges.open.iter().filter(|exchange| !exchange.received) {
            let Some(filter) = self.group_of(exchange.log) else { continue };
            if crate::planted!(GroupEntryLost) && exchange.qos == 1 {
                continue;
            }
            if exchange.qos == 2 {
                self.count_group_drops(&filter, DropReason::GroupDiscarded, 1);
            } else {
                self.return_exchange(id, exchange, exchanges);
            }
        }
    }

    /// What a stored session took from the group of a log and was never sent goes back to it. Its record, which is about to be
    /// replaced, still has the exchanges.
    pub(super) fn return_unsent(&mut self, id: SessionId, log: LogId, unsent: &[Lsn]) {
        if self.group_of(log).is_none() {
            return;
        }
        let Some(exchanges) = self.session(id).rare.exchanges.take() else { return };
        let of_log = exchanges.open.iter().filter(|exchange| exchange.log == log && !exchange.received);
        for exchange in of_log.filter(|exchange| unsent.contains(&exchange.lsn)) {
            self.return_exchange(id, exchange, &exchanges);
        }
        self.session(id).rare.exchanges = Some(exchanges);
    }

    /// The message of an exchange goes back to the group that it came from.
    fn return_exchange(&mut self, id: SessionId, exchange: &Exchange, exchanges: &Exchanges) {
        if exchanges.held.contains(&(exchange.packet_id, exchange.lsn)) {
            // Its place in the log may be trimmed.
            self.append_again(id, exchange);
        } else {
            self.give_back(exchange.log, exchange.lsn);
        }
    }

    /// Appends the message of an exchange that has a copy of its own to the log that it came from.
    fn append_again(&mut self, id: SessionId, exchange: &Exchange) {
        let read = body_of_exchange(self.shared, id, exchange);
        passing(self.shared, &read);
        let Some(found) = there(exchange, read).transpose() else { return };
        self.catalog.last.0 += 1;
        let lsn = self.catalog.last;
        match found {
            Ok((body, expires_at_millis)) => {
                self.append(exchange.log, lsn, &body, expires_at_millis);
                self.grown(exchange.log, body.len());
            }
            // How long it is, limits do not hear.
            Err(_) => {
                self.append_late(exchange.log, lsn, id, exchange);
                self.grown(exchange.log, 0);
            }
        }
    }
}
