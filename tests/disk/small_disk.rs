//! A file system that is small enough to be filled: a tmpfs in a mount namespace of its own, held by a process that sleeps.
//! It goes when that process does, and is reached from outside through `/proc`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::fs::{StatVfs, statvfs};

use crate::broker::Setup;

/// A small file system at a path, for who enters its namespace.
pub(super) struct SmallDisk {
    holder: Child,
    /// Closed, it ends the holder, whatever becomes of this process.
    _alive: Option<ChildStdin>,
    path: PathBuf,
    has_user_namespace: bool,
}

impl SmallDisk {
    /// Mounts one of so many bytes at `path`, as whoever may: in a user namespace, or else as root.
    pub(super) fn mount(path: &Path, bytes: u64) -> Self {
        Self::try_mount(path, bytes, true).or_else(|| Self::try_mount(path, bytes, false)).expect(
            "these tests mount a tmpfs in a namespace of their own: they need user namespaces \
             (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns) or root with \
             CAP_SYS_ADMIN (in Docker --privileged, or --cap-add SYS_ADMIN --security-opt apparmor=unconfined), \
             and unshare and nsenter of util-linux",
        )
    }

    fn try_mount(path: &Path, bytes: u64, user_namespace: bool) -> Option<Self> {
        let flags = if user_namespace { "-rm" } else { "-m" };
        let script = format!("mount -t tmpfs -o size={bytes} none \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args([flags, "sh", "-c", &script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = holder.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a pipe can be read");
        if line != "mounted\n" {
            holder.wait().expect("our own child can be waited for");
            return None;
        }
        let alive = holder.stdin.take();
        Some(Self { holder, _alive: alive, path: path.to_owned(), has_user_namespace: user_namespace })
    }

    /// A broker that sees it.
    pub(super) fn under(&self, setup: Setup) -> Setup {
        let mut arguments = vec!["--target".to_owned(), self.holder.id().to_string(), "--mount".to_owned()];
        if self.has_user_namespace {
            arguments.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        setup.under("nsenter", arguments)
    }

    /// A file on it, as seen from here.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Bytes that are free.
    pub(super) fn free_bytes(&self) -> u64 {
        let StatVfs { f_bavail, f_frsize, .. } = statvfs(self.root()).expect("the holder is alive");
        f_bavail * f_frsize
    }

    /// Takes so many bytes.
    pub(super) fn take(&self, name: &str, bytes: u64) {
        let file = File::create(self.file(name)).expect("the disk is not full yet");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("there is room");
    }

    /// Writes until the last byte is taken.
    pub(super) fn fill(&self, name: &str) {
        let mut file = File::create(self.file(name)).expect("an empty file takes no room");
        for chunk in [vec![0; 1 << 20], vec![0; 4096]] {
            loop {
                match file.write_all(&chunk) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives back what a file takes.
    pub(super) fn give_back(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("the file is there");
    }

    fn root(&self) -> PathBuf {
        let path = self.path.strip_prefix("/").expect("temporary directories have absolute paths");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
