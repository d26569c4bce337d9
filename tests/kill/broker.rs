//! The broker as users run it: a process with a data directory and a port.

use std::fs::OpenOptions;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A data directory and an address; the broker on them may run or not.
#[derive(Debug)]
pub(crate) struct Broker {
    directory: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    options: Vec<String>,
    process: Option<Child>,
}

impl Broker {
    /// A broker that keeps everything in `directory` and has not been started.
    pub(crate) fn new(directory: &Path, options: &[&str]) -> io::Result<Broker> {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Ok(Broker { directory: directory.to_owned(), address: free_address()?, options, process: None })
    }

    /// The command that runs the broker, behind `wrapper`, a program with arguments that starts what follows them.
    pub(crate) fn start_behind(&mut self, wrapper: &[&str]) -> io::Result<()> {
        assert!(self.process.is_none(), "the broker runs already");
        let mut words = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_barnacle")]);
        let mut command = Command::new(words.next().expect("at least the broker itself"));
        command.args(words);
        command.args(["serve", "--listen", &format!("mqtt://{}", self.address)]);
        command.arg("--data-dir").arg(self.directory.join("data")).args(&self.options);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn()?);
        Ok(())
    }

    /// Starts the broker without waiting for it.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.start_behind(&[])
    }

    /// Whether it accepts connections.
    pub(crate) fn listens(&self) -> bool {
        TcpStream::connect(self.address).is_ok()
    }

    /// Waits until it accepts connections, and says how long that took.
    pub(crate) fn wait_until_it_listens(&mut self, patience: Duration) -> Result<Duration, String> {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if self.listens() {
                return Ok(begin.elapsed());
            }
            let process = self.process.as_mut().expect("the broker was started");
            match process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                ended => {
                    return Err(format!(
                        "the broker ended by itself: {ended:?}; its log:\n{}",
                        self.log_tail()
                    ));
                }
            }
        }
        Err(format!("the broker does not listen after {patience:?}; its log:\n{}", self.log_tail()))
    }

    /// SIGKILL. Errs if it had ended by itself before.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        let mut process = self.process.take().expect("the broker was started");
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("the broker ended by itself with {status}; its log:\n{}", self.log_tail()));
        }
        process
            .kill()
            .and_then(|()| process.wait())
            .map_err(|error| format!("killing the broker: {error}"))?;
        Ok(())
    }

    /// The last lines that the broker printed.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("broker.log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; then there is nothing to end.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// An address nobody listens on. Its port is below the ones that the system gives to outgoing connections: a client
/// that knocks on such a port of its own machine again and again would one day connect to itself.
fn free_address() -> io::Result<SocketAddr> {
    let first = 20_000 + std::process::id() % 10_000;
    for step in 0..10_000 {
        let port = u16::try_from(20_000 + (first - 20_000 + step) % 10_000).expect("below 30,000");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr();
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port from 20,000 to 29,999 is free"))
}
