//! What the operating system tells of a process.

use std::fs;

/// Resident memory in bytes.
pub(super) fn resident_bytes(process_id: u32) -> u64 {
    field(&format!("/proc/{process_id}/status"), "VmRSS:") * 1024
}

/// Bytes handed to `write` and its kin since the start: to files and pipes, and to sockets where they are written and
/// not sent.
pub(super) fn written_bytes(process_id: u32) -> u64 {
    field(&format!("/proc/{process_id}/io"), "wchar:")
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).expect("the broker is running");
    let line =
        text.lines().find(|line| line.starts_with(name)).expect("the kernel tells this of every process");
    let value = line.split_whitespace().nth(1).expect("a value follows its name");
    value.parse().expect("the value is a number")
}
