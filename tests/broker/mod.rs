//! The broker under test: the real binary on ports and a data directory of its own.
//!
//! A [`Setup`] says how it is started; a [`Broker`] is what runs. Dropped, it is killed; its log is shown if the test
//! failed, and a panic anywhere in it fails the test.

mod ports;
mod process;
pub(crate) mod store;

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Client, ConnAck, Connect, Version};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) use ports::free_port;

/// How long a start and an orderly end may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where standard error goes.
const LOG: &str = "broker.log";
/// Where standard output goes.
const OUTPUT: &str = "broker.out";

/// The broker's binary.
const BINARY: &str = env!("CARGO_BIN_EXE_barnacle");

/// How a broker is started.
pub(crate) struct Setup {
    ports: Vec<u16>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Another program that starts the broker, and its arguments.
    under: Vec<String>,
    /// Held as long as the default ports are ours: tests in other threads and processes wait for it.
    _default_ports: Option<File>,
}

impl Setup {
    /// MQTT over TCP on a free port of 127.0.0.1.
    pub(crate) fn new() -> Self {
        let port = free_port();
        let mut setup = Self::with_ports(vec![port]);
        setup.listen(format!("mqtt://127.0.0.1:{port}"));
        setup
    }

    /// MQTT over WebSocket on a free port, path `/mqtt`, as well.
    pub(crate) fn websocket(mut self) -> Self {
        let port = free_port();
        self.ports.push(port);
        self.listen(format!("ws://127.0.0.1:{port}/mqtt"));
        self
    }

    /// A further argument of `barnacle serve`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A setting, by its key: `limits.connect_timeout_seconds`.
    pub(crate) fn setting(mut self, key: &str, value: &str) -> Self {
        let variable = format!("BARNACLE_{}", key.replace('.', "_").to_ascii_uppercase());
        self.environment.push((variable, value.to_owned()));
        self
    }

    /// Another program that starts the broker, and its arguments before the broker's own. It must become the broker, so
    /// that signals reach it.
    pub(crate) fn under(mut self, program: &str, arguments: Vec<String>) -> Self {
        self.under = [vec![program.to_owned()], arguments].concat();
        self
    }

    /// Starts the broker with an empty data directory and waits until it listens.
    pub(crate) fn start(self) -> Broker {
        self.start_in(TempDir::new().expect("a temporary directory can be made"))
    }

    /// The same, with its data directory and its log in this one.
    pub(crate) fn start_in(self, directory: TempDir) -> Broker {
        let child = self.spawn(directory.path());
        let mut broker = Broker { setup: self, child, directory };
        broker.wait_until_listening();
        broker
    }

    fn with_ports(ports: Vec<u16>) -> Self {
        let (arguments, environment, under) = (Vec::new(), Vec::new(), Vec::new());
        Self { ports, arguments, environment, under, _default_ports: None }
    }

    fn listen(&mut self, url: String) {
        self.arguments.extend(["--listen".to_owned(), url]);
    }

    fn spawn(&self, directory: &Path) -> Child {
        let mut command = match self.under.split_first() {
            None => barnacle(),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(BINARY);
                undisturbed(command)
            }
        };
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.join("data"))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append(directory, OUTPUT))
            .stderr(append(directory, LOG))
            .spawn()
            .expect("the broker's binary was built with this test")
    }
}

/// The broker's binary, undisturbed by what the environment sets.
pub(crate) fn barnacle() -> Command {
    undisturbed(Command::new(BINARY))
}

fn undisturbed(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BARNACLE_")) {
        command.env_remove(name);
    }
    command
}

/// A running broker.
pub(crate) struct Broker {
    setup: Setup,
    child: Child,
    directory: TempDir,
}

impl Broker {
    /// A broker with nothing but defaults, on a free port.
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// A broker with nothing but defaults, on 1883 and 8083, for programs that say so. Waits until no other test has
    /// them.
    pub(crate) fn on_default_ports() -> Self {
        let default_ports = Some(ports::hold_default());
        Setup { _default_ports: default_ports, ..Setup::with_ports(ports::DEFAULT.to_vec()) }.start()
    }

    /// Where MQTT over TCP is.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.setup.ports[0]).into()
    }

    /// Where MQTT over WebSocket is, of a broker that was set up with it.
    pub(crate) fn websocket_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.setup.ports[1]).into()
    }

    /// Its data directory.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still the process that was started.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be waited for").is_none()
    }

    /// What it wrote to standard error, over all its starts.
    pub(crate) fn log(&self) -> String {
        read(self.directory.path(), LOG)
    }

    /// What it wrote to standard output, over all its starts.
    pub(crate) fn output(&self) -> String {
        read(self.directory.path(), OUTPUT)
    }

    /// Ends it with SIGKILL: nothing can be written or said on the way.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.send_terminate();
        self.wait()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the broker does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end with SIGTERM.
    pub(crate) fn send_terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our own child can be signalled");
    }

    /// Starts it again on the data that is there. Returns how long it took until it listened.
    pub(crate) fn start_again(&mut self) -> Duration {
        let begun = Instant::now();
        self.child = self.setup.spawn(self.directory.path());
        self.wait_until_listening();
        begun.elapsed()
    }

    /// Starts it on the data that is there, set up in another way.
    pub(crate) fn start_again_as(&mut self, setup: Setup) {
        self.setup = setup;
        self.start_again();
    }

    /// SIGKILL, then another start.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        process::resident_bytes(self.process_id())
    }

    /// Bytes handed to `write` and its kin since the start.
    pub(crate) fn written_bytes(&self) -> u64 {
        process::written_bytes(self.process_id())
    }

    /// A connection that was let in, and what CONNACK said.
    #[track_caller]
    pub(crate) fn connect(&self, connect: &Connect) -> (Client, ConnAck) {
        let (client, connack) = Client::connect(self.address(), connect).expect("the broker listens");
        assert_eq!(connack.reason, 0, "CONNACK refuses {:?}", connect.client_id);
        (client, connack)
    }

    /// A connection whose session ends with it.
    #[track_caller]
    pub(crate) fn client(&self, version: Version, client_id: &str) -> Client {
        self.connect(&Connect::new(version, client_id)).0
    }

    /// A connection whose session outlives it, made now: Session Present must be 0.
    #[track_caller]
    pub(crate) fn new_session(&self, version: Version, client_id: &str) -> Client {
        let (client, connack) = self.connect(&Connect::persistent(version, client_id));
        assert!(!connack.session_present, "{client_id} has a session before it made one");
        client
    }

    /// A connection to the session that is there: Session Present must be 1.
    #[track_caller]
    pub(crate) fn resume(&self, version: Version, client_id: &str) -> Client {
        let (client, connack) = self.connect(&Connect::persistent(version, client_id));
        assert!(connack.session_present, "the session of {client_id} is gone");
        client
    }

    fn wait_until_listening(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for port in self.setup.ports.clone() {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                    panic!("the broker ended at start, {status}");
                }
                assert!(Instant::now() < deadline, "the broker does not listen on port {port}");
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have been killed already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(200)..];
            eprintln!("--- the end of the broker's log\n{}\n---", last.join("\n"));
        } else {
            assert!(!log.contains("panicked at"), "the broker panicked:\n{log}");
        }
    }
}

fn append(directory: &Path, name: &str) -> File {
    let file = OpenOptions::new().create(true).append(true).open(directory.join(name));
    file.expect("the file is in a directory of our own")
}

fn read(directory: &Path, name: &str) -> String {
    let bytes = fs::read(directory.join(name)).expect("the file was made when the broker was started");
    String::from_utf8_lossy(&bytes).into_owned()
}
