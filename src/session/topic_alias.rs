//! Topic aliases, one table for each direction of a connection; neither outlives it [MQTT-3.3.2-7].

use std::collections::HashMap;
use std::num::NonZeroU16;

use crate::protocol::{ReasonCode, TopicName};

/// Aliases that the client has set.
#[derive(Debug)]
pub(super) struct InboundAliases {
    /// Index is the alias less one.
    topics: Vec<Option<TopicName>>,
    maximum: u16,
}

impl InboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum }
    }

    /// The topic a PUBLISH means, from its topic (`None`: empty) and alias.
    ///
    /// # Errors
    /// Topic Alias invalid when the alias is above the maximum [MQTT-3.3.2-9], Protocol Error when it is unknown.
    pub(super) fn resolve(
        &mut self,
        topic: Option<TopicName>,
        alias: Option<NonZeroU16>,
    ) -> Result<TopicName, ReasonCode> {
        let Some(alias) = alias else {
            return topic.ok_or(ReasonCode::ProtocolError);
        };
        if alias.get() > self.maximum {
            return Err(ReasonCode::TopicAliasInvalid);
        }
        let index = usize::from(alias.get() - 1);
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        match topic {
            Some(topic) => {
                self.topics[index] = Some(topic.clone());
                Ok(topic)
            }
            None => self.topics[index].clone().ok_or(ReasonCode::ProtocolError),
        }
    }
}

/// Aliases that we set towards the client: the first topics sent, until its maximum is reached.
#[derive(Debug)]
pub(super) struct OutboundAliases {
    aliases: HashMap<String, u16>,
    maximum: u16,
}

/// How one PUBLISH names its topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TopicReference {
    /// By name alone.
    Name,
    /// By name, and the alias is set from here on.
    NameAndAlias(u16),
    /// By alias, with an empty name.
    Alias(u16),
}

impl OutboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        Self { aliases: HashMap::new(), maximum }
    }

    pub(super) fn refer(&mut self, topic: &str) -> TopicReference {
        if self.maximum == 0 {
            return TopicReference::Name;
        }
        if let Some(&alias) = self.aliases.get(topic) {
            return TopicReference::Alias(alias);
        }
        if self.aliases.len() >= usize::from(self.maximum) {
            return TopicReference::Name;
        }
        let alias = u16::try_from(self.aliases.len() + 1).expect("there are at most `maximum` aliases");
        self.aliases.insert(topic.to_owned(), alias);
        TopicReference::NameAndAlias(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbound_sets_until_the_maximum_and_then_uses() {
        let mut aliases = OutboundAliases::new(1);
        assert_eq!(aliases.refer("a"), TopicReference::NameAndAlias(1));
        assert_eq!(aliases.refer("a"), TopicReference::Alias(1));
        assert_eq!(aliases.refer("b"), TopicReference::Name);
        assert_eq!(OutboundAliases::new(0).refer("a"), TopicReference::Name);
    }

    #[test]
    fn inbound_refuses_what_is_above_the_maximum_or_unknown() {
        let mut aliases = InboundAliases::new(2);
        let topic = TopicName::try_from("a/b").expect("a valid topic name");
        assert_eq!(aliases.resolve(None, NonZeroU16::new(3)), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(aliases.resolve(None, NonZeroU16::new(1)), Err(ReasonCode::ProtocolError));
        assert_eq!(aliases.resolve(Some(topic.clone()), NonZeroU16::new(1)), Ok(topic.clone()));
        assert_eq!(aliases.resolve(None, NonZeroU16::new(1)), Ok(topic));
        assert_eq!(aliases.resolve(None, None), Err(ReasonCode::ProtocolError));
    }
}
