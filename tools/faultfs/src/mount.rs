//! Mounting, and the two ends of a mount: the power cut and the orderly one. Neither waits for a program that still has
//! files open.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use nix::mount::{MntFlags, umount2};

use crate::counts::Counts;
use crate::cut::{Cut, CutReport};
use crate::disk::Disk;
use crate::faults::Faults;
use crate::operations::Served;

const DEVICE: &str = "/dev/fuse";
/// Requests that are served at a time: a few may wait in a slow fsync.
const THREADS: usize = 6;

/// Why there can be no mounts on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The kernel has no FUSE, or the machine (a container, often) does not show it.
    #[error("there is no {DEVICE}: the kernel has no FUSE, or this container was not given it")]
    NoDevice,
    /// It is there, and not for this user.
    #[error("{DEVICE} cannot be opened: {0}")]
    NoPermission(io::Error),
    /// Only root mounts without help.
    #[error("fusermount3 is missing, which mounts for users other than root: install the package fuse3")]
    NoHelper,
    /// A mount for trial failed: most often a container without the capability to mount.
    #[error("a mount for trial failed, as in a container that may not mount: {0}")]
    Refused(MountError),
}

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The directory that holds what survives could not be taken in.
    #[error("cannot read {}: {source}", path.display())]
    Durable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel, or fusermount3, refused.
    #[error("cannot mount on {}: {source}", path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The end of a mount failed: what is in the durable directory is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct CutError {
    path: PathBuf,
    source: io::Error,
}

/// A mounted fault file system. Dropped without an end it is a power cut that drops everything not durable.
pub struct FaultFs {
    disk: Arc<Disk>,
    mount_point: PathBuf,
    session: Option<BackgroundSession>,
}

