//! The broker as users run it: a process with a data directory and a port.

use crate::profile::{Profile, StopSignal};
use barnacle_wire::{Client, Connect, Disconnect, Packet, Version};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A broker of a profile, on a data directory and an address; it may run or not.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    cleanup: Vec<String>,
    log: PathBuf,
    stop_signal: Signal,
    version: Version,
    ready_patience: Duration,
    /// Where it listens.
    pub address: SocketAddr,
    child: Option<Child>,
}

/// How a process came to be no more.
#[derive(Clone, Copy, Debug)]
pub enum Ended {
    /// By the signal it was sent.
    AsAsked,
    /// By itself, before.
    ByItself(ExitStatus),
}

impl Process {
    /// A broker that keeps its data in `data` and everything else in `work`, and has not been started.
    pub fn new(profile: &Profile, program: &Path, data: &Path, work: &Path) -> Result<Process, String> {
        let problem = |error: io::Error| format!("preparing {}: {error}", profile.name);
        let address = free_address().map_err(problem)?;
        let (port1, port2) = (free_address().map_err(problem)?, free_address().map_err(problem)?);
        let config = work.join("broker.conf");
        let here = std::env::current_exe().unwrap_or_default();
        let values = [
            ("{port}", address.port().to_string()),
            ("{port1}", port1.port().to_string()),
            ("{port2}", port2.port().to_string()),
            ("{data}", data.display().to_string()),
            ("{work}", work.display().to_string()),
            ("{config}", config.display().to_string()),
            ("{here}", here.parent().unwrap_or(Path::new(".")).display().to_string()),
        ];
        let fill = |text: &String| {
            values.iter().fold(text.clone(), |text, (placeholder, value)| text.replace(placeholder, value))
        };
        if let Some(text) = &profile.config {
            fs::write(&config, fill(text)).map_err(problem)?;
        }
        for (path, text) in &profile.files {
            fs::write(work.join(path), fill(text)).map_err(problem)?;
        }
        Ok(Process {
            program: program.to_owned(),
            arguments: profile.command[1..].iter().map(fill).collect(),
            environment: profile
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), fill(value)))
                .collect(),
            cleanup: profile.cleanup.iter().map(fill).collect(),
            log: work.join("broker.log"),
            stop_signal: match profile.stop_signal {
                StopSignal::TERM => Signal::TERM,
                StopSignal::INT => Signal::INT,
                StopSignal::QUIT => Signal::QUIT,
            },
            version: if profile.speaks.v5 { Version::V5 } else { Version::V311 },
            ready_patience: Duration::from_secs(profile.ready_seconds),
            address,
            child: None,
        })
    }

    /// Lets another program start the broker: `taskset -c 0`, say. It must become the broker, so that signals reach it.
    pub fn under(mut self, program: &Path, arguments: &[String]) -> Process {
        let broker = std::mem::replace(&mut self.program, program.to_owned());
        let broker = broker.display().to_string();
        self.arguments = [arguments, &[broker], &self.arguments].concat();
        self
    }

    /// Starts the broker without waiting for it. It gets a process group of its own, so that a script and what it
    /// starts are killed together.
    pub fn start(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "the broker runs already");
        let start = || -> io::Result<Child> {
            let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
            let mut command = Command::new(&self.program);
            command.args(&self.arguments).envs(self.environment.iter().cloned());
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
            command.spawn()
        };
        self.child = Some(start().map_err(|error| format!("starting {}: {error}", self.program.display()))?);
        Ok(())
    }

    /// The process, and its group.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the broker was started"))
    }

    /// Waits until it answers a CONNECT, and says how long that took.
    pub fn wait_until_ready(&mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        while begin.elapsed() < self.ready_patience {
            if self.answers() {
                return Ok(begin.elapsed());
            }
            if let Some(status) = self.ended() {
                return Err(format!("the broker ended by itself ({status}); its log:\n{}", self.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let patience = self.ready_patience;
        Err(format!("the broker does not answer after {patience:?}; its log:\n{}", self.log_tail()))
    }

    /// Whether it accepts a client now.
    pub fn answers(&self) -> bool {
        let Ok(mut client) = Client::open(self.address, self.version) else { return false };
        let sent = client.send(&Connect::new(self.version, "barnacle-probe").encode());
        let is_ready = sent.is_ok()
            && matches!(
                client.read(Duration::from_secs(2)),
                Ok(Packet::ConnAck(connack)) if connack.reason == 0
            );
        // Whether this arrives does not matter: the session ends with the connection.
        let _ = client.send(&Disconnect::default().encode(self.version));
        is_ready
    }

    /// The status of a process that has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// SIGKILL to the whole group, and waits until it is gone.
    pub fn kill(&mut self) -> Result<Ended, String> {
        self.end(Signal::KILL, Duration::from_secs(30))
    }

    /// Asks it to stop in good order, and kills it if it does not.
    pub fn stop(&mut self) -> Result<Ended, String> {
        self.end(self.stop_signal, Duration::from_secs(30))
    }

    /// Sends a signal and nothing more.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process_group(self.pid(), signal).map_err(|error| format!("signalling the broker: {error}"))
    }

    fn end(&mut self, signal: Signal, patience: Duration) -> Result<Ended, String> {
        let pid = self.pid();
        let mut child = self.child.take().expect("the broker was started");
        let before = child.try_wait().map_err(|error| format!("looking after the broker: {error}"))?;
        // Of a group whose leader is gone there may be others.
        let _ = kill_process_group(pid, signal);
        if let Some(status) = before {
            return Ok(Ended::ByItself(status));
        }
        let begin = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if begin.elapsed() < patience => std::thread::sleep(Duration::from_micros(200)),
                Ok(None) => {
                    let _ = kill_process_group(pid, Signal::KILL);
                    let _ = child.wait();
                    return Err(format!("the broker was still there {patience:?} after {signal:?}"));
                }
                Err(error) => return Err(format!("waiting for the broker: {error}")),
            }
        }
        // The leader is gone, and with it, in good order, those that it had started; if not, they go now.
        let _ = kill_process_group(pid, Signal::KILL);
        Ok(Ended::AsAsked)
    }

    /// The last lines that the broker printed.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some() {
            // It may have ended by itself; then there is nothing to end.
            let _ = self.kill();
        }
        if let Some((program, arguments)) = self.cleanup.split_first() {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // Nobody can be told any more if that fails.
            let _ = command.status();
        }
    }
}

/// An address nobody listens on, and that was not given to another broker of this process. Its port is below the ones
/// that the system gives to outgoing connections: a client that knocks on such a port of its own machine again and
/// again would one day connect to itself.
pub fn free_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 9_973).expect("below 9,973");
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        let port = 20_000 + (offset + step) % 10_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr();
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port from 20,000 to 29,999 is free"))
}
