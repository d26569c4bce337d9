//! A look at a broker while it works: its memory, and the disk that its files take.

use crate::measure::usage::Usage;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Calls something again and again until it is dropped, and keeps what came of it.
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<(f64, f64)>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the memory of a broker.
    pub(crate) fn memory(usage: Usage) -> Watch {
        Watch::begin(INTERVAL, move || usage.resident_bytes())
    }

    /// Looks at what `look` returns.
    pub(crate) fn begin(interval: Duration, look: impl Fn() -> u64 + Send + 'static) -> Watch {
        let most = Arc::new(AtomicU64::new(0));
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let watch = (Arc::clone(&most), Arc::clone(&seen), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let (most, seen, ended) = watch;
            let begin = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                let value = look();
                most.fetch_max(value, Ordering::Relaxed);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push((begin.elapsed().as_secs_f64(), value as f64));
                drop(seen);
                std::thread::sleep(interval);
            }
        });
        Watch { most, seen, ended, thread: Some(thread) }
    }

    /// The most so far.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Everything that was seen: seconds since it began, and the value.
    pub(crate) fn seen(&self) -> Vec<(f64, f64)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only reads files; that it panicked would not change what it saw.
            let _ = thread.join();
        }
    }
}

/// Bytes of all files below `directory`, as many as they take on the disk.
pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        // A file that went while we looked takes no space. A block is 512 bytes, whatever the file system's are.
        metadata => metadata.map_or(0, |metadata| metadata.blocks() * 512),
    };
    entries.map(size).sum()
}
