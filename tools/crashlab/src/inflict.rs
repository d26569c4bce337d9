//! How each fault is done.

use crate::fault::Fault;
use crate::store::Store;
use crate::trap::Point;
use barnacle_faultfs::{Cut, Paths, Times};
use barnacle_wire::{Client, Connect, Version};
use rustix::process::Signal;
use std::time::{Duration, Instant};

impl Store<'_> {
    /// Does it, and sees that the broker serves again. False, and a finding, if it does not.
    pub(crate) fn inflict(&mut self, fault: Fault) -> Result<bool, String> {
        self.mark(format!("fault: {fault}"));
        match fault {
            Fault::Kill => self.kill_at_random()?,
            Fault::KillTrap => self.kill_in_trap()?,
            Fault::KillStart => return self.kill_while_starting(),
            Fault::KillFiles => return self.kill_at_files(),
            Fault::Terminate => self.terminate()?,
            Fault::Pause => return self.pause().map(|()| true),
            Fault::PowerCut | Fault::PowerCutSubset | Fault::PowerCutTorn => self.cut_power(fault)?,
            Fault::DiskFull | Fault::WriteError | Fault::ReadError => return self.disturb_disk(fault),
            Fault::DiskFullKill | Fault::FsyncOnce | Fault::FsyncForever | Fault::FsyncSlow => {
                self.crash_on_bad_disk(fault)?;
            }
            Fault::NetCut | Fault::NetHalfOpen | Fault::NetStall | Fault::NetReset | Fault::NetDelay => {
                self.disturb_network(fault);
                return Ok(true);
            }
            Fault::SameClient => return self.send_strangers().map(|()| true),
        }
        self.restart()
    }

    fn kill_at_random(&mut self) -> Result<(), String> {
        self.sleep_up_to(120_000);
        let at = Instant::now();
        self.kill()?;
        self.note_crash(at);
        Ok(())
    }

    /// Kills behind a packet of a client.
    fn kill_in_trap(&mut self) -> Result<(), String> {
        let point = Point::ALL[usize::try_from(self.random.below(7)).unwrap_or(0) % Point::ALL.len()];
        let skip = match point {
            // Rare ones: wait for the next.
            Point::Subscribe | Point::Connect => self.random.below(2),
            _ => self.random.below(20),
        };
        let delay = Duration::from_micros(self.random.below(2_000));
        self.mark(format!("a trap waits for {point:?}, {delay:?} behind it"));
        self.world.trap.set(point, skip, delay, self.process.pid());
        let begin = Instant::now();
        while self.world.trap.is_set() && begin.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let at = Instant::now();
        let has_sprung = self.world.trap.disarm();
        if has_sprung {
            // The client has noted the break.
            self.process.kill()?;
            self.mark("killed".to_owned());
            self.world.books().coverage.trapped += 1;
        } else {
            self.kill()?;
        }
        self.note_crash(at);
        Ok(())
    }

    /// Kills under load, then up to three times while it starts.
    fn kill_while_starting(&mut self) -> Result<bool, String> {
        let usual = self.ready;
        self.kill_at_random()?;
        for _ in 0..=self.random.below(3) {
            self.process.start()?;
            self.mark("started".to_owned());
            let most = u64::try_from(usual.as_micros()).unwrap_or(u64::MAX).max(1_000);
            self.sleep_up_to(most);
            let had_begun_to_serve = self.process.answers();
            self.kill()?;
            let mut books = self.world.books();
            if had_begun_to_serve {
                books.coverage.crashes += 1;
            } else {
                books.coverage.kills_in_recovery += 1;
            }
        }
        self.restart()
    }

    /// Kills when the names in the data directory change, under load and while it starts again.
    fn kill_at_files(&mut self) -> Result<bool, String> {
        for is_starting in [false, true] {
            let mut names = self.disk.names();
            if is_starting {
                self.process.start()?;
                self.mark("started".to_owned());
            }
            // The first changes of a start are always the same: let some go by.
            let mut skip = self.random.below(6);
            let begin = Instant::now();
            let patience = Duration::from_millis(if is_starting { 400 } else { 250 });
            let mut has_changed = false;
            while begin.elapsed() < patience {
                let now = self.disk.names();
                if now != names {
                    names = now;
                    has_changed = skip == 0;
                    if has_changed {
                        break;
                    }
                    skip -= 1;
                }
                std::thread::sleep(Duration::from_micros(300));
            }
            let at = Instant::now();
            self.kill()?;
            self.world.books().coverage.kills_at_files += u64::from(has_changed);
            if !is_starting {
                self.note_crash(at);
            }
        }
        self.restart()
    }

    fn terminate(&mut self) -> Result<(), String> {
        self.sleep_up_to(100_000);
        self.world.breaking();
        self.mark("asked to stop".to_owned());
        let ended = self.process.stop()?;
        self.mark("it has stopped".to_owned());
        self.expect_as_asked(ended);
        if !self.world.speaks.wills_after_crash {
            self.world.books().estate.checkpoint();
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), String> {
        self.sleep_up_to(50_000);
        self.process.signal(Signal::STOP)?;
        self.mark("stopped by SIGSTOP".to_owned());
        self.sleep_up_to(500_000);
        self.process.signal(Signal::CONT)?;
        self.mark("goes on".to_owned());
        Ok(())
    }

    fn cut_power(&mut self, fault: Fault) -> Result<(), String> {
        if self.random.chance(5_000) {
            self.kill_in_trap()?;
        } else {
            self.kill_at_random()?;
        }
        let seed = self.random.below(u64::MAX);
        let cut = match fault {
            Fault::PowerCut => Cut::DropAll,
            Fault::PowerCutSubset => Cut::Subset { seed },
            _ => Cut::Torn { seed },
        };
        self.cut(cut)
    }

    fn cut(&mut self, cut: Cut) -> Result<(), String> {
        let report = self.disk.cut(cut)?;
        // A mount counts from 0.
        self.disk_hits = 0;
        self.mark(format!("power cut: {cut:?}, {report:?}"));
        let taken = report.operations_dropped + report.names_dropped + report.writes_torn;
        self.world.books().coverage.writes_dropped += taken;
        Ok(())
    }

    /// A disk that is in trouble for a while; the broker is to live through it.
    fn disturb_disk(&mut self, fault: Fault) -> Result<bool, String> {
        self.world.set_trouble(true);
        self.trouble_disk(fault);
        self.sleep_up_to(500_000);
        self.mend_disk();
        if self.process_is_gone() {
            self.world.breaking();
            self.process.kill()?;
            return self.restart();
        }
        Ok(true)
    }

    /// A disk that is in trouble, on which the broker is killed.
    fn crash_on_bad_disk(&mut self, fault: Fault) -> Result<(), String> {
        self.world.set_trouble(true);
        self.trouble_disk(fault);
        self.sleep_up_to(300_000);
        // What waits for the disk cannot be killed.
        self.disk.faults().delay_fsync(Duration::ZERO);
        let at = Instant::now();
        self.world.breaking();
        // One that gave up by itself is as dead as one that is killed: what it acknowledged has to be there.
        self.process.kill()?;
        self.mark("killed".to_owned());
        self.note_crash(at);
        self.mend_disk();
        if fault == Fault::DiskFullKill { Ok(()) } else { self.cut(Cut::DropAll) }
    }

    /// Counts what hit, and makes the disk a good one.
    fn mend_disk(&mut self) {
        let hits = self.disk.fault_hits();
        let mut books = self.world.books();
        books.coverage.disk_faults += hits - self.disk_hits;
        drop(books);
        self.disk_hits = hits;
        self.disk.faults().clear();
        self.mark("the disk is as it was".to_owned());
    }

    fn trouble_disk(&mut self, fault: Fault) {
        let times = Times::Next(1 + self.random.below(4));
        let faults = self.disk.faults();
        match fault {
            Fault::WriteError => faults.fail_writes(times, Paths::All),
            Fault::ReadError => faults.fail_reads(times, Paths::All),
            Fault::FsyncOnce => faults.fail_fsync(Times::Next(1), Paths::All),
            Fault::FsyncForever => faults.fail_fsync(Times::Forever, Paths::All),
            Fault::FsyncSlow => faults.delay_fsync(Duration::from_millis(50)),
            // Not a byte more than is in use now.
            _ => faults.set_capacity(Some(self.disk.bytes_used())),
        }
    }

    /// A network in trouble for a while. What clients cannot hear of they find out by their keep-alive: here, when the
    /// trouble is over.
    fn disturb_network(&mut self, fault: Fault) {
        use barnacle_faultnet::Fault as Disturbance;
        self.sleep_up_to(50_000);
        let before = self.network.hits();
        self.world.breaking();
        match fault {
            Fault::NetCut => self.network.set(Disturbance::Cut),
            Fault::NetHalfOpen if self.random.chance(5_000) => self.network.strike(Disturbance::ClientGone),
            Fault::NetHalfOpen => self.network.strike(Disturbance::ServerGone),
            Fault::NetStall => self.network.set(Disturbance::Stall),
            Fault::NetReset => self.network.strike(Disturbance::Reset { within: 2_000 }),
            _ => self.network.set(Disturbance::Delay(Duration::from_millis(20))),
        }
        self.sleep_up_to(500_000);
        self.world.breaking();
        if fault == Fault::NetHalfOpen {
            self.world.give_up_connections();
        }
        self.network.set(Disturbance::None);
        self.mark("the network is as it was".to_owned());
        self.world.books().coverage.connections_hit += self.network.hits() - before;
    }

    /// Strangers take over sessions that are there, and go without a word.
    fn send_strangers(&mut self) -> Result<(), String> {
        for _ in 0..8 {
            self.sleep_up_to(20_000);
            // The first sessions never end.
            let index = usize::try_from(self.random.below(6)).expect("a small number");
            if !self.world.books().ledger.session(index).0.is_present() {
                continue;
            }
            let is_v5 = self.world.speaks.v5 && self.random.chance(5_000);
            let version = if is_v5 { Version::V5 } else { Version::V311 };
            let connect = Connect::persistent(version, &format!("session-{index}"));
            if let Ok(mut client) = Client::open(self.world.address, version) {
                let answer =
                    client.send(&connect.encode()).and_then(|()| client.read(Duration::from_secs(5)));
                self.mark(format!("a stranger is session-{index}: {}", answer.is_ok()));
                self.sleep_up_to(10_000);
                client.abort();
            }
        }
        Ok(())
    }

    fn sleep_up_to(&mut self, micros: u64) {
        std::thread::sleep(Duration::from_micros(self.random.below(micros)));
    }
}
