//! What clients do: each step is turned into a transaction as a session would, from what the store has handed out.

use barnacle_storage::*;
use bytes::{Bytes, BytesMut};

use super::random::Random;
use super::world::{Judged, World};
use crate::support::{self, ALL};

pub(super) const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
pub(super) const FILTERS: [&str; 6] = ["t/1", "t/+", "t/#", "#", "u", "+/2"];
pub(super) const TOPICS: [&str; 5] = ["t/1", "t/2", "u", "u/2", "v"];

/// What a client does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Attach {
        client: usize,
        clean_start: bool,
        session_expiry_interval: u32,
        will: bool,
    },
    Detach {
        client: usize,
        session_expiry_interval: u32,
        will: WillFate,
    },
    End {
        client: usize,
    },
    Expire,
    /// Wills that are due are published.
    PublishDueWills,
    Subscribe {
        client: usize,
        wanted: Vec<(usize, u8, u8)>,
    },
    Unsubscribe {
        client: usize,
        filters: Vec<usize>,
    },
    /// Several messages in one transaction: topic, QoS, and what becomes of the topic's retained message.
    Publish {
        messages: Vec<(usize, u8, RetainedChange)>,
    },
    /// Reads so many messages, begins exchanges with some of them, and passes over the others.
    Consume {
        client: usize,
        messages: usize,
        begun: usize,
    },
    /// Ends the exchange at that place, or notes its PUBREC.
    Answer {
        client: usize,
        at: usize,
        received: bool,
    },
    /// A publisher's QoS 2 identifier comes, or is released.
    Inbound {
        client: usize,
        packet_id: u16,
    },
    /// Sends the next retained message of a subscription that still has some before it.
    Retained {
        client: usize,
    },
    /// Something late from a connection that is over.
    Late {
        at: usize,
    },
}

impl Step {
    /// Whose state the step builds upon: two such steps of one client do not belong into one batch.
    pub(super) fn client(&self) -> Option<usize> {
        match self {
            Step::Attach { client, .. }
            | Step::Detach { client, .. }
            | Step::End { client }
            | Step::Subscribe { client, .. }
            | Step::Unsubscribe { client, .. }
            | Step::Consume { client, .. }
            | Step::Answer { client, .. }
            | Step::Inbound { client, .. }
            | Step::Retained { client } => Some(*client),
            Step::Expire | Step::PublishDueWills | Step::Publish { .. } | Step::Late { .. } => None,
        }
    }

    /// Something that a client does; `connected` are those that have a session and a connection.
    pub(super) fn random(random: &mut Random, connected: &[usize]) -> Step {
        let client = random.below(CLIENTS.len());
        if !connected.contains(&client) && random.percent(80) {
            return Step::attach(random, client);
        }
        match random.below(100) {
            0..4 => Step::attach(random, client),
            4..8 => {
                use WillFate::{Forget, Keep, Publish};
                let session_expiry_interval = random.pick(&[0, 60, 3600, 3600, u32::MAX]);
                let will = random.pick(&[Forget, Keep, Publish, Publish]);
                Step::Detach { client, session_expiry_interval, will }
            }
            8..9 => Step::End { client },
            9..11 => Step::Expire,
            11..25 => {
                let wanted = |random: &mut Random| {
                    (random.below(FILTERS.len()), random.pick(&[0, 1, 1, 2]), random.below(3) as u8)
                };
                Step::Subscribe { client, wanted: (0..=random.below(2)).map(|_| wanted(random)).collect() }
            }
            25..30 => {
                let filters = (0..=random.below(2)).map(|_| random.below(FILTERS.len())).collect();
                Step::Unsubscribe { client, filters }
            }
            30..54 => {
                use RetainedChange::{Clear, Leave, Set};
                let message = |random: &mut Random| {
                    let retained = random.pick(&[Leave, Leave, Set, Set, Clear]);
                    (random.below(TOPICS.len()), random.pick(&[0, 1, 1, 2]), retained)
                };
                Step::Publish { messages: (0..=random.below(4)).map(|_| message(random)).collect() }
            }
            54..76 => Step::Consume { client, messages: 1 + random.below(5), begun: random.below(4) },
            76..88 => Step::Answer { client, at: random.below(4), received: random.percent(40) },
            88..91 => Step::Inbound { client, packet_id: 1 + random.below(5) as u16 },
            91..93 => Step::PublishDueWills,
            93..98 => Step::Retained { client },
            _ => Step::Late { at: random.below(8) },
        }
    }

    fn attach(random: &mut Random, client: usize) -> Step {
        Step::Attach {
            client,
            clean_start: random.percent(10),
            session_expiry_interval: random.pick(&[0, 60, 3600, 3600, 3600, u32::MAX]),
            will: random.percent(40),
        }
    }
}

