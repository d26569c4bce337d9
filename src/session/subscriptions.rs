//! The session's own subscriptions: what one message is to it.

use std::cell::RefCell;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::Delivery;
use super::given_up::GivenUp;
use crate::topics::{TopicTree, shared_filter, topic_matches};

/// Options of a subscription, as the standard names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Maximum QoS, 0, 1 or 2.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Subscription Identifier.
    pub identifier: Option<u32>,
}

/// A subscription in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Topic filter.
    pub filter: ByteString,
    /// Its options.
    pub options: SubscriptionOptions,
    /// Messages with a greater LSN are its own.
    pub start: u64,
}

/// What a message is to this session: frozen when it enters the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// QoS of the delivery: the publisher's, or the highest matching subscription's if that is lower [MQTT-3.8.4-8].
    pub(super) qos: u8,
    /// Some matching subscription asked for Retain As Published.
    pub(super) retain_as_published: bool,
    /// Identifiers of all matching subscriptions [MQTT-3.3.4-4].
    pub(super) identifiers: SmallVec<[u32; 2]>,
}

impl Subscription {
    /// Whether it makes the session a member of a group (section 4.8.2).
    pub fn is_shared(&self) -> bool {
        shared_filter(&self.filter).is_some()
    }

    /// What a message is to `client_id` that this subscription alone brings: a retained one, or one of its group.
    pub(super) fn grant(&self, client_id: &str, delivery: &Delivery<'_>) -> Option<Grant> {
        let own = self.options.no_local && delivery.publisher == client_id;
        (!own).then(|| Grant {
            qos: delivery.qos.min(self.options.qos),
            retain_as_published: self.options.retain_as_published,
            identifiers: self.options.identifier.into_iter().collect(),
        })
    }
}

/// So many filters are tried one by one; with more, an index finds those that match.
const TRIED: usize = 16;

/// All subscriptions of one session.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By filter.
    list: Vec<Subscription>,
    /// The same by what they match, once they are many.
    index: Option<TopicTree<Subscription>>,
    /// The topic that was looked for in the index last: what comes next is often on the same.
    recent: RefCell<Option<Recent>>,
    /// Shared subscriptions, by filter: what their groups get is no concern of the others'.
    shared: Vec<Subscription>,
    /// Filters that were given up at QoS 1 or 2, or lowered to 0, on this connection.
    given_up: GivenUp,
}

/// What matched a topic: options and start of each subscription.
#[derive(Debug)]
struct Recent {
    topic: String,
    matched: Vec<(SubscriptionOptions, u64)>,
}

impl Subscriptions {
    /// Adds one, or replaces the one with the same filter [MQTT-3.8.4-3].
    pub fn insert(&mut self, subscription: Subscription) {
        let shared = subscription.is_shared();
        self.recent.take();
        if let Some(index) = self.index.as_mut().filter(|_| !shared) {
            index.insert(&subscription.filter, subscription.clone());
        }
        let list = if shared { &mut self.shared } else { &mut self.list };
        match find(list, &subscription.filter) {
            Ok(at) => list[at] = subscription,
            Err(at) => list.insert(at, subscription),
        }
        if self.index.is_none() && self.list.len() > TRIED {
            let index = self.index.insert(TopicTree::new());
            for held in &self.list {
                index.insert(&held.filter, held.clone());
            }
        }
    }

    /// Removes the one with this filter; `false` if there is none.
    pub fn remove(&mut self, filter: &str) -> bool {
        let shared = shared_filter(filter).is_some();
        let list = if shared { &mut self.shared } else { &mut self.list };
        let Ok(at) = find(list, filter) else { return false };
        list.remove(at);
        self.recent.take();
        if let Some(index) = self.index.as_mut().filter(|_| !shared) {
            index.remove(filter);
        }
        true
    }

    /// The one with this filter goes, or goes to QoS 0, behind this LSN. What a stored session had from its logs up to there
    /// it has from them all the same.
    pub(super) fn give_up(&mut self, filter: &str, through: u64) {
        let held = self.get(filter).filter(|held| held.options.qos > 0 && !held.is_shared());
        if let Some((filter, start)) = held.map(|held| (held.filter.clone(), held.start)) {
            self.given_up.insert(filter, start, through);
        }
    }

