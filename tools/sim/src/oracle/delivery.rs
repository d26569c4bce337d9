//! What a client gets, judged as it comes.

use std::collections::BTreeSet;

use barnacle_wire::{Property, Publish};

use super::{Judged, Message, Oracle, Received, Session, Wish, ensure, group_of, matches};

impl Session {
    /// What was asked for of a topic.
    fn wishes(&self, topic: &str) -> impl Iterator<Item = Wish> {
        self.held.iter().filter(move |held| matches(&held.filter, topic)).flat_map(|held| held.wishes.clone())
    }
}

/// Whether a message may come behind a newer one of its publisher, because the broker had refused it before.
///
/// PUBREC with an error ends the exchange, and whatever comes with its packet identifier from then on is another message, DUP or
/// not [MQTT-4.3.3-9]; it is in order behind what was taken before it came [MQTT-4.6.0-5]. A client that has lost the connection
/// with the PUBREC on it knows nothing of that, and sends the message again, behind newer ones that were taken meanwhile. All three
/// are needed: the broker may have refused it, it was sent again, and before that the newer one had been sent: a client sends again
/// first what is older, so what is sent behind that is behind it.
fn is_taken_anew(message: &Message, newer: &Message) -> bool {
    message.may_be_refused && message.attempts > 1 && newer.sent < message.last_sent
}

impl Oracle {
    /// A PUBLISH has come, on the connection of this number; `topic` is its own or its alias's. Gives the number of the
    /// message; a message that clears a topic cannot be told from another, and has none.
    pub(crate) fn deliver(
        &mut self,
        session: usize,
        connection: u64,
        publish: &Publish,
        topic: &str,
    ) -> Judged<Option<usize>> {
        let payload = std::str::from_utf8(&publish.payload).unwrap_or("bytes that nobody has sent");
        if payload.is_empty() {
            self.occupy(session, publish, usize::MAX)?;
            return Ok(None);
        }
        let number = payload.strip_prefix('m').and_then(|number| number.parse().ok());
        let found = number.and_then(|number: usize| self.messages.get(number).map(|found| (number, found)));
        let Some((number, message)) = found else {
            return Err(format!("a phantom: {payload:?} on {topic} was never sent"));
        };
        ensure(message.topic == topic, || {
            format!("m{number} comes on {topic} and was sent on {}", message.topic)
        })?;
        ensure(!message.refused, || format!("m{number} comes, and was refused: {message:?}"))?;
        ensure(!message.cancelled, || format!("the will m{number} comes, and was taken back"))?;
        ensure(publish.qos <= message.qos, || format!("m{number} comes at QoS {}", publish.qos))?;
        let message = message.clone();
        let left = publish.properties.iter().find_map(|property| match property {
            Property::MessageExpiryInterval(seconds) => Some(*seconds),
            _ => None,
        });
        // What has waited, is less by that [MQTT-3.3.2-6]; to older clients it is not said.
        let most = message.expiry.map(|(seconds, _)| seconds);
        ensure(left.is_none() || left <= most, || format!("m{number} expires in {left:?} of {most:?}"))?;
        let found = &self.sessions[session];
        let wanted = found.held.iter().any(|held| {
            let kept_away =
                || held.wishes.iter().all(|wish| wish.no_local) && message.publisher == found.client;
            matches(&held.filter, topic)
                && held.gone.is_none_or(|gone| message.sent < gone || publish.retain)
                && (publish.retain || !kept_away())
        });
        ensure(wanted, || format!("m{number} on {topic} comes, and no subscription wants it"))?;
        if publish.retain {
            ensure(message.retain, || format!("m{number} comes as retained, and was not sent so"))?;
            self.occupy(session, publish, number)?;
            let session = &mut self.sessions[session];
            if session.wishes(topic).any(|wish| wish.retain_as_published) {
                session.as_retained.insert(number);
            }
            return Ok(Some(number));
        }
        let as_published = message.retain && found.wishes(topic).all(|wish| wish.retain_as_published);
        ensure(!as_published, || format!("m{number} comes without RETAIN, and is wanted as published"))?;
        if publish.qos == 0 {
            let first = self.sessions[session].heard.insert(number);
            ensure(first || message.attempts > 1, || format!("m{number} comes twice at QoS 0"))?;
            return Ok(Some(number));
        }
        self.occupy(session, publish, number)?;
        self.count(session, connection, publish, number, &message)?;
        Ok(Some(number))
    }

    /// Its packet identifier is in use by no other exchange.
    fn occupy(&mut self, session: usize, publish: &Publish, number: usize) -> Judged {
        if publish.qos == 0 {
            return Ok(());
        }
        let Session { open, unreleased, .. } = &mut self.sessions[session];
        let id = publish.packet_id;
        for known in [open.get(&id), unreleased.get(&id)].into_iter().flatten() {
            let same = *known == number && publish.dup;
            ensure(same, || {
                format!(
                    "identifier {id} comes with m{number} (DUP {}), and is in use by m{known}",
                    publish.dup
                )
            })?;
        }
        open.insert(id, number);
        Ok(())
    }

