//! The disk itself: small writes to one file, each followed by fdatasync. Below that no acknowledgement of a kept message can
//! be, wherever it is kept.

use crate::error::{During, LoadError};
use crate::measure::recorder::{latency_histogram, record};
use hdrhistogram::Histogram;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Appends `count` records of `size` bytes to a file in `directory`, each synced. Returns what each took, in microseconds.
pub(crate) fn synced_writes(directory: &Path, count: u64, size: usize) -> Result<Histogram<u64>, LoadError> {
    let path = directory.join("synced-writes");
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).during("making a file to be synced")?;
    let (bytes, mut latency) = (vec![0x5a; size], latency_histogram());
    for _ in 0..count {
        let begin = Instant::now();
        file.write_all(&bytes).and_then(|()| file.sync_data()).during("writing to the disk")?;
        record(&mut latency, begin.elapsed());
    }
    Ok(latency)
}
