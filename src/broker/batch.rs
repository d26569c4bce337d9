//! A batch of a session's requests on its way through the store.

use std::collections::HashMap;
use std::sync::Arc;

use barnacle_storage as storage;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::mailbox::LiveMessage;
use super::routes::Routes;
use super::translate::Teller;
use super::{Broker, group, translate};
use crate::protocol::{ReasonCode, SubscribeFilter, TopicFilter};
use crate::session::{Done, Granted, Now, Request, RetainedFrom};

/// Whose batch it is.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) client_id: ByteString,
    /// The stored session and the epoch of this attachment; `None`: it ends with its connection.
    pub(crate) stored: Option<(storage::SessionId, storage::Epoch)>,
    /// It can be told why a publish is refused: it speaks MQTT 5.
    pub(crate) takes_reasons: bool,
    /// Number of the connection: what its groups know it by.
    pub(crate) connection: u64,
}

/// A batch that was taken from its session, and what is to be told of it once it is kept.
#[derive(Debug)]
pub(crate) struct Batch {
    requests: Vec<Request>,
    messages: Vec<Routed>,
}

/// A publish of the batch.
#[derive(Debug)]
struct Routed {
    message: storage::Message,
    /// Some stored session wants it.
    wanted: bool,
    /// It is one of the transaction's publishes, and has an LSN.
    stored: bool,
}

impl Batch {
    /// Routes a batch: the transaction that keeps it, if there is anything to keep.
    pub(crate) fn route(
        requests: Vec<Request>,
        owner: &Owner,
        broker: &Broker,
        now: Now,
    ) -> (Self, Option<storage::Transaction>) {
        let mut operations = Vec::new();
        let mut messages = Vec::new();
        let mut scratch = BytesMut::new();
        let mut routes = Routes::new(&broker.store);
        let full = broker.store.is_full();
        for request in &requests {
            match request {
                Request::Publish(incoming) => {
                    let message = translate::message(incoming, &owner.client_id, now);
                    let targets = routes.targets(&message.topic);
                    let wanted = !targets.is_empty();
                    // A QoS 2 identifier is kept by itself; a message that no stored session wants need not be. One
                    // whose SUBSCRIBE is on its way may: it is among the live ones already, and the committer matches
                    // again if the SUBSCRIBE comes first.
                    let may_be_wanted = || wanted || broker.live.reaches_logs(&message.topic);
                    let stored = message.retain || (message.qos > 0 && may_be_wanted());
                    if stored {
                        let teller = Teller {
                            refusable: owner.takes_reasons && message.qos > 0,
                            packet_id: incoming.packet_id.filter(|_| message.qos == 2),
                        };
                        let mut publish = translate::publish(&message, targets, teller, &mut scratch);
                        if full && message.qos == 0 {
                            // Nobody can be told that there is no room for it; it goes to those who are there.
                            publish.retained = storage::RetainedChange::Forget;
                        }
                        operations.push(storage::Operation::Publish(publish));
                    }
                    messages.push(Routed { message, wanted, stored });
                }
                Request::CountDrops(dropped) if owner.stored.is_some() => {
                    operations.extend(translate::count_drops(dropped));
                }
                other if owner.stored.is_some() => operations.extend(operation(other, owner)),
                other => group::operations_of_transient(other, owner, &mut operations),
            }
        }
        let transaction = (!operations.is_empty()).then(|| {
            let needs_fence =
                operations.iter().any(|operation| !matches!(operation, storage::Operation::TakePosition));
            let (source, fence) = (Some(owner.connection), owner.stored.filter(|_| needs_fence));
            storage::Transaction { source, fence, operations }
        });
        (Self { requests, messages }, transaction)
    }

    /// Filters that it subscribes to.
    pub(crate) fn subscribes(&self) -> impl Iterator<Item = &str> {
        let filters = self.requests.iter().filter_map(|request| match request {
            Request::Subscribe { filters, .. } => Some(filters),
            _ => None,
        });
        filters.flatten().flatten().map(|filter| filter.filter.as_str())
    }

