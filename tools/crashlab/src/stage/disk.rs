//! The disk below a broker's data directory: the system's own, or the file system that fails.

use barnacle_faultfs::{Cut, CutReport, FaultFs, Faults, Unavailable};
use std::fs;
use std::path::{Path, PathBuf};

/// Why this machine can have no disk that fails: there is no FUSE at all. `None` if there is, whether it works or not.
pub fn no_fault_disk() -> Option<String> {
    match FaultFs::available() {
        Err(reason @ Unavailable::NoDevice) => Some(reason.to_string()),
        _ => None,
    }
}

/// A data directory and what is below it.
pub(crate) struct Disk {
    data: PathBuf,
    durable: PathBuf,
    mounted: Option<FaultFs>,
}

impl Disk {
    /// A disk below `root`; if it is to fail, on the fault file system.
    pub(crate) fn new(root: &Path, fails: bool) -> Result<Disk, String> {
        let (data, durable) = (root.join("data"), root.join("durable"));
        fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        let mut disk = Disk { data, durable, mounted: None };
        if fails {
            fs::create_dir(&disk.durable).map_err(|error| format!("{}: {error}", disk.durable.display()))?;
            disk.mount()?;
        }
        Ok(disk)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The switches of a disk that fails.
    ///
    /// # Panics
    ///
    /// If it is not one.
    pub(crate) fn faults(&self) -> &Faults {
        self.mounted.as_ref().expect("faults need the fault file system").faults()
    }

    /// Bytes in use on a disk that fails.
    pub(crate) fn bytes_used(&self) -> u64 {
        self.mounted.as_ref().expect("faults need the fault file system").counts().bytes_used
    }

    /// Operations that a fault of the disk has hit since it was mounted.
    pub(crate) fn fault_hits(&self) -> u64 {
        let faults = self.mounted.as_ref().expect("faults need the fault file system").counts().faults;
        faults.reads + faults.writes + faults.fsyncs + faults.no_space + faults.delays
    }

    /// Cuts the power and mounts what is left. Nobody may have a file open.
    pub(crate) fn cut(&mut self, cut: Cut) -> Result<CutReport, String> {
        let mounted = self.mounted.take().expect("a power cut needs the fault file system");
        let report = mounted.cut(cut).map_err(|error| format!("cutting the power: {error}"))?;
        self.mount()?;
        Ok(report)
    }

    /// The names of the files in the data directory, two folders deep.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let mut names = Vec::new();
        collect(&self.data, 2, &mut names);
        names.sort();
        names
    }

    fn mount(&mut self) -> Result<(), String> {
        let mounted = FaultFs::mount(&self.durable, &self.data).map_err(|error| error.to_string())?;
        self.mounted = Some(mounted);
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            // What is left mounted is seen by whoever removes the directory.
            let _ = mounted.unmount();
        }
    }
}

fn collect(folder: &Path, depth: usize, names: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, depth - 1, names);
        }
        names.push(path);
    }
}
