//! docs/CONFORMANCE.md, from the comments above the tests of tests/conformance: which statement of the standard is shown by
//! which test, or why by none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use super::{Page, expect_none, pages, root};

/// The document that is generated.
const DOCUMENT: &str = "docs/CONFORMANCE.md";

/// Set by `make conformance-table`: the document is written, not compared.
const WRITE: &str = "BARNACLE_WRITE_CONFORMANCE_TABLE";

#[test]
fn every_statement_of_the_standard_has_its_test_or_its_reason() {
    let pages = pages();
    let (document, mut complaints) = generate(&pages);
    if std::env::var_os(WRITE).is_some() {
        fs::write(root().join(DOCUMENT), &document).expect("the document can be written");
    } else if pages.iter().all(|page| page.path.as_os_str() != DOCUMENT || page.text != document) {
        complaints.push(format!("{DOCUMENT} is stale: `make conformance-table` writes it"));
    }
    expect_none(&complaints);
}

/// The versions: tag in the comments, heading, list of statements, names in the tests' tables.
const VERSIONS: [Standard; 2] = [
    Standard { tag: "MQTT5", title: "MQTT 5.0", list: "mqtt5.txt", runs: ["BOTH", "V5"] },
    Standard { tag: "MQTT311", title: "MQTT 3.1.1", list: "mqtt311.txt", runs: ["BOTH", "V311"] },
];

struct Standard {
    tag: &'static str,
    title: &'static str,
    list: &'static str,
    runs: [&'static str; 2],
}

/// A test as its file tells it.
struct Test {
    module: String,
    path: String,
    name: String,
    /// Tag and statement.
    statements: Vec<(String, String)>,
}

/// Why a statement has no test.
struct Reason {
    client_only: bool,
    text: String,
}

/// The document, and what is wrong with what it was made from.
fn generate(pages: &[Page]) -> (String, Vec<String>) {
    let mut complaints = Vec::new();
    let tests: Vec<Test> = pages
        .iter()
        .filter(|page| page.is("rs") && page.path.starts_with("tests/conformance"))
        .flat_map(|page| tests_of(page, &mut complaints))
        .collect();
    let list = |name: &str| {
        let found =
            pages.iter().find(|page| page.path.ends_with(format!("tests/conformance/statements/{name}")));
        found.map(|page| page.text.as_str()).unwrap_or_default()
    };
    let reasons = reasons(list("reasons.txt"), &mut complaints);
    let mut document = String::from(HEAD);
    for standard in &VERSIONS {
        let statements: Vec<&str> =
            list(standard.list).lines().filter_map(|line| line.strip_prefix("MQTT-")).collect();
        section(&mut document, standard, &statements, &tests, &reasons, &mut complaints);
    }
    (document, complaints)
}

const HEAD: &str = "# Conformance\n\n\
    Every normative statement of MQTT 5.0 and MQTT 3.1.1, and the tests that hold the broker to it. Above each test stands in\n\
    our own words what that is. The tests are in [tests/conformance](../tests/conformance), send raw bytes to the real\n\
    binary, and are shown to fail against servers that are wrong on purpose. `make test PARTS=conformance` runs them.\n\n\
    This file is written by `make conformance-table` from the comments above the tests. `tests/tidy` fails when it is\n\
    stale, or when a statement is neither tested nor explained.\n";

fn section(
    document: &mut String,
    standard: &Standard,
    statements: &[&str],
    tests: &[Test],
    reasons: &BTreeMap<(String, String), Reason>,
    complaints: &mut Vec<String>,
) {
    let tag = standard.tag;
    let known: BTreeSet<&str> = statements.iter().copied().collect();
    if known.is_empty() {
        complaints.push(format!("the list of the statements of {tag} is missing"));
    }
    let mut shown_by: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in tests {
        for (_, statement) in test.statements.iter().filter(|(of, _)| of == tag) {
            if !known.contains(statement.as_str()) {
                complaints.push(format!("{}: {}: [{tag} {statement}] does not exist", test.path, test.name));
            }
            shown_by.entry(statement).or_default().push(test);
        }
    }
    for (_, statement) in reasons.keys().filter(|(of, _)| of == tag) {
        if !known.contains(statement.as_str()) {
            complaints.push(format!("reasons.txt: {tag} {statement} does not exist"));
        }
    }
    let (mut tested, mut client_only, mut unseen) = (0, 0, 0);
    let mut rows = String::new();
    for statement in statements {
        let reason = reasons.get(&(tag.to_owned(), (*statement).to_owned()));
        let cell = match (shown_by.get(statement), reason) {
            (Some(tests), None) => {
                tested += 1;
                tests.iter().map(|test| test.link()).collect::<Vec<_>>().join("<br>")
            }
            (None, Some(reason)) => {
                *(if reason.client_only { &mut client_only } else { &mut unseen }) += 1;
                let what =
                    if reason.client_only { "Binds the client only" } else { "Cannot be seen from outside" };
                format!("{what}: {}", reason.text)
            }
            (Some(tests), Some(_)) => {
                let name = &tests[0].name;
                complaints
                    .push(format!("{tag} {statement}: {name} tests it, and reasons.txt says that none can"));
                continue;
            }
            (None, None) => {
                complaints
                    .push(format!("{tag} {statement}: no test names it, and reasons.txt does not say why"));
                continue;
            }
        };
        writeln!(rows, "| MQTT-{statement} | {cell} |").expect("a string takes everything");
    }
    write!(
        document,
        "\n## {}\n\n{} statements: {tested} tested, {client_only} bind the client only, {unseen} cannot be seen from \
         outside.\n\n| statement | tests, or why there is none |\n|---|---|\n{rows}",
        standard.title,
        statements.len(),
    )
    .expect("a string takes everything");
}

impl Test {
    fn link(&self) -> String {
        format!("[`{}::{}`](../{})", self.module, self.name, self.path)
    }
}

/// Lines such as `MQTT5 3.1.2-20 | client | why`; `client` or `unseen`.
fn reasons(text: &str, complaints: &mut Vec<String>) -> BTreeMap<(String, String), Reason> {
    let mut reasons = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(" | ");
        let (key, kind, text) = (parts.next(), parts.next(), parts.next());
        let key = key.and_then(|key| key.split_once(' '));
        match (key, kind, text) {
            (Some((tag, statement)), Some(kind @ ("client" | "unseen")), Some(text)) if text.len() > 10 => {
                let reason = Reason { client_only: kind == "client", text: text.to_owned() };
                if reasons.insert((tag.to_owned(), statement.to_owned()), reason).is_some() {
                    complaints.push(format!("reasons.txt: {tag} {statement} stands there twice"));
                }
            }
            _ => complaints
                .push(format!("reasons.txt: `{line}` is not `TAG statement | client or unseen | why`")),
        }
    }
    reasons
}

