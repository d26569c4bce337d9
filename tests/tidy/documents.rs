//! Rules for the documents: both languages of the README say the same, links lead somewhere, examples are programs
//! that the tests run.

use std::collections::BTreeSet;

use super::{Page, expect_none, pages, root};

/// A fenced block of a document.
struct Block {
    language: String,
    text: String,
}

#[test]
fn both_readmes_have_the_same_headings_commands_and_links() {
    let pages = pages();
    let (english, chinese) = (named(&pages, "README.md"), named(&pages, "README.zh-CN.md"));
    expect_none(&differences(&english.text, &chinese.text));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let pages = pages();
    let documents: Vec<&Page> = pages.iter().filter(|page| page.is("md")).collect();
    let mut complaints = Vec::new();
    for page in &documents {
        for link in links(&page.text).iter().filter(|link| !link.contains("://")) {
            if let Some(reason) = dead(&documents, page, link) {
                complaints.push(format!("{}: the link to {link} {reason}", page.name()));
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn programs_in_the_readme_are_run_by_the_tests() {
    let pages = pages();
    let programs: Vec<String> = pages
        .iter()
        .filter(|page| page.path.starts_with("tests/clients") && (page.is("py") || page.is("js")))
        .map(|page| program(&page.text))
        .collect();
    let blocks = blocks(&named(&pages, "README.md").text);
    let mut examples =
        blocks.iter().filter(|block| ["python", "js"].contains(&block.language.as_str())).peekable();
    assert!(examples.peek().is_some(), "README.md shows no program");
    for example in examples {
        assert!(
            programs.contains(&program(&example.text)),
            "README.md shows a program that is not one of tests/clients:\n{}",
            example.text
        );
    }
}

#[test]
fn make_targets_in_the_documents_exist() {
    let pages = pages();
    let makefile = &named(&pages, "Makefile").text;
    let mut complaints = Vec::new();
    for page in pages.iter().filter(|page| page.is("md")) {
        for target in make_targets(&page.text) {
            if !makefile.lines().any(|line| line.starts_with(&format!("{target}:"))) {
                complaints.push(format!("{}: `make {target}` is not in the Makefile", page.name()));
            }
        }
    }
    expect_none(&complaints);
}

fn named<'a>(pages: &'a [Page], name: &str) -> &'a Page {
    pages.iter().find(|page| page.path.as_os_str() == name).unwrap_or_else(|| panic!("{name} is missing"))
}

/// What a reader of one language would find and a reader of the other would not.
fn differences(english: &str, chinese: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let (ours, theirs) = (heading_levels(english), heading_levels(chinese));
    if ours != theirs {
        complaints.push(format!("the levels of the headings differ: {ours:?} and {theirs:?}"));
    }
    let (ours, theirs) = (blocks(english), blocks(chinese));
    if ours.len() != theirs.len() {
        complaints.push(format!("{} blocks of code and {}", ours.len(), theirs.len()));
    }
    for (one, other) in ours.iter().zip(&theirs) {
        // Pictures (text) are translated, commands and programs are not.
        if one.language != other.language || one.language != "text" && one.text != other.text {
            complaints.push(format!("these blocks differ:\n{}\n{}", one.text, other.text));
        }
    }
    let other_language = |link: &String| link.starts_with("README");
    let (mut ours, mut theirs) = (links(english), links(chinese));
    ours.retain(|link| !other_language(link));
    theirs.retain(|link| !other_language(link));
    complaints
        .extend(ours.symmetric_difference(&theirs).map(|link| format!("only one has a link to {link}")));
    complaints
}

/// The lines of a document that are not in a fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn headings(text: &str) -> Vec<&str> {
    prose(text).filter(|line| line.starts_with('#')).collect()
}

fn heading_levels(text: &str) -> Vec<usize> {
    headings(text).iter().map(|line| line.chars().take_while(|letter| *letter == '#').count()).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { language: language.trim().to_owned(), text: String::new() });
            }
        } else if open {
            let block = blocks.last_mut().expect("pushed when it was opened");
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

/// Targets of `[text](target)`.
fn links(text: &str) -> BTreeSet<String> {
    let prose: Vec<&str> = prose(text).collect();
    prose
        .join("\n")
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .collect()
}

/// Why a link leads nowhere, if so.
fn dead(documents: &[&Page], from: &Page, link: &str) -> Option<&'static str> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let folder = from.path.parent().expect("a file is in a folder");
    let path = if file.is_empty() { from.path.clone() } else { folder.join(file) };
    if !root().join(&path).exists() {
        return Some("names a file that is not there");
    }
    let anchor = anchor?;
    let target = documents.iter().find(|page| page.path == path)?;
    let known = headings(&target.text).iter().any(|heading| anchor_of(heading) == anchor);
    (!known).then_some("names a heading that is not there")
}

/// As forges make them: lower case, words joined by hyphens, punctuation left out.
fn anchor_of(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    title
        .chars()
        .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// A program without the comments it opens with, which say in the repository what the README says around it.
fn program(text: &str) -> String {
    let mut rest = text.trim();
    if let Some((_, after)) = rest.strip_prefix("\"\"\"").and_then(|rest| rest.split_once("\"\"\"")) {
        rest = after;
    }
    let lines: Vec<&str> =
        rest.lines().skip_while(|line| line.starts_with("//") || line.is_empty()).collect();
    lines.join("\n").trim().to_owned()
}

fn make_targets(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '-').collect::<String>()
    };
    let quoted = text.split("`make ").skip(1).map(name);
    let typed = text.lines().filter_map(|line| line.strip_prefix("make ")).map(name);
    quoted.chain(typed).collect()
}

#[test]
fn the_rules_for_documents_see_what_breaks_them() {
    let english = "# A\n\n```bash\nmake run\n```\n\n## B\n\n[c](LICENSE-MIT) [zh](README.zh-CN.md)\n";
    assert!(
        differences(english, &english.replace("README.zh-CN.md", "README.md").replace("# A", "# 甲"))
            .is_empty()
    );
    assert_eq!(differences(english, &english.replace("## B", "### B")).len(), 1);
    assert_eq!(differences(english, &english.replace("make run", "make test")).len(), 1);
    assert_eq!(differences(english, &english.replace("[c](LICENSE-MIT)", "c")).len(), 1);

    let page = Page { path: "README.md".into(), text: "# A way, of sorts\n".to_owned() };
    assert_eq!(dead(&[&page], &page, "Cargo.toml"), None);
    assert_eq!(dead(&[&page], &page, "#a-way-of-sorts"), None);
    assert!(dead(&[&page], &page, "#away").is_some());
    assert!(dead(&[&page], &page, "docs/NOWHERE.md").is_some());

    assert_eq!(program("\"\"\"Says.\"\"\"\nimport x\n"), program("import x\n"));
    assert_eq!(make_targets("`make run` or\nmake test\n").into_iter().collect::<Vec<_>>(), ["run", "test"]);
}
