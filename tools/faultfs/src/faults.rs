//! The switches: what fails, how often and where; and the counts of what hit. Usable from any thread while mounted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Not at all: switched off.
    Never,
    /// The next so many operations that it applies to.
    Next(u64),
    /// Until it is switched off.
    Forever,
}

/// Which files a fault applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// All of them.
    All,
    /// Those whose path below the mount point (`/db/000012.log`) ends with this.
    EndingWith(String),
}

impl Paths {
    fn include(&self, path: impl FnOnce() -> String) -> bool {
        match self {
            Paths::All => true,
            Paths::EndingWith(ending) => path().ends_with(ending.as_str()),
        }
    }
}

/// What becomes of data whose fsync has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailedFsync {
    /// Linux's way: the data counts as written though it is not. It can be read as long as the file system is mounted; a
    /// later fsync returns success and does not cover it.
    Dropped,
    /// It stays pending, and a later fsync covers it.
    Kept,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Read,
    Write,
    Fsync,
}

struct Rule {
    times: Times,
    on: Paths,
}

struct Switches {
    rules: [Rule; 3],
    delay: Duration,
    after_failed_fsync: AfterFailedFsync,
}

/// What hit since the mount.
#[derive(Default)]
struct Hits {
    reads: AtomicU64,
    writes: AtomicU64,
    fsyncs: AtomicU64,
    no_space: AtomicU64,
    delays: AtomicU64,
}

/// How often each fault has hit since the mount: a trial whose faults hit nothing has shown nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Reads answered with EIO.
    pub reads: u64,
    /// Writes, truncations and allocations answered with EIO.
    pub writes: u64,
    /// Fsyncs, of files and directories, answered with EIO.
    pub fsyncs: u64,
    /// Writes and allocations cut short by, or answered with, ENOSPC.
    pub no_space: u64,
    /// Fsyncs that were delayed.
    pub delays: u64,
}

/// The switches of a mounted file system. Everything is off at first.
pub struct Faults {
    switches: Mutex<Switches>,
    changed: Condvar,
    /// Whether any rule is on: what each operation looks at.
    armed: [AtomicBool; 3],
    /// `u64::MAX` for none.
    capacity: AtomicU64,
    hits: Hits,
}

impl Faults {
    pub(crate) fn new() -> Faults {
        let off = || Rule { times: Times::Never, on: Paths::All };
        Faults {
            switches: Mutex::new(Switches {
                rules: [off(), off(), off()],
                delay: Duration::ZERO,
                after_failed_fsync: AfterFailedFsync::Dropped,
            }),
            changed: Condvar::new(),
            armed: Default::default(),
            capacity: AtomicU64::new(u64::MAX),
            hits: Hits::default(),
        }
    }

    /// Pretends that the file system has room for this many bytes; `None` for as many as the one below it. `statfs` says
    /// so, and what does not fit gets ENOSPC, after the part that fits has been written. May be less than what is in use.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.capacity.store(bytes.unwrap_or(u64::MAX), Relaxed);
    }

    /// The pretended capacity in bytes.
    pub fn capacity(&self) -> Option<u64> {
        Some(self.capacity.load(Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    /// Answers reads with EIO.
    pub fn fail_reads(&self, times: Times, on: Paths) {
        self.set(Kind::Read, times, on);
    }

    /// Answers writes, truncations and allocations with EIO; nothing of them happens.
    pub fn fail_writes(&self, times: Times, on: Paths) {
        self.set(Kind::Write, times, on);
    }

    /// Answers fsync and fdatasync, of files and of directories, with EIO. A directory's path ends with its name.
    pub fn fail_fsync(&self, times: Times, on: Paths) {
        self.set(Kind::Fsync, times, on);
    }

    /// What becomes of data whose fsync fails; [`AfterFailedFsync::Dropped`] at first.
    pub fn set_after_failed_fsync(&self, fate: AfterFailedFsync) {
        self.switches.lock().after_failed_fsync = fate;
    }

    /// Lets every fsync take this long, counted from when it came: to shorten it frees those that wait. A process
    /// that is killed while its fsync waits is gone only when that has been answered.
    pub fn delay_fsync(&self, delay: Duration) {
        self.switches.lock().delay = delay;
        self.changed.notify_all();
    }

    /// Switches everything off, capacity included.
    pub fn clear(&self) {
        for kind in [Kind::Read, Kind::Write, Kind::Fsync] {
            self.set(kind, Times::Never, Paths::All);
        }
        self.set_after_failed_fsync(AfterFailedFsync::Dropped);
        self.delay_fsync(Duration::ZERO);
        self.set_capacity(None);
    }

    /// How often each fault has hit since the mount.
    pub fn counts(&self) -> FaultCounts {
        FaultCounts {
            reads: self.hits.reads.load(Relaxed),
            writes: self.hits.writes.load(Relaxed),
            fsyncs: self.hits.fsyncs.load(Relaxed),
            no_space: self.hits.no_space.load(Relaxed),
            delays: self.hits.delays.load(Relaxed),
        }
    }

    fn set(&self, kind: Kind, times: Times, on: Paths) {
        let mut switches = self.switches.lock();
        switches.rules[kind as usize] = Rule { times, on };
        self.armed[kind as usize].store(!matches!(times, Times::Never | Times::Next(0)), Relaxed);
    }

    /// Whether this operation fails. The path is asked for only where it matters.
    pub(crate) fn hits(&self, kind: Kind, path: impl FnOnce() -> String) -> bool {
        if !self.armed[kind as usize].load(Relaxed) {
            return false;
        }
        let mut switches = self.switches.lock();
        let rule = &mut switches.rules[kind as usize];
        if matches!(rule.times, Times::Never | Times::Next(0)) || !rule.on.include(path) {
            return false;
        }
        if let Times::Next(left) = &mut rule.times {
            *left -= 1;
        }
        let counter = match kind {
            Kind::Read => &self.hits.reads,
            Kind::Write => &self.hits.writes,
            Kind::Fsync => &self.hits.fsyncs,
        };
        counter.fetch_add(1, Relaxed);
        true
    }

    pub(crate) fn ran_out_of_space(&self) {
        self.hits.no_space.fetch_add(1, Relaxed);
    }

    pub(crate) fn after_failed_fsync(&self) -> AfterFailedFsync {
        self.switches.lock().after_failed_fsync
    }

    /// Waits as long as an fsync is to be delayed.
    pub(crate) fn wait(&self) {
        let mut switches = self.switches.lock();
        if switches.delay.is_zero() {
            return;
        }
        self.hits.delays.fetch_add(1, Relaxed);
        let came = Instant::now();
        while came.elapsed() < switches.delay {
            let until = came + switches.delay;
            self.changed.wait_until(&mut switches, until);
        }
    }
}