impl FaultFs {
    /// Whether this machine has what it takes.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn available() -> Result<(), Unavailable> {
        OpenOptions::new().read(true).write(true).open(DEVICE).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unavailable::NoDevice,
            _ if error.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32) => Unavailable::NoDevice,
            _ => Unavailable::NoPermission(error),
        })?;
        if !is_root() && helper().arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(Unavailable::NoHelper);
        }
        FaultFs::trial().map_err(Unavailable::Refused)
    }

    fn trial() -> Result<(), MountError> {
        let folder = std::env::temp_dir().join(format!("faultfs-trial-{}", std::process::id()));
        let (durable, mount_point) = (folder.join("durable"), folder.join("mounted"));
        let result = fs::create_dir_all(&durable)
            .and_then(|()| fs::create_dir_all(&mount_point))
            .map_err(|source| MountError::Durable { path: folder.clone(), source })
            .and_then(|()| FaultFs::mount(&durable, &mount_point));
        let result = result.map(drop);
        // A trial's empty folders are all that could be left.
        let _ = fs::remove_dir_all(&folder);
        result
    }

    /// Mounts on `mount_point`, an existing directory, a file system with what is below `durable`, another directory,
    /// that nobody else is to touch while it is mounted. The files below it are the images that survive, and are written
    /// in place; names in it change at the end alone. What a process that died left mounted there is unmounted first.
    ///
    /// # Errors
    ///
    /// If `durable` cannot be read and written, or the mount is refused: see [`FaultFs::available`].
    pub fn mount(durable: &Path, mount_point: &Path) -> Result<FaultFs, MountError> {
        let mount_error = |source| MountError::Mount { path: mount_point.to_owned(), source };
        if let Err(error) = fs::metadata(mount_point)
            && error.raw_os_error() == Some(nix::errno::Errno::ENOTCONN as i32)
        {
            detach(mount_point).map_err(mount_error)?;
        }
        let mount_point = mount_point.canonicalize().map_err(mount_error)?;
        if is_mounted_on(&mount_point).map_err(mount_error)? {
            return Err(mount_error(io::Error::other("something is mounted there already")));
        }
        let overlap = durable
            .canonicalize()
            .is_ok_and(|durable| durable.starts_with(&mount_point) || mount_point.starts_with(&durable));
        if overlap {
            return Err(mount_error(io::Error::other("the durable directory and the mount point overlap")));
        }
        let disk =
            Disk::load(durable).map_err(|source| MountError::Durable { path: durable.to_owned(), source })?;
        let disk = Arc::new(disk);
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faultfs".into()), MountOption::DefaultPermissions];
        // Brokers that give up root's rights have to reach their data.
        config.acl = if is_root() { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = fuser::spawn_mount(Served::new(disk.clone()), &mount_point, &config);
        let session = session.map_err(|error| {
            // Empty as yet.
            let _ = fs::remove_dir_all(&disk.scratch);
            mount_error(error)
        })?;
        Ok(FaultFs { disk, mount_point, session: Some(session) })
    }

    /// The switches, usable while mounted and from any thread.
    pub fn faults(&self) -> &Faults {
        &self.disk.faults
    }

    /// What has happened since the mount.
    pub fn counts(&self) -> Counts {
        self.disk.gauges.counts(self.disk.faults.counts())
    }

    /// Where programs see it.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// The power cut: decides what survives, leaves it in the durable directory, unmounts. A program that still has files
    /// open gets EIO for whatever it tries from then on; to be true to life it has been killed before.
    ///
    /// # Errors
    ///
    /// If what survives cannot be put into the durable directory.
    pub fn cut(mut self, cut: Cut) -> Result<CutReport, CutError> {
        self.end(|disk| disk.cut(cut)).map(Option::unwrap_or_default)
    }

    /// The orderly end: everything becomes durable, as when a machine is shut down.
    ///
    /// # Errors
    ///
    /// If it cannot be put into the durable directory.
    pub fn unmount(mut self) -> Result<(), CutError> {
        self.end(Disk::keep_all).map(drop)
    }

    /// Ends the mount once, and does nothing a second time.
    fn end<T>(&mut self, store: impl FnOnce(&Disk) -> io::Result<T>) -> Result<Option<T>, CutError> {
        let Some(session) = self.session.take() else { return Ok(None) };
        // What waits in a slow fsync is freed to find the power off.
        self.disk.switch_off();
        self.disk.faults.clear();
        let unmounted = detach(&self.mount_point);
        finish(session);
        let failed = |source| CutError { path: self.disk.durable.clone(), source };
        let result = store(&self.disk).map_err(failed)?;
        unmounted.map_err(|source| CutError { path: self.mount_point.clone(), source })?;
        Ok(Some(result))
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end(|disk| disk.cut(Cut::DropAll));
    }
}

/// Whether something is mounted on a directory: it is of another file system than the one it is in.
fn is_mounted_on(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.dev() != fs::metadata(path.join(".."))?.dev())
}

/// Takes the mount away from where it is, whoever still uses it.
fn detach(mount_point: &Path) -> io::Result<()> {
    match umount2(mount_point, MntFlags::MNT_DETACH) {
        // Not mounted: somebody else has taken it away.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => Ok(()),
        Err(nix::errno::Errno::EPERM) => {
            let status = helper().args(["-u", "-z", "-q", "--"]).arg(mount_point).status()?;
            if status.success() { Ok(()) } else { Err(io::Error::other(format!("fusermount3: {status}"))) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits for the threads to end, which they do when nobody has a file open any more; leaves them to it if that takes long.
/// They answer everything with EIO by then.
fn finish(session: BackgroundSession) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let began = Instant::now();
    while !session.guard.is_finished() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    if session.guard.is_finished() {
        // Its result says that the device is gone.
        let _ = session.join();
    } else {
        // To drop it would be to unmount by path, where by then another may be mounted; once its threads have ended, there is
        // nothing to unmount any more, and its files are closed.
        std::thread::spawn(move || session.join());
    }
}

fn helper() -> Command {
    Command::new("fusermount3")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