/// The tests of a file: those of its `tests!` table, with the statements in the comment above each function.
fn tests_of(page: &Page, complaints: &mut Vec<String>) -> Vec<Test> {
    let functions = functions(&page.text);
    let path = page.name().to_string();
    let module = module(&path);
    let mut tests = Vec::new();
    for (name, versions) in listed(&page.text) {
        let complain = |what: &str| format!("{path}: {name}: {what}");
        let Some(comment) = functions.get(name) else {
            complaints.push(complain("is listed, and there is no function with a comment above it"));
            continue;
        };
        let statements = statements_in(comment);
        if statements.is_empty() {
            complaints.push(complain("names no statement above it"));
        }
        for (tag, statement) in &statements {
            let runs =
                VERSIONS.iter().any(|standard| standard.tag == tag && standard.runs.contains(&versions));
            if !runs {
                complaints.push(complain(&format!("names {tag} {statement} and does not run in it")));
            }
        }
        let (path, name) = (path.clone(), name.to_owned());
        tests.push(Test { module: module.clone(), path, name, statements });
    }
    tests
}

/// `tests/conformance/malformed/publish.rs` is `malformed::publish`.
fn module(path: &str) -> String {
    let path = path.strip_prefix("tests/conformance/").unwrap_or(path);
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// Names and versions in the `tests!` table.
fn listed(text: &str) -> Vec<(&str, &str)> {
    let Some((_, table)) = text.split_once("\ntests! {\n") else { return Vec::new() };
    let table = table.split_once("\n}").map_or(table, |(table, _)| table);
    table
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter_map(|(name, rest)| Some((name, rest.split([',', ';']).next()?)))
        .collect()
}

/// Every function with the comment above it.
fn functions(text: &str) -> BTreeMap<&str, String> {
    let mut functions = BTreeMap::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("/// ") {
            comment.push_str(words);
            comment.push('\n');
        } else if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
            if !comment.is_empty() {
                functions.insert(name, std::mem::take(&mut comment));
            }
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    functions
}

/// Tag and statement of everything like `[MQTT5 3.1.0-1, 3.1.0-2]`.
fn statements_in(comment: &str) -> Vec<(String, String)> {
    let mut statements = Vec::new();
    for bracket in comment.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
        let Some((tag, list)) = bracket.split_once(char::is_whitespace) else { continue };
        if VERSIONS.iter().any(|standard| standard.tag == tag) {
            let each = list.split([',', ' ', '\n']).filter(|statement| !statement.is_empty());
            statements.extend(each.map(|statement| (tag.to_owned(), statement.to_owned())));
        }
    }
    statements
}

