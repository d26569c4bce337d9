//! The space that is left on the disk: a look at it now and then, the watermarks, and the ballast.
//!
//! The ballast is a file that does nothing but take space. When a write finds none left, the file goes, so that what makes
//! room can be written: acknowledgements, ends of sessions, and the files that a compaction leaves behind. It is made
//! again as soon as there is room for it beside the watermark; until then the store stays full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::committer::Background;
use crate::health::Level;
use crate::shared::Shared;
use crate::{Space, trim};

/// The name of the ballast in the data directory.
pub(crate) const FILE_NAME: &str = "ballast";

/// How often the space is looked at, whatever is written.
const EVERY: Duration = Duration::from_millis(250);

/// It is looked at after this part of the lower watermark has been written, too.
const LOOKS_FOR_EACH_WATERMARK: u64 = 16;

/// But not before so much has been written.
const LEAST_WRITTEN: u64 = 1024 * 1024;

/// Space above a watermark before the store is no longer below it: this part of the watermark.
const HYSTERESIS: u64 = 8;

pub(crate) struct SpaceWatch {
    /// `None`: no file system, and always room.
    directory: Option<PathBuf>,
    options: Space,
    /// Bytes written since the last look.
    written: AtomicU64,
    /// The ballast is on the disk. Held while that changes.
    ballast: Mutex<bool>,
}

impl SpaceWatch {
    pub(crate) fn new(directory: &Path, options: Space) -> SpaceWatch {
        let path = directory.join(FILE_NAME);
        let bytes = std::fs::metadata(&path).ok().map(|metadata| metadata.len());
        let has_ballast = bytes == Some(options.ballast_bytes);
        if bytes.is_some() && !has_ballast {
            // Of another size, or not wanted any more. Should that fail, the space is missing, and is found missing.
            let _ = std::fs::remove_file(&path);
        }
        let (written, ballast) = (AtomicU64::new(0), Mutex::new(has_ballast));
        SpaceWatch { directory: Some(directory.to_owned()), options, written, ballast }
    }

    /// Where there is no file system: there is always room.
    pub(crate) fn endless() -> SpaceWatch {
        let options = Space { min_free_bytes: 0, warn_free_bytes: 0, ballast_bytes: 0 };
        SpaceWatch { directory: None, options, written: AtomicU64::new(0), ballast: Mutex::new(false) }
    }

    /// Bytes that are free for us.
    pub(crate) fn free_bytes(&self) -> std::io::Result<u64> {
        let Some(directory) = &self.directory else { return Ok(u64::MAX) };
        let file_system = rustix::fs::statvfs(directory)?;
        Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
    }

    /// What must be free before a full store takes everything again: the ballast is made of it.
    fn needed_bytes(&self, has_ballast: bool) -> u64 {
        let Space { min_free_bytes, ballast_bytes, .. } = self.options;
        let ballast = if has_ballast { 0 } else { ballast_bytes };
        min_free_bytes.saturating_add(min_free_bytes / HYSTERESIS).saturating_add(ballast)
    }

    /// How much is left, judged; makes the ballast when there is room.
    fn judge(&self, before: Level) -> std::io::Result<(Level, u64)> {
        let mut has_ballast = self.ballast.lock();
        let mut free = self.free_bytes()?;
        if let Some(directory) = &self.directory
            && !*has_ballast
            && self.options.ballast_bytes > 0
            && free >= self.needed_bytes(false)
        {
            match make_ballast(&directory.join(FILE_NAME), self.options.ballast_bytes) {
                Ok(()) => *has_ballast = true,
                // A quota perhaps, of which the file system says nothing: there is less room than it seems.
                Err(error) => tracing::debug!(%error, "the ballast was not made"),
            }
            free = self.free_bytes()?;
        }
        let lacks_ballast = self.options.ballast_bytes > 0 && !*has_ballast;
        let full = free < self.options.min_free_bytes
            || (before == Level::Full && (lacks_ballast || free < self.needed_bytes(true)));
        let warn = self.options.warn_free_bytes;
        let low = free < warn || (before != Level::Enough && free < warn.saturating_add(warn / HYSTERESIS));
        let level = match (full, low) {
            (true, _) => Level::Full,
            (false, true) => Level::Low,
            (false, false) => Level::Enough,
        };
        Ok((level, free))
    }

    /// Lets go of the ballast. `true`: it was there.
    pub(crate) fn release_ballast(&self) -> bool {
        let Some(directory) = &self.directory else { return false };
        let mut has_ballast = self.ballast.lock();
        *has_ballast = false;
        remove_ballast(directory)
    }
}

/// Removes the ballast of a data directory. `true`: it was there.
pub(crate) fn remove_ballast(directory: &Path) -> bool {
    match std::fs::remove_file(directory.join(FILE_NAME)) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::error!(%error, "the ballast cannot be removed");
            false
        }
    }
}