    /// Whether the logs have a message, though every subscription that wants it is at QoS 0: one that was higher is lowered or
    /// gone by now, or one that is higher does not want what its own client publishes, and the store asks nobody who that is.
    pub(super) fn comes_from_logs(&self, delivery: &Delivery<'_>, lsn: u64) -> bool {
        if delivery.qos == 0 {
            return false;
        }
        let mut logged = false;
        self.for_each_match(delivery.topic, lsn, |options| logged |= options.qos > 0);
        logged || self.given_up.had(delivery.topic, lsn)
    }

    /// Those in force.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.list.iter().chain(&self.shared)
    }

    /// Shared subscriptions in force.
    pub fn shared(&self) -> impl Iterator<Item = &Subscription> {
        self.shared.iter()
    }

    /// The one with this filter.
    pub fn get(&self, filter: &str) -> Option<&Subscription> {
        let list = if shared_filter(filter).is_some() { &self.shared } else { &self.list };
        find(list, filter).ok().map(|at| &list[at])
    }

    /// Calls `found` with the options of every subscription that matches a topic and began before an LSN, but for the
    /// shared ones.
    fn for_each_match(&self, topic: &str, lsn: u64, mut found: impl FnMut(&SubscriptionOptions)) {
        let Some(index) = &self.index else {
            let before = self.list.iter().filter(|held| held.start < lsn);
            return before
                .filter(|held| topic_matches(&held.filter, topic))
                .for_each(|held| found(&held.options));
        };
        let mut recent = self.recent.borrow_mut();
        if recent.as_ref().is_none_or(|recent| recent.topic != topic) {
            let mut matched = Vec::new();
            index.for_each_match(topic, |held| matched.push((held.options, held.start)));
            *recent = Some(Recent { topic: topic.to_owned(), matched });
        }
        let matched = recent.iter().flat_map(|recent| &recent.matched);
        matched.filter(|(_, start)| *start < lsn).for_each(|(options, _)| found(options));
    }

    /// Whether a subscription that began before a message matches its topic.
    pub(super) fn matches(&self, topic: &str, lsn: u64) -> bool {
        let mut any = false;
        self.for_each_match(topic, lsn, |_| any = true);
        any
    }

    /// What a message means to `client_id`: `None` when no subscription that began before it wants it. Overlapping
    /// subscriptions make one delivery, at the highest QoS, with all identifiers.
    pub(super) fn grant(&self, client_id: &str, delivery: &Delivery<'_>, lsn: u64) -> Option<Grant> {
        let mut grant: Option<Grant> = None;
        self.for_each_match(delivery.topic, lsn, |options| {
            if options.no_local && delivery.publisher == client_id {
                return;
            }
            let qos = delivery.qos.min(options.qos);
            let grant = grant.get_or_insert_with(|| Grant {
                qos,
                retain_as_published: false,
                identifiers: SmallVec::new(),
            });
            grant.qos = grant.qos.max(qos);
            grant.retain_as_published |= options.retain_as_published;
            grant.identifiers.extend(options.identifier);
        });
        if let Some(grant) = &mut grant {
            // However they were found, a restarted broker comes to the same.
            grant.identifiers.sort_unstable();
        }
        grant
    }
}

