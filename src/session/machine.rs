//! One connection's session, from CONNACK to the end.

mod admission;
mod dropping;
mod elsewhere;

use std::collections::BTreeSet;

use bytes::BytesMut;
use bytestring::ByteString;

use admission::Held;

use super::inbound::Inbound;
use super::keep_alive::KeepAlive;
use super::outbound::{Exchange, Outbound, OutboundRecord, Taken};
use super::request::{Done, Granted, Request, RetainedFrom};
use super::retained::{Scan, Scans};
use super::subscriptions::{Subscription, SubscriptionOptions, Subscriptions};
use super::wire::Wire;
use super::{Delivery, Dropped, Limits, Now, Place, Terms, detached};
use crate::kept::Kept;
use crate::planted;
use crate::protocol::{
    AckKind, ConnAck, Disconnect, DisconnectProperties, Packet, ProtocolVersion, ReasonCode, SubAck,
    Subscribe, SubscribeFilter, TopicFilter, UnsubAck, Unsubscribe,
};

/// Requests whose answers are outstanding; a packet above this waits in the socket.
const BATCH_LIMIT: usize = 1024;

/// The session machine.
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    /// Kept in the store: outlives the connection.
    durable: bool,
    wire: Wire,
    keep_alive: KeepAlive,
    inbound: Inbound,
    outbound: Outbound,
    subscriptions: Subscriptions,
    scans: Scans,
    batch: Vec<Request>,
    held: Held,
    close: Option<Close>,
    /// Longest that DISCONNECT may ask for, in seconds.
    maximum_session_expiry_interval: u32,
    own_log: u64,
}

/// State that a stored session resumes with.
#[derive(Debug, Default)]
pub struct Restored {
    /// Subscriptions in force.
    pub subscriptions: Vec<Subscription>,
    /// Retained scans not yet done.
    pub scans: Vec<Scan>,
    /// Outbound record.
    pub outbound: OutboundRecord,
    /// Messages up to this LSN may have been sent although the record does not tell.
    pub sent_unsaved_through: Option<u64>,
    /// QoS 2 packet identifiers received and not released.
    pub inbound: BTreeSet<u16>,
    /// Number of the log that is the session's own: what no subscription wants of it was unsubscribed.
    pub own_log: u64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The reason, as a DISCONNECT has it.
    pub reason: ReasonCode,
    /// The client said good-bye.
    pub by_client: bool,
    /// The will is not published [MQTT-3.14.4-3].
    pub forget_will: bool,
    /// Session Expiry Interval from here on, in seconds.
    pub session_expiry_interval: u32,
}

/// What the outbound side could take now.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    /// The messages of these exchanges, to be sent again, in this order.
    Resend(Vec<Exchange>),
    /// The next retained messages of a scan.
    Retained {
        /// The scan.
        scan: Scan,
        /// Room in the window.
        room: usize,
    },
    /// Messages of the logs above this LSN, and from the mailbox; so many at most.
    New {
        /// LSN up to which the logs have been taken.
        after: u64,
        /// Room in the window; what goes out at QoS 0 needs none.
        room: usize,
    },
    /// Nothing, until the client or the committer answers.
    Nothing,
}

impl Session {
    /// Begins with the CONNACK that accepts. `restored` is the stored session's state; `None` for a session that ends
    /// with its connection.
    #[must_use]
    pub fn start(
        terms: Terms,
        restored: Option<Restored>,
        connack: ConnAck,
        limits: &Limits,
        _kept: &Kept,
        now: Now,
    ) -> Self {
        let mut wire = Wire::new(terms.version, terms.maximum_packet_size, terms.outbound_topic_aliases);
        // Whoever let the client in has seen that it fits: see `Terms::takes_connack`.
        let _ = wire.packet(&Packet::ConnAck(Box::new(connack)));
        let durable = restored.is_some();
        let restored = restored.unwrap_or_default();
        let outbound = if durable {
            Outbound::resume(terms.window, restored.outbound, restored.sent_unsaved_through)
        } else {
            Outbound::transient(terms.window)
        };
        outbound.resend_releases(&mut wire);
        let mut subscriptions = Subscriptions::default();
        restored.subscriptions.into_iter().for_each(|subscription| subscriptions.insert(subscription));
        Self {
            durable,
            wire,
            keep_alive: KeepAlive::new(terms.keep_alive, now),
            inbound: Inbound::new(
                terms.version,
                limits.receive_maximum,
                limits.topic_alias_maximum,
                restored.inbound,
            ),
            outbound,
            subscriptions,
            scans: Scans::new(restored.scans),
            batch: Vec::new(),
            held: Held::default(),
            close: None,
            maximum_session_expiry_interval: limits.maximum_session_expiry_interval,
            own_log: restored.own_log,
            terms,
        }
    }