impl World {
    /// The transaction that the step comes to; `None`: it does not apply as things stand.
    pub(super) fn transaction(&mut self, step: &Step) -> Judged<Option<Transaction>> {
        let operations = match step {
            Step::Publish { messages } => messages
                .iter()
                .map(|(topic, qos, retained)| self.publish(TOPICS[*topic], *qos, *retained))
                .collect(),
            Step::Expire => vec![Operation::ExpireSessions { now_millis: self.now_millis }],
            Step::PublishDueWills => vec![Operation::PublishDueWills { now_millis: self.now_millis }],
            Step::Attach { client, clean_start, session_expiry_interval, will } => {
                let attach = Attach {
                    clean_start: *clean_start,
                    session_expiry_interval: *session_expiry_interval,
                    will: will.then(|| self.will(*client)),
                    keep_alive: [0, 10, 300][*client % 3],
                    now_millis: self.now_millis,
                    ..support::attach(CLIENTS[*client])
                };
                vec![Operation::Attach(attach)]
            }
            Step::Late { at } => {
                let Some(fence) = self.fenced.get(*at).copied() else { return Ok(None) };
                let late = self.publish(TOPICS[0], 1, RetainedChange::Set);
                self.coverage.count("late transactions");
                return Ok(Some(Transaction {
                    source: None,
                    fence: Some(fence),
                    operations: vec![late, Operation::End],
                }));
            }
            _ => return self.fenced_transaction(step),
        };
        Ok(Some(Transaction { source: None, fence: None, operations }))
    }

    fn fenced_transaction(&mut self, step: &Step) -> Judged<Option<Transaction>> {
        let name = CLIENTS[step.client().expect("the other steps have no fence")];
        let Some(client) = self.clients.get(name) else { return Ok(None) };
        let (fence, has_reader) = (client.fence, client.reader.is_some());
        if !has_reader && !matches!(step, Step::Detach { .. } | Step::End { .. }) {
            return Ok(None);
        }
        if !self.model.sessions.get(name).is_some_and(|session| session.connected) {
            return Ok(None);
        }
        let operations = match step {
            Step::Detach { session_expiry_interval, will, .. } => vec![Operation::Detach(Detach {
                // What was not to last does not begin to.
                session_expiry_interval: if has_reader { *session_expiry_interval } else { 0 },
                will: *will,
                now_millis: self.now_millis,
            })],
            Step::End { .. } => vec![Operation::End],
            Step::Subscribe { wanted, .. } => {
                vec![Operation::Subscribe(wanted.iter().map(new_subscription).collect())]
            }
            Step::Unsubscribe { filters, .. } => {
                vec![Operation::Unsubscribe(filters.iter().map(|filter| FILTERS[*filter].into()).collect())]
            }
            Step::Consume { messages, begun, .. } => self.consume(name, *messages, *begun)?,
            Step::Answer { at, received, .. } => self.answer(name, *at, *received),
            Step::Inbound { packet_id, .. } => {
                let mut inbound = self.model.sessions[name].inbound.clone();
                if !inbound.remove(packet_id) {
                    inbound.insert(*packet_id);
                }
                vec![Operation::SaveInbound(inbound.into_iter().collect())]
            }
            Step::Retained { .. } => self.send_retained(name)?,
            Step::Attach { .. }
            | Step::Expire
            | Step::PublishDueWills
            | Step::Publish { .. }
            | Step::Late { .. } => {
                unreachable!("they have no fence, or one of their own")
            }
        };
        let transaction = Transaction { source: None, fence: Some(fence), operations };
        Ok((!transaction.operations.is_empty()).then_some(transaction))
    }

    /// As a session does: reads, begins exchanges in sequence, passes over what it need not send.
    fn consume(&mut self, name: &str, messages: usize, begun: usize) -> Judged<Vec<Operation>> {
        let mut outbound = self.model.sessions[name].outbound();
        let pass = self.pass(name, outbound.position, Budget { messages, bytes: usize::MAX })?;
        outbound.position = pass.through;
        for entry in pass.entries.iter().take(begun) {
            let packet_id = free_packet_id(&mut outbound);
            outbound.open.push(support::exchange(packet_id, entry));
        }
        Ok(vec![Operation::SaveOutbound(outbound)])
    }

    fn answer(&mut self, name: &str, at: usize, received: bool) -> Vec<Operation> {
        let mut outbound = self.model.sessions[name].outbound();
        if outbound.open.is_empty() {
            return Vec::new();
        }
        let at = at % outbound.open.len();
        if received && !outbound.open[at].received {
            outbound.open[at].received = true;
            outbound.open[at].qos = 2;
            self.coverage.count("exchanges received");
        } else {
            outbound.open.remove(at);
            self.coverage.count("exchanges ended");
        }
        vec![Operation::SaveOutbound(outbound)]
    }

