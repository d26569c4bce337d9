//! Rules for Rust files: a header that says what a module owns, and a length that can be read in one sitting.

use super::{Page, expect_none, rust_pages};

/// Lines of a file: above the first it is named in the test's output, above the second it fails.
const FILE_LINES: (usize, usize) = (300, 600);
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES: (usize, usize) = (60, 120);

#[test]
fn every_file_says_in_its_header_what_it_is() {
    let bare = |page: &Page| !page.text.starts_with("//! ");
    let complaints: Vec<String> = rust_pages()
        .iter()
        .filter(|page| bare(page))
        .map(|page| format!("{}: does not begin with a `//!` header", page.name()))
        .collect();
    expect_none(&complaints);
}

#[test]
fn no_file_is_too_long() {
    let mut complaints = Vec::new();
    for page in rust_pages() {
        let lines = page.text.lines().count();
        judge(&page.name().to_string(), lines, FILE_LINES, &mut complaints);
    }
    expect_none(&complaints);
}

#[test]
fn no_function_is_too_long() {
    let mut complaints = Vec::new();
    for page in rust_pages() {
        for (name, lines) in functions(&page.text) {
            judge(&format!("{}: fn {name}", page.name()), lines, FUNCTION_LINES, &mut complaints);
        }
    }
    expect_none(&complaints);
}

#[test]
fn nothing_is_put_off_and_no_test_is_switched_off() {
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["#[ign", "ore"], ["unimpl", "emented!"]].map(|parts| parts.concat());
    let mut complaints = Vec::new();
    for page in rust_pages() {
        for (at, line) in page.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                complaints.push(format!("{}:{}: {mark}", page.name(), at + 1));
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_planted_bug_stands_somewhere_in_the_code() {
    let (planted, others): (Vec<Page>, Vec<Page>) =
        rust_pages().into_iter().partition(|page| page.path.ends_with("storage/src/planted.rs"));
    let faults = planted_faults(&planted[0].text);
    assert!(faults.len() > 5, "{faults:?}");
    expect_none(&not_planted(&faults, &others));
}

/// The names of [`planted::Fault`].
fn planted_faults(text: &str) -> Vec<String> {
    let names = text.split("pub enum Fault {").nth(1).and_then(|rest| rest.split("\n}").next());
    let lines = names.unwrap_or_default().lines().map(str::trim).filter(|line| !line.starts_with("///"));
    lines
        .filter_map(|line| line.split([',', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Those that no line of the pages asks for.
fn not_planted(faults: &[String], pages: &[Page]) -> Vec<String> {
    let is_planted = |fault: &str| {
        let asks = format!("planted!({fault})");
        pages
            .iter()
            .any(|page| page.text.lines().any(|line| !line.trim().starts_with("//") && line.contains(&asks)))
    };
    let missing = faults.iter().filter(|fault| !is_planted(fault));
    missing
        .map(|fault| format!("{fault}: planted nowhere, so nothing shows that it would be found"))
        .collect()
}

#[test]
fn a_bug_that_is_planted_nowhere_is_seen() {
    let faults = planted_faults("pub enum Fault {\n    /// One.\n    OneBug = 1,\n    OtherBug,\n}\nOneBug");
    assert_eq!(faults, ["OneBug", "OtherBug"]);
    let text = "if planted!(OneBug) {}\n/// `planted!(OtherBug)`\n".to_owned();
    let complaints = not_planted(&faults, &[Page { path: "src/a.rs".into(), text }]);
    assert!(complaints.len() == 1 && complaints[0].starts_with("OtherBug"), "{complaints:?}");
}

/// Above the lower bound it is said, above the upper one it is a complaint.
fn judge(what: &str, lines: usize, (long, too_long): (usize, usize), complaints: &mut Vec<String>) {
    if lines > too_long {
        complaints.push(format!("{what}: {lines} lines, {too_long} at most"));
    } else if lines > long {
        println!("{what}: {lines} lines, {long} would be better");
    }
}

/// The functions of a file and their lengths. In text that rustfmt has laid out, a function ends at the first closing
/// brace that stands as far in as its `fn`.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let end = lines[start..].iter().position(|line| {
            line.strip_prefix(indent)
                .is_some_and(|rest| rest == "}" || rest.starts_with(") ") && rest.ends_with(';'))
        });
        if let Some(length) = end {
            found.push((name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    loop {
        match words.next()? {
            "fn" => break,
            "const" | "async" | "unsafe" | "extern" | "\"C\"" => {}
            word if word.starts_with("pub") => {}
            "in" => {}
            _ => return None,
        }
    }
    let name: String =
        words.next()?.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn lengths_of_functions_are_found() {
    let text = "pub(crate) async fn first(\n    one: u8,\n) -> u8 {\n    one\n}\n\nimpl A {\n    fn second() {\n        \
                if x {\n        }\n    }\n    fn third() {}\n}\n";
    assert_eq!(functions(text), [("first".to_owned(), 5), ("second".to_owned(), 4)]);

    let mut complaints = Vec::new();
    judge("short", 60, FUNCTION_LINES, &mut complaints);
    judge("long", 61, FUNCTION_LINES, &mut complaints);
    assert!(complaints.is_empty());
    judge("too long", 121, FUNCTION_LINES, &mut complaints);
    assert_eq!(complaints.len(), 1);
}