#[test]
fn the_table_sees_what_breaks_it() {
    let page = |path: &str, text: &str| Page { path: path.into(), text: text.to_owned() };
    let test = "//! A.\n\ntests! {\n    it_holds: BOTH;\n    five: V5, \"a.b\" = \"3\";\n}\n\n\
                /// Says. [MQTT5 1.5.4-1, 1.5.4-2]\n/// [MQTT311 1.5.3-1]\nfn it_holds(server: &Server) {\n}\n\n\
                /// Five. [MQTT5 1.5.4-1]\nfn five(server: &Server) {}\n";
    let pages = |test: &str, reasons: &str| {
        vec![
            page("tests/conformance/a/b.rs", test),
            page("tests/conformance/statements/mqtt5.txt", "MQTT-1.5.4-1\nMQTT-1.5.4-2\nMQTT-1.5.5-1\n"),
            page("tests/conformance/statements/mqtt311.txt", "MQTT-1.5.3-1\n"),
            page("tests/conformance/statements/reasons.txt", reasons),
        ]
    };
    let reason = "MQTT5 1.5.5-1 | client | what a client sends is its own affair\n";
    let complains = |test: &str, reasons: &str, words: &str| {
        let complaints = generate(&pages(test, reasons)).1;
        assert!(complaints.iter().any(|complaint| complaint.contains(words)), "{words}: {complaints:?}");
    };
    let (document, none) = generate(&pages(test, reason));
    assert_eq!(none, [""; 0]);
    let link = |name: &str| format!("[`a::b::{name}`](../tests/conformance/a/b.rs)");
    assert!(
        document.contains(&format!("| MQTT-1.5.4-1 | {}<br>{} |", link("it_holds"), link("five"))),
        "{document}"
    );
    assert!(document.contains("| MQTT-1.5.5-1 | Binds the client only: what a client"), "{document}");

    complains(&test.replace("1.5.4-2", "1.5.4-9"), reason, "[MQTT5 1.5.4-9] does not exist");
    complains(&test.replace("five: V5", "five: V311"), reason, "names MQTT5 1.5.4-1 and does not run in it");
    complains(&test.replace("    it_holds", "    it_held"), reason, "it_held: is listed");
    complains(&test.replace("Five. [MQTT5 1.5.4-1]", "Five."), reason, "five: names no statement");
    complains(test, "", "MQTT5 1.5.5-1: no test names it");
    let tested = "MQTT5 1.5.4-1 | unseen | nobody can see this\n";
    complains(test, &format!("{reason}{tested}"), "it_holds tests it");
    complains(test, &format!("{reason}{reason}"), "1.5.5-1 stands there twice");
    complains(test, "MQTT5 1.5.5-1 | maybe | nobody knows\n", "is not `TAG statement");
    complains(test, "MQTT5 9.9.9-9 | client | not a statement\n", "MQTT5 9.9.9-9 does not exist");
}
