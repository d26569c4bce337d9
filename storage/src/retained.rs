//! Retained messages, read page by page in the order of their topics.
//!
//! The scan visits only the part of the family that a filter can match: from its literal beginning on, and from
//! there it leaps over topics that differ from the filter in a literal level. Topics sort by their bytes, so all topics
//! below `a/b` lie between `a/b/` and `a/b0`, `0` being the byte after `/`.

use bytes::Bytes;

use crate::border;
use crate::engine::{Cursor, EngineError, FailureKind};
use crate::keys;
use crate::record;
use crate::shared::Shared;
use crate::topics::topic_matches;
use crate::{Budget, Lsn, Message, ReadError, RetainedScan};

/// How many records a page visits at most.
const VISITS: usize = 4096;

/// A part of what a scan of retained messages finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedPage {
    /// Messages with their LSNs, in the order of their topics.
    pub messages: Vec<(Lsn, Message)>,
    /// Where the next page goes on, for [`RetainedScan::after_topic`].
    pub after_topic: String,
    /// Nothing is left.
    pub done: bool,
    /// Retained messages that could not be read, and were passed over. A part of a file counts as one.
    pub damaged: u64,
}

impl Shared {
    pub(crate) fn retained_page(
        &self,
        filter: &str,
        scan: &RetainedScan,
        budget: Budget,
    ) -> Result<RetainedPage, ReadError> {
        let levels: Vec<&str> = filter.split('/').collect();
        let literal = literal_beginning(filter);
        let view = self.engine.view();
        let open = || view.cursor(keys::RETAINED, literal.as_bytes(), None);
        let mut rows = open();
        // The first possible topic behind the last.
        let mut reached = match scan.after_topic.as_str() {
            "" => literal.as_bytes().to_vec(),
            topic => [topic.as_bytes(), &[0]].concat(),
        };
        rows.seek(&reached);
        let mut page = RetainedPage {
            messages: Vec::new(),
            after_topic: scan.after_topic.clone(),
            done: false,
            damaged: 0,
        };
        let mut bytes = 0;
        for _ in 0..VISITS {
            let Some((key, value)) = rows.item() else {
                match rows.status() {
                    Err(error) if error.kind == FailureKind::Corruption => {
                        page.damaged += 1;
                        self.report_retained("a part of a file", &error.reason);
                        if let Some(behind) = pass_over(open, &reached, &error) {
                            rows = open();
                            rows.seek(&behind);
                            reached = behind;
                            continue;
                        }
                    }
                    status => status?,
                }
                page.done = true;
                return Ok(page);
            };
            reached = [key, &[0]].concat();
            let Ok(topic) = std::str::from_utf8(key) else {
                page.damaged += 1;
                self.report_retained(&key.escape_ascii().to_string(), "the topic is not text");
                rows.next();
                continue;
            };
            if !topic.starts_with(literal) {
                page.done = true;
                return Ok(page);
            }
            if topic_matches(filter, topic) {
                let full = page.messages.len() >= budget.messages || bytes >= budget.bytes;
                if full && !page.messages.is_empty() {
                    return Ok(page);
                }
                topic.clone_into(&mut page.after_topic);
                match record::decode_retained(&Bytes::copy_from_slice(value)) {
                    Ok((lsn, message)) if lsn <= scan.through => {
                        bytes += value.len();
                        page.messages.push((lsn, message));
                    }
                    Ok(_) => {}
                    Err(reason) => {
                        page.damaged += 1;
                        self.report_retained(topic, &reason.to_string());
                    }
                }
                rows.next();
                continue;
            }
            topic.clone_into(&mut page.after_topic);
            match leap(&levels, topic) {
                Leap::To(target) => rows.seek(&target),
                Leap::Next => rows.next(),
                Leap::End => {
                    page.done = true;
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// A retained message cannot be read: said once.
    fn report_retained(&self, topic: &str, reason: &str) {
        if self.quarantine.is_news(topic) {
            tracing::error!(topic, "a retained message is damaged, and is passed over: {reason}");
        }
    }
}

/// Where the first row behind damage is, or other damage begins; `None` if there is neither.
fn pass_over<'a>(
    open: impl Fn() -> Box<dyn Cursor + 'a>,
    reached: &[u8],
    error: &EngineError,
) -> Option<Vec<u8>> {
    border::find(reached, |key| {
        // One that has met damage goes by where it stands.
        let mut rows = open();
        rows.seek(key);
        rows.item().is_some() || rows.status().err().is_none_or(|found| found != *error)
    })
}

/// What every topic that matches begins with.
fn literal_beginning(filter: &str) -> &str {
    let wildcard = filter.find(['+', '#']).unwrap_or(filter.len());
    let literal = &filter[..wildcard];
    // `a/#` matches `a` as well.
    if filter[wildcard..].starts_with('#') { literal.strip_suffix('/').unwrap_or(literal) } else { literal }
}

#[derive(Debug, PartialEq, Eq)]
enum Leap {
    To(Vec<u8>),
    Next,
    End,
}

/// Where the next topic that can match lies behind one that does not.
fn leap(filter: &[&str], topic: &str) -> Leap {
    if topic.starts_with('$') && !filter[0].starts_with('$') {
        // Behind all topics that begin with `$`.
        return Leap::To(b"%".to_vec());
    }
    // `matched` is how much of the topic its first levels take that match the filter's.
    let mut matched = 0;
    for (index, part) in filter.iter().enumerate() {
        let Some(rest) = topic.get(matched..) else {
            // The topic has too few levels; those below it need not come next: `a!/b` sorts before `a/b`.
            return Leap::Next;
        };
        let level = rest.split('/').next().unwrap_or_default();
        if *part == "+" || *part == level {
            matched += level.len() + 1;
            continue;
        }
        if *part == "#" {
            return Leap::Next;
        }
        let before = &topic[..matched];
        let wanted = format!("{before}{part}");
        if topic < wanted.as_str() {
            return Leap::To(wanted.into_bytes());
        }
        let below = format!("{wanted}/");
        if topic < below.as_str() && index + 1 < filter.len() {
            return Leap::To(below.into_bytes());
        }
        return behind(before);
    }
    // Every part of the filter matched, and the topic goes on: so do all below the same beginning.
    behind(&topic[..matched])
}

/// Behind all topics that begin with `before`, which is empty or ends with a slash.
fn behind(before: &str) -> Leap {
    match before.strip_suffix('/') {
        Some(beginning) => Leap::To(format!("{beginning}0").into_bytes()),
        None => Leap::End,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn begins_where_the_filter_is_literal() {
        for (filter, literal) in
            [("a/b", "a/b"), ("a/#", "a"), ("a/+/b", "a/"), ("#", ""), ("+/a", ""), ("/#", ""), ("//#", "/")]
        {
            assert_eq!(literal_beginning(filter), literal, "{filter}");
        }
    }

    #[test]
    fn leaps_over_a_subtree_that_cannot_match() {
        let levels = |filter: &'static str| filter.split('/').collect::<Vec<_>>();
        assert_eq!(leap(&levels("+/status"), "one/alpha/x"), Leap::To(b"one/status".to_vec()));
        assert_eq!(leap(&levels("+/status"), "one/temperature"), Leap::To(b"one0".to_vec()));
        assert_eq!(leap(&levels("+/+"), "one/b/c"), Leap::To(b"one/b0".to_vec()));
        assert_eq!(leap(&levels("#"), "$SYS/x"), Leap::To(b"%".to_vec()));
        assert_eq!(leap(&levels("a"), "b"), Leap::End);
    }

    fn words(wildcards: bool) -> BoxedStrategy<String> {
        let names = prop::sample::select(vec!["", "a", "a!", "b", "ba", "$x", "0"]).prop_map(str::to_owned);
        if wildcards { prop_oneof![3 => names, 2 => Just("+".to_owned())].boxed() } else { names.boxed() }
    }

    fn path(wildcards: bool) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(words(wildcards), 1..5)
    }

    proptest! {
        /// The scan on a set in memory finds what matching every topic finds.
        #[test]
        fn leaps_over_nothing_that_matches(
            topics in prop::collection::btree_set(path(false).prop_map(|levels| levels.join("/")), 0..60),
            mut filter in path(true),
            all_below in any::<bool>(),
        ) {
            if all_below {
                filter.pop();
                filter.push("#".to_owned());
            }
            let filter = filter.join("/");
            let topics: BTreeSet<String> = topics.into_iter().filter(|topic| !topic.is_empty()).collect();
            let literal = literal_beginning(&filter);
            let levels: Vec<&str> = filter.split('/').collect();
            let mut found = Vec::new();
            let mut from = literal.as_bytes().to_vec();
            while let Some(topic) = topics.iter().find(|topic| topic.as_bytes() >= from.as_slice()) {
                if !topic.starts_with(literal) {
                    break;
                }
                from = [topic.as_bytes(), &[0]].concat();
                if topic_matches(&filter, topic) {
                    found.push(topic.clone());
                    continue;
                }
                match leap(&levels, topic) {
                    Leap::To(target) => {
                        prop_assert!(target.as_slice() > topic.as_bytes(), "{filter} at {topic} leaps back");
                        from = target;
                    }
                    Leap::Next => {}
                    Leap::End => break,
                }
            }
            let expected: Vec<String> = topics.iter().filter(|topic| topic_matches(&filter, topic)).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
