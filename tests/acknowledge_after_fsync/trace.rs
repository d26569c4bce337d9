//! The lines of `strace -f -y -xx`, as calls with a beginning and an end.
//!
//! strace stops a thread at both ends of a call and writes down what it sees before it lets the thread go on. So a call
//! has not begun before its first line is written, and has ended before its last line is: where the last line of one
//! call stands above the first line of another, the one had ended before the other began.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The calls that are traced.
pub(super) const CALLS: &str =
    "read,readv,recvfrom,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";

/// How long the tracer may go on after the end of the broker.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Takes bytes in.
    Read,
    /// Hands bytes on to the end of a file or to a socket.
    Write,
    /// Hands bytes on to a place inside a file.
    WriteAt,
    /// Brings a file to the disk: `fsync`, or `fdatasync`, which leaves out what nobody needs to read the data.
    Sync { data_only: bool },
}

/// A call that returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) action: Action,
    /// Path of a file, `socket:[number]` of a connection: numbers are not used again, as descriptors are.
    pub(super) file: String,
    /// The line on which it begins.
    pub(super) begin: usize,
    /// The line on which it ends; the same one if nothing else happened meanwhile.
    pub(super) end: usize,
    /// What was taken or handed on, as far as the call got.
    pub(super) bytes: Vec<u8>,
    pub(super) succeeded: bool,
}

/// The arguments of strace, up to the program that it starts. The tracer is no parent of the program (`-D`): the
/// process that is started is the program itself.
pub(super) fn arguments(output: &Path) -> Vec<String> {
    let output = output.to_str().expect("the path is text");
    let trace = format!("trace={CALLS}");
    // Strings whole and in hexadecimal: nothing in them is taken for something else.
    ["-D", "-f", "-q", "-y", "-xx", "-s", "4194304", "--seccomp-bpf", "-o", output, "-e", &trace, "--"]
        .map(str::to_owned)
        .to_vec()
}

/// Reads what was written down about a process that has ended, once all of it is there.
pub(super) fn read_whole(output: &Path, process_id: u32) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(output).expect("strace has made its file");
        let ended = |line: &str| {
            let (id, rest) = line.split_once(' ').unwrap_or_default();
            id.parse() == Ok(process_id) && rest.trim_start().starts_with("+++ ")
        };
        if text.ends_with('\n') && text.lines().rev().take(50).any(ended) {
            return text;
        }
        assert!(Instant::now() < deadline, "the trace has no end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Parses a trace. Calls that never returned are left out.
pub(super) fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    for (position, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no thread in {line:?}"));
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (position, head));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed.split_once(" resumed>").unwrap_or_else(|| panic!("what is {line:?}?"));
            let (begin, head) =
                unfinished.remove(thread).unwrap_or_else(|| panic!("{line:?} resumes nothing"));
            calls.extend(call(&format!("{head}{tail}"), begin, position));
        } else {
            calls.extend(call(rest, position, position));
        }
    }
    calls
}

/// One call, put together; `None` if it was cut short by the end of the process.
fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let parts = text.split_once('(').and_then(|(name, rest)| Some((name, rest.rsplit_once(" = ")?)));
    let (name, (arguments, result)) = parts.unwrap_or_else(|| panic!("{} is no call", start_of(text)));
    let action = match name {
        "read" | "readv" | "recvfrom" => Action::Read,
        "write" | "writev" | "sendto" | "sendmsg" => Action::Write,
        "pwrite64" | "pwritev" | "pwritev2" => Action::WriteAt,
        "fsync" => Action::Sync { data_only: false },
        "fdatasync" => Action::Sync { data_only: true },
        other => panic!("{other} was not to be traced"),
    };
    let result = result.split_whitespace().next().unwrap_or_default();
    if result == "?" {
        return None;
    }
    let returned: i64 = result.parse().unwrap_or_else(|_| panic!("{} returned {result}", start_of(text)));
    let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let (file, values) = file.unwrap_or_else(|| panic!("{} names no file", start_of(text)));
    let mut bytes = Vec::new();
    if let (Ok(count), true) = (usize::try_from(returned), !matches!(action, Action::Sync { .. })) {
        bytes = strings(values);
        assert!(bytes.len() >= count, "{} is not whole", start_of(text));
        bytes.truncate(count);
    }
    let file = String::from_utf8(plain(file)).expect("paths here are text");
    Some(Call { action, file, begin, end, bytes, succeeded: returned >= 0 })
}

/// All strings of the arguments, one after the other: the parts of a vectored call are one whole.
fn strings(arguments: &str) -> Vec<u8> {
    arguments.split('"').skip(1).step_by(2).flat_map(plain).collect()
}

/// Undoes `\x2f`. What is not escaped stands for itself.
fn plain(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if let [b'x', high, low, behind @ ..] = behind
            && *first == b'\\'
        {
            bytes.push(digit(*high) << 4 | digit(*low));
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}

fn digit(letter: u8) -> u8 {
    let value = char::from(letter).to_digit(16).expect("strace writes two digits for a byte");
    u8::try_from(value).expect("a digit is below 16")
}

fn start_of(text: &str) -> &str {
    text.get(..120).unwrap_or(text)
}