    /// The terms of the connection.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Subscriptions in force.
    #[must_use]
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Bytes to be written to the client.
    pub fn output(&mut self) -> &mut BytesMut {
        self.wire.output()
    }

    /// Bytes that wait to be written, those included that wait for a record first.
    #[must_use]
    pub fn unsent_bytes(&mut self) -> usize {
        self.wire.output().len() + self.outbound.held_bytes()
    }

    /// How the connection is to end, once it is; what is in the output goes out before.
    #[must_use]
    pub fn closing(&self) -> Option<Close> {
        self.close
    }

    /// Whether another packet may be handed in before the batch is taken.
    #[must_use]
    pub fn accepts_packets(&self) -> bool {
        self.close.is_none() && self.batch.len() < BATCH_LIMIT
    }

    /// Handles a packet of the client.
    pub fn receive(&mut self, packet: Packet, now: Now) {
        if self.close.is_some() {
            return;
        }
        self.keep_alive.heard(now);
        if let Err(reason) = self.handle(packet, now) {
            self.disconnect(reason);
        }
    }

    fn handle(&mut self, packet: Packet, now: Now) -> Result<(), ReasonCode> {
        match packet {
            Packet::Publish(publish) => {
                let request = self.inbound.publish(publish)?;
                self.batch.extend(request);
            }
            Packet::PubAck(ack) => {
                let answer = self.outbound.puback(ack.packet_id.get(), ack.reason, now);
                answer.map_err(|_| ReasonCode::ProtocolError)?;
            }
            Packet::PubRec(ack) => {
                let answer = self.outbound.pubrec(ack.packet_id.get(), ack.reason, &mut self.wire, now);
                answer.map_err(|_| ReasonCode::ProtocolError)?;
            }
            Packet::PubRel(ack) if planted!(PubcompBeforeRelease) => {
                drop(self.inbound.pubrel(ack.packet_id.get()));
                self.inbound.answered();
                self.wire.acknowledge(AckKind::PubComp, ack.packet_id.get(), ReasonCode::Success);
            }
            Packet::PubRel(ack) => self.batch.push(self.inbound.pubrel(ack.packet_id.get())),
            Packet::PubComp(ack) => {
                self.outbound.pubcomp(ack.packet_id.get(), now).map_err(|_| ReasonCode::ProtocolError)?;
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Packet::PingReq => self.answer(&Packet::PingResp),
            Packet::Disconnect(disconnect) => self.client_leaves(&disconnect)?,
            // A second CONNECT [MQTT-3.1.0-2], AUTH outside an exchange, and what only a server sends.
            Packet::Connect(_)
            | Packet::Auth(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => return Err(ReasonCode::ProtocolError),
        }
        Ok(())
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), ReasonCode> {
        let mut filters = Vec::with_capacity(subscribe.filters.len());
        for filter in subscribe.filters {
            if filter.no_local && filter.filter.shared().is_some() {
                return Err(ReasonCode::ProtocolError); // [MQTT-3.8.3-4]
            }
            filters.push(Ok(filter));
        }
        self.outbound.pause();
        self.batch.push(Request::Subscribe {
            packet_id: subscribe.packet_id.get(),
            identifier: subscribe.subscription_identifier,
            filters,
        });
        Ok(())
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        self.outbound.pause();
        self.batch.push(Request::Unsubscribe {
            packet_id: unsubscribe.packet_id.get(),
            filters: unsubscribe.filters,
        });
    }

    fn client_leaves(&mut self, disconnect: &Disconnect) -> Result<(), ReasonCode> {
        let mut session_expiry_interval = self.terms.session_expiry_interval;
        if let Some(changed) = disconnect.properties.session_expiry_interval {
            if session_expiry_interval == 0 && changed != 0 {
                return Err(ReasonCode::ProtocolError); // [MQTT-3.14.2-2] and 3.14.2.2.2
            }
            session_expiry_interval = changed.min(self.maximum_session_expiry_interval);
        }
        self.close = Some(Close {
            reason: disconnect.reason,
            by_client: true,
            forget_will: disconnect.reason == ReasonCode::Success,
            session_expiry_interval,
        });
        Ok(())
    }

    /// Ends the connection for a reason of ours: an MQTT 5 client is told [MQTT-4.13.1-1].
    pub fn disconnect(&mut self, reason: ReasonCode) {
        if self.close.is_some() {
            return;
        }
        if self.terms.version == ProtocolVersion::V5 {
            let properties = DisconnectProperties::default();
            // The connection ends with it or without.
            let _ = self.wire.last(&Packet::Disconnect(Disconnect { reason, properties }));
        }
        self.close = Some(self.abnormal_end(reason));
    }

    /// The socket has failed or was closed by the client.
    pub fn connection_lost(&mut self) {
        self.close.get_or_insert(self.abnormal_end(ReasonCode::UnspecifiedError));
    }

    fn abnormal_end(&self, reason: ReasonCode) -> Close {
        let session_expiry_interval = self.terms.session_expiry_interval;
        Close { reason, by_client: false, forget_will: false, session_expiry_interval }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        if self.keep_alive.expired(now) {
            self.disconnect(ReasonCode::KeepAliveTimeout);
        }
    }

    /// We were not reading: the client's silence does not count.
    pub fn excuse_silence(&mut self, now: Now) {
        self.keep_alive.heard(now);
    }

    /// When `tick` or `take_batch` is to be called at the latest, in monotonic milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        [self.keep_alive.deadline(), self.outbound.record_deadline()].into_iter().flatten().min()
    }

    /// Adds a request of the connection's own to the batch.
    pub fn request(&mut self, request: Request) {
        self.batch.push(request);
    }

    /// What is to be kept and done now, as one batch. Batches are done in the order taken.
    pub fn take_batch(&mut self, now: Now) -> Option<Vec<Request>> {
        let next_time = planted!(IdentifierAfterMessage) && !self.batch.is_empty();
        if self.durable
            && !next_time
            && let Some(identifiers) = self.inbound.changed()
        {
            self.batch.push(Request::SaveInbound(identifiers));
        }
        let needs_record = self.durable && self.batch.iter().any(needs_record);
        if needs_record || self.outbound.record_due(now) {
            let record = self.outbound.submit_record();
            let dropped = if self.durable { self.outbound.take_dropped() } else { Dropped::default() };
            if !dropped.is_zero() {
                self.batch.insert(0, Request::CountDrops(dropped));
            }
            // What was refused is known with the record in which its exchange has ended.
            self.count_refused();
            // Before a change of subscriptions: what an UNSUBSCRIBE drops, it drops behind this position.
            self.batch.insert(0, Request::SaveOutbound(record));
        }
        if !self.durable {
            self.count_refused();
        }
        (!self.batch.is_empty()).then(|| std::mem::take(&mut self.batch))
    }

    fn count_refused(&mut self) {
        let refused = self.outbound.take_refused();
        if !refused.is_empty() {
            self.batch.push(Request::CountRefused(refused));
        }
    }

    /// The last batch of a stored session's connection: its state, exactly.
    #[must_use]
    pub fn last_record(&self) -> Option<OutboundRecord> {
        self.durable.then(|| self.outbound.record())
    }

    /// The oldest batch that was taken is done; `done` has an entry for each of its requests.
    pub fn done(&mut self, batch: Vec<Request>, done: Vec<Done>, _kept: &Kept) {
        debug_assert_eq!(batch.len(), done.len(), "every request has its answer");
        for (request, done) in batch.into_iter().zip(done) {
            self.request_done(request, done);
        }
    }

    fn request_done(&mut self, request: Request, done: Done) {
        match (request, done) {
            (Request::Publish(incoming), Done::Published { matched }) => {
                let reason = if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
                let Some(packet_id) = incoming.packet_id else { return };
                if incoming.qos == 1 {
                    self.inbound.answered();
                    self.wire.acknowledge(AckKind::PubAck, packet_id, reason);
                } else {
                    self.wire.acknowledge(AckKind::PubRec, packet_id, reason);
                }
            }
            (Request::Publish(incoming), Done::Refused(reason)) => {
                let Some(packet_id) = incoming.packet_id else { return };
                self.inbound.refused(packet_id, incoming.qos);
                let kind = if incoming.qos == 1 { AckKind::PubAck } else { AckKind::PubRec };
                self.wire.acknowledge(kind, packet_id, reason);
            }
            (Request::Refused { qos, packet_id, reason }, _) => self.answer_refused(qos, packet_id, reason),
            (Request::Repeated { packet_id }, _) => {
                let refused = self.inbound.was_refused(packet_id);
                let reason = if refused { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
                self.wire.acknowledge(AckKind::PubRec, packet_id, reason);
            }
            (Request::Release { packet_id, known }, _) => {
                self.inbound.answered();
                let known = known || self.terms.version != ProtocolVersion::V5;
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                self.wire.acknowledge(AckKind::PubComp, packet_id, reason);
            }
            (Request::Subscribe { packet_id, identifier, filters }, Done::Subscribed(granted)) => {
                self.subscribed(packet_id, identifier, filters, granted);
            }
            (Request::Unsubscribe { packet_id, filters }, Done::Unsubscribed { existed, at }) => {
                self.unsubscribed(packet_id, &filters, &existed, at);
            }
            (Request::SaveOutbound(_), _) => self.outbound.record_durable(&mut self.wire),
            (
                Request::SaveInbound(_)
                | Request::CountDrops(_)
                | Request::CountRefused(_)
                | Request::Hold { .. }
                | Request::SaveScan { .. }
                | Request::TakeFromGroup { .. },
                _,
            ) => {}
            (request, done) => unreachable!("{done:?} is no answer to {request:?}"),
        }
    }

    fn subscribed(
        &mut self,
        packet_id: u16,
        identifier: Option<u32>,
        filters: Vec<Result<SubscribeFilter, ReasonCode>>,
        granted: Vec<Granted>,
    ) {
        let mut granted = granted.into_iter();
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            let filter = match filter {
                Ok(filter) => filter,
                Err(reason) => {
                    reasons.push(reason);
                    continue;
                }
            };
            let granted = granted.next().expect("every filter asked for has its answer");
            reasons.push(ReasonCode::granted(filter.qos));
            let name = detached(filter.filter.as_byte_string());
            // A scan under way that this SUBSCRIBE did not replace goes on: nothing is lost by subscribing again
            // [MQTT-3.8.4-4], and nothing sent twice.
            if let Some(RetainedFrom { through, after_topic }) = granted.retained {
                self.scans.push(Scan { filter: name.clone(), through, after_topic });
            }
            let options = options_of(&filter, identifier);
            if self.durable && options.qos == 0 {
                self.subscriptions.give_up(&name, granted.at);
            }
            self.subscriptions.insert(Subscription { filter: name, options, start: granted.start });
        }
        self.outbound.unpause();
        let packet_id = packet_id.try_into().expect("an identifier in use is not 0");
        let suback = SubAck { packet_id, reasons, properties: Default::default() };
        self.answer(&Packet::SubAck(suback));
    }

    fn unsubscribed(&mut self, packet_id: u16, filters: &[TopicFilter], existed: &[bool], at: u64) {
        for filter in filters {
            if self.durable {
                self.subscriptions.give_up(filter.as_str(), at);
            }
            self.subscriptions.remove(filter.as_str());
            self.scans.cancel(filter.as_str());
        }
        self.outbound.unpause();
        let reason =
            |existed: &bool| if *existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted };
        let packet_id = packet_id.try_into().expect("an identifier in use is not 0");
        let reasons = existed.iter().map(reason).collect();
        let unsuback = UnsubAck { packet_id, reasons, properties: Default::default() };
        self.answer(&Packet::UnsubAck(unsuback));
    }

