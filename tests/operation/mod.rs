//! The broker as an operator meets it: its start and end, what it keeps to, whom it lets in. The command line itself
//! is the matter of `cli`.

mod serve;
mod websocket;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::broker::barnacle;

/// What a command printed to standard error, and its exit status.
struct Said {
    error: String,
    status: i32,
}

/// Runs the binary to its end.
fn run(arguments: &[&str]) -> Said {
    let output = barnacle().args(arguments).output().expect("the binary was built with this test");
    let error = String::from_utf8(output.stderr).expect("what is printed is text");
    Said { error, status: output.status.code().expect("it was not killed") }
}

/// Runs `barnacle config check` on a file with this text.
fn check(directory: &Path, text: &str) -> Said {
    let file = directory.join("barnacle.toml");
    fs::write(&file, text).expect("a file of our own can be written");
    run(&["config", "check", file.to_str().expect("the path is text")])
}

#[test]
fn config_check_names_file_line_and_the_nearest_key() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let file = directory.path().join("barnacle.toml");
    for (text, line, wanted) in [
        ("[storage]\n\ndurabilty = \"os\"\n", 3, "`storage.durability`"),
        ("listener = []\n", 1, "`listeners`"),
        ("# a comment\n[limit]\nreceive_maximum = 3\n", 2, "`[limits]`"),
        ("[limits]\nreceive_maximum = 0\n", 2, "1"),
        ("[storage]\ndurability = \"sometimes\"\n", 2, "sometimes"),
        ("listeners = [\n  \"mqtt://localhost\",\n  \"http://localhost\",\n]\n", 0, "http://localhost"),
        ("[log]\nlevel = = 3\n", 2, ""),
    ] {
        let said = check(directory.path(), text);
        assert_eq!(said.status, 2, "{text}");
        let place = if line > 0 { format!("{}:{line}", file.display()) } else { file.display().to_string() };
        assert!(said.error.contains(&place), "{place} is missing: {}", said.error);
        assert!(said.error.contains(wanted), "{wanted} is missing: {}", said.error);
    }
    let missing = run(&["config", "check", "/nowhere/barnacle.toml"]);
    assert_eq!(missing.status, 2);
    assert!(missing.error.contains("/nowhere/barnacle.toml"), "{}", missing.error);
}
