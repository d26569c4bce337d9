//! Everything that was sent, acknowledged and received, in one order, and what follows from it: losses, repeats,
//! reorders. Knows no socket and no clock, so that its own tests can plant each fault.

use crate::books::finding::{Kind, Wrong};
use crate::books::message::MessageId;
use crate::books::session::{Moment, Session};
use crate::books::topics::{PUBLISHERS, Topic, topics};
use std::collections::HashMap;

/// One message as its publisher knows it.
#[derive(Clone, Debug)]
struct Message {
    topic: Topic,
    qos: u8,
    sent: Moment,
    acknowledged: bool,
    /// It may expire before it is delivered.
    fleeting: bool,
}

/// One change of a retained message.
#[derive(Clone, Debug)]
struct RetainedChange {
    id: MessageId,
    acknowledged: bool,
}

/// What one session received.
#[derive(Clone, Debug, Default)]
struct Delivered {
    /// By publisher and number: received at all, received at QoS 2.
    seen: Vec<Vec<(bool, bool)>>,
    /// The last number that was received first, by topic and QoS of the publish.
    last: HashMap<(Topic, u8), usize>,
}

/// The ledger of a campaign.
#[derive(Debug)]
pub(crate) struct Ledger {
    now: Moment,
    messages: Vec<Vec<Message>>,
    in_flight: usize,
    /// Messages that PUBACK or PUBREC acknowledged.
    pub(crate) acknowledged: u64,
    /// Messages that came again as new ones at QoS 1, which is allowed.
    pub(crate) repeated: u64,
    retained: HashMap<Topic, Vec<RetainedChange>>,
    sessions: Vec<Session>,
    delivered: Vec<Delivered>,
    /// Messages before these numbers were settled at a checkpoint.
    settled: Vec<usize>,
}

impl Ledger {
    /// An empty ledger for so many subscribing sessions.
    pub(crate) fn new(sessions: usize) -> Ledger {
        let delivered = Delivered { seen: vec![Vec::new(); PUBLISHERS], last: HashMap::new() };
        Ledger {
            now: 0,
            messages: vec![Vec::new(); PUBLISHERS],
            in_flight: 0,
            acknowledged: 0,
            repeated: 0,
            retained: HashMap::new(),
            sessions: vec![Session::default(); sessions],
            delivered: vec![delivered; sessions],
            settled: vec![0; PUBLISHERS],
        }
    }

    /// The next moment.
    pub(crate) fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// A session, and the moment at which something happens to it.
    pub(crate) fn session(&mut self, session: usize) -> (&mut Session, Moment) {
        let now = self.tick();
        (&mut self.sessions[session], now)
    }

    /// A message is about to be sent for the first time; says which one it is. One that clears a retained message
    /// takes no number.
    pub(crate) fn publish_sent(
        &mut self,
        publisher: usize,
        topic: Topic,
        qos: u8,
        retain: bool,
        clear: bool,
    ) -> MessageId {
        let sent = self.tick();
        self.in_flight += 1;
        let id = if clear {
            MessageId::Cleared(topic)
        } else {
            let number = self.messages[publisher].len();
            self.messages[publisher].push(Message { topic, qos, sent, acknowledged: false, fleeting: false });
            MessageId::Numbered { publisher, number }
        };
        if retain {
            self.retained.entry(topic).or_default().push(RetainedChange { id, acknowledged: false });
        }
        id
    }

    /// PUBACK or PUBREC was read.
    pub(crate) fn publish_acknowledged(&mut self, id: MessageId) {
        self.acknowledged += 1;
        if let MessageId::Numbered { publisher, number } = id {
            self.messages[publisher][number].acknowledged = true;
        }
    }