/// Makes a file that takes space.
fn make_ballast(path: &Path, bytes: u64) -> std::io::Result<()> {
    let make = || {
        let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() > bytes {
            file.set_len(bytes)?;
        }
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let chunk = vec![0; 1 << 20];
                let mut left = bytes;
                while left > 0 {
                    let part = left.min(chunk.len() as u64);
                    file.write_all(&chunk[..usize::try_from(part).expect("not more than the chunk")])?;
                    left -= part;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    };
    let made = make();
    if made.is_err() {
        // What was made of it takes space, and keeps none.
        let _ = std::fs::remove_file(path);
    }
    made
}

impl Shared {
    /// So many bytes were written: looks at the space now and then.
    pub(crate) fn note_written(&self, bytes: u64) {
        let written = self.space.written.fetch_add(bytes, Relaxed) + bytes;
        if written > (self.options.space.min_free_bytes / LOOKS_FOR_EACH_WATERMARK).max(LEAST_WRITTEN) {
            self.look_at_space();
        }
    }

    /// A write has found no space left, whatever the file system says.
    pub(crate) fn no_space(&self) {
        self.board.set_space(Level::Full, self.space.free_bytes().unwrap_or_default());
    }

    /// Whether so many bytes can be written for a while, and as much is left.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.space.free_bytes().is_ok_and(|free| bytes <= free / 2)
    }

    /// Looks at the space, and says so when it has changed.
    pub(crate) fn look_at_space(&self) {
        self.space.written.store(0, Relaxed);
        let before = self.board.level();
        let (level, free_bytes) = match self.space.judge(before) {
            Ok(judged) => judged,
            Err(error) => {
                tracing::debug!(%error, "the free space is not known");
                return;
            }
        };
        if !self.board.set_space(level, free_bytes) {
            return;
        }
        let directory = self.options.directory.display();
        match level {
            Level::Full => {
                let has_ballast = *self.space.ballast.lock();
                let needed_bytes = self.space.needed_bytes(has_ballast);
                tracing::error!(%directory, free_bytes, needed_bytes, "the disk is full: publishes are refused or held back");
            }
            Level::Low => tracing::warn!(%directory, free_bytes, "the disk is filling up"),
            Level::Enough => tracing::info!(%directory, free_bytes, "there is room on the disk"),
        }
    }
}

/// The thread: looks at the space now and then, and after what works in the background. While it is short, what can be made free is made free.
pub(crate) fn run(shared: &Shared) {
    let mut background = Background::default();
    loop {
        shared.look_at_space();
        background.look(shared);
        if shared.board.level() != Level::Enough {
            // Should RocksDB have to be opened again, it has little to replay, too.
            let room_bytes = shared.space.free_bytes().unwrap_or_default() / 2;
            if let Err(error) = shared.engine.shorten_log(room_bytes) {
                tracing::debug!(%error, "the write-ahead log was not made shorter");
            }
            trim::turn(shared);
        }
        if !shared.wait_for_turn(EVERY) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_takes_its_space_and_gives_it_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = Space { min_free_bytes: 0, warn_free_bytes: 0, ballast_bytes: 3 << 20 };
        let watch = SpaceWatch::new(directory.path(), options);
        assert!(!watch.release_ballast());
        let (level, _) = watch.judge(Level::Enough).expect("the free space is known");
        assert_eq!(level, Level::Enough);
        let metadata = std::fs::metadata(directory.path().join(FILE_NAME)).expect("it was made");
        assert_eq!(metadata.len(), 3 << 20);
        assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 >= 3 << 20, "it takes space");
        assert!(watch.release_ballast());
        assert!(!directory.path().join(FILE_NAME).exists());
    }

    #[test]
    fn a_full_store_stays_full_until_there_is_room_for_the_ballast_too() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let free = SpaceWatch::new(directory.path(), Space::default()).free_bytes().expect("it is known");
        let judge = |min_free_bytes, ballast_bytes, before| {
            let options = Space { min_free_bytes, warn_free_bytes: min_free_bytes, ballast_bytes };
            SpaceWatch::new(directory.path(), options).judge(before).expect("the free space is known").0
        };
        assert_eq!(judge(free * 2, 0, Level::Enough), Level::Full);
        // Above the watermark, but not by its eighth: a store that was full stays so.
        assert_eq!(judge(free / 16 * 15, 0, Level::Enough), Level::Enough);
        assert_eq!(judge(free / 16 * 15, 0, Level::Full), Level::Full);
        assert_eq!(judge(free / 2, free, Level::Full), Level::Full, "no room for the ballast");
        assert_eq!(judge(free / 2, free, Level::Enough), Level::Enough);
        assert_eq!(judge(free / 2, 1 << 20, Level::Full), Level::Enough);
        assert_eq!(judge(free / 16 * 15, 0, Level::Low), Level::Low, "the same for the warning");
    }
}
