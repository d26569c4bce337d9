//! A promise in a document that names its tests is worth as much as the tests are there.

use std::collections::BTreeSet;

use super::{Page, expect_none, pages};

/// The document that says which tests hold which promise.
const DOCUMENT: &str = "docs/DURABILITY.md";

/// The promises of ARCHITECTURE.md.
const PROMISES: [&str; 8] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"];

#[test]
fn every_promise_names_tests_that_exist() {
    let pages = pages();
    let document = pages.iter().find(|page| page.path.as_os_str() == DOCUMENT);
    let document = &document.unwrap_or_else(|| panic!("{DOCUMENT} is missing")).text;
    let known = tests(&pages);
    let mut complaints: Vec<String> = named(document)
        .difference(&known)
        .map(|name| format!("{DOCUMENT} names `{name}`, and there is no such test"))
        .collect();
    complaints.extend(
        PROMISES
            .iter()
            .filter(|promise| tests_of(document, promise).is_empty())
            .map(|promise| format!("{DOCUMENT} names no test of {promise}")),
    );
    expect_none(&complaints);
}

/// Names in backticks that have a module: `module::test`.
fn named(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains("::") && !name.contains([' ', '/'])).map(str::to_owned).collect()
}

/// The tests named in the section of a promise.
fn tests_of(text: &str, promise: &str) -> BTreeSet<String> {
    let section = text.split("\n## ").find(|section| section.starts_with(promise));
    section.map(named).unwrap_or_default()
}

/// Every test function as its innermost module and its name.
fn tests(pages: &[Page]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for page in pages.iter().filter(|page| page.is("rs")) {
        let stem = page.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = page.path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        let module = if stem == "mod" { folder.unwrap_or_default() } else { stem };
        let mut lines = page.text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let is_test = line == "#[test]" || line.starts_with("#[tokio::test");
            let name = lines.peek().filter(|_| is_test).and_then(|next| next.split("fn ").nth(1));
            if let Some(name) = name.and_then(|rest| rest.split(['(', '<']).next()) {
                names.insert(format!("{module}::{name}"));
            }
        }
    }
    names
}

#[test]
fn a_name_without_a_test_is_seen() {
    let text = "#[test]\nfn it_holds() {}\nfn no_test() {}\n".to_owned();
    let page = Page { path: "tests/kill/mod.rs".into(), text };
    assert_eq!(tests(&[page]).into_iter().collect::<Vec<_>>(), ["kill::it_holds"]);
    let text = "# D\n\n## P1: kept\n\n`kill::it_holds`, `make test`, `src/a::b`\n\n## P2\n\nnothing\n";
    assert_eq!(named(text).into_iter().collect::<Vec<_>>(), ["kill::it_holds"]);
    assert_eq!((tests_of(text, "P1").len(), tests_of(text, "P2").len()), (1, 0));
}
