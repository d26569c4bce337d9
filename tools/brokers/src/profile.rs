//! Profiles: how a broker is started, where it keeps its data, and what it is said to understand.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A broker, as a TOML file describes it.
///
/// In `command`, `environment` and `config` these stand for what the broker is given: `{port}` where it must
/// listen for MQTT on 127.0.0.1, `{port1}` and `{port2}` two more free ports, `{data}` the directory whose disk fails,
/// `{work}` a directory whose disk does not, `{config}` the file that holds `config`, `{here}` where the program itself is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name in reports.
    #[serde(default)]
    pub name: String,
    /// What is special about it, in a line.
    #[serde(default)]
    pub about: String,
    /// The program and its arguments. It is looked for beside the program that starts it first, then in the search path.
    pub command: Vec<String>,
    /// A command that prints the version; its first line stands in the report.
    #[serde(default)]
    pub version: Vec<String>,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The text of a configuration file.
    #[serde(default)]
    pub config: Option<String>,
    /// More files, by their path below `{work}`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// A command that runs when the broker is not needed any more, for what a broker leaves behind.
    #[serde(default)]
    pub cleanup: Vec<String>,
    /// How long it may take until it answers a CONNECT, in seconds.
    #[serde(default = "ready_seconds")]
    pub ready_seconds: u64,
    /// The signal that asks it to stop in good order.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// What it understands.
    #[serde(default)]
    pub speaks: Speaks,
}

/// The signal that asks a broker to stop.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM
    #[default]
    TERM,
    /// SIGINT
    INT,
    /// SIGQUIT
    QUIT,
}

/// What a broker is said to understand: nothing else is asked of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speaks {
    /// MQTT 5.0 beside 3.1.1.
    pub v5: bool,
    /// The highest QoS, 1 or 2.
    pub qos: u8,
    /// Retained messages.
    pub retained: bool,
    /// Wills.
    pub wills: bool,
    /// Shared subscriptions.
    pub shared: bool,
    /// Wills of clients that were connected when the broker died are published after its restart. The standard leaves
    /// that open.
    pub wills_after_crash: bool,
    /// A session ends when its Session Expiry Interval has passed, to a fraction of a second; the time in which the broker
    /// is down counts.
    pub session_expiry: bool,
    /// What a member of a shared subscription leaves at QoS 1 when its session ends goes to another member, which the
    /// standard recommends and does not demand.
    pub shared_hands_on: bool,
}

impl Default for Speaks {
    fn default() -> Speaks {
        Speaks {
            v5: true,
            qos: 2,
            retained: true,
            wills: true,
            wills_after_crash: false,
            shared: true,
            session_expiry: true,
            shared_hands_on: false,
        }
    }
}

fn ready_seconds() -> u64 {
    30
}

/// The profiles that come with a program.
#[derive(Clone, Copy, Debug)]
pub struct Shelf {
    /// Names and texts.
    pub profiles: &'static [(&'static str, &'static str)],
}

impl Shelf {
    /// The names of the profiles.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.profiles.iter().map(|(name, _)| *name)
    }

    /// The text of a profile.
    pub fn text(&self, name: &str) -> Option<&'static str> {
        self.profiles.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The profile of that name, or in that file.
    pub fn load(&self, name: &str) -> Result<Profile, ProfileError> {
        if let Some(text) = self.text(name) {
            return Profile::parse(name, text);
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(ProfileError::Unknown(name.to_owned()));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| ProfileError::Unreadable(path.into(), error))?;
        Profile::parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text)
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is none of that name, and no such file.
    #[error("there is no profile {0:?}, and no such file; the command `list` names the profiles")]
    Unknown(String),
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is no profile.
    #[error("{0}: {1}")]
    Malformed(String, Box<toml::de::Error>),
    /// A value makes no sense.
    #[error("{0}: {1}")]
    Senseless(String, &'static str),
    /// The program is not there.
    #[error("{0}: there is no program {1:?}, neither beside this one nor in the search path; {2}")]
    NoProgram(String, String, &'static str),
}

impl Profile {
    /// A profile from its text; `name` is the one it has if it says none.
    pub fn parse(name: &str, text: &str) -> Result<Profile, ProfileError> {
        let mut profile: Profile = toml::from_str(text)
            .map_err(|error| ProfileError::Malformed(name.to_owned(), Box::new(error)))?;
        if profile.name.is_empty() {
            name.clone_into(&mut profile.name);
        }
        let senseless = |what| Err(ProfileError::Senseless(profile.name.clone(), what));
        if profile.command.is_empty() {
            return senseless("`command` is empty");
        }
        if !(1..=2).contains(&profile.speaks.qos) {
            return senseless("`speaks.qos` is 1 or 2: at QoS 0 nothing is acknowledged");
        }
        if profile.config.is_none() && profile.command.iter().any(|word| word.contains("{config}")) {
            return senseless("`command` names {config}, and there is no `config`");
        }
        Ok(profile)
    }

    /// Where its program is.
    pub fn program(&self) -> Result<PathBuf, ProfileError> {
        let missing = |name: &str| {
            ProfileError::NoProgram(
                self.name.clone(),
                name.to_owned(),
                "install it, or name it with --program",
            )
        };
        find_program(&self.command[0]).ok_or_else(|| missing(&self.command[0]))
    }

    /// What it says about its version, or nothing.
    pub fn version_line(&self) -> String {
        let Some((program, arguments)) = self.version.split_first() else { return String::new() };
        let program = if *program == self.command[0] { self.program().ok() } else { find_program(program) };
        let output =
            program.and_then(|program| std::process::Command::new(program).args(arguments).output().ok());
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}

/// Beside this program, then in the search path, and where Debian keeps servers.
fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(|folder| folder.join(name)));
    // A test binary stands one folder below the programs.
    let above = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>();
    let servers = ["/usr/sbin", "/usr/lib/rabbitmq/bin"].map(|folder| Path::new(folder).join(name));
    beside.into_iter().chain(above).chain(folders).chain(servers).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_that_make_no_sense_are_refused_by_name() {
        for (text, says) in [
            ("command = []", "`command` is empty"),
            ("command = ['x']\n[speaks]\nqos = 0", "QoS 0"),
            ("command = ['x', '{config}']", "no `config`"),
            ("command = ['x']\nport = 1883", "unknown field"),
        ] {
            let error = Profile::parse("mine", text).expect_err(says).to_string();
            assert!(error.starts_with("mine: ") && error.contains(says), "{error}");
        }
        let shelf = Shelf { profiles: &[("mine", "command = ['x']")] };
        assert!(shelf.load("mine").is_ok_and(|profile| profile.name == "mine"));
        assert!(matches!(shelf.load("no-such"), Err(ProfileError::Unknown(_))));
    }
}
