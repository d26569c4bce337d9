//! A trap for the worst moments: it kills the broker a few microseconds after a client has sent something, from that
//! client's thread, so that the kill falls between the arrival of a packet and its acknowledgement.

use rustix::process::{Pid, Signal, kill_process_group};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a client may have just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// CONNECT: the session, and perhaps a will, has to be kept before CONNACK.
    Connect,
    /// SUBSCRIBE or UNSUBSCRIBE.
    Subscribe,
    /// PUBLISH of QoS 1 or 2.
    Publish,
    /// PUBREL.
    Release,
    /// PUBACK, PUBREC or PUBCOMP of a message that the broker delivers.
    Answer,
}

impl Point {
    /// Every point.
    pub(crate) const ALL: [Point; 5] =
        [Point::Publish, Point::Release, Point::Answer, Point::Subscribe, Point::Connect];
}

#[derive(Debug)]
struct Setting {
    point: Point,
    /// How many packets of this kind go by first.
    skip: u64,
    /// How long after the packet.
    delay: Duration,
    target: Pid,
}

/// The trap. Unset until the driver sets it.
#[derive(Debug, Default)]
pub(crate) struct Trap {
    is_set: AtomicBool,
    setting: Mutex<Option<Setting>>,
    /// What is about to be struck.
    struck: Mutex<Option<(Setting, Instant)>>,
}

impl Trap {
    /// Sets it: `target` is killed `delay` after the packet that comes after `skip` others of its kind. The process
    /// must not be reaped before [`Trap::disarm`].
    pub(crate) fn set(&self, point: Point, skip: u64, delay: Duration, target: Pid) {
        *lock(&self.setting) = Some(Setting { point, skip, delay, target });
        self.is_set.store(true, Ordering::SeqCst);
    }

    /// Takes it away; whether it had sprung. Afterwards it kills nobody.
    pub(crate) fn disarm(&self) -> bool {
        self.is_set.store(false, Ordering::SeqCst);
        let sprung = lock(&self.setting).take().is_none();
        // One who holds this lock is striking; one who comes for it now finds nothing to strike.
        *lock(&self.struck) = None;
        sprung
    }

    /// Whether it is set.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Whether this is the packet it waits for; then the caller must call [`Trap::strike`].
    pub(crate) fn springs(&self, point: Point) -> bool {
        let at = Instant::now();
        let mut struck = lock(&self.struck);
        let mut setting = lock(&self.setting);
        match setting.as_mut() {
            Some(waiting) if waiting.point == point && waiting.skip == 0 => {}
            Some(waiting) if waiting.point == point => {
                waiting.skip -= 1;
                return false;
            }
            _ => return false,
        }
        *struck = setting.take().map(|setting| (setting, at));
        true
    }

    /// Kills.
    pub(crate) fn strike(&self) {
        let mut struck = lock(&self.struck);
        if let Some((setting, at)) = struck.take() {
            while at.elapsed() < setting.delay {
                std::hint::spin_loop();
            }
            // It may have ended by itself, which the driver sees.
            let _ = kill_process_group(setting.target, Signal::KILL);
            self.is_set.store(false, Ordering::SeqCst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn it_kills_at_its_point_and_after_what_it_skips() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().expect("a process");
        let trap = Trap::default();
        trap.set(Point::Publish, 1, Duration::from_micros(10), Pid::from_child(&child));
        assert!(!trap.springs(Point::Release), "another point");
        assert!(!trap.springs(Point::Publish), "the first is skipped");
        assert!(trap.springs(Point::Publish));
        trap.strike();
        assert!(trap.disarm());
        assert!(!child.wait().expect("it was killed").success());
    }

    #[test]
    fn a_trap_that_was_taken_away_kills_nobody() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().expect("a process");
        let trap = Trap::default();
        trap.set(Point::Connect, 0, Duration::ZERO, Pid::from_child(&child));
        assert!(!trap.disarm(), "it had not sprung");
        assert!(!trap.springs(Point::Connect));
        trap.strike();
        assert!(child.try_wait().expect("it runs").is_none());
        child.kill().and_then(|()| child.wait()).expect("it is ended");
    }
}
