//! `docs/CLIENTS.md` says what the tests show: its table is made from the list of libraries.

use std::fmt::Write as _;
use std::path::Path;

use super::{FEATURES, LIBRARIES, Library, mosquitto, samples};

/// The test that not every library can be judged by in the same way.
const SESSION: &str = "a_session_lives_through_a_killed_broker";

/// The table stands between these.
const MARKS: (&str, &str) = ("<!-- made by the tests: begin -->\n", "<!-- made by the tests: end -->");

#[test]
fn the_document_shows_every_library_and_every_test() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLIENTS.md");
    let text = std::fs::read_to_string(&path).expect("docs/CLIENTS.md is there");
    let (before, rest) = text.split_once(MARKS.0).expect("the table has its beginning");
    let (found, after) = rest.split_once(MARKS.1).expect("the table has its end");
    let wanted = table();
    if found == wanted {
        return;
    }
    if std::env::var_os("BARNACLE_WRITE_DOCUMENTS").is_some() {
        let text = [before, MARKS.0, &wanted, MARKS.1, after].concat();
        return std::fs::write(&path, text).expect("the project can be written");
    }
    panic!(
        "docs/CLIENTS.md does not show what is tested; BARNACLE_WRITE_DOCUMENTS=1 writes it. Wanted:\n{wanted}"
    );
}

fn table() -> String {
    let mut table = String::from("| client | tests in `clients::table::` | shows |\n|---|---|---|\n");
    for library in LIBRARIES {
        let shown: Vec<String> = features(library.version).map(|feature| shown(library, feature)).collect();
        let _ = writeln!(table, "| {} | `{}` | {} |", library.name, library.module, shown.join("; "));
    }
    for (name, test) in mosquitto::SHOWN {
        let _ = writeln!(table, "| mosquitto_pub, mosquitto_sub | `mosquitto::{test}` | {name} |");
    }
    for (name, test) in samples::SHOWN {
        let _ = writeln!(table, "| Paho C's samples | `samples::{test}` | {name} |");
    }
    table.push_str("\nWhat is shown, by the name of the test in each module:\n\n");
    for (feature, test) in FEATURES {
        let _ = writeln!(table, "- {feature}: `{test}`");
    }
    table
}

/// A feature as this library has shown it.
fn shown(library: &Library, (feature, test): (&str, &str)) -> String {
    if test != SESSION {
        return feature.to_owned();
    }
    let judged = if library.delivers_again() { ", by what the broker sent" } else { "" };
    format!("{feature} at QoS {}{judged}", library.session_qos())
}

/// MQTT 3.1.1 has no properties.
fn features(version: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let v5 = version == "5";
    FEATURES.into_iter().filter(move |(_, test)| v5 || *test != "properties_come_as_they_were_sent")
}
