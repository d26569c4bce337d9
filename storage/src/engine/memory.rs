//! A disk in memory, and the engine on it, for simulators: it crashes where it is told to, and keeps what was synced.
//!
//! The disk ([`Memory`]) outlives the stores that are opened on it, as a disk outlives processes. It has two images: the **live**
//! one is what was written, and what is read; the **durable** one is what was synced. A crash takes the live one back to the
//! durable one and the first few of the batches that were not synced yet, since a write-ahead log comes back as a prefix.
//!
//! It is harsher than a real disk where that costs nothing: what a rewrite may drop is gone at once and from both images, and
//! so is everything that the floors call dead when the disk is told to [compact eagerly](Memory::compact_eagerly).

mod disk;
mod image;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::{Cursor, Engine, EngineError, FailureKind, NoRows, SetAside, View, WriteBatch};
use crate::OpenError;
use crate::floors::Floors;
use crate::keys::{self, Family};
use disk::Disk;
pub use disk::{Fault, Survivors, Withheld};
use image::Rows;

/// A disk in memory. Cheap to clone: clones are the same disk.
#[derive(Clone, Default)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
}

/// What a crash unwinds with: behind it nothing happens, as in a process that is killed. Nobody but the simulator should
/// catch it; it can tell by [`Crashed::is`].
#[derive(Debug)]
pub struct Crashed;

impl Crashed {
    /// Whether what was caught is a crash, and not a panic.
    pub fn is(payload: &(dyn Any + Send)) -> bool {
        payload.is::<Crashed>()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Memory").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty disk.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// How many operations have begun, of all the stores that were opened on it.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// Plans what happens at the operation that makes the count of [`Memory::operations`] `operation`: a crash at that one, an
    /// error at the first from there on that can fail so.
    pub fn plan(&self, operation: u64, fault: Fault) {
        self.disk.lock().faults.insert(operation, fault);
    }

    /// Forgets what was planned.
    pub fn forget_plans(&self) {
        self.disk.lock().faults.clear();
    }

    /// The next so many reads fail, as on a disk that gives nothing.
    pub fn fail_reads(&self, reads: u64) {
        self.disk.lock().failing_reads = reads;
    }

    /// How many of them are still to come.
    pub fn failing_reads(&self) -> u64 {
        self.disk.lock().failing_reads
    }

    /// From here on the disk gives nothing of a part, as with a sector that cannot be read.
    pub fn withhold(&self, part: Withheld) {
        self.disk.lock().withheld.push(part);
    }

    /// It gives everything again.
    pub fn give_everything(&self) {
        self.disk.lock().withheld.clear();
    }

    /// Crashes now, between two operations. The store that is open on the disk is dead: whatever it asks of the disk from
    /// here on unwinds with [`Crashed`].
    pub fn crash(&self, survivors: Survivors) {
        self.disk.lock().crash(survivors, false);
    }

    /// How many batches are written and not synced.
    pub fn unsynced_batches(&self) -> usize {
        self.disk.lock().unsynced.len()
    }

    /// From here on, whatever the floors call dead goes with the next write, not only where a rewrite is asked for.
    pub fn compact_eagerly(&self) {
        self.disk.lock().compacts_eagerly = true;
    }

    /// A disk of its own with the same content, on which nothing is open and nothing is planned: what another broker would find that
    /// came to this disk now.
    pub fn fork(&self) -> Memory {
        let disk = self.disk.lock();
        let copy = disk.fork();
        Memory { disk: Arc::new(Mutex::new(copy)) }
    }
}

/// The engine of one opening.
pub(super) struct MemoryEngine {
    memory: Memory,
    floors: Floors,
    life: u64,
    /// Why it takes no more writes, once one has failed.
    stopped: Mutex<Option<EngineError>>,
}

impl MemoryEngine {
    /// Opens a disk, and tells what its mark says.
    pub(super) fn open(memory: &Memory, floors: &Floors) -> Result<(MemoryEngine, u64), OpenError> {
        let mut disk = memory.disk.lock();
        if disk.in_use {
            let process = Some(std::process::id());
            return Err(OpenError::InUse { directory: "memory".into(), process, purpose: None });
        }
        disk.in_use = true;
        disk.life += 1;
        disk.sync();
        let engine = MemoryEngine {
            memory: memory.clone(),
            floors: floors.clone(),
            life: disk.life,
            stopped: Mutex::default(),
        };
        Ok((engine, disk.mark))
    }