    /// Sends what is owed to the client. What is too large for it must be neither sent [MQTT-3.1.2-24] nor left out
    /// [MQTT-3.8.4-1]: the connection ends.
    fn answer(&mut self, packet: &Packet) {
        if self.wire.packet(packet).is_err() {
            self.disconnect(ReasonCode::PacketTooLarge);
        }
    }

    /// What the outbound side could take now.
    #[must_use]
    pub fn want(&self) -> Want {
        if self.close.is_some() {
            return Want::Nothing;
        }
        let resends: Vec<Exchange> = self.outbound.resends().cloned().collect();
        if !resends.is_empty() {
            return Want::Resend(resends);
        }
        let room = self.outbound.room();
        match self.scans.current() {
            _ if self.outbound.paused() => Want::Nothing,
            Some(_) if room == 0 => Want::Nothing,
            Some(scan) => Want::Retained { scan: scan.clone(), room },
            None => Want::New { after: self.outbound.position(), room },
        }
    }

    /// What has to be taken back before the first packet of the client is handed in: the messages of its logs above the
    /// first LSN, up to the second.
    #[must_use]
    pub fn to_take_back(&self) -> Option<(u64, u64)> {
        self.outbound.to_take_back()
    }

    /// Takes a message back that may have been sent before the broker died; `false`: this and the rest were not.
    pub fn take_back(&mut self, place: Place, delivery: &Delivery<'_>, now: Now) -> bool {
        let grant = self.subscriptions.grant(&self.terms.client_id, delivery, place.lsn);
        let unsubscribed = grant.is_none() && self.was_unsubscribed(place, delivery);
        let taken = self.outbound.take_back(place, delivery, grant, now);
        if taken && unsubscribed {
            self.outbound.dropped().unsubscribed += 1;
        }
        taken
    }

