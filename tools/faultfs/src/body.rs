//! What is in a file: as programs see it, as it would survive, and the operations between the two, in their order.
//!
//! Both images are real files, so that holes, sizes and reading are the business of the file system below. A file that
//! has not been written since the mount has one image only.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::counts::Gauges;
use crate::faults::Faults;

/// Space is counted in these.
pub(crate) const BLOCK: u64 = 4096;

/// A change of a file's content that no fsync covers yet.
pub(crate) enum Operation {
    Write { at: u64, data: Box<[u8]> },
    Resize(u64),
    Zero { at: u64, length: u64 },
}

impl Operation {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Operation::Write { data, .. } => data.len() as u64,
            Operation::Resize(_) | Operation::Zero { .. } => 0,
        }
    }

    pub(crate) fn apply(&self, file: &File) -> io::Result<()> {
        match self {
            Operation::Write { at, data } => file.write_all_at(data, *at),
            Operation::Resize(size) => file.set_len(*size),
            Operation::Zero { at, length } => zero(file, *at, *length),
        }
    }
}

/// Zeroes a range without making the file longer.
fn zero(file: &File, at: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, at, length)?)
}

pub(crate) struct Body(Mutex<Content>);

impl Body {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock()
    }
}

/// One image: where it is, whether it is there, and open if it has been used.
struct Image {
    path: PathBuf,
    exists: bool,
    file: Option<File>,
}

