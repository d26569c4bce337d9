//! The groups that a client is a member of by its shared subscriptions: pulling, and taking what was pulled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barnacle_storage as storage;
use bytestring::ByteString;

use super::running::Running;
use crate::broker;
use crate::session::{Place, Request, Taken};

/// A member takes at most so much at once, so that the others have their share …
const PULL_BYTES: usize = 64 << 10;
/// … and at least so many, if its window has room.
const PULL_MESSAGES: usize = 16;

/// One group.
pub(super) struct GroupFeed {
    filter: ByteString,
    member: Arc<storage::GroupMember>,
    /// Woken: there may be something.
    grown: Arc<AtomicBool>,
    /// The last pull found nothing: to be woken when there is.
    idle: bool,
    /// Of a session that is not stored: QoS 1 messages sent and not acknowledged, by LSN. They stay open in the group.
    unacknowledged: HashMap<u64, storage::Span>,
    /// Unsubscribed: nothing more is pulled, and it stays for what is unacknowledged.
    leaving: bool,
}

/// What a member has taken, on its way into a request.
#[derive(Default)]
struct Take {
    taken: Vec<(u64, u64)>,
    sent: Vec<u64>,
    received: Vec<u64>,
}

impl Take {
    fn add(&mut self, span: storage::Span) {
        self.taken.push((span.after.0, span.through.0));
    }

    fn request(self, filter: &ByteString) -> Option<Request> {
        let Self { taken, sent, received } = self;
        let nothing = taken.is_empty() && received.is_empty();
        (!nothing).then(|| Request::TakeFromGroup { filter: filter.clone(), taken, sent, received })
    }
}

impl Running {
    /// Becomes able to pull, for shared subscriptions that are in force. Those that are in `unsubscribed` as well were made
    /// anew.
    pub(super) fn join_groups(&mut self, unsubscribed: &[ByteString]) {
        for held in self.session.subscriptions().shared() {
            if let Some(at) = self.groups.iter().position(|feed| feed.filter == held.filter) {
                let feed = &mut self.groups[at];
                let had_left = std::mem::take(&mut feed.leaving) || unsubscribed.contains(&held.filter);
                let log = had_left.then(|| self.broker.store.group_log(&held.filter)).flatten();
                if log.is_none_or(|log| log == feed.member.log()) {
                    continue;
                }
                // The group ended with its last member: this is another, and what was open in that one is no concern of it.
                self.groups.remove(at);
            }
            let grown = Arc::new(AtomicBool::new(true));
            let wake = {
                let (grown, signal) = (Arc::clone(&grown), Arc::clone(&self.signal));
                Arc::new(move || {
                    grown.store(true, Ordering::Release);
                    signal.notify_one();
                })
            };
            let Some(member) = self.broker.store.group_member(&held.filter, self.owner.connection, wake)
            else {
                tracing::error!(filter = &*held.filter, "a shared subscription has no group");
                continue;
            };
            self.groups.push(GroupFeed {
                filter: held.filter.clone(),
                member: Arc::new(member),
                grown,
                idle: false,
                unacknowledged: HashMap::new(),
                leaving: false,
            });
        }
    }

    /// Pulls no more for shared subscriptions that have ended. A member goes when nothing of what it reserved is on its
    /// way to the store any more.
    pub(super) fn leave_groups(&mut self, unsubscribed: &[ByteString]) {
        let subscriptions = self.session.subscriptions();
        let nothing_on_its_way = self.nothing_in_flight();
        self.groups.retain_mut(|feed| {
            feed.leaving |= unsubscribed.contains(&feed.filter) && subscriptions.get(&feed.filter).is_none();
            !(feed.leaving && feed.unacknowledged.is_empty() && nothing_on_its_way)
        });
    }

    /// Pulls from the groups, each in its turn.
    pub(super) async fn send_from_groups(&mut self, room: usize) -> bool {
        let mut any = false;
        for index in 0..self.groups.len() {
            any |= self.send_from_group(index, room).await;
        }
        if any {
            // The first of several shall not always be the one that fills the window.
            self.groups.rotate_left(1);
            // What was taken is submitted before more is: others wait for their share.
            self.signal.notify_one();
        }
        false
    }

