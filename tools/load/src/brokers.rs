//! The broker of a run: started by a profile with a directory and a port of its own, or one that is there.

use crate::client::connection::Endpoint;
use crate::error::{During, LoadError};
use crate::measure::pinning;
use crate::measure::usage::Usage;
use crate::measure::watch::disk_bytes;
use crate::options::target::Target;
use barnacle_brokers::{Process, Profile, Shelf};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The profiles that come with the program: each broker with what makes it fastest, and no limits.
pub(crate) const PROFILES: Shelf = Shelf {
    profiles: &[
        ("barnacle", include_str!("../profiles/barnacle.toml")),
        ("barnacle-interval", include_str!("../profiles/barnacle-interval.toml")),
        ("barnacle-os", include_str!("../profiles/barnacle-os.toml")),
        ("mosquitto", include_str!("../profiles/mosquitto.toml")),
        ("mosquitto-persistence", include_str!("../profiles/mosquitto-persistence.toml")),
        ("nats", include_str!("../profiles/nats.toml")),
        ("rabbitmq", include_str!("../profiles/rabbitmq.toml")),
    ],
};

/// A broker. One that was started runs until this is dropped.
pub(crate) struct Broker {
    /// The profile's name, or where it is.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    // Ended before its directory goes.
    process: Option<Process>,
    process_id: Option<u32>,
    directory: Option<TempDir>,
}

impl Broker {
    /// A broker that somebody else started.
    pub(crate) fn there(endpoint: Endpoint, process_id: Option<u32>) -> Broker {
        let name = format!("{}:{}", endpoint.host, endpoint.port);
        Broker { name, endpoint, process: None, process_id, directory: None }
    }

    /// Starts a broker and waits until it answers.
    pub(crate) fn start(profile: &Profile, target: &Target) -> Result<Broker, LoadError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("barnacle-load-");
        let directory = match &target.work_dir {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let directory = directory.during("making a directory for the broker")?;
        let (data, work) = (directory.path().join("data"), directory.path().join("work"));
        fs::create_dir(&data)
            .and_then(|()| fs::create_dir(&work))
            .during("making a directory for the broker")?;
        let program = match &target.program {
            Some(program) => program.clone(),
            None => profile.program()?,
        };
        let mut process = Process::new(profile, &program, &data, &work).map_err(LoadError::Broker)?;
        // The broker does not inherit where the load was moved to.
        if let Some(processors) = target.cpus.clone().or_else(|| every_processor(target)) {
            process = process.under(&pinning::taskset(), &["-c".to_owned(), processors]);
        }
        process.start().map_err(LoadError::Broker)?;
        process.wait_until_ready().map_err(LoadError::Broker)?;
        let endpoint = target.endpoint(process.address.port());
        Ok(Broker {
            name: profile.name.clone(),
            endpoint,
            process: Some(process),
            process_id: None,
            directory: Some(directory),
        })
    }

    /// Kills the broker (SIGKILL) and starts it again on what it left. Returns how long it took until a CONNECT was answered.
    pub(crate) fn kill_and_start_again(&mut self) -> Result<Duration, LoadError> {
        let Some(process) = &mut self.process else {
            let what =
                "only a broker that was started by this program (--broker) can be killed and started again";
            return Err(LoadError::Senseless(what.to_owned()));
        };
        process.kill().map_err(LoadError::Broker)?;
        let begin = Instant::now();
        process.start().map_err(LoadError::Broker)?;
        process.wait_until_ready().map_err(LoadError::Broker)?;
        Ok(begin.elapsed())
    }

    /// What looks after its process; nothing for a broker that is there and whose process nobody named.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let of_process =
            self.process.as_ref().map(|process| process.pid().as_raw_nonzero().get().unsigned_abs());
        of_process.or(self.process_id).map(Usage::of_group)
    }

    /// The same, where nothing can be measured without it.
    pub(crate) fn needed_usage(&self) -> Result<Usage, LoadError> {
        let missing = "memory and disk of a broker that is there are measured only with its --pid, or start one with --broker";
        self.usage().ok_or_else(|| LoadError::Senseless(missing.to_owned()))
    }

    /// Where a broker that was started keeps its data.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.path().join("data"))
    }

    /// Bytes of all files that the broker keeps; 0 if nobody knows where they are.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.data().map_or(0, |data| disk_bytes(&data))
    }
}

/// All processors that there are, if this program was moved to some of them.
fn every_processor(target: &Target) -> Option<String> {
    target.load_cpus.as_ref()?;
    let count = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    Some(count.trim().to_owned())
}

/// Command line, environment and configuration file in one line.
pub(crate) fn configuration(profile: &Profile) -> String {
    let environment = profile.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let command = environment.chain(profile.command.iter().cloned()).collect::<Vec<_>>().join(" ");
    let config = profile.config.iter().flat_map(|text| text.lines()).map(str::trim);
    let config = config.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ");
    let version = profile.version_line();
    let parts = [profile.name.clone(), version, profile.about.clone(), command, config];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::{PROFILES, configuration};

    #[test]
    fn every_shipped_profile_is_one() {
        for name in PROFILES.names() {
            let profile = PROFILES.load(name).expect(name);
            assert_eq!(profile.name, name);
            assert!(!profile.about.is_empty(), "{name} says nothing about itself");
            assert!(configuration(&profile).contains(&profile.command[0]), "{name}");
        }
    }
}
