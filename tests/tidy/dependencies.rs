//! Dependencies point one way: what each part must never touch.

use std::path::Path;

use super::{Page, expect_none, pages};

/// No clock, socket, file, thread, lock or runtime in what has to be driven by a test as well as by a socket.
const NO_INPUT_NO_OUTPUT: [&str; 13] = [
    "tokio",
    "Instant::now",
    "SystemTime::now",
    "std::net",
    "std::fs",
    "std::thread",
    "std::io",
    "std::env",
    "parking_lot",
    "Mutex",
    "RwLock",
    "rocksdb",
    "barnacle_storage",
];

/// A folder, and the words that its code must not contain.
struct Rule {
    folder: &'static str,
    never: &'static [&'static str],
}

const RULES: [Rule; 6] = [
    Rule { folder: "src/protocol", never: &NO_INPUT_NO_OUTPUT },
    Rule {
        folder: "src/protocol",
        never: &["crate::session", "crate::broker", "crate::listener", "crate::config", "crate::cli"],
    },
    Rule { folder: "src/session", never: &NO_INPUT_NO_OUTPUT },
    Rule {
        folder: "src/session",
        never: &["crate::broker", "crate::listener", "crate::config", "crate::cli"],
    },
    // The store knows no MQTT packet, no socket, no async runtime.
    Rule { folder: "storage", never: &["tokio", "async fn", "std::net", "barnacle_wire", "barnacle-wire"] },
    // The second codec is a witness: it shares no code with what it testifies about.
    Rule {
        folder: "tools/wire",
        never: &["barnacle::", "barnacle-mqtt", "barnacle_storage", "barnacle-storage"],
    },
];

#[test]
fn no_part_touches_what_it_must_not() {
    let pages = pages();
    let mut complaints = Vec::new();
    for rule in &RULES {
        let mut of_rule = pages.iter().filter(|page| governed(page, rule.folder)).peekable();
        assert!(of_rule.peek().is_some(), "{} has no files: a rule that governs nothing", rule.folder);
        complaints.extend(of_rule.flat_map(|page| broken(page, rule)));
    }
    expect_none(&complaints);
}

/// Code and its manifest.
fn governed(page: &Page, folder: &str) -> bool {
    let manifest = page.path == Path::new(folder).join("Cargo.toml");
    manifest
        || page.is("rs")
            && (page.path.starts_with(folder) || page.path == Path::new(folder).with_extension("rs"))
}

fn broken(page: &Page, rule: &Rule) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        // A comment may name what the code must not touch.
        let code = line.split("//").next().unwrap_or_default();
        let code = if page.is("toml") { code.split('#').next().unwrap_or_default() } else { code };
        for word in rule.never.iter().filter(|word| code.contains(*word)) {
            complaints.push(format!("{}:{}: {} must not touch {word}", page.name(), at + 1, rule.folder));
        }
    }
    complaints
}

#[test]
fn a_broken_rule_is_seen() {
    let page = |path: &str, text: &str| Page { path: path.into(), text: text.to_owned() };
    let clock = page("src/session/will.rs", "let now = Instant::now();\n");
    let comment = page("src/session/will.rs", "// never Instant::now()\n");
    let session = Rule { folder: "src/session", never: &NO_INPUT_NO_OUTPUT };
    assert!(governed(&clock, "src/session"));
    assert!(governed(&page("src/session.rs", ""), "src/session"));
    assert!(!governed(&page("src/sessions/a.rs", ""), "src/session"));
    assert_eq!(broken(&clock, &session).len(), 1);
    assert!(broken(&comment, &session).is_empty());
    assert_eq!(broken(&page("storage/Cargo.toml", "tokio.workspace = true\n"), &RULES[4]).len(), 1);
}
