//! Topic names and topic filters (section 4.7): they cannot exist invalid.

use std::fmt;

use bytestring::ByteString;

/// Longest string of the standard, in bytes (section 1.5.4).
const LONGEST: usize = u16::MAX as usize;

/// Why a topic name or filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// At least one character [MQTT-4.7.3-1].
    #[error("is empty")]
    Empty,
    /// At most 65,535 bytes [MQTT-4.7.3-3].
    #[error("is longer than 65535 bytes")]
    TooLong,
    /// No U+0000 [MQTT-4.7.3-2].
    #[error("has a null character")]
    NullCharacter,
    /// No wildcard in a topic name [MQTT-3.3.2-2].
    #[error("has a wildcard")]
    Wildcard,
    /// `#` only as the last level [MQTT-4.7.1-1], `+` only as a whole level [MQTT-4.7.1-2].
    #[error("has a wildcard that is not a level of its own, or '#' before the last level")]
    MisplacedWildcard,
    /// `$share/` is followed by a group without wildcards, `/` and a filter [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    #[error("begins with '$share/' but is not '$share/group/filter'")]
    Share,
}

/// A topic name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(ByteString);

/// A topic filter; may be that of a shared subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(ByteString);

impl TryFrom<ByteString> for TopicName {
    type Error = TopicError;

    fn try_from(name: ByteString) -> Result<Self, TopicError> {
        check_name(&name)?;
        Ok(Self(name))
    }
}

impl TryFrom<ByteString> for TopicFilter {
    type Error = TopicError;

    fn try_from(filter: ByteString) -> Result<Self, TopicError> {
        check_length(&filter)?;
        if filter.as_bytes().contains(&0) {
            return Err(TopicError::NullCharacter);
        }
        match filter.strip_prefix("$share/") {
            Some(rest) => check_shared(rest)?,
            None => check_levels(&filter)?,
        }
        Ok(Self(filter))
    }
}

/// Checks a topic name where no [`TopicName`] is kept.
pub(super) fn check_name(name: &str) -> Result<(), TopicError> {
    check_length(name)?;
    // Without a branch in the loop, so that it is done for many bytes at a time.
    let unwelcome = |byte: &u8| matches!(byte, 0 | b'+' | b'#');
    if name.as_bytes().iter().fold(false, |found, byte| found | unwelcome(byte)) {
        let null = name.as_bytes().contains(&0);
        return Err(if null { TopicError::NullCharacter } else { TopicError::Wildcard });
    }
    Ok(())
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=LONGEST => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

fn check_shared(rest: &str) -> Result<(), TopicError> {
    match rest.split_once('/') {
        Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty() => {
            check_levels(filter)
        }
        _ => Err(TopicError::Share),
    }
}

fn check_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/');
    while let Some(level) = levels.next() {
        let last = level != "#" || levels.clone().next().is_none();
        if !last || (level.len() > 1 && level.contains(['+', '#'])) {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

impl TopicFilter {
    /// Group and filter of a shared subscription, `$share/{group}/{filter}`.
    ///
    /// MQTT 3.1.1 knows no shared subscriptions, but brokers offer them there too; so `$share/` is judged by one rule
    /// in all versions.
    #[must_use]
    pub fn shared(&self) -> Option<(&str, &str)> {
        self.0.strip_prefix("$share/").and_then(|rest| rest.split_once('/'))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// As a string that is cheap to clone.
            #[must_use]
            pub fn as_byte_string(&self) -> &ByteString {
                &self.0
            }

            /// The string itself.
            #[must_use]
            pub fn into_byte_string(self) -> ByteString {
                self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = TopicError;

            fn try_from(text: &str) -> Result<Self, TopicError> {
                Self::try_from(ByteString::from(text))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&*self.0, formatter)
            }
        }
    };
}

text!(TopicName);
text!(TopicFilter);