impl Image {
    fn open(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(!self.exists);
            self.file = Some(options.open(&self.path)?);
            self.exists = true;
        }
        Ok(self.file.as_ref().expect("just opened"))
    }

    fn remove(&mut self) -> io::Result<()> {
        self.file = None;
        if self.exists {
            self.exists = false;
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

pub(crate) struct Content {
    /// What programs see, if that is not the same as what is kept.
    seen: Image,
    kept: Image,
    pending: Vec<Operation>,
    /// Something was lost with a failed fsync: the images stay apart.
    apart: bool,
    pub(crate) size: u64,
    pub(crate) allocated: u64,
    pub(crate) modified: SystemTime,
    gauges: Arc<Gauges>,
}

impl Body {
    /// An empty file, whose images will be in `scratch`.
    pub(crate) fn create(scratch: &Path, number: u64, gauges: &Arc<Gauges>) -> Body {
        Body(Mutex::new(Content {
            seen: Image { path: scratch.join(format!("seen-{number}")), exists: false, file: None },
            kept: Image { path: scratch.join(format!("kept-{number}")), exists: false, file: None },
            pending: Vec::new(),
            apart: false,
            size: 0,
            allocated: 0,
            modified: SystemTime::now(),
            gauges: gauges.clone(),
        }))
    }

    /// A file that was there when the file system was mounted.
    pub(crate) fn found(
        path: &Path,
        metadata: &fs::Metadata,
        scratch: &Path,
        number: u64,
        gauges: &Arc<Gauges>,
    ) -> io::Result<Body> {
        let body = Body::create(scratch, number, gauges);
        {
            let mut content = body.lock();
            content.kept.path = path.to_owned();
            content.kept.exists = true;
            content.modified = metadata.modified()?;
            content.measured(metadata);
        }
        Ok(body)
    }
}

impl Content {
    pub(crate) fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let image = if self.seen.exists { &mut self.seen } else { &mut self.kept };
        if !image.exists {
            return Ok(0);
        }
        let file = image.open()?;
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes what the capacity has room for. Returns how many bytes that was: not all only if there was no room.
    pub(crate) fn write(&mut self, at: u64, data: &[u8], faults: &Faults) -> io::Result<usize> {
        let room = self.room(at, at + data.len() as u64, faults).saturating_sub(at);
        let data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        if data.is_empty() && room == 0 {
            return Err(Errno::NOSPC.into());
        }
        self.writable()?.write_all_at(data, at)?;
        self.gauges.written.fetch_add(data.len() as u64, Relaxed);
        self.note(Operation::Write { at, data: data.into() })?;
        Ok(data.len())
    }

    pub(crate) fn resize(&mut self, size: u64) -> io::Result<()> {
        if size == self.size {
            return Ok(());
        }
        self.writable()?.set_len(size)?;
        self.note(Operation::Resize(size))
    }

    /// fallocate with the modes that programs use: allocate, with or without the size, zero, and punch.
    pub(crate) fn allocate(&mut self, mode: u32, at: u64, length: u64, faults: &Faults) -> io::Result<()> {
        let flags = FallocateFlags::from_bits_retain(mode);
        let keep_size = flags.contains(FallocateFlags::KEEP_SIZE);
        let (punch, zeroes) =
            (flags.contains(FallocateFlags::PUNCH_HOLE), flags.contains(FallocateFlags::ZERO_RANGE));
        let known = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        if !known.contains(flags) || punch && (zeroes || !keep_size) {
            return Err(Errno::OPNOTSUPP.into());
        }
        let end = at.checked_add(length).ok_or(Errno::FBIG)?;
        if !punch && self.room(at, end, faults) < end {
            return Err(Errno::NOSPC.into());
        }
        rustix::fs::fallocate(self.writable()?, flags, at, length)?;
        if punch || zeroes {
            self.note(Operation::Zero { at, length })?;
        }
        if !keep_size && end > self.size {
            self.note(Operation::Resize(end))?;
        }
        // Space alone is nothing that a power cut could take from a program.
        self.measure()
    }

    /// Makes durable what is pending: fsync and fdatasync.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.settle(|pending, kept| pending.iter().try_for_each(|operation| operation.apply(kept)))
    }

    /// Forgets what is pending; it stays readable.
    pub(crate) fn lose(&mut self) {
        self.apart |= !self.pending.is_empty();
        self.forget();
    }

    /// Lets `apply` decide how the pending operations get into the kept image, which is given.
    pub(crate) fn settle(
        &mut self,
        apply: impl FnOnce(&[Operation], &File) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let kept = self.kept.open()?;
        apply(&self.pending, kept)?;
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        let bytes: u64 = self.pending.iter().map(Operation::bytes).sum();
        self.gauges.not_durable.fetch_sub(bytes, Relaxed);
        self.pending = Vec::new();
    }

    /// Nobody has it open: descriptors are closed, and two images that say the same become one.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.kept.file = None;
        self.seen.file = None;
        if self.seen.exists && self.pending.is_empty() && !self.apart && self.kept.exists {
            self.seen.remove()?;
            self.measure()?;
        }
        Ok(())
    }

    /// Programs cannot reach it any more: what they saw goes, what is kept or pending stays.
    pub(crate) fn vacate(&mut self) -> io::Result<()> {
        self.kept.file = None;
        self.account(0);
        self.seen.remove()
    }

    /// Nothing leads to it: both images go.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.forget();
        self.account(0);
        self.seen.remove()?;
        self.kept.remove()
    }

    /// The orderly end: what programs see is what is kept.
    pub(crate) fn keep_seen(&mut self) -> io::Result<()> {
        self.forget();
        if self.seen.exists {
            fs::rename(&self.seen.path, &self.kept.path)?;
            self.seen.exists = false;
            self.kept.exists = true;
        }
        self.seen.file = None;
        self.kept.file = None;
        Ok(())
    }

    /// Where the kept image is, which is made if there is none yet.
    pub(crate) fn kept_path(&mut self) -> io::Result<&Path> {
        if !self.kept.exists {
            self.kept.open()?;
        }
        self.kept.file = None;
        Ok(&self.kept.path)
    }

    /// How far a write that ends at `end` can go, by the capacity.
    fn room(&self, at: u64, end: u64, faults: &Faults) -> u64 {
        let Some(capacity) = faults.capacity() else { return end };
        let free = capacity.saturating_sub(self.gauges.used()) / BLOCK * BLOCK;
        let held = self.allocated.max(at / BLOCK * BLOCK);
        if end <= held.saturating_add(free) {
            return end;
        }
        faults.ran_out_of_space();
        held + free
    }

    fn writable(&mut self) -> io::Result<&File> {
        if !self.seen.exists && self.kept.exists {
            fs::copy(&self.kept.path, &self.seen.path)?;
            self.seen.exists = true;
        }
        self.seen.open()
    }

    fn note(&mut self, operation: Operation) -> io::Result<()> {
        self.gauges.not_durable.fetch_add(operation.bytes(), Relaxed);
        self.pending.push(operation);
        self.modified = SystemTime::now();
        self.measure()
    }

    fn measure(&mut self) -> io::Result<()> {
        let image = if self.seen.exists { &self.seen } else { &self.kept };
        let metadata = match &image.file {
            Some(file) => file.metadata()?,
            None => fs::metadata(&image.path)?,
        };
        self.measured(&metadata);
        Ok(())
    }

    fn measured(&mut self, metadata: &fs::Metadata) {
        self.size = metadata.size();
        self.account(metadata.blocks() * 512);
    }

    fn account(&mut self, allocated: u64) {
        let difference = allocated.cast_signed() - self.allocated.cast_signed();
        self.gauges.used.fetch_add(difference, Relaxed);
        self.allocated = allocated;
    }
}
