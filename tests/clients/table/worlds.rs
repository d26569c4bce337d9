//! The libraries' own worlds: interpreters, compilers, a browser.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::super::program::python;

/// Where Debian puts what the Java client consists of.
const JARS: &str = "/usr/share/java/mqtt-client.jar:/usr/share/java/hawtbuf.jar:/usr/share/java/hawtdispatch.jar:\
                    /usr/share/java/hawtdispatch-transport.jar";

pub(super) fn paho1() -> Command {
    script(&python("paho1"), "python/paho_client.py")
}

pub(super) fn paho2() -> Command {
    script(&python("paho2"), "python/paho_client.py")
}

pub(super) fn gmqtt() -> Command {
    script(&python("gmqtt"), "python/gmqtt_client.py")
}

pub(super) fn node() -> Command {
    script(Path::new("node"), "javascript/node.js")
}

/// Node serves the page and starts the browser.
pub(super) fn chromium() -> Command {
    script(Path::new("node"), "javascript/browser.js")
}

/// Compiled here, against Debian's libpaho-mqtt-dev.
pub(super) fn paho_c() -> Command {
    let source = place("c/client.c");
    let program = built(&source, |into| {
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O1", "-Wall", "-Werror", "-o"])
            .arg(into.join("client"))
            .arg(&source)
            .arg("-lpaho-mqtt3a");
        compiler
    });
    Command::new(program.join("client"))
}

pub(super) fn java() -> Command {
    let source = place("java/Client.java");
    let classes = built(&source, |into| {
        let mut compiler = Command::new("javac");
        compiler.args(["-cp", JARS, "-d"]).arg(into).arg(&source);
        compiler
    });
    let mut command = Command::new("java");
    // A small machine runs several of these at a time.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
    command.arg(format!("{JARS}:{}", classes.display())).arg("Client");
    command
}

fn script(interpreter: &Path, file: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(place(file));
    command
}

fn place(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/table").join(file)
}

/// The folder with what a compiler makes of a source, made when it is not there. Tests run side by side: each builds into a folder
/// of its own, and one of them is first to give it its name.
fn built(source: &Path, compiler: impl FnOnce(&Path) -> Command) -> PathBuf {
    let text = fs::read(source).expect("the program is part of the project");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let stem = source.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{stem}-{:016x}", hasher.finish()));
    if folder.exists() {
        return folder;
    }
    let draft =
        tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written");
    let mut command = compiler(draft.path());
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}); tools/setup/test.sh installs what is missing")
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let draft = draft.keep();
    if fs::rename(&draft, &folder).is_err() {
        // Another was first, with the same.
        fs::remove_dir_all(&draft).expect("it is our own");
    }
    folder
}
