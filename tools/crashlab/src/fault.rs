//! The faults that a trial can do to a broker.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($name:ident $text:literal $group:ident $about:literal;)+) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $about] $name,)+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Fault] = &[$(Fault::$name,)+];

            /// The word for it on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)+ }
            }

            /// What it does.
            pub fn about(self) -> &'static str {
                match self { $(Fault::$name => $about,)+ }
            }

            /// The group it belongs to.
            pub fn group(self) -> Group {
                match self { $(Fault::$name => Group::$group,)+ }
            }
        }
    };
}

faults! {
    Kill "kill" Process "SIGKILL under load, at a random moment";
    KillTrap "kill-trap" Process
        "SIGKILL some microseconds behind a PUBLISH, PUBREL, SUBSCRIBE, CONNECT or acknowledgement of a client";
    KillStart "kill-start" Process "SIGKILL under load, then again and again while it starts";
    KillFiles "kill-files" Process
        "SIGKILL as soon as a file of its data directory comes, goes or is renamed: flush, compaction, rotation";
    Terminate "terminate" Process "asks it to stop in good order, under load";
    Pause "pause" Process "SIGSTOP under load, up to half a second, then SIGCONT";
    PowerCut "power-cut" Power "killed, and everything that no fsync covers is gone, names too";
    PowerCutSubset "power-cut-subset" Power
        "killed, and of what no fsync covers any subset survives, in any order";
    PowerCutTorn "power-cut-torn" Power "as power-cut-subset, and the last write of a file is torn";
    DiskFull "disk-full" Disk "the disk is full for a while";
    DiskFullKill "disk-full-kill" Disk "the disk is full, the broker is killed, then there is room again";
    WriteError "write-error" Disk "some writes fail with EIO";
    ReadError "read-error" Disk "some reads fail with EIO";
    FsyncOnce "fsync-once" Disk "one fsync fails and what it covered is not written, as on Linux; then the power is cut";
    FsyncForever "fsync-forever" Disk "every fsync fails until the power is cut";
    FsyncSlow "fsync-slow" Disk "every fsync takes 50 ms for a while, then the power is cut";
    NetCut "net-cut" Network "all connections are closed, and new ones for a while as well";
    NetHalfOpen "net-half-open" Network "one end of every connection is gone, and the other does not hear of it";
    NetStall "net-stall" Network "nothing goes through for a while, then everything does";
    NetReset "net-reset" Network "connections are reset in the middle of a packet";
    NetDelay "net-delay" Network "everything takes 20 ms longer for a while";
    SameClient "same-client" Network "strangers connect with client identifiers that are in use";
}

/// Faults that belong together, by what a stage needs for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Signals.
    Process,
    /// Power cuts: the data directory is on the fault file system.
    Power,
    /// Disk faults: likewise.
    Disk,
    /// The network: clients go through the fault proxy.
    Network,
}

impl Fault {
    /// Whether the broker's process ends under load, without a chance to write anything.
    pub fn is_crash(self) -> bool {
        use Fault::{DiskFullKill, FsyncForever, FsyncOnce, FsyncSlow, Kill, KillFiles, KillStart, KillTrap};
        self.is_power_cut()
            || matches!(self, Kill | KillTrap | KillStart | KillFiles)
            || matches!(self, DiskFullKill | FsyncOnce | FsyncForever | FsyncSlow)
    }

    /// Whether the data directory has to be on the fault file system.
    pub fn needs_fault_disk(self) -> bool {
        matches!(self.group(), Group::Power | Group::Disk)
    }

    /// Whether clients have to go through the proxy.
    pub fn needs_proxy(self) -> bool {
        use Fault::{NetCut, NetDelay, NetHalfOpen, NetReset, NetStall};
        matches!(self, NetCut | NetHalfOpen | NetStall | NetReset | NetDelay)
    }

    /// Whether the power is cut.
    pub fn is_power_cut(self) -> bool {
        self.group() == Group::Power
    }

    /// The faults that a word stands for: one, or the group `kills`, `power-cuts`, `disk`, `network` or `all`.
    pub fn parse_word(word: &str) -> Result<Vec<Fault>, String> {
        let of = |wanted: &dyn Fn(Fault) -> bool| {
            Ok(Fault::ALL.iter().copied().filter(|one| wanted(*one)).collect())
        };
        match word {
            "all" => of(&|_| true),
            "kills" => of(&|fault| fault.group() == Group::Process && fault.is_crash()),
            "power-cuts" => of(&|fault| fault.group() == Group::Power),
            "disk" => of(&|fault| fault.group() == Group::Disk),
            "network" => of(&|fault| fault.group() == Group::Network),
            word => word.parse().map(|fault| vec![fault]),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(word: &str) -> Result<Fault, String> {
        let known = Fault::ALL.iter().copied().find(|fault| fault.name() == word);
        known.ok_or_else(|| format!("there is no fault {word:?}; `crashlab list` names them"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[test]
fn words_stand_for_faults_and_groups() {
    assert_eq!(Fault::parse_word("kill"), Ok(vec![Fault::Kill]));
    assert_eq!(Fault::parse_word("power-cuts").map(|faults| faults.len()), Ok(3));
    assert_eq!(Fault::parse_word("kills").map(|faults| faults.len()), Ok(4));
    assert_eq!(Fault::parse_word("all").map(|faults| faults.len()), Ok(Fault::ALL.len()));
    assert!(Fault::parse_word("fire").expect_err("no such fault").contains("crashlab list"));
}