    /// The last acknowledgement of a message was read: PUBACK or PUBCOMP. From then on a new subscriber finds what the
    /// message left retained, or what came later: at QoS 2 a server may wait for PUBREL before it passes a message on.
    pub(crate) fn publish_completed(&mut self, id: MessageId) {
        self.in_flight -= 1;
        let topic = match id {
            MessageId::Cleared(topic) => topic,
            MessageId::Numbered { publisher, number } => self.messages[publisher][number].topic,
        };
        // Acknowledgements of one topic come in order, so that the first one that waits is this one.
        let waiting = self
            .retained
            .get_mut(&topic)
            .and_then(|changes| changes.iter_mut().find(|change| change.id == id && !change.acknowledged));
        if let Some(change) = waiting {
            change.acknowledged = true;
        }
    }

    /// A message has a Message Expiry Interval that may end before it is delivered.
    pub(crate) fn may_expire(&mut self, id: MessageId) {
        if let MessageId::Numbered { publisher, number } = id {
            self.messages[publisher][number].fleeting = true;
        }
    }

    /// A message was refused. One that clears is left as one that nobody acknowledged: it may have an effect or none.
    pub(crate) fn publish_refused(&mut self, id: MessageId) {
        self.in_flight -= 1;
        if let MessageId::Numbered { publisher, number } = id {
            assert!(!self.messages[publisher][number].acknowledged, "{id} was acknowledged before");
        }
    }

    /// Messages that are not completely acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// When a message was first sent; `None` for one that has no number or was never sent.
    pub(crate) fn sent_at(&self, id: MessageId) -> Option<Moment> {
        let MessageId::Numbered { publisher, number } = id else { return None };
        Some(self.messages.get(publisher)?.get(number)?.sent)
    }

    /// The QoS that a message was published with; `None` for one that has no number or was never sent.
    pub(crate) fn qos_of(&self, id: MessageId) -> Option<u8> {
        let MessageId::Numbered { publisher, number } = id else { return None };
        Some(self.messages.get(publisher)?.get(number)?.qos)
    }

    /// The messages of a publisher that whoever had subscribed is owed, with topic and the moment of the first sending.
    pub(crate) fn owed_to_all(&self, publisher: usize) -> impl Iterator<Item = (MessageId, Topic, Moment)> {
        let messages = self.messages[publisher].iter().enumerate();
        messages.filter(|(_, message)| message.acknowledged && !message.fleeting).map(
            move |(number, message)| (MessageId::Numbered { publisher, number }, message.topic, message.sent),
        )
    }

    /// How many messages with a number a publisher has sent.
    pub(crate) fn sent_by(&self, publisher: usize) -> usize {
        self.messages[publisher].len()
    }

    /// A session received a message as a new one, not as a redelivery that it knows. Errs if it should not have.
    pub(crate) fn delivered(
        &mut self,
        session: usize,
        id: MessageId,
        topic: Topic,
        qos: u8,
    ) -> Result<(), Wrong> {
        let MessageId::Numbered { publisher, number } = id else { return Ok(()) };
        let Some(message) = self.messages.get(publisher).and_then(|messages| messages.get(number)) else {
            return Err(Kind::Phantom.says(format!("{id} was never sent")));
        };
        if message.topic != topic {
            let text = format!("{id} came on {}, not on {}", topics()[topic], topics()[message.topic]);
            return Err(Kind::Phantom.says(text));
        }
        if !self.sessions[session].may_get(topic, message.sent) {
            return Err(Kind::Phantom.says(format!("{id} on {} matches no subscription", topics()[topic])));
        }
        let delivered = &mut self.delivered[session];
        let seen = &mut delivered.seen[publisher];
        if seen.len() <= number {
            seen.resize(number + 1, (false, false));
        }
        let (before, exactly_once_before) = seen[number];
        let exactly_once = qos == 2 && message.qos == 2;
        seen[number] = (true, exactly_once_before || exactly_once);
        if exactly_once && exactly_once_before {
            return Err(Kind::Twice.says(format!("{id} came twice at QoS 2")));
        }
        if before {
            self.repeated += 1;
            return Ok(());
        }
        let last = delivered.last.entry((topic, message.qos)).or_insert(number);
        // A message sent again may reach a subscription that was not there when its successors were sent; and of one that may
        // expire, the first copy may have, while the broker was down.
        if number < *last && !message.fleeting && self.sessions[session].is_owed(topic, message.sent) {
            let text =
                format!("{id} came after {publisher}:{last} on {} at QoS {}", topics()[topic], message.qos);
            return Err(Kind::Order.says(text));
        }
        *last = number.max(*last);
        Ok(())
    }

