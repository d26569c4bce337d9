//! Rules of the house that a machine can check: lengths, headers, the direction of dependencies, documents that agree.
//!
//! Each rule is a function from text to complaints, tested on text that breaks it; the tests here run the rules over
//! the files of the project and fail with all complaints at once.

mod conformance;
mod dependencies;
mod documents;
mod source;
mod tests_named;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

/// What is built, fetched or written by running, by folder name; never part of the project.
const NOT_OURS: [&str; 7] = [
    ".git",
    "target",
    "corpus-regressions",
    "node_modules",
    "__pycache__",
    "barnacle-data",
    "proptest-regressions",
];

/// A file of the project, with its path from the root.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the project, in the order of their paths.
fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(root(), &mut pages);
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(pages.len() > 20, "the project's files were not found below {}", root().display());
    pages
}

fn collect(folder: &Path, into: &mut Vec<Page>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
        let entry = entry.expect("a folder of the project can be read");
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).expect("found below the root").to_path_buf();
            into.push(Page { path, text });
        }
    }
}

fn rust_pages() -> Vec<Page> {
    pages().into_iter().filter(|page| page.is("rs")).collect()
}

/// Fails with every complaint, so that one run shows all there is to do.
fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
