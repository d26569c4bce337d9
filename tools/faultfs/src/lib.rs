//! A file system to put under a program that claims to survive power cuts: what the program did not fsync, the file
//! system keeps to itself, and a power cut takes it, all or in part. On demand it is full, slow or failing as well.
//!
//! What counts as durable is strict, as POSIX permits and no promise of a particular file system softens:
//!
//! - a file's data and size, when fsync or fdatasync of that file has returned;
//! - a name (create, link, rename, removal), when fsync of its directory has returned. The fsync of a file does not make
//!   its name durable. A rename is atomic: it survives in both directories or in neither, with the fsync of either.
//!
//! Mode, owner and times are not subject to cuts. Nothing is cached in the kernel that a fault should hit: reads and
//! writes pass its page cache by (Linux 6.6; older kernels keep pages of files that are open). Data that no fsync covers
//! is held in memory as well, until one does or the file is gone.
//!
//! ```no_run
//! use barnacle_faultfs::{Cut, FaultFs};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = FaultFs::mount("/tmp/durable".as_ref(), "/tmp/data".as_ref())?;
//! // Start a program that keeps its data in /tmp/data; have it work; kill it.
//! let report = disk.cut(Cut::DropAll)?;
//! println!("{} bytes were lost", report.bytes_dropped);
//! // Mount again, start the program again, and see whether it has what it had promised.
//! # Ok(())
//! # }
//! ```

mod body;
mod counts;
mod cut;
mod disk;
mod faults;
mod mount;
mod operations;
mod random;
mod serve;
mod tree;

pub use counts::Counts;
pub use cut::{Cut, CutReport};
pub use faults::{AfterFailedFsync, FaultCounts, Faults, Paths, Times};
pub use mount::{CutError, FaultFs, MountError, Unavailable};
