//! A mount for a test, on folders of its own; and what is said where there can be none.

use std::io;
use std::path::{Path, PathBuf};

use barnacle_faultfs::{Cut, CutReport, FaultFs, Unavailable};
use tempfile::TempDir;

/// The folders of a test, mounted or not.
pub(crate) struct Lab {
    _folder: TempDir,
    durable: PathBuf,
    data: PathBuf,
    disk: Option<FaultFs>,
}

impl Lab {
    /// A mounted and empty file system. On a machine without FUSE nothing can be shown, and it is said; where FUSE is
    /// there and cannot be used, the test fails.
    pub(crate) fn new() -> Option<Lab> {
        match FaultFs::available() {
            Ok(()) => {}
            Err(reason @ Unavailable::NoDevice) => {
                println!("NOT CHECKED, nothing is proven: {reason}");
                return None;
            }
            Err(reason) => panic!("the fault file system cannot be mounted: {reason}"),
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (durable, data) = (folder.path().join("durable"), folder.path().join("data"));
        for path in [&durable, &data] {
            std::fs::create_dir(path).expect("a folder");
        }
        let mut lab = Lab { _folder: folder, durable, data, disk: None };
        lab.mount();
        Some(lab)
    }

    /// Where programs see it.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What has survived so far.
    pub(crate) fn durable(&self) -> &Path {
        &self.durable
    }

    pub(crate) fn disk(&self) -> &FaultFs {
        self.disk.as_ref().expect("mounted")
    }

    pub(crate) fn mount(&mut self) {
        assert!(self.disk.is_none());
        self.disk = Some(FaultFs::mount(&self.durable, &self.data).expect("mounted"));
    }

    /// Cuts the power and leaves it off.
    pub(crate) fn cut(&mut self, cut: Cut) -> CutReport {
        self.disk.take().expect("mounted").cut(cut).expect("cut")
    }

    pub(crate) fn unmount(&mut self) {
        self.disk.take().expect("mounted").unmount().expect("unmounted");
    }

    /// Cuts the power, dropping all that is not durable, and mounts again.
    pub(crate) fn restart(&mut self) -> CutReport {
        let report = self.cut(Cut::DropAll);
        self.mount();
        report
    }
}

/// The names in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// fsync of a directory.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}