    /// Begins an operation.
    fn operate(&self) -> MutexGuard<'_, Disk> {
        let mut disk = self.memory.disk.lock();
        if disk.life != self.life {
            drop(disk);
            crashed();
        }
        disk.operations += 1;
        disk
    }

    /// Where a crash is planned to interrupt the operation that has begun.
    fn interrupt(mut disk: MutexGuard<'_, Disk>, is_writing: bool) -> MutexGuard<'_, Disk> {
        let Some(Fault::Crash(survivors)) = disk.faults.get(&disk.operations).copied() else { return disk };
        disk.crash(survivors, is_writing);
        drop(disk);
        crashed()
    }

    fn take(&self) -> MutexGuard<'_, Disk> {
        MemoryEngine::interrupt(self.operate(), false)
    }

    /// The error that stops the engine: after a failed write or sync it takes no other.
    fn stop(&self, kind: FailureKind, reason: &str) -> EngineError {
        let error = EngineError { kind, reason: reason.to_owned() };
        self.stopped.lock().get_or_insert(error).clone()
    }

    fn check(&self) -> Result<(), EngineError> {
        match &*self.stopped.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn synced(&self, disk: &mut Disk) -> Result<(), EngineError> {
        if disk.take(Fault::FailedSync) {
            return Err(self.stop(FailureKind::Io, "the sync has failed, as planned"));
        }
        disk.sync();
        Ok(())
    }
}

/// Ends whatever runs on this disk. It is no panic: no hook is called.
fn crashed() -> ! {
    std::panic::resume_unwind(Box::new(Crashed))
}

impl Engine for MemoryEngine {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(Reading(self))
    }

    fn write(&self, batch: &WriteBatch, sync: bool) -> Result<(), EngineError> {
        let mut disk = self.operate();
        self.check()?;
        if disk.take(Fault::NoSpace) {
            return Err(self.stop(FailureKind::NoSpace, "no space is left, as planned"));
        }
        let batch = disk.falsify(batch);
        disk.unsynced.push(batch.clone());
        let mut disk = MemoryEngine::interrupt(disk, true);
        disk.live.apply(&batch);
        if sync {
            self.synced(&mut disk)?;
        }
        if disk.compacts_eagerly {
            disk.drop_blocks(|key| self.floors.drops(key));
        }
        disk.lose_block(&self.floors);
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut disk = self.take();
        self.check()?;
        self.synced(&mut disk)
    }

    /// What a failed sync covered does not come back: the harsher of the two that are possible.
    fn reopen(&self) -> Result<(), EngineError> {
        let mut disk = self.take();
        if let Some(error) = self.stopped.lock().take()
            && error.kind == FailureKind::Io
        {
            disk.unsynced.clear();
            disk.live = disk.durable.clone();
        }
        disk.sync();
        Ok(())
    }

    /// A disk in memory has no files that are damaged by themselves.
    fn set_aside(&self, _failure: &EngineError) -> Result<Option<SetAside>, EngineError> {
        Ok(None)
    }

    fn background_damage(&self) -> Option<EngineError> {
        None
    }

    fn shorten_log(&self, _room_bytes: u64) -> Result<(), EngineError> {
        Ok(())
    }

    fn reopening_bytes(&self) -> u64 {
        0
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.sync()
    }

    fn set_mark(&self, commit: u64) -> std::io::Result<()> {
        self.take().mark = commit;
        Ok(())
    }

    fn log_bytes(&self, from: &[u8], to: &[u8]) -> u64 {
        self.take().live.bytes(keys::LOG, from, to)
    }

    fn rewrite_log(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        let mut disk = self.operate();
        disk.drop_blocks(|key| (from <= key && key < to) || self.floors.drops(key));
        drop(MemoryEngine::interrupt(disk, false));
        Ok(())
    }

    fn has_fast_checksum(&self) -> Option<bool> {
        None
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        let mut disk = self.memory.disk.lock();
        if disk.life == self.life {
            disk.in_use = false;
            disk.life += 1;
        }
    }
}

struct Reading<'a>(&'a MemoryEngine);

impl View for Reading<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let mut disk = self.0.take();
        let behind = [key, &[0]].concat();
        disk.read(family, key, Some(&behind))?;
        Ok(disk.live.get(family, key))
    }

    fn cursor<'a>(&'a self, family: Family, from: &[u8], to: Option<&[u8]>) -> Box<dyn Cursor + 'a> {
        let mut disk = self.0.take();
        match disk.read(family, from, to) {
            Ok(()) => Box::new(Rows::new(disk.live.family(family), from, to)),
            Err(error) => Box::new(NoRows(error)),
        }
    }
}