    /// All that may have been sent has been taken back.
    pub fn taken_back(&mut self) {
        self.outbound.taken_back();
    }

    /// Sends the next exchange that [`Want::Resend`] named again.
    pub fn resend(&mut self, delivery: Option<&Delivery<'_>>, now: Now) {
        self.outbound.resend(delivery, &mut self.wire, now);
    }

    /// Takes a message of the session's logs, in the order of their LSNs.
    pub fn take_from_log(&mut self, place: Place, delivery: &Delivery<'_>, now: Now) -> Taken {
        let grant = self.subscriptions.grant(&self.terms.client_id, delivery, place.lsn);
        let unsubscribed = grant.is_none() && self.was_unsubscribed(place, delivery);
        let taken = self.outbound.take_from_log(place, delivery, grant, &mut self.wire, now);
        if taken == Taken::Unwanted && unsubscribed {
            self.outbound.dropped().unsubscribed += 1;
        }
        self.outbound.count(taken)
    }

    /// Parts of the logs that lie at or below the LSN up to which they have been taken cannot be read: so many messages
    /// are lost to it, and at most so many.
    pub fn passed_damage(&mut self, messages: u64, at_most: u64, now: Now) {
        self.outbound.passed_damage(messages, at_most, now);
    }

    /// The logs have nothing at or below this LSN that was not taken.
    pub fn logs_taken_through(&mut self, lsn: u64, now: Now) {
        self.outbound.logs_taken_through(lsn, now);
    }

