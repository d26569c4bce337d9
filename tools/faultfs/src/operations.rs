//! What each request does: which fault hits it, what it changes, what it is answered. Which of that survives is decided
//! elsewhere.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, FopenFlags, INodeNo, RenameFlags, Request, TimeOrNow};
use parking_lot::{Mutex, RwLockReadGuard};

use crate::body::{BLOCK, Body};
use crate::disk::{Disk, SCRATCH};
use crate::faults::{AfterFailedFsync, Kind as Fault};
use crate::tree::{Change, Kind, Node, Number, ROOT, Tree};

pub(crate) type Listing = Arc<Vec<(Number, FileType, OsString)>>;

pub(crate) struct Served {
    pub(crate) disk: Arc<Disk>,
    /// What an open directory lists is fixed when it is opened: names go and come while it is read.
    pub(crate) listings: Mutex<HashMap<u64, Listing>>,
    pub(crate) last_listing: AtomicU64,
    /// Whether reads and writes pass the kernel's page cache by, which the kernel must be able to combine with mmap.
    pub(crate) direct: bool,
}

impl Served {
    pub(crate) fn new(disk: Arc<Disk>) -> Served {
        Served { disk, listings: Mutex::new(HashMap::new()), last_listing: AtomicU64::new(0), direct: false }
    }

    /// Each operation begins so, and holds what this returns until its effect is complete.
    pub(crate) fn begin(&self) -> Result<RwLockReadGuard<'_, bool>, Errno> {
        self.disk.gauges.operations.fetch_add(1, Relaxed);
        let off = self.disk.off.read();
        if *off { Err(Errno::EIO) } else { Ok(off) }
    }

    pub(crate) fn body(&self, number: INodeNo) -> Result<Arc<Body>, Errno> {
        body_of(&self.disk.tree.lock(), number.0)
    }

    pub(crate) fn fails(&self, kind: Fault, number: INodeNo) -> bool {
        self.disk.faults.hits(kind, || self.disk.tree.lock().path(number.0))
    }

    pub(crate) fn flags(&self) -> FopenFlags {
        if self.direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
    }

    /// A new node under a new name.
    pub(crate) fn make(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        open: bool,
        kind: impl FnOnce(Number) -> Kind,
    ) -> Result<FileAttr, Errno> {
        let _on = self.begin()?;
        let mut tree = self.disk.tree.lock();
        free_name(&tree, parent.0, name)?;
        let number = tree.next_number();
        let mut node = Node::new(kind(number), mode, (request.uid(), request.gid()));
        node.open = u32::from(open);
        tree.insert(number, node);
        tree.change(vec![Change { folder: parent.0, name: name.to_owned(), from: None, to: Some(number) }]);
        attributes(&tree, number)
    }

    pub(crate) fn remove(&self, parent: INodeNo, name: &OsStr, directory: bool) -> Result<(), Errno> {
        let _on = self.begin()?;
        let mut tree = self.disk.tree.lock();
        let number = tree.look_up(parent.0, name).ok_or(Errno::ENOENT)?;
        match tree.seen(number) {
            Some(_) if !directory => return Err(Errno::EISDIR),
            Some(names) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            None if directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
        tree.change(vec![Change { folder: parent.0, name: name.to_owned(), from: Some(number), to: None }]);
        left(&mut tree, number)
    }

    pub(crate) fn move_name(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _on = self.begin()?;
        let mut tree = self.disk.tree.lock();
        let moved = tree.look_up(from.0.0, from.1).ok_or(Errno::ENOENT)?;
        let replaced = tree.look_up(to.0.0, to.1);
        if !(RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE).contains(flags) {
            return Err(Errno::EINVAL);
        }
        if flags.contains(RenameFlags::RENAME_NOREPLACE) || replaced.is_none() {
            free_name(&tree, to.0.0, to.1)?;
        }
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        if exchange && replaced.is_none() {
            return Err(Errno::ENOENT);
        }
        if replaced == Some(moved) {
            return Ok(());
        }
        if let Some(names) = replaced.filter(|_| !exchange).and_then(|replaced| tree.seen(replaced))
            && !names.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        let change = |(folder, name): (INodeNo, &OsStr), from, to| Change {
            folder: folder.0,
            name: name.to_owned(),
            from,
            to,
        };
        let stays = replaced.filter(|_| exchange);
        tree.change(vec![change(from, Some(moved), stays), change(to, replaced, Some(moved))]);
        replaced.map_or(Ok(()), |replaced| left(&mut tree, replaced))
    }

    pub(crate) fn set_attributes(&self, number: INodeNo, wanted: &Wanted) -> Result<FileAttr, Errno> {
        let _on = self.begin()?;
        if let Some(size) = wanted.size {
            let body = self.body(number)?;
            if self.fails(Fault::Write, number) {
                return Err(Errno::EIO);
            }
            body.lock().resize(size)?;
        }
        let mut tree = self.disk.tree.lock();
        let node = tree.node_mut(number.0).ok_or(Errno::ENOENT)?;
        node.mode = wanted.mode.map_or(node.mode, |mode| mode & 0o7777);
        node.owner = (wanted.owner.0.unwrap_or(node.owner.0), wanted.owner.1.unwrap_or(node.owner.1));
        let modified = wanted.modified.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        if let Some(modified) = modified {
            node.changed = modified;
            if let Kind::File(body) = &node.kind {
                body.lock().modified = modified;
            }
        }
        if let (0, Kind::File(body)) = (node.open, &node.kind) {
            body.lock().close()?;
        }
        attributes(&tree, number.0)
    }

    pub(crate) fn sync_file(&self, number: INodeNo) -> Result<(), Errno> {
        // Waiting holds nothing.
        self.disk.faults.wait();
        let _on = self.begin()?;
        let body = self.body(number)?;
        if self.fails(Fault::Fsync, number) {
            if self.disk.faults.after_failed_fsync() == AfterFailedFsync::Dropped {
                body.lock().lose();
            }
            return Err(Errno::EIO);
        }
        body.lock().sync()?;
        self.disk.gauges.fsyncs.fetch_add(1, Relaxed);
        Ok(())
    }

    pub(crate) fn sync_folder(&self, number: INodeNo) -> Result<(), Errno> {
        self.disk.faults.wait();
        let _on = self.begin()?;
        // The switches are locked before the tree, by rules that ask for a path.
        let (fails, fate) = (self.fails(Fault::Fsync, number), self.disk.faults.after_failed_fsync());
        let mut tree = self.disk.tree.lock();
        let gone = match (fails, fate) {
            (false, _) => tree.sync(number.0),
            (true, AfterFailedFsync::Dropped) => tree.lose(number.0),
            (true, AfterFailedFsync::Kept) => Vec::new(),
        };
        for (_, node) in gone {
            if let Kind::File(body) = node.kind {
                body.lock().remove()?;
            }
        }
        if fails {
            return Err(Errno::EIO);
        }
        self.disk.gauges.folder_fsyncs.fetch_add(1, Relaxed);
        Ok(())
    }

    pub(crate) fn close(&self, number: INodeNo) -> Result<(), Errno> {
        self.disk.gauges.operations.fetch_add(1, Relaxed);
        let off = self.disk.off.read();
        if *off {
            return Ok(());
        }
        let mut tree = self.disk.tree.lock();
        let node = tree.node_mut(number.0).ok_or(Errno::ENOENT)?;
        node.open -= 1;
        if let (0, Kind::File(body)) = (node.open, &node.kind) {
            body.lock().close()?;
        }
        left(&mut tree, number.0)
    }

    pub(crate) fn list(&self, number: INodeNo) -> Result<Listing, Errno> {
        let _on = self.begin()?;
        let tree = self.disk.tree.lock();
        let names = tree.seen(number.0).ok_or(Errno::ENOTDIR)?;
        let own = [".", ".."].map(|name| (number.0, FileType::Directory, OsString::from(name)));
        let inner = names.iter().filter_map(|(name, inner)| {
            tree.node(*inner).map(|node| (*inner, file_type(&node.kind), name.clone()))
        });
        Ok(Arc::new(own.into_iter().chain(inner).collect()))
    }

    pub(crate) fn space(&self) -> io::Result<(u64, u64)> {
        match self.disk.faults.capacity() {
            Some(capacity) => {
                let free = capacity.saturating_sub(self.disk.gauges.used());
                Ok((capacity / BLOCK, free / BLOCK))
            }
            None => {
                let below = rustix::fs::statvfs(&self.disk.durable)?;
                let blocks = |count: u64| count.saturating_mul(below.f_frsize) / BLOCK;
                Ok((blocks(below.f_blocks), blocks(below.f_bavail)))
            }
        }
    }
}