fn find(list: &[Subscription], filter: &str) -> Result<usize, usize> {
    list.binary_search_by(|held| (*held.filter).cmp(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &'static str, qos: u8, identifier: u32, start: u64) -> Subscription {
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            identifier: Some(identifier),
        };
        Subscription { filter: ByteString::from_static(filter), options, start }
    }

    fn message(topic: &'static str, qos: u8) -> Delivery<'static> {
        Delivery {
            qos,
            retain: false,
            publisher: "me",
            topic,
            forwarded: &[],
            payload: &[],
            expires_at_millis: None,
        }
    }

    #[test]
    fn overlapping_subscriptions_make_one_delivery() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert(subscription("a/#", 0, 1, 0));
        subscriptions.insert(subscription("a/+", 1, 2, 0));
        subscriptions.insert(subscription("b", 2, 3, 0));
        let grant = subscriptions.grant("you", &message("a/b", 2), 1).expect("two filters match");
        assert_eq!((grant.qos, grant.identifiers.as_slice()), (1, [1, 2].as_slice()));
    }

    #[test]
    fn many_filters_are_to_a_message_what_a_few_are() {
        let filter = |number: u32| match number % 4 {
            0 => format!("a/{number}"),
            1 => format!("+/{}", number - 1),
            2 => format!("a/{}/#", number - 2),
            _ => format!("b/{number}/+"),
        };
        let held = |number: u32| Subscription {
            filter: filter(number).into(),
            ..subscription("", (number % 3) as u8, number, u64::from(number % 5))
        };
        let mut many = Subscriptions::default();
        (0..400).rev().for_each(|number| many.insert(held(number)));
        (0..400).filter(|number| number % 7 == 0).for_each(|number| assert!(many.remove(&filter(number))));
        assert!(!many.remove("a/0") && many.index.is_some() && many.get("a/4").is_some());
        for number in 0..400 {
            let topic = if number % 2 == 0 { format!("a/{number}") } else { format!("b/{number}/x") };
            let message = Delivery { topic: &topic, ..message("", 2) };
            for lsn in [2, 9] {
                let mut few = Subscriptions::default();
                for held in many.iter().filter(|held| topic_matches(&held.filter, &topic)) {
                    few.insert(held.clone());
                }
                assert!(few.index.is_none());
                assert_eq!(many.grant("you", &message, lsn), few.grant("you", &message, lsn), "{topic}");
                assert_eq!(many.matches(&topic, lsn), few.matches(&topic, lsn));
            }
        }
    }

    #[test]
    fn what_the_last_topic_matched_is_looked_for_again_after_a_change() {
        let mut many = Subscriptions::default();
        for number in 0..40_u32 {
            let filter = format!("{}/#", number % 20);
            many.insert(Subscription { filter: filter.into(), ..subscription("", 1, number, 0) });
        }
        assert!(many.index.is_some());
        let identifiers = |many: &Subscriptions| {
            many.grant("you", &message("3/x", 1), 1).map(|grant| grant.identifiers.to_vec())
        };
        assert_eq!(identifiers(&many), Some(vec![23]));
        assert_eq!(identifiers(&many), Some(vec![23]));
        many.insert(subscription("+/x", 1, 90, 0));
        assert_eq!(identifiers(&many), Some(vec![23, 90]));
        assert!(many.remove("3/#"));
        assert_eq!(identifiers(&many), Some(vec![90]));
        assert!(many.remove("+/x"));
        assert_eq!(identifiers(&many), None);
    }

    #[test]
    fn a_subscription_begins_after_its_start() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert(subscription("a", 1, 1, 7));
        assert_eq!(subscriptions.grant("you", &message("a", 1), 7), None);
        assert!(subscriptions.grant("you", &message("a", 1), 8).is_some());
    }

    #[test]
    fn a_shared_subscription_is_apart_from_the_others() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert(subscription("$share/g/a", 1, 1, 0));
        assert_eq!(subscriptions.grant("you", &message("a", 1), 1), None);
        assert_eq!(subscriptions.grant("you", &message("$share/g/a", 1), 1), None, "a topic of that name");
        assert_eq!((subscriptions.iter().count(), subscriptions.shared().count()), (1, 1));
        assert!(subscriptions.remove("$share/g/a") && subscriptions.iter().next().is_none());
    }

    #[test]
    fn no_local_compares_client_identifiers() {
        let mut subscriptions = Subscriptions::default();
        let mut own = subscription("a", 1, 1, 0);
        own.options.no_local = true;
        subscriptions.insert(own);
        assert_eq!(subscriptions.grant("me", &message("a", 1), 1), None);
        assert!(subscriptions.grant("you", &message("a", 1), 1).is_some());
    }
}