    /// A message of QoS 1 or 2, not as retained: how often, in which order, and how a second time.
    fn count(
        &mut self,
        session: usize,
        connection: u64,
        publish: &Publish,
        number: usize,
        message: &Message,
    ) -> Judged {
        let found = &mut self.sessions[session];
        let is_second_try = found.unreleased.insert(publish.packet_id, number).is_some();
        if publish.qos < 2 {
            found.unreleased.remove(&publish.packet_id);
        }
        // What its publisher sent again at QoS 1 is another message to the broker.
        let is_one = message.qos == 2 || message.attempts == 1;
        let this = Received { packet_id: publish.packet_id, connection };
        let Some(before) = found.received.insert(number, this) else {
            ensure(!publish.dup || found.resumed, || {
                format!("m{number} comes with DUP, and its session has never been interrupted")
            })?;
            // A second try at QoS 1 comes behind what it came before, to who has subscribed in between.
            if is_one && !message.is_will {
                self.in_order(session, number, message)?;
            }
            return self.once_in_group(session, publish, number, message);
        };
        if !is_one {
            return Ok(());
        }
        ensure(publish.qos < 2 || is_second_try, || format!("m{number} of QoS 2 comes a second time"))?;
        ensure(publish.dup, || format!("m{number} comes again without DUP"))?;
        ensure(before.connection != connection, || format!("m{number} comes twice on one connection"))?;
        ensure(before.packet_id == publish.packet_id, || {
            format!(
                "m{number} came with identifier {}, and comes again with {}",
                before.packet_id, publish.packet_id
            )
        })
    }

    fn in_order(&mut self, session: usize, number: usize, message: &Message) -> Judged {
        let found = &mut self.sessions[session];
        if found
            .held
            .iter()
            .any(|held| group_of(&held.filter).is_some() && matches(&held.filter, &message.topic))
        {
            return Ok(());
        }
        let key = (message.publisher, message.topic.clone(), message.qos);
        let newest = found.newest.entry(key).or_insert(number);
        if *newest > number && is_taken_anew(message, &self.messages[*newest]) {
            return Ok(());
        }
        ensure(*newest <= number, || {
            format!("m{number} comes behind m{newest} of the same publisher and topic")
        })?;
        *newest = number;
        Ok(())
    }

    /// At QoS 2 no two members of a group get the same.
    fn once_in_group(
        &mut self,
        session: usize,
        publish: &Publish,
        number: usize,
        message: &Message,
    ) -> Judged {
        if publish.qos < 2 || message.qos < 2 {
            return Ok(());
        }
        let held = self.sessions[session].held.iter();
        let groups =
            held.filter(|held| group_of(&held.filter).is_some() && matches(&held.filter, &message.topic));
        for filter in groups.map(|held| held.filter.clone()).collect::<BTreeSet<_>>() {
            if let Some(other) = self.divided.insert((filter.clone(), number), session) {
                let (one, two) = (self.sessions[other].client, self.sessions[session].client);
                return Err(format!(
                    "m{number} of QoS 2 came to clients {one} and {two} of the group {filter}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHER: usize = 3;

    /// Two messages of one publisher and topic, of QoS 2, the second delivered before the first.
    fn judge_inverted(first: Message, second: Message) -> Judged<Option<usize>> {
        let mut oracle = Oracle::default();
        oracle.messages.extend([first, second]);
        let session = oracle.begin_session(0, true);
        oracle.subscribe(session, "t", Wish::of(2), 0);
        let mut deliver = |number: u16| {
            let publish = Publish::new("t", format!("m{number}")).qos(2, number + 1);
            oracle.deliver(session, 1, &publish, "t")
        };
        deliver(1).expect("it is the first that comes");
        deliver(0)
    }

    fn message(sent: u64) -> Message {
        Message::new(PUBLISHER, "t", 2, sent)
    }

    /// Found as seed 47404: refused on a full disk, the PUBREC lost with its connection, sent again behind what was taken meanwhile.
    #[test]
    fn a_message_comes_behind_a_newer_one_only_if_it_may_have_been_refused_and_was_sent_again_behind_it() {
        let refused = |last_sent| Message { may_be_refused: true, attempts: 2, last_sent, ..message(1) };
        let newer = || message(3);
        assert!(judge_inverted(refused(4), newer()).is_ok());
        let complaint = Err("m0 comes behind m1 of the same publisher and topic".to_owned());
        assert_eq!(
            judge_inverted(refused(2), newer()),
            complaint,
            "the newer one was sent behind both attempts"
        );
        let never_refused = Message { may_be_refused: false, ..refused(4) };
        assert_eq!(judge_inverted(never_refused, newer()), complaint);
        let sent_once = Message { may_be_refused: true, ..message(1) };
        assert_eq!(judge_inverted(sent_once, newer()), complaint);
    }
}
