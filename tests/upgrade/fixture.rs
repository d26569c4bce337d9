//! Stores of earlier versions, as archives in `tests/fixtures`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The archive in a fixture's folder.
const ARCHIVE: &str = "store.tar.gz";

/// What is left out of it: RocksDB's own log, its options, which it does not read, and the locks.
const LEFT_OUT: [&str; 5] = ["LOG", "LOG.old*", "OPTIONS-*", "LOCK", "lock"];

/// A copy of a store of an earlier version, in the folder `data` of the directory.
pub(super) fn unpacked(name: &str) -> TempDir {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).join(ARCHIVE);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("the directory is our own");
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&data));
    directory
}

/// Puts a store that is closed or killed into an archive in a fixture's folder.
pub(super) fn pack(data: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("the fixture's folder can be made");
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    command.args(LEFT_OUT.map(|name| format!("--exclude={name}")));
    run(command.arg("-czf").arg(folder.join(ARCHIVE)).arg("-C").arg(data).arg("."));
}

fn run(command: &mut Command) {
    let output = command.output().expect("tar is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
