//! What the system gives to a run: processors by `taskset`, and as many open files as it allows.

use crate::error::{During, LoadError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Moves all threads of this process to the processors in `list` ("0", "0,1", "2-3").
pub(crate) fn pin_this_process(list: &str) -> Result<(), LoadError> {
    let mut command = Command::new(taskset());
    command.args(["-a", "-p", "-c", list, &std::process::id().to_string()]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().during("running taskset")?;
    if status.success() {
        return Ok(());
    }
    Err(LoadError::Senseless(format!("taskset does not know the processors {list:?}")))
}

/// The program that starts another one on chosen processors.
pub(crate) fn taskset() -> PathBuf {
    PathBuf::from("taskset")
}

/// The processors that this process may use, as `taskset` writes them.
pub(crate) fn allowed_processors() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

/// Raises the limit of open files to the most that this user may have. Brokers started from here inherit it.
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where that is refused, the limit stays what it was, and a connection too many says so.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}
