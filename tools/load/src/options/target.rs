//! Which broker: one that is there, or one that is started for the run.

use crate::brokers::{self, Broker, PROFILES};
use crate::client::connection::Endpoint;
use crate::error::LoadError;
use crate::report::output::Output;
use barnacle_wire::Version;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// The broker.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub(crate) struct Target {
    /// Start a broker for the run: the name of a profile (`barnacle-load list`) or the path of one. Without it the broker at
    /// --host and --port is used.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) broker: Option<String>,
    /// Host of a broker that is there.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port of a broker that is there.
    #[arg(long, default_value_t = 1883)]
    pub(crate) port: u16,
    /// User name.
    #[arg(long, requires = "password")]
    pub(crate) username: Option<String>,
    /// Password.
    #[arg(long, requires = "username")]
    pub(crate) password: Option<String>,
    /// Process identifier of a broker that is there, to measure its memory and processor time.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// The program of the profile, if it is not found by its name.
    #[arg(long)]
    pub(crate) program: Option<PathBuf>,
    /// Processors for a broker that is started, as `taskset` takes them: `0` or `0,1`.
    #[arg(long)]
    pub(crate) cpus: Option<String>,
    /// Processors for this program.
    #[arg(long)]
    pub(crate) load_cpus: Option<String>,
    /// Where a broker that is started keeps its data; without it the system's temporary directory.
    #[arg(long)]
    pub(crate) work_dir: Option<PathBuf>,
    /// Protocol version.
    #[arg(long = "protocol", value_enum, default_value_t = Protocol::V311)]
    pub(crate) protocol: Protocol,
    /// Threads of this program. One, where it shares the machine with the broker.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Give up when nothing happens for this many seconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// MQTT 3.1.1
    #[value(name = "3.1.1", alias = "4")]
    V311,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

impl Protocol {
    fn version(self) -> Version {
        match self {
            Protocol::V311 => Version::V311,
            Protocol::V5 => Version::V5,
        }
    }
}

impl Target {
    /// A broker with nothing in it that was started for this; or the one that is there, with whatever it has.
    pub(crate) fn fresh(&self, output: &Output) -> Result<Broker, LoadError> {
        let Some(name) = &self.broker else {
            return Ok(Broker::there(self.endpoint(self.port), self.pid));
        };
        let profile = PROFILES.load(name)?;
        if self.protocol == Protocol::V5 && !profile.speaks.v5 {
            return Err(LoadError::Senseless(format!("{name} does not speak MQTT 5.0")));
        }
        output.progress.say(&format!("starting {name}"));
        Broker::start(&profile, self)
    }

    /// What the broker is, or is started with.
    pub(crate) fn configuration(&self) -> Result<String, LoadError> {
        match &self.broker {
            Some(name) => Ok(brokers::configuration(&PROFILES.load(name)?)),
            None => Ok(format!("{}:{}: it was there", self.host, self.port)),
        }
    }

    /// How the broker on `port` is spoken to.
    pub(crate) fn endpoint(&self, port: u16) -> Endpoint {
        Endpoint {
            host: if self.broker.is_some() { "127.0.0.1".to_owned() } else { self.host.clone() },
            port,
            version: self.protocol.version(),
            credentials: self.username.clone().zip(self.password.clone()),
            patience: Duration::from_secs(self.patience),
        }
    }
}