    /// What it weighs while it waits, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const OVERHEAD: usize = 64;
        let bytes = |request: &Request| match request {
            Request::Publish(incoming) => incoming.weight(),
            Request::Subscribe { filters, .. } => {
                filters.iter().flatten().map(|filter| OVERHEAD + filter.filter.as_str().len()).sum()
            }
            Request::Unsubscribe { filters, .. } => {
                filters.iter().map(|filter| OVERHEAD + filter.as_str().len()).sum()
            }
            Request::SaveInbound(identifiers) => size_of_val(identifiers.as_slice()),
            Request::SaveOutbound(record) => size_of_val(record.open.as_slice()),
            Request::Hold { body, .. } => body.len(),
            Request::SaveScan { .. }
            | Request::Refused { .. }
            | Request::TakeFromGroup { .. }
            | Request::Repeated { .. }
            | Request::Release { .. }
            | Request::CountDrops(_)
            | Request::CountRefused(_) => 0,
        };
        self.requests.iter().map(|request| OVERHEAD + bytes(request)).sum()
    }

    /// The batch is kept (or had nothing to keep: `committed` is `None`): its messages go to the live subscribers, and
    /// the session is told.
    pub(crate) fn finish(
        self,
        committed: Option<storage::Committed>,
        broker: &Broker,
        subscribed_since: &dyn Fn(&str) -> Option<u64>,
    ) -> (Vec<Request>, Vec<Done>) {
        let (mut lsn, answers, refused) = match committed {
            Some(committed) => (committed.lsn.0, committed.answers, committed.refused),
            None => (0, Vec::new(), Vec::new()),
        };
        let mut refused = refused.into_iter().peekable();
        let mut stored = 0;
        // With publishes in the transaction, `lsn` is the next one's; without, the last one given out before.
        let publishes = u64::from(self.messages.iter().any(|routed| routed.stored));
        let mut answers = answers.into_iter();
        let mut messages = self.messages.into_iter();
        // What the requests before have done to the subscriptions of a session that is not stored.
        let mut changed = HashMap::new();
        let mut done = Vec::with_capacity(self.requests.len());
        for request in &self.requests {
            done.push(match request {
                Request::Publish(_) => {
                    let routed = messages.next().expect("every publish was routed");
                    let at = if routed.stored { lsn } else { u64::MAX };
                    lsn += u64::from(routed.stored);
                    let is_refused = routed.stored && refused.next_if_eq(&stored).is_some();
                    stored += usize::from(routed.stored);
                    if is_refused {
                        Done::Refused(ReasonCode::QuotaExceeded)
                    } else {
                        Done::Published { matched: routed.deliver(at, broker) }
                    }
                }
                Request::Subscribe { filters, .. } => match answers.next() {
                    Some(storage::Answer::Subscribed(granted)) => {
                        let granted = granted.into_iter();
                        Done::Subscribed(
                            granted.map(|one| granted_from_store(one, lsn - publishes)).collect(),
                        )
                    }
                    _ => {
                        let grant = |filter: &SubscribeFilter| {
                            let name = filter.filter.as_str();
                            let since = changed.get(name).copied().unwrap_or_else(|| subscribed_since(name));
                            let granted = granted_at(lsn - publishes, filter, since);
                            changed.insert(name.to_owned(), Some(granted.start));
                            granted
                        };
                        Done::Subscribed(filters.iter().flatten().map(grant).collect())
                    }
                },
                Request::Unsubscribe { filters, .. } => {
                    let existed = match answers.next() {
                        Some(storage::Answer::Unsubscribed(existed)) => existed,
                        _ => {
                            let remove = |filter: &TopicFilter| {
                                let before = changed.insert(filter.as_str().to_owned(), None);
                                before.unwrap_or_else(|| subscribed_since(filter.as_str())).is_some()
                            };
                            filters.iter().map(remove).collect()
                        }
                    };
                    // Of a session that is not stored nobody asks; and without a commit there is no place to tell.
                    Done::Unsubscribed { existed, at: lsn.saturating_sub(publishes) }
                }
                _ => Done::Kept,
            });
        }
        (self.requests, done)
    }
}

impl Routed {
    fn deliver(self, lsn: u64, broker: &Broker) -> bool {
        let message = self.message;
        let topic = message.topic.clone();
        broker.live.deliver(&topic, message.qos, lsn, || live(message)) || self.wanted
    }
}

/// A message for mailboxes: it may lie there for long, so small payloads leave the buffer they were read into.
pub(crate) fn live(message: storage::Message) -> Arc<LiveMessage> {
    const SMALL: usize = 4096;
    let topic = ByteString::from(&*message.topic);
    let payload = if message.payload.len() <= SMALL {
        Bytes::copy_from_slice(&message.payload)
    } else {
        message.payload
    };
    Arc::new(LiveMessage {
        qos: message.qos,
        retain: message.retain,
        publisher: message.publisher,
        topic,
        forwarded: Bytes::copy_from_slice(&message.properties),
        payload,
        expires_at_millis: message.expires_at_millis,
    })
}