    /// An exchange that begins with a retained message has its own copy from the start.
    fn send_retained(&mut self, name: &str) -> Judged<Vec<Operation>> {
        let scanning = self.model.sessions[name]
            .subscriptions
            .iter()
            .find_map(|(filter, subscribed)| Some((filter.clone(), subscribed.retained_scan.clone()?)));
        let Some((filter, scan)) = scanning else { return Ok(Vec::new()) };
        let page = self.retained_page(&filter, &scan, Budget { messages: 1, bytes: usize::MAX })?;
        let after_topic = (!page.done).then(|| page.after_topic.as_str().into());
        let scanned = Operation::SaveRetainedScan {
            filter: filter.as_str().into(),
            through: scan.through,
            after_topic,
        };
        let Some((lsn, message)) = page.messages.first() else { return Ok(vec![scanned]) };
        let mut outbound = self.model.sessions[name].outbound();
        let packet_id = free_packet_id(&mut outbound);
        outbound.open.push(Exchange {
            packet_id,
            lsn: *lsn,
            log: LogId::RETAINED,
            qos: 1,
            received: false,
            retain: true,
            subscription_identifiers: vec![7],
        });
        let body = encode_message(message, &mut BytesMut::new());
        self.coverage.count("exchanges begun with a retained message");
        Ok(vec![Operation::Hold { packet_id, lsn: *lsn, body }, Operation::SaveOutbound(outbound), scanned])
    }

    fn publish(&mut self, topic: &str, qos: u8, retained: RetainedChange) -> Operation {
        let message = Message { qos, ..self.message(topic) };
        let publish = Publish::of(&message, self.store().route(topic), &mut BytesMut::new());
        Operation::Publish(Publish { retained, ..publish })
    }

    /// No two messages are the same.
    fn message(&mut self, topic: &str) -> Message {
        self.messages += 1;
        let payload = Bytes::from(format!("message {}", self.messages));
        Message { payload, ..support::message(topic, "") }
    }

    fn will(&mut self, client: usize) -> Will {
        let retain = self.messages.is_multiple_of(3);
        let qos = (self.messages % 3) as u8;
        let message =
            Message { publisher: CLIENTS[client].into(), retain, qos, ..self.message(TOPICS[client]) };
        Will { message, delay_interval: 40 * client as u32, message_expiry_interval: None }
    }

    pub(super) fn attach_everybody(&mut self) -> Judged {
        for (client, name) in CLIENTS.into_iter().enumerate() {
            let known = self.model.sessions.contains_key(name);
            let session_expiry_interval = if known { 3600 } else { 0 };
            self.take_alone(&Step::Attach {
                client,
                clean_start: false,
                session_expiry_interval,
                will: false,
            })?;
        }
        Ok(())
    }

    pub(super) fn publish_everywhere(&mut self) -> Judged {
        let messages = (0..TOPICS.len()).map(|topic| (topic, 1, RetainedChange::Leave)).collect();
        self.take_alone(&Step::Publish { messages })
    }

    pub(super) fn take_alone(&mut self, step: &Step) -> Judged {
        let transaction = self.transaction(step)?;
        self.commit(transaction.into_iter().collect()).map(drop)
    }

    /// Looks for space to make free, and has the committer copy what is stuck.
    pub(super) fn trim(&mut self) -> Judged {
        self.store().trim();
        self.commit_nothing()?;
        self.store().trim();
        Ok(())
    }

    /// A client reads what waits for it in passes of any size.
    pub(super) fn read_somebody(&mut self, random: &mut Random) -> Judged {
        let name = CLIENTS[random.below(CLIENTS.len())];
        if !self.readers().iter().any(|reader| reader == name) {
            return Ok(());
        }
        let budget = Budget { messages: random.pick(&[1, 3, usize::MAX]), ..ALL };
        self.read_all(name, budget)?;
        self.read_exchanges(name)
    }
}

/// The next in sequence that no exchange has.
fn free_packet_id(outbound: &mut Outbound) -> u16 {
    loop {
        outbound.last_packet_id = outbound.last_packet_id % 20 + 1;
        let packet_id = outbound.last_packet_id;
        if outbound.open.iter().all(|exchange| exchange.packet_id != packet_id) {
            return packet_id;
        }
    }
}

fn new_subscription((filter, qos, retain_handling): &(usize, u8, u8)) -> NewSubscription {
    NewSubscription { retain_handling: *retain_handling, ..support::subscription(FILTERS[*filter], *qos) }
}
