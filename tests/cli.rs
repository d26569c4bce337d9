//! The command line from outside: exit statuses, what is printed where, signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long beside what is awaited, short beside a run of the tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn barnacle(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barnacle"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"BARNACLE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    barnacle(arguments).output().expect("the binary was built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("what is printed is UTF-8")
}

/// A broker that listens, killed when dropped.
struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    banner: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut banner = String::new();
        // The last line of the banner, or the end of a process that failed.
        while !banner.contains("open files") && stdout.read_line(&mut banner).expect("UTF-8") > 0 {}
        Self { process, stdout, banner }
    }

    fn on_free_ports(data_dir: &Path, more: &[&str]) -> Self {
        let data_dir = data_dir.to_str().expect("UTF-8");
        let mut arguments = vec!["serve", "--data-dir", data_dir, "--listen", "mqtt://127.0.0.1:0"];
        arguments.extend(["--listen", "ws://127.0.0.1:0/mqtt"]);
        arguments.extend(more);
        Self::start(&mut barnacle(&arguments))
    }

    /// `127.0.0.1:PORT` of the listener with this scheme.
    fn socket(&self, scheme: &str) -> &str {
        let (_, rest) =
            self.banner.split_once(&format!("{scheme}://")).expect("the banner names the listener");
        rest.split(['/', '\n']).next().expect("an address")
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.process);
        kill_process(process, signal).expect("it runs");
    }

    /// The exit status, and what came on standard output since the banner and on standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.process.try_wait().expect("it is a child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).expect("UTF-8");
        let errors = self.process.stderr.as_mut().expect("it is piped");
        errors.read_to_string(&mut stderr).expect("UTF-8");
        (status.code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("there is room for a test")
}

