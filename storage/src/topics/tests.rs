//! The tree against a naive matcher, and the rules one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// (filter, topic, matches): the examples of section 4.7 and their neighbours.
const CASES: &[(&str, &str, bool)] = &[
    ("sport/tennis/player1/#", "sport/tennis/player1", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
    ("sport/tennis/player1/#", "sport/tennis/player2", false),
    ("sport/#", "sport", true),
    ("sport/#", "sports", false),
    ("#", "a/b/c", true),
    ("#", "/", true),
    ("sport/tennis/+", "sport/tennis/player1", true),
    ("sport/tennis/+", "sport/tennis/player1/ranking", false),
    ("sport/+", "sport", false),
    ("sport/+", "sport/", true),
    ("+/+", "/finance", true),
    ("/+", "/finance", true),
    ("+", "/finance", false),
    ("#", "$SYS/broker", false),
    ("+/broker", "$SYS/broker", false),
    ("+/#", "$SYS/broker", false),
    ("$SYS/#", "$SYS/broker", true),
    ("$SYS/#", "$SYS", true),
    ("$SYS/+", "$SYS/broker", true),
    ("a/+/#", "a/$b/c", true),
    ("ACCOUNTS", "Accounts", false),
    ("a", "a", true),
    ("a", "a/", false),
    ("a/", "a", false),
    ("a//b", "a//b", true),
    ("a/+/b", "a//b", true),
    ("+/b/+/d/#", "a/b/c/d", true),
    ("é/+", "é/ü", true),
];

#[test]
fn matches_as_section_4_7_says() {
    for (filter, topic, expected) in CASES {
        assert_eq!(topic_matches(filter, topic), *expected, "{filter} against {topic}");
        let mut tree = TopicTree::new();
        tree.insert(filter, ());
        let mut found = 0;
        tree.for_each_match(topic, |()| found += 1);
        assert_eq!(found == 1, *expected, "tree with {filter} against {topic}");
    }
}

#[test]
fn a_filter_of_65_536_levels_neither_overflows_nor_stays() {
    let deep = "/".repeat(65_535);
    let wild = "+/".repeat(32_767) + "#";
    let mut tree = TopicTree::new();
    tree.insert(&deep, 1);
    tree.insert(&wild, 2);
    let mut found = Vec::new();
    tree.for_each_match(&deep, |value| found.push(*value));
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    assert_eq!((tree.remove(&deep), tree.remove(&wild)), (Some(1), Some(2)));
    assert!(tree.is_empty());
    assert_eq!(tree.nodes.len() - tree.free.len(), 1, "only the root is left");
    drop(tree);
}

#[test]
fn values_are_replaced_found_and_removed_by_their_exact_filter() {
    let mut tree = TopicTree::new();
    assert_eq!(tree.insert("a/+", 1), None);
    assert_eq!(tree.insert("a/#", 2), None);
    assert_eq!(tree.insert("a/+", 3), Some(1));
    assert_eq!(tree.len(), 2);
    assert_eq!((tree.get("a/+"), tree.get("a/#"), tree.get("a")), (Some(&3), Some(&2), None));
    *tree.get_or_insert_with("a", || 4) += 1;
    *tree.get_or_insert_with("a", || 9) += 1;
    assert_eq!(tree.get("a"), Some(&6));
    let mut all = Vec::new();
    tree.for_each(|value| all.push(*value));
    all.sort_unstable();
    assert_eq!(all, [2, 3, 6]);
    assert_eq!(tree.remove("a/b"), None);
    assert_eq!((tree.remove("a"), tree.remove("a"), tree.remove("a/+")), (Some(6), None, Some(3)));
    assert_eq!((tree.len(), tree.get("a/#")), (1, Some(&2)));
}

fn level(wildcards: bool) -> BoxedStrategy<String> {
    let names = prop::sample::select(vec!["", "a", "b", "$c"]).prop_map(str::to_owned);
    if wildcards { prop_oneof![3 => names, 2 => Just("+".to_owned())].boxed() } else { names.boxed() }
}

fn filter() -> impl Strategy<Value = String> {
    (prop::collection::vec(level(true), 1..5), any::<bool>()).prop_map(|(mut levels, all_below)| {
        if all_below {
            levels.push("#".to_owned());
            levels.remove(0);
        }
        levels.join("/")
    })
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(false), 1..5).prop_map(|levels| levels.join("/"))
}

/// The rules once more, as recursion over levels.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) => one == other && naive(filter, topic),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_tree_finds_what_a_naive_matcher_finds(
        filters in prop::collection::btree_set(filter(), 0..20),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        topics in prop::collection::vec(topic(), 1..20),
    ) {
        let mut filters: Vec<String> = filters.into_iter().collect();
        let mut tree = TopicTree::new();
        for filter in &filters {
            prop_assert_eq!(tree.insert(filter, filter.clone()), None);
        }
        for index in removed {
            if !filters.is_empty() {
                let filter = filters.swap_remove(index.index(filters.len()));
                prop_assert_eq!(tree.remove(&filter), Some(filter));
            }
        }
        prop_assert_eq!(tree.len(), filters.len());
        for topic in topics {
            let mut found = Vec::new();
            tree.for_each_match(&topic, |value: &String| found.push(value.clone()));
            let levels: Vec<&str> = topic.split('/').collect();
            let expected: BTreeSet<String> = filters
                .iter()
                .filter(|filter| {
                    let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
                    !hidden && naive(&filter.split('/').collect::<Vec<_>>(), &levels)
                })
                .cloned()
                .collect();
            prop_assert_eq!(found.len(), expected.len(), "no filter is found twice");
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected.clone());
            for filter in &filters {
                prop_assert_eq!(topic_matches(filter, &topic), expected.contains(filter));
            }
        }
    }
}
