//! Between the session machine's words and the store's: neither knows the other.

use std::collections::BTreeSet;

use barnacle_storage as storage;
use bytes::BytesMut;
use bytestring::ByteString;

use crate::session::{
    Delivery, Dropped, Exchange, Incoming, Now, OutboundRecord, Place, Restored, Scan, Subscription,
    SubscriptionOptions, Will,
};

/// A published message as the store has it.
pub(crate) fn message(incoming: &Incoming, publisher: &ByteString, now: Now) -> storage::Message {
    let lifetime = incoming.message_expiry_interval.map(|seconds| u64::from(seconds) * 1000);
    storage::Message {
        qos: incoming.qos,
        retain: incoming.retain,
        published_at_millis: now.unix_millis,
        expires_at_millis: lifetime.map(|millis| now.unix_millis.saturating_add(millis)),
        publisher: publisher.clone(),
        topic: incoming.topic.as_byte_string().clone(),
        properties: incoming.forwarded.clone(),
        payload: incoming.payload.clone(),
    }
}

/// Who is told what becomes of a publish. Nobody, of one that is the broker's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Teller {
    /// Its publisher can be told that it is refused: by a reason code, which MQTT 5 has.
    pub(crate) refusable: bool,
    /// Its packet identifier, when it is kept until it is released.
    pub(crate) packet_id: Option<u16>,
}

/// The store's operation for a published message.
pub(crate) fn publish(
    message: &storage::Message,
    targets: storage::Targets,
    teller: Teller,
    scratch: &mut BytesMut,
) -> storage::Publish {
    let Teller { refusable, packet_id } = teller;
    storage::Publish { refusable, packet_id, ..storage::Publish::of(message, targets, scratch) }
}

/// A stored message, as the session takes it.
pub(crate) fn delivery(message: &storage::Message) -> Delivery<'_> {
    Delivery {
        qos: message.qos,
        retain: message.retain,
        publisher: &message.publisher,
        topic: &message.topic,
        forwarded: &message.properties,
        payload: &message.payload,
        expires_at_millis: message.expires_at_millis,
    }
}

pub(crate) fn place(entry: &storage::Entry) -> Place {
    Place { lsn: entry.lsn.0, log: entry.log.0 }
}

pub(crate) fn exchange_to_store(exchange: &Exchange) -> storage::Exchange {
    storage::Exchange {
        packet_id: exchange.packet_id,
        lsn: storage::Lsn(exchange.place.lsn),
        log: storage::LogId(exchange.place.log),
        qos: exchange.qos,
        received: exchange.received,
        retain: exchange.retain,
        subscription_identifiers: exchange.identifiers.to_vec(),
    }
}

fn exchange_from_store(exchange: storage::Exchange) -> Exchange {
    Exchange {
        packet_id: exchange.packet_id,
        place: Place { lsn: exchange.lsn.0, log: exchange.log.0 },
        qos: exchange.qos,
        received: exchange.received,
        retain: exchange.retain,
        identifiers: exchange.subscription_identifiers.into(),
    }
}

pub(crate) fn outbound_to_store(record: &OutboundRecord) -> storage::Outbound {
    storage::Outbound {
        position: storage::Lsn(record.position),
        last_packet_id: record.last_packet_id,
        open: record.open.iter().map(exchange_to_store).collect(),
    }
}

/// What a session dropped, as the store counts it.
pub(crate) fn drops(dropped: &Dropped) -> [(storage::DropReason, storage::Dropped); 6] {
    use storage::DropReason;
    let exactly = storage::Dropped::exactly;
    let both = |exactly, shared_at_most| storage::Dropped { exactly, shared_at_most };
    [
        (DropReason::SessionLimit, both(dropped.over_limit, dropped.over_limit_shared_at_most)),
        (DropReason::TotalLimit, both(dropped.over_total, dropped.over_total_shared_at_most)),
        (DropReason::Expired, exactly(dropped.expired)),
        (DropReason::TooLarge, exactly(dropped.too_large)),
        (DropReason::Unsubscribed, exactly(dropped.unsubscribed)),
        (DropReason::Damaged, both(dropped.damaged, dropped.damaged_at_most)),
    ]
}

/// What lies beyond a limit, as the session counts it.
pub(crate) fn over_limit(excess: &storage::Excess) -> Dropped {
    let (own, shared) = (excess.dropped.own.messages, excess.dropped.shared_at_most.messages);
    match excess.reason {
        storage::DropReason::TotalLimit => {
            Dropped { over_total: own, over_total_shared_at_most: shared, ..Dropped::default() }
        }
        _ => Dropped { over_limit: own, over_limit_shared_at_most: shared, ..Dropped::default() },
    }
}

/// The same as operations, for those that there are.
pub(crate) fn count_drops(dropped: &Dropped) -> impl Iterator<Item = storage::Operation> {
    let counts = drops(dropped).into_iter().filter(|(_, dropped)| !dropped.is_zero());
    counts.map(|(reason, dropped)| storage::Operation::CountDrops { reason, dropped })
}

/// A stored session's state, as the session machine resumes it.
pub(crate) fn restored(attached: storage::AttachedSession) -> Restored {
    let mut restored = Restored {
        outbound: OutboundRecord {
            position: attached.outbound.position.0,
            last_packet_id: attached.outbound.last_packet_id,
            open: attached.outbound.open.into_iter().map(exchange_from_store).collect(),
        },
        sent_unsaved_through: attached.sent_unsaved_through.map(|lsn| lsn.0),
        own_log: attached.id.0,
        inbound: attached.inbound.iter().collect::<BTreeSet<u16>>(),
        ..Restored::default()
    };
    for held in attached.subscriptions {
        if let Some(scan) = held.retained_scan {
            restored.scans.push(Scan {
                filter: held.filter.clone(),
                through: scan.through.0,
                after_topic: scan.after_topic.into(),
            });
        }
        restored.subscriptions.push(Subscription {
            filter: held.filter,
            options: options_from_store(held.options),
            start: held.start.0,
        });
    }
    restored
}

fn options_from_store(options: storage::SubscriptionOptions) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: options.qos,
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        identifier: options.identifier,
    }
}

/// A connection's will, as the store keeps it: when it is published, the store sets the times.
pub(crate) fn will_to_store(will: &Will, publisher: &ByteString, now: Now) -> storage::Will {
    storage::Will {
        message: storage::Message { expires_at_millis: None, ..message(&will.message, publisher, now) },
        delay_interval: will.delay_interval,
        message_expiry_interval: will.message.message_expiry_interval,
    }
}