    /// What is owed to sessions and has not arrived.
    pub(crate) fn missing(&self) -> Vec<(usize, MessageId, Topic)> {
        (0..self.sessions.len()).flat_map(|session| self.missing_of(session)).collect()
    }

    /// Whether anything is owed to sessions and has not arrived.
    pub(crate) fn is_anything_missing(&self) -> bool {
        (0..self.sessions.len()).any(|session| self.missing_of(session).next().is_some())
    }

    /// What is owed to one session and has not arrived.
    pub(crate) fn missing_of(&self, session: usize) -> impl Iterator<Item = (usize, MessageId, Topic)> {
        let owed = &self.sessions[session];
        self.messages.iter().enumerate().flat_map(move |(publisher, messages)| {
            let seen = &self.delivered[session].seen[publisher];
            let unsettled = messages.iter().enumerate().skip(self.settled[publisher]);
            unsettled.filter_map(move |(number, message)| {
                let is_missing = message.acknowledged
                    && !message.fleeting
                    && seen.get(number).is_none_or(|(any, _)| !any)
                    && owed.is_owed(message.topic, message.sent);
                is_missing.then_some((session, MessageId::Numbered { publisher, number }, message.topic))
            })
        })
    }

    /// Forgets what is settled: nothing was missing, and nothing of it can come to be owed.
    pub(crate) fn checkpoint(&mut self) {
        self.settled = self.messages.iter().map(Vec::len).collect();
    }

    /// What a new subscriber may find on `topic` from now on: the last acknowledged change, or a later one. Ask before
    /// SUBSCRIBE is sent, and hand it to [`Ledger::retained_since`] when the messages were read.
    pub(crate) fn retained_now(&self, topic: Topic) -> usize {
        let changes = self.retained.get(&topic).map_or(&[][..], Vec::as_slice);
        changes.iter().rposition(|change| change.acknowledged).map_or(0, |index| index + 1)
    }

