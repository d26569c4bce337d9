//! Brokers started for a comparison, each with a directory and a port of its own.

use crate::options::{BrokerKind, Programs};
use crate::{During, LoadError};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker that runs until it is dropped.
pub(crate) struct Broker {
    command: Command,
    process: Child,
    pub(crate) port: u16,
    /// The command line, and the configuration where there is a file, for the record.
    pub(crate) configuration: String,
    // Removed when the broker is dropped, after the process was reaped.
    directory: TempDir,
}

impl Broker {
    /// Starts a broker and waits until it accepts connections.
    pub(crate) fn start(kind: BrokerKind, programs: &Programs) -> Result<Broker, LoadError> {
        let directory = match &programs.work_dir {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .during("making a directory for the broker")?;
        let port = free_port()?;
        let (mut command, configuration) = match kind {
            BrokerKind::Barnacle => barnacle(programs, &directory, port)?,
            BrokerKind::Mosquitto => mosquitto(programs, &directory, port)?,
        };
        let log = fs::File::create(directory.path().join("broker.log")).during("making the broker's log")?;
        let error_log = log.try_clone().during("making the broker's log")?;
        command.stdin(Stdio::null()).stdout(log).stderr(error_log);
        let process = command.spawn().during("starting the broker")?;
        let mut broker = Broker { command, process, port, configuration, directory };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    /// Kills the broker (SIGKILL) and starts it again on what it left. Returns how long it took to listen.
    pub(crate) fn kill_and_start_again(&mut self) -> Result<Duration, LoadError> {
        self.process.kill().during("killing the broker")?;
        self.process.wait().during("waiting for the broker's end")?;
        let begin = Instant::now();
        self.process = self.command.spawn().during("starting the broker again")?;
        self.wait_until_it_listens()?;
        Ok(begin.elapsed())
    }

    /// Bytes of all files that the broker keeps.
    pub(crate) fn disk_bytes(&self) -> u64 {
        fn below(directory: &std::path::Path) -> u64 {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let size = |entry: fs::DirEntry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => below(&entry.path()),
                // A file that went while we looked takes no space.
                metadata => metadata.map_or(0, |metadata| metadata.len()),
            };
            entries.map(size).sum()
        }
        below(self.directory.path())
    }

    /// The process identifier, to read its use of the processor.
    pub(crate) fn process_id(&self) -> String {
        self.process.id().to_string()
    }

    fn wait_until_it_listens(&mut self) -> Result<(), LoadError> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait().during("looking after the broker")? {
                let log = fs::read_to_string(self.directory.path().join("broker.log")).unwrap_or_default();
                return Err(LoadError::Unexpected(format!("the broker ended with {status}:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(LoadError::Silence(PATIENCE.as_secs(), "the broker does not listen".to_owned()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself, which the scenario has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn barnacle(programs: &Programs, directory: &TempDir, port: u16) -> Result<(Command, String), LoadError> {
    let binary = match &programs.barnacle {
        Some(path) => path.clone(),
        None => std::env::current_exe().during("finding this program")?.with_file_name("barnacle"),
    };
    let data: PathBuf = directory.path().join("data");
    let mut command = Command::new(&binary);
    let listen = format!("mqtt://127.0.0.1:{port}");
    command.args(["serve", "--durability", &programs.durability, "--listen", &listen]);
    command.arg("--data-dir").arg(data);
    Ok((command, format!("barnacle serve --durability {}", programs.durability)))
}

fn mosquitto(programs: &Programs, directory: &TempDir, port: u16) -> Result<(Command, String), LoadError> {
    // In memory, without limits: the most that it can do.
    let settings = "persistence false\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n\
                    allow_anonymous true\nlog_type error\n";
    let path = directory.path().join("mosquitto.conf");
    fs::write(&path, format!("{settings}listener {port} 127.0.0.1\n")).during("writing mosquitto.conf")?;
    let mut command = Command::new(&programs.mosquitto);
    command.arg("-c").arg(path);
    Ok((command, format!("mosquitto with {}", settings.trim_end().replace('\n', ", "))))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, LoadError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).during("looking for a free port")?;
    Ok(listener.local_addr().during("looking for a free port")?.port())
}
