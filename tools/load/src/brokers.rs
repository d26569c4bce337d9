//! Brokers started for a comparison, each with a directory and a port of its own.

use crate::options::{BrokerKind, Comparison};
use crate::{During, LoadError};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A broker that runs until it is dropped.
pub(crate) struct Broker {
    process: Child,
    pub(crate) port: u16,
    /// The command line, and the configuration where there is a file, for the record.
    pub(crate) configuration: String,
    // Removed when the broker is dropped, after the process was reaped.
    _directory: TempDir,
}

impl Broker {
    /// Starts a broker and waits until it accepts connections.
    pub(crate) fn start(kind: BrokerKind, comparison: &Comparison) -> Result<Broker, LoadError> {
        let directory = match &comparison.work_dir {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .during("making a directory for the broker")?;
        let port = free_port()?;
        let (mut command, configuration) = match kind {
            BrokerKind::Barnacle => barnacle(comparison, &directory, port)?,
            BrokerKind::Mosquitto => mosquitto(comparison, &directory, port)?,
        };
        let log = fs::File::create(directory.path().join("broker.log")).during("making the broker's log")?;
        let error_log = log.try_clone().during("making the broker's log")?;
        command.stdin(Stdio::null()).stdout(log).stderr(error_log);
        let process = command.spawn().during("starting the broker")?;
        let mut broker = Broker { process, port, configuration, _directory: directory };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    /// The process identifier, to read its use of the processor.
    pub(crate) fn process_id(&self) -> String {
        self.process.id().to_string()
    }

    fn wait_until_it_listens(&mut self) -> Result<(), LoadError> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait().during("looking after the broker")? {
                let log = fs::read_to_string(self._directory.path().join("broker.log")).unwrap_or_default();
                return Err(LoadError::Unexpected(format!("the broker ended with {status}:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(LoadError::Silence(20, "the broker does not listen".to_owned()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself, which the scenario has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn barnacle(comparison: &Comparison, directory: &TempDir, port: u16) -> Result<(Command, String), LoadError> {
    let binary = match &comparison.barnacle {
        Some(path) => path.clone(),
        None => std::env::current_exe().during("finding this program")?.with_file_name("barnacle"),
    };
    let data: PathBuf = directory.path().join("data");
    let mut command = Command::new(&binary);
    let listen = format!("mqtt://127.0.0.1:{port}");
    command.args(["serve", "--durability", &comparison.durability, "--listen", &listen]);
    command.arg("--data-dir").arg(data);
    Ok((command, format!("barnacle serve --durability {}", comparison.durability)))
}

fn mosquitto(
    comparison: &Comparison,
    directory: &TempDir,
    port: u16,
) -> Result<(Command, String), LoadError> {
    // In memory, without limits: the most that it can do.
    let settings = "persistence false\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n\
                    allow_anonymous true\nlog_type error\n";
    let path = directory.path().join("mosquitto.conf");
    fs::write(&path, format!("{settings}listener {port} 127.0.0.1\n")).during("writing mosquitto.conf")?;
    let mut command = Command::new(&comparison.mosquitto);
    command.arg("-c").arg(path);
    Ok((command, format!("mosquitto with {}", settings.trim_end().replace('\n', ", "))))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, LoadError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).during("looking for a free port")?;
    Ok(listener.local_addr().during("looking for a free port")?.port())
}