    /// All that may be found on `topic` by one who subscribed when [`Ledger::retained_now`] said `begin`: `None` stands
    /// for no message.
    pub(crate) fn retained_since(&self, topic: Topic, begin: usize) -> Vec<Option<MessageId>> {
        let as_found = |id: MessageId| if matches!(id, MessageId::Cleared(_)) { None } else { Some(id) };
        let changes = self.retained.get(&topic).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        if begin == 0 {
            found.push(None);
        }
        found.extend(changes[begin.saturating_sub(1)..].iter().map(|change| as_found(change.id)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::topics::{filters, plain_topic, retained_topic};

    /// A ledger with one session that holds every topic.
    fn subscribed() -> Ledger {
        let mut ledger = Ledger::new(1);
        let all = filters().iter().position(|filter| filter == "k/#").expect("a filter of a trial");
        let (session, _) = ledger.session(0);
        session.subscribe_sent(all);
        let (session, now) = ledger.session(0);
        session.subscribed(all, now);
        ledger
    }

    fn publish(ledger: &mut Ledger, topic: Topic, qos: u8) -> MessageId {
        let id = ledger.publish_sent(0, topic, qos, false, false);
        ledger.publish_acknowledged(id);
        ledger.publish_completed(id);
        id
    }

    #[test]
    fn a_correct_history_passes() {
        let mut ledger = subscribed();
        let topic = plain_topic(0, 0);
        let ids: Vec<MessageId> = (0..10).map(|number| publish(&mut ledger, topic, 1 + number % 2)).collect();
        assert_eq!(ledger.missing().len(), 10);
        for id in ids {
            ledger.delivered(0, id, topic, 2).expect("the first delivery");
        }
        assert_eq!((ledger.missing().len(), ledger.in_flight()), (0, 0));
    }

    #[test]
    fn a_planted_loss_is_found() {
        let mut ledger = subscribed();
        let topic = plain_topic(0, 0);
        let ids: Vec<MessageId> = (0..10).map(|_| publish(&mut ledger, topic, 1)).collect();
        for id in ids.iter().filter(|id| **id != ids[6]) {
            ledger.delivered(0, *id, topic, 1).expect("the first delivery");
        }
        assert_eq!(ledger.missing(), [(0, ids[6], topic)]);
    }

    #[test]
    fn a_planted_repeat_is_found_at_qos_2_only() {
        let mut ledger = subscribed();
        let topic = plain_topic(0, 0);
        for (published, received, fails) in [(2, 2, true), (1, 2, false), (2, 1, false)] {
            let id = publish(&mut ledger, topic, published);
            ledger.delivered(0, id, topic, received).expect("the first delivery");
            assert_eq!(ledger.delivered(0, id, topic, received).is_err(), fails, "{published} {received}");
        }
    }

    #[test]
    fn a_planted_reorder_is_found() {
        let mut ledger = subscribed();
        let topic = plain_topic(0, 0);
        let ids: Vec<MessageId> = (0..3).map(|_| publish(&mut ledger, topic, 1)).collect();
        ledger.delivered(0, ids[1], topic, 1).expect("the first delivery");
        let error = ledger.delivered(0, ids[0], topic, 1).expect_err("out of order");
        assert_eq!(error.kind, Kind::Order, "{error}");
        let other = publish(&mut ledger, topic, 2);
        ledger.delivered(0, ids[2], topic, 1).expect("in order");
        ledger.delivered(0, other, topic, 2).expect("another QoS has an order of its own");
    }

    #[test]
    fn strangers_are_found() {
        let mut ledger = subscribed();
        let topic = plain_topic(0, 0);
        let id = publish(&mut ledger, topic, 1);
        let unknown = MessageId::Numbered { publisher: 0, number: 99 };
        assert!(ledger.delivered(0, unknown, topic, 1).expect_err("unknown").text.contains("never sent"));
        assert!(
            ledger.delivered(0, id, plain_topic(0, 1), 1).expect_err("elsewhere").text.contains("not on")
        );
        let mut bare = Ledger::new(1);
        let id = publish(&mut bare, topic, 1);
        assert!(bare.delivered(0, id, topic, 1).expect_err("nothing held").text.contains("no subscription"));
    }

    #[test]
    fn retained_may_be_the_last_acknowledged_or_later() {
        let mut ledger = Ledger::new(0);
        let topic = retained_topic(0, 0);
        assert_eq!(ledger.retained_since(topic, ledger.retained_now(topic)), [None]);
        let first = ledger.publish_sent(0, topic, 1, true, false);
        let second = ledger.publish_sent(0, topic, 1, true, false);
        assert_eq!(ledger.retained_since(topic, 0), [None, Some(first), Some(second)]);
        ledger.publish_acknowledged(first);
        ledger.publish_completed(first);
        let begin = ledger.retained_now(topic);
        assert_eq!(ledger.retained_since(topic, begin), [Some(first), Some(second)]);
        let clear = ledger.publish_sent(0, topic, 1, true, true);
        assert_eq!(ledger.retained_since(topic, begin), [Some(first), Some(second), None]);
        for id in [second, clear] {
            ledger.publish_acknowledged(id);
            ledger.publish_completed(id);
        }
        assert_eq!(ledger.retained_since(topic, ledger.retained_now(topic)), [None]);
    }
}
