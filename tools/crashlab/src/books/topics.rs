//! The topics and filters of a trial: few enough that a table says which filter matches which topic.

use std::sync::OnceLock;

/// Publishers, each with topics of its own.
pub(crate) const PUBLISHERS: usize = 5;

/// Topics of each publisher that carry no retained message.
const PLAIN: usize = 3;

/// Topics of each publisher that carry retained messages; even ones at QoS 1, odd ones at QoS 2, so that resends of
/// one QoS cannot overtake the other and the last one sent is the one that stays.
const RETAINED: usize = 4;

/// An index into [`topics`].
pub(crate) type Topic = usize;

/// An index into [`filters`].
pub(crate) type Filter = usize;

/// All topics: those of publisher 0, then those of publisher 1, and so on.
pub(crate) fn topics() -> &'static [String] {
    static TOPICS: OnceLock<Vec<String>> = OnceLock::new();
    TOPICS.get_or_init(|| {
        let plain = |publisher| (0..PLAIN).map(move |index| format!("k/p{publisher}/t{index}"));
        let retained = |publisher| (0..RETAINED).map(move |index| format!("k/r/p{publisher}/{index}"));
        (0..PUBLISHERS).flat_map(|publisher| plain(publisher).chain(retained(publisher))).collect()
    })
}

/// A topic of `publisher` without retained messages.
pub(crate) fn plain_topic(publisher: usize, choice: u64) -> Topic {
    publisher * (PLAIN + RETAINED) + usize::try_from(choice).expect("a small number") % PLAIN
}

/// A topic of `publisher` with retained messages.
pub(crate) fn retained_topic(publisher: usize, choice: u64) -> Topic {
    publisher * (PLAIN + RETAINED) + PLAIN + usize::try_from(choice).expect("a small number") % RETAINED
}

/// The QoS of everything published to a topic with retained messages.
pub(crate) fn retained_qos(topic: Topic) -> u8 {
    if (topic % (PLAIN + RETAINED) - PLAIN).is_multiple_of(2) { 1 } else { 2 }
}

/// Every topic that may carry a retained message.
pub(crate) fn retained_topics() -> impl Iterator<Item = Topic> {
    (0..topics().len()).filter(|topic| topic % (PLAIN + RETAINED) >= PLAIN)
}

/// The filter that matches exactly the topics with retained messages.
pub(crate) const RETAINED_FILTER: &str = "k/r/#";

/// The publisher whose topics without retained messages a group divides.
pub(crate) const CREW_PUBLISHER: usize = 0;

/// The shared subscription: the last of [`filters`]. It brings a session nothing of its own.
pub(crate) fn crew_filter() -> Filter {
    filters().len() - 1
}

/// All filters that sessions use.
pub(crate) fn filters() -> &'static [String] {
    static FILTERS: OnceLock<Vec<String>> = OnceLock::new();
    FILTERS.get_or_init(|| {
        let mut filters = vec!["k/#".to_owned(), RETAINED_FILTER.to_owned()];
        filters.extend((0..PLAIN).map(|index| format!("k/+/t{index}")));
        filters.extend((0..PUBLISHERS).map(|publisher| format!("k/p{publisher}/#")));
        filters.extend((0..PUBLISHERS).map(|publisher| format!("k/p{publisher}/t0")));
        filters.push(format!("$share/crew/k/p{CREW_PUBLISHER}/#"));
        filters
    })
}

/// Whether a filter matches a topic, from a table made once.
pub(crate) fn matches(filter: Filter, topic: Topic) -> bool {
    static TABLE: OnceLock<Vec<Vec<bool>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let row = |filter: &String| topics().iter().map(|topic| filter_matches(filter, topic)).collect();
        filters().iter().map(row).collect()
    });
    table[filter][topic]
}

/// [MQTT-4.7.1], for filters and topics that do not begin with `$`.
fn filter_matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[test]
fn filters_match_as_the_standard_says() {
    for (filter, topic, expected) in [
        ("k/#", "k", true),
        ("k/#", "k/p0/t0", true),
        ("k/+/t1", "k/p0/t1", true),
        ("k/+/t1", "k/p0/t2", false),
        ("k/+", "k/p0/t2", false),
        ("k/p0/#", "k/p1/t0", false),
        ("k/p0", "k/p0", true),
    ] {
        assert_eq!(filter_matches(filter, topic), expected, "{filter} and {topic}");
    }
    assert_eq!(topics().len(), PUBLISHERS * (PLAIN + RETAINED));
    let retained = filters().iter().position(|filter| filter == RETAINED_FILTER).expect("it is there");
    let matched: Vec<Topic> = (0..topics().len()).filter(|topic| matches(retained, *topic)).collect();
    assert_eq!(matched, retained_topics().collect::<Vec<_>>());
}
