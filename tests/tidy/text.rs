//! Rules for every text file.

use super::{Page, expect_none, pages};

/// Paths of one machine, and hosts that packages come from: neither belongs into the project. In two pieces each, so
/// that this list is not found itself.
const FOREIGN: [(&str, &str); 8] = [
    ("/wo", "rk/"),
    ("/tmp/", "wt"),
    ("/ro", "ot/"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("pypi", ".org"),
    ("files.python", "hosted.org"),
    ("registry.npm", "js.org"),
];

#[test]
fn no_trailing_space_and_one_newline_at_the_end() {
    expect_none(&pages().iter().flat_map(spaces).collect::<Vec<_>>());
}

#[test]
fn no_paths_of_a_machine_and_no_hosts_of_registries() {
    expect_none(&pages().iter().flat_map(foreign).collect::<Vec<_>>());
}

fn spaces(page: &Page) -> Vec<String> {
    let mut complaints: Vec<String> = page
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.ends_with([' ', '\t']))
        .map(|(at, _)| format!("{}:{}: space at the end of the line", page.name(), at + 1))
        .collect();
    if !page.text.is_empty() && (!page.text.ends_with('\n') || page.text.ends_with("\n\n")) {
        complaints.push(format!("{}: ends without a newline, or with an empty line", page.name()));
    }
    complaints
}

/// Lock files name where packages come from: that is what they are for.
fn foreign(page: &Page) -> Vec<String> {
    if page.is("lock") || page.path.ends_with("package-lock.json") {
        return Vec::new();
    }
    let words: Vec<String> = FOREIGN.iter().map(|(start, end)| format!("{start}{end}")).collect();
    let mut complaints = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            complaints.push(format!("{}:{}: names {word}", page.name(), at + 1));
        }
    }
    complaints
}

#[test]
fn the_rules_see_what_breaks_them() {
    let page = |text: &str| Page { path: "notes.md".into(), text: text.to_owned() };
    assert!(spaces(&page("one\ntwo\n")).is_empty());
    assert_eq!(spaces(&page("one \ntwo\t\nthree\n")).len(), 2);
    assert_eq!(spaces(&page("one")).len(), 1);
    assert_eq!(spaces(&page("one\n\n")).len(), 1);
    let (start, end) = FOREIGN[0];
    assert_eq!(foreign(&page(&format!("see {start}{end}here\n"))).len(), 1);
    assert!(foreign(&page("see ./here\n")).is_empty());
}