    /// Takes a retained message of the current scan: with RETAIN set [MQTT-3.3.1-8].
    pub fn take_retained(&mut self, lsn: u64, delivery: &Delivery<'_>, now: Now) -> Taken {
        let Some(scan) = self.scans.current() else { return Taken::Unwanted };
        let Some(held) = self.subscriptions.get(&scan.filter) else { return Taken::Unwanted };
        let Some(grant) = held.grant(&self.terms.client_id, delivery) else { return Taken::Unwanted };
        self.outbound.take(Place { lsn, log: 0 }, delivery, &grant, true, &mut self.wire, now)
    }

    /// The current scan has come to this topic; `None`: to its end.
    pub fn retained_taken(&mut self, after_topic: Option<ByteString>) {
        if let (true, Some(scan)) = (self.durable, self.scans.current()) {
            let (filter, through) = (scan.filter.clone(), scan.through);
            self.batch.push(Request::SaveScan { filter, through, after_topic: after_topic.clone() });
        }
        self.scans.advance(after_topic);
    }
}

/// Whether a request is to be kept together with the outbound record: a subscription change, and a scan or a group that
/// has gone on because an exchange has begun, which without its record would be in neither.
fn needs_record(request: &Request) -> bool {
    matches!(
        request,
        Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::Hold { .. }
            | Request::TakeFromGroup { .. }
    )
}

fn options_of(filter: &SubscribeFilter, identifier: Option<u32>) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: filter.qos.into(),
        no_local: filter.no_local,
        retain_as_published: filter.retain_as_published,
        identifier,
    }
}