    async fn send_from_group(&mut self, index: usize, room: usize) -> bool {
        let feed = &mut self.groups[index];
        let woken = feed.grown.swap(false, Ordering::AcqRel);
        if feed.leaving || (feed.idle && !woken) {
            return false;
        }
        let budget =
            storage::Budget { messages: room.div_ceil(4).max(PULL_MESSAGES).min(room), bytes: PULL_BYTES };
        let member = Arc::clone(&feed.member);
        let pulled = match self.broker.store.pull_tail(&member, budget) {
            Some(pulled) => Ok(pulled),
            None => self.broker.read_disk(move |store| store.pull(&member, budget)).await,
        };
        if let Err(error) = &pulled
            && error.passing().is_some()
        {
            self.groups[index].grown.store(true, Ordering::Release);
            return self.read_again_later(error);
        }
        let pulled = pulled.unwrap_or_else(|error| {
            tracing::error!(client_id = &*self.owner.client_id, "a group's log cannot be read: {error}");
            Vec::new()
        });
        let feed = &mut self.groups[index];
        feed.idle = pulled.is_empty();
        self.take_pulled(index, pulled)
    }

    fn take_pulled(&mut self, index: usize, pulled: Vec<storage::Pulled>) -> bool {
        let now = self.broker.clock.now();
        let stored = self.owner.stored.is_some();
        let feed = &mut self.groups[index];
        let member_qos = self.session.subscriptions().get(&feed.filter).map_or(0, |held| held.options.qos);
        let mut take = Take::default();
        let mut any = false;
        let mut pulled = pulled.into_iter();
        for pull in pulled.by_ref() {
            let delivery = broker::delivery(&pull.entry.message);
            let place = broker::place(&pull.entry);
            let qos = delivery.qos.min(member_qos);
            match self.session.take_from_group(&feed.filter, place, &delivery, now) {
                Taken::Full | Taken::Unwanted => {
                    feed.member.put_back([pull.span]);
                    break;
                }
                Taken::Begun(_) if !stored && qos == 1 => {
                    feed.unacknowledged.insert(place.lsn, pull.span);
                }
                Taken::Begun(_) if !stored => {
                    take.sent.push(place.lsn);
                    take.add(pull.span);
                }
                Taken::Begun(_) | Taken::Sent | Taken::Expired | Taken::TooLarge => take.add(pull.span),
            }
            any = true;
        }
        feed.member.put_back(pulled.map(|pull| pull.span));
        if let Some(request) = take.request(&feed.filter) {
            self.session.request(request);
        }
        any
    }

    /// What the client has acknowledged leaves its group, or is known to be received.
    pub(super) fn take_acknowledged(&mut self) {
        let received = self.session.received_from_groups();
        if received.is_empty() {
            return;
        }
        for feed in &mut self.groups {
            let mut take = Take::default();
            for place in received.iter().filter(|place| place.log == feed.member.log().0) {
                match feed.unacknowledged.remove(&place.lsn) {
                    Some(span) => take.add(span),
                    None => take.received.push(place.lsn),
                }
            }
            if let Some(request) = take.request(&feed.filter) {
                self.session.request(request);
            }
        }
    }

    /// Those that were woken and could not pull leave it to others.
    pub(super) fn pass_on(&mut self) {
        for feed in &mut self.groups {
            if feed.grown.swap(false, Ordering::AcqRel) {
                feed.idle = false;
                feed.member.pass_on();
            }
        }
    }

    /// A session that is not stored leaves its groups for good: what it took and was never sent goes back.
    pub(super) fn last_words_to_groups(&self) -> Vec<storage::Operation> {
        if self.owner.stored.is_some() {
            return Vec::new();
        }
        let unsent = self.session.unsent_from_groups();
        let of_log = |log: storage::LogId| {
            let unsent = unsent.iter().filter(move |place: &&Place| place.log == log.0);
            unsent.map(|place| storage::Lsn(place.lsn)).collect()
        };
        let leave = |feed: &GroupFeed| storage::Operation::LeaveGroup {
            filter: feed.filter.clone(),
            member: self.owner.connection,
            unsent: of_log(feed.member.log()),
        };
        self.groups.iter().filter(|feed| !feed.leaving).map(leave).collect()
    }
}