/// What the store is to do for a stored session's request other than a publish.
fn operation(request: &Request, owner: &Owner) -> Option<storage::Operation> {
    use storage::Operation;
    match request {
        Request::Publish(_)
        | Request::Refused { .. }
        | Request::Repeated { .. }
        | Request::Release { .. }
        | Request::CountDrops(_) => None,
        Request::Subscribe { identifier, filters, .. } => {
            let asked = filters.iter().flatten().map(|filter| new_subscription(filter, *identifier));
            Some(Operation::Subscribe(asked.collect()))
        }
        Request::Unsubscribe { filters, .. } => Some(Operation::Unsubscribe(
            filters.iter().map(|filter| filter.as_byte_string().clone()).collect(),
        )),
        Request::SaveInbound(identifiers) => {
            let mut set = storage::PacketIdSet::default();
            for &packet_id in identifiers {
                set.insert(packet_id);
            }
            Some(Operation::SaveInbound(set))
        }
        Request::SaveOutbound(record) => Some(Operation::SaveOutbound(translate::outbound_to_store(record))),
        Request::Hold { packet_id, lsn, body } => {
            Some(Operation::Hold { packet_id: *packet_id, lsn: storage::Lsn(*lsn), body: body.clone() })
        }
        Request::TakeFromGroup { .. } | Request::CountRefused(_) => group::of_member(request, owner),
        Request::SaveScan { filter, through, after_topic } => Some(Operation::SaveRetainedScan {
            filter: filter.clone(),
            through: storage::Lsn(*through),
            after_topic: after_topic.clone(),
        }),
    }
}

fn new_subscription(filter: &SubscribeFilter, identifier: Option<u32>) -> storage::NewSubscription {
    storage::NewSubscription {
        filter: filter.filter.as_byte_string().clone(),
        options: storage::SubscriptionOptions {
            qos: filter.qos.into(),
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            identifier,
        },
        retain_handling: filter.retain_handling.into(),
    }
}

fn granted_from_store(granted: storage::Subscribed, at: u64) -> Granted {
    Granted {
        at,
        start: granted.subscription.start.0,
        retained: granted
            .subscription
            .retained_scan
            .map(|scan| RetainedFrom { through: scan.through.0, after_topic: scan.after_topic.into() }),
    }
}

/// What a subscription that is not stored gets: retained messages as Retain Handling has it.
fn granted_at(position: u64, filter: &SubscribeFilter, since: Option<u64>) -> Granted {
    use crate::protocol::RetainHandling;
    let sends_retained = match filter.retain_handling {
        RetainHandling::SendAtSubscribe => true,
        RetainHandling::SendIfNew => since.is_none(),
        RetainHandling::DoNotSend => false,
    };
    // A shared subscription gets no retained messages (section 4.8.2).
    let retained = (sends_retained && filter.filter.shared().is_none())
        .then(|| RetainedFrom { through: position, after_topic: ByteString::new() });
    // Subscribing again loses nothing that waits in the mailbox [MQTT-3.8.4-4].
    Granted { start: since.unwrap_or(position), at: position, retained }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{QoS, RetainHandling, TopicName};
    use crate::session::Incoming;

    #[test]
    fn subscribing_again_keeps_the_start() {
        let filter = SubscribeFilter {
            filter: TopicFilter::try_from("a").expect("a valid filter"),
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendIfNew,
        };
        let again = granted_at(9, &filter, Some(4));
        assert_eq!((again.start, again.retained.is_some()), (4, false));
        let new = granted_at(9, &filter, None);
        assert_eq!((new.start, new.retained.map(|from| from.through)), (9, Some(9)));
    }

    #[test]
    fn whatever_the_client_makes_large_weighs() {
        let incoming = Incoming {
            qos: 1,
            retain: false,
            packet_id: Some(1),
            topic: TopicName::try_from("t").expect("a valid topic name"),
            message_expiry_interval: None,
            forwarded: Bytes::from_static(&[0; 1000]),
            payload: Bytes::new(),
        };
        let filter = TopicFilter::try_from("f".repeat(1000).as_str()).expect("a valid filter");
        let requests = [
            Request::Publish(incoming),
            Request::Unsubscribe { packet_id: 1, filters: vec![filter] },
            Request::SaveInbound((1..=500).collect()),
        ];
        for request in requests {
            let batch = Batch { requests: vec![request], messages: Vec::new() };
            assert!(batch.weight() >= 1000, "{batch:?}");
        }
    }
}
