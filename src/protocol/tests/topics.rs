//! Topic names and filters.

use super::super::{TopicError, TopicFilter, TopicName};

#[test]
fn names() {
    for name in ["a", "/", "a/b/c", "//", " ", "$SYS/uptime", "ü/☃", "$share/g/a", "$"] {
        assert_eq!(TopicName::try_from(name).expect(name).as_str(), name);
    }
    for (name, error) in [
        ("", TopicError::Empty),
        ("+", TopicError::Wildcard),
        ("#", TopicError::Wildcard),
        ("a/+/b", TopicError::Wildcard),
        ("a#", TopicError::Wildcard),
        ("this is a topic of more than sixteen bytes, and a +", TopicError::Wildcard),
        ("a\0b", TopicError::NullCharacter),
        ("+\0", TopicError::NullCharacter),
    ] {
        assert_eq!(TopicName::try_from(name), Err(error), "{name:?}");
    }
}

#[test]
fn filters() {
    for filter in [
        "a",
        "/",
        "#",
        "+",
        "+/+",
        "/+",
        "a/#",
        "+/b/#",
        "//#",
        "$SYS/#",
        "$share",
        "$shared/x",
        "a/$share/b",
    ] {
        let valid = TopicFilter::try_from(filter).expect(filter);
        assert_eq!((valid.as_str(), valid.shared()), (filter, None));
    }
    for (filter, error) in [
        ("", TopicError::Empty),
        ("a\0", TopicError::NullCharacter),
        ("#/", TopicError::MisplacedWildcard),
        ("a/#/b", TopicError::MisplacedWildcard),
        ("##", TopicError::MisplacedWildcard),
        ("a#", TopicError::MisplacedWildcard),
        ("#a", TopicError::MisplacedWildcard),
        ("+#", TopicError::MisplacedWildcard),
        ("a+", TopicError::MisplacedWildcard),
        ("+a/b", TopicError::MisplacedWildcard),
        ("++", TopicError::MisplacedWildcard),
    ] {
        assert_eq!(TopicFilter::try_from(filter), Err(error), "{filter:?}");
    }
}

#[test]
fn shared_filters() {
    for (filter, group, inner) in [
        ("$share/g/a", "g", "a"),
        ("$share/g/#", "g", "#"),
        ("$share/g//", "g", "/"),
        ("$share/a b/+/c", "a b", "+/c"),
        ("$share/g/$share/h/a", "g", "$share/h/a"),
    ] {
        assert_eq!(TopicFilter::try_from(filter).expect(filter).shared(), Some((group, inner)));
    }
    for filter in
        ["$share/", "$share//", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/a#/b", "$share/#"]
    {
        assert_eq!(TopicFilter::try_from(filter), Err(TopicError::Share), "{filter:?}");
    }
    assert_eq!(TopicFilter::try_from("$share/g/a#"), Err(TopicError::MisplacedWildcard));
}

#[test]
fn lengths() {
    let longest = "a".repeat(65535);
    assert!(TopicName::try_from(&*longest).is_ok());
    assert!(TopicFilter::try_from(&*longest).is_ok());
    let too_long = "a".repeat(65536);
    assert_eq!(TopicName::try_from(&*too_long), Err(TopicError::TooLong));
    assert_eq!(TopicFilter::try_from(&*too_long), Err(TopicError::TooLong));
}
