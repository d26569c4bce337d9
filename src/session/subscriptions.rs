//! The session's own subscriptions: what one message is to it.

use bytestring::ByteString;
use smallvec::SmallVec;

use super::Delivery;
use crate::topics::{shared_filter, topic_matches};

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

/// All subscriptions of one session.
#[derive(Debug, Default)]
pub struct Subscriptions {
    list: Vec<Subscription>,
    /// Shared subscriptions: what their groups get is no concern of the others'.
    shared: Vec<Subscription>,
}

impl Subscriptions {
    /// Adds one, or replaces the one with the same filter [MQTT-3.8.4-3].
    pub fn insert(&mut self, subscription: Subscription) {
        let list = if subscription.is_shared() { &mut self.shared } else { &mut self.list };
        match list.iter_mut().find(|held| held.filter == subscription.filter) {
            Some(held) => *held = subscription,
            None => list.push(subscription),
        }
    }

    /// Removes the one with this filter; `false` if there is none.
    pub fn remove(&mut self, filter: &str) -> bool {
        let list = if shared_filter(filter).is_some() { &mut self.shared } else { &mut self.list };
        let before = list.len();
        list.retain(|held| held.filter != filter);
        list.len() < before
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
        self.iter().find(|held| held.filter == filter)
    }

    /// What a message means to `client_id`: `None` when no subscription that began before it wants it. Overlapping
    /// subscriptions make one delivery, at the highest QoS, with all identifiers.
    pub(super) fn grant(&self, client_id: &str, delivery: &Delivery<'_>, lsn: u64) -> Option<Grant> {
        let mut grant: Option<Grant> = None;
        for held in self.list.iter().filter(|held| held.start < lsn) {
            let own = held.options.no_local && delivery.publisher == client_id;
            if own || !topic_matches(&held.filter, delivery.topic) {
                continue;
            }
            let qos = delivery.qos.min(held.options.qos);
            let grant = grant.get_or_insert_with(|| Grant {
                qos,
                retain_as_published: false,
                identifiers: SmallVec::new(),
            });
            grant.qos = grant.qos.max(qos);
            grant.retain_as_published |= held.options.retain_as_published;
            grant.identifiers.extend(held.options.identifier);
        }
        grant
    }
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
