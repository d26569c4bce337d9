//! A user's program while it runs: what it prints, the signals it gets, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a program may take to say the next thing; generous, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropped, it is killed.
pub(super) struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
    /// Its directory for temporary files, if it was given one.
    _place: Option<TempDir>,
}

impl Program {
    /// Starts `tests/clients/<folder>/<script>` with the interpreter that has the library.
    pub(super) fn start(interpreter: &Path, folder: &str, script: &str, arguments: &[&str]) -> Self {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder);
        let mut command = Command::new(interpreter);
        command.arg(place.join(script)).args(arguments);
        Self::run(&format!("{folder}/{script}"), command)
    }

    /// Starts a command as a user types it.
    pub(super) fn run(name: &str, command: Command) -> Self {
        Self::spawn(name, command, None)
    }

    /// The same, with a directory of its own for temporary files: for one that does not clean up when it is killed.
    pub(super) fn run_in(name: &str, mut command: Command, place: TempDir) -> Self {
        command.env("TMPDIR", place.path());
        Self::spawn(name, command, Some(place))
    }

    fn spawn(name: &str, mut command: Command, place: Option<TempDir>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{name}: {command:?} does not start ({error}); tools/setup/test.sh installs what is missing"
            )
        });
        let lines = read_lines(child.stdout.take().expect("piped above"));
        let errors = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("piped above"), Arc::clone(&errors));
        Self { name: name.to_owned(), child, lines, errors, _place: place }
    }

    /// The next line is `wanted`.
    pub(super) fn expect(&mut self, wanted: &str) {
        let said = self.next_line();
        assert_eq!(said, wanted, "{}: another line than expected; its errors: {}", self.name, self.errors());
    }

    /// The next lines are these, in any order.
    pub(super) fn expect_all(&mut self, wanted: &[&str]) {
        let mut said: Vec<String> = wanted.iter().map(|_| self.next_line()).collect();
        said.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(said, wanted, "{}: other lines than expected", self.name);
    }

    /// Passes over lines until `wanted` comes.
    pub(super) fn wait_for(&mut self, wanted: &str) {
        while self.next_line() != wanted {}
    }

    /// The next line, whatever it is.
    pub(super) fn next_line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{}: said nothing for {PATIENCE:?}; its errors: {}", self.name, self.errors())
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{}: ended without saying more; its errors: {}", self.name, self.errors())
            }
        }
    }

    /// The next line, if it comes within a moment.
    pub(super) fn line_soon(&mut self) -> Option<String> {
        self.lines.recv_timeout(Duration::from_millis(500)).ok()
    }

    /// Nothing more is said for a while: for what must not come, after something that would have come later has.
    pub(super) fn expect_silence(&mut self) {
        if let Some(line) = self.line_soon() {
            panic!("{}: said {line:?} and should have been silent", self.name);
        }
    }

    /// The program ends by itself, content.
    pub(super) fn finish(mut self) {
        let status = self.wait();
        assert!(status.success(), "{}: ended with {status}; its errors: {}", self.name, self.errors());
    }

    /// The program ends by itself, whatever it says of it.
    pub(super) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "{}: does not end; its errors: {}", self.name, self.errors());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Stops it with SIGSTOP: its connection stays, and nobody answers there.
    pub(super) fn stop(&self) {
        let id =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a running child has an id");
        kill_process(id, Signal::STOP).expect("our own child can be stopped");
    }

    fn errors(&self) -> String {
        self.errors.lock().expect("nobody panics with it locked").clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Most have ended by now, and that is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python that has this Paho, as `tools/setup/test.sh` makes it.
pub(super) fn python(name: &str) -> PathBuf {
    let cache = std::env::var_os("BARNACLE_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("a user has a home directory")).join(".cache")
        });
        caches.join("barnacle")
    });
    cache.join("python").join(name).join("bin/python")
}

fn read_lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn collect(output: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut text = into.lock().expect("nobody panics with it locked");
            text.push_str("\n    ");
            text.push_str(&line);
        }
    });
}