/// What `setattr` is to change.
pub(crate) struct Wanted {
    pub(crate) mode: Option<u32>,
    pub(crate) owner: (Option<u32>, Option<u32>),
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<TimeOrNow>,
}

/// A node that has lost a name or a handle: what nobody needs any more goes.
fn left(tree: &mut Tree, number: Number) -> Result<(), Errno> {
    let Some(node) = tree.node(number) else { return Ok(()) };
    if let Kind::File(body) = &node.kind
        && node.seen == 0
        && node.open == 0
    {
        body.lock().vacate()?;
    }
    if let Some((_, Node { kind: Kind::File(body), .. })) = tree.reap(number) {
        body.lock().remove()?;
    }
    Ok(())
}

/// Whether a name can be given. One in the root is taken, though not seen: what is below the durable directory under
/// that name is our own.
pub(crate) fn free_name(tree: &Tree, folder: Number, name: &OsStr) -> Result<(), Errno> {
    if tree.seen(folder).ok_or(Errno::ENOTDIR)?.contains_key(name) {
        return Err(Errno::EEXIST);
    }
    if folder == ROOT && name == SCRATCH { Err(Errno::EPERM) } else { Ok(()) }
}

pub(crate) fn body_of(tree: &Tree, number: Number) -> Result<Arc<Body>, Errno> {
    match &tree.node(number).ok_or(Errno::ENOENT)?.kind {
        Kind::File(body) => Ok(body.clone()),
        Kind::Folder { .. } => Err(Errno::EISDIR),
        Kind::Symlink(_) => Err(Errno::EINVAL),
    }
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::Folder { .. } => FileType::Directory,
        Kind::File(_) => FileType::RegularFile,
        Kind::Symlink(_) => FileType::Symlink,
    }
}

pub(crate) fn attributes(tree: &Tree, number: Number) -> Result<FileAttr, Errno> {
    let node = tree.node(number).ok_or(Errno::ENOENT)?;
    let (size, allocated, modified) = match &node.kind {
        Kind::File(body) => {
            let content = body.lock();
            (content.size, content.allocated, content.modified)
        }
        Kind::Folder { .. } => (BLOCK, BLOCK, node.changed),
        Kind::Symlink(target) => (target.as_os_str().len() as u64, 0, node.changed),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: allocated.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified.max(node.changed),
        crtime: modified,
        kind: file_type(&node.kind),
        perm: node.mode as u16,
        // A folder's is 1: "not counted".
        nlink: if node.is_folder() { 1 } else { node.seen },
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    })
}