#[test]
fn help_names_the_commands_and_where_to_connect() {
    for arguments in [&["help"] as &[&str], &["--help"], &["-h"]] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let help = text(&output.stdout);
        for expected in ["serve", "config", "mqtt://localhost:1883", "ws://localhost:8083/mqtt", "Examples:"]
        {
            assert!(help.contains(expected), "{expected}: {help}");
        }
    }
    let output = output(&["help", "serve"]);
    for flag in ["--config", "--data-dir", "--durability", "--listen", "--log-level", "--log-format"] {
        assert!(text(&output.stdout).contains(flag), "{flag}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let output = output(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("barnacle {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [&["sevre"] as &[&str], &["serve", "--listn", "x"], &["config"], &["config", "check"]] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage: barnacle"), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_wrong_flag_or_file_is_2_and_touches_nothing() {
    let directory = temporary();
    let data_dir = directory.path().join("data");
    let data_dir = data_dir.to_str().expect("UTF-8");
    let missing = directory.path().join("missing.toml");
    let missing = missing.to_str().expect("UTF-8");
    for (arguments, expected) in [
        (["--durability", "fast"], "--durability: `storage.durability`: `fast` is not".to_owned()),
        (["--listen", "1883"], "--listen: `listeners`: `1883` is not the address".to_owned()),
        (["--log-level", "loud"], "--log-level: `log.level`".to_owned()),
        (["--config", missing], format!("{missing}: cannot be read")),
    ] {
        let output = output(&[&["serve", "--data-dir", data_dir], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
    }
    assert!(!Path::new(data_dir).exists());
}

#[test]
fn the_printed_defaults_pass_the_check() {
    let directory = temporary();
    let defaults = output(&["config", "default"]);
    assert_eq!(defaults.status.code(), Some(0));
    let file = directory.path().join("barnacle.toml");
    std::fs::write(&file, &defaults.stdout).expect("there is room");
    let file = file.to_str().expect("UTF-8");
    let checked = output(&["config", "check", file]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), &*format!("{file}: fine\n")));
}

#[test]
fn a_check_names_file_line_and_the_nearest_key() {
    let directory = temporary();
    let file = directory.path().join("barnacle.toml");
    std::fs::write(&file, "[storage]\n\ndurabilty = 'os'\n").expect("there is room");
    let file = file.to_str().expect("UTF-8");
    // The environment of the shell is not the broker's, and is not checked.
    let checked = barnacle(&["config", "check", file]).env("BARNACLE_LOG_LEVEL", "loud").output();
    let checked = checked.expect("the binary was built");
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(
        text(&checked.stderr),
        format!("{file}:3: unknown key `storage.durabilty`; did you mean `storage.durability`?\n")
    );
}

#[test]
fn the_banner_says_what_is_in_force() {
    let directory = temporary();
    let file = directory.path().join("barnacle.toml");
    std::fs::write(&file, "[storage]\ndurability = 'os'\n[log]\nlevel = 'error'\n").expect("there is room");
    let running = Running::start(
        barnacle(&["serve", "--listen", "mqtt://127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .env("BARNACLE_CONFIG", &file)
            .env("BARNACLE_STORAGE_DURABILITY", "interval:50")
            .env("BARNACLE_STORAGE_DATA_DIR", "/not/this/one"),
    );
    let banner = &running.banner;
    assert!(banner.contains(&format!("mqtt://{}", running.socket("mqtt"))), "{banner}");
    assert!(banner.contains(&format!("data        {}", directory.path().join("data").display())), "{banner}");
    assert!(
        banner.contains("interval:50: a power cut takes what was acknowledged in the last 50 ms"),
        "{banner}"
    );
    assert!(!banner.contains("ws://"), "--listen replaces the default listeners: {banner}");
    TcpStream::connect(running.socket("mqtt")).expect("it listens when it says so");
    running.signal(Signal::TERM);
    assert_eq!(running.end(), (Some(0), "\n".to_owned(), String::new()));
}

#[test]
fn a_signal_stops_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = temporary();
        let running = Running::on_free_ports(directory.path(), &[]);
        let socket = running.socket("mqtt").to_owned();
        running.signal(signal);
        let (status, _, stderr) = running.end();
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stderr.contains("stopping"), "{stderr}");
        TcpStream::connect(socket).expect_err("nobody listens any more");
    }
}

#[test]
fn an_address_in_use_is_1_and_is_named() {
    let (first, second) = (temporary(), temporary());
    let running = Running::on_free_ports(first.path(), &[]);
    let taken = format!("mqtt://{}", running.socket("mqtt"));
    let output = output(&["serve", "--listen", &taken, "--data-dir", second.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&format!("cannot listen on {taken}: ")),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_log_in_json_is_json_on_every_line() {
    let directory = temporary();
    let mut command =
        barnacle(&["serve", "--listen", "mqtt://127.0.0.1:0", "--log-format", "json", "--data-dir"]);
    command.arg(directory.path()).env("BARNACLE_LOG_LEVL", "debug");
    let running = Running::start(&mut command);
    running.signal(Signal::TERM);
    let (status, _, stderr) = running.end();
    assert_eq!(status, Some(0));
    let events: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let event = |part: &str| {
        events.iter().find(|event| event["message"].as_str().is_some_and(|it| it.contains(part)))
    };
    let warning = event("did you mean BARNACLE_LOG_LEVEL?").expect("the variable is doubtful");
    assert_eq!(warning["level"], "WARN");
    let ready = event("ready").expect("it is logged too");
    assert_eq!(ready["durability"], "fsync");
    assert!(ready["listening"].as_str().is_some_and(|addresses| addresses.starts_with("mqtt://127.0.0.1:")));
}

#[test]
fn a_browser_at_the_websocket_port_is_told_what_it_is() {
    let directory = temporary();
    let running = Running::on_free_ports(directory.path(), &[]);
    let mut stream = TcpStream::connect(running.socket("ws")).expect("it listens");
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is not reset");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("MQTT over WebSocket"), "{answer}");
}
