//! Requests of the kernel: what each looks up, which fault hits it, what it changes and answers. Which of that survives
//! is decided elsewhere.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use parking_lot::{Mutex, RwLockReadGuard};

use crate::body::{BLOCK, Body};
use crate::disk::{Disk, SCRATCH, folder};
use crate::faults::{AfterFailedFsync, Kind as Fault};
use crate::tree::{Change, Kind, Node, Number, ROOT, Tree};

/// The kernel may remember names and attributes: nobody else changes them.
const REMEMBER: Duration = Duration::from_secs(60);

type Listing = Arc<Vec<(Number, FileType, OsString)>>;

pub(crate) struct Served {
    disk: Arc<Disk>,
    /// What an open directory lists is fixed when it is opened: names go and come while it is read.
    listings: Mutex<HashMap<u64, Listing>>,
    last_listing: AtomicU64,
    /// Whether reads and writes pass the kernel's page cache by, which the kernel must be able to combine with mmap.
    direct: bool,
}

impl Served {
    pub(crate) fn new(disk: Arc<Disk>) -> Served {
        Served { disk, listings: Mutex::new(HashMap::new()), last_listing: AtomicU64::new(0), direct: false }
    }

    /// Each operation begins so, and holds what this returns until its effect is complete.
    fn begin(&self) -> Result<RwLockReadGuard<'_, bool>, Errno> {
        self.disk.gauges.operations.fetch_add(1, Relaxed);
        let off = self.disk.off.read();
        if *off { Err(Errno::EIO) } else { Ok(off) }
    }

    fn body(&self, number: INodeNo) -> Result<Arc<Body>, Errno> {
        body_of(&self.disk.tree.lock(), number.0)
    }

    fn fails(&self, kind: Fault, number: INodeNo) -> bool {
        self.disk.faults.hits(kind, || self.disk.tree.lock().path(number.0))
    }

    fn flags(&self) -> FopenFlags {
        if self.direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
    }

    /// A new node under a new name.
    fn make(
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

    fn remove(&self, parent: INodeNo, name: &OsStr, directory: bool) -> Result<(), Errno> {
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

    fn move_name(
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

    fn set_attributes(&self, number: INodeNo, wanted: &Wanted) -> Result<FileAttr, Errno> {
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

    fn sync_file(&self, number: INodeNo) -> Result<(), Errno> {
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

    fn sync_folder(&self, number: INodeNo) -> Result<(), Errno> {
        self.disk.faults.wait();
        let _on = self.begin()?;
        let fails = self.fails(Fault::Fsync, number);
        let mut tree = self.disk.tree.lock();
        let gone = match (fails, self.disk.faults.after_failed_fsync()) {
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

    fn close(&self, number: INodeNo) -> Result<(), Errno> {
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

    fn list(&self, number: INodeNo) -> Result<Listing, Errno> {
        let _on = self.begin()?;
        let tree = self.disk.tree.lock();
        let names = tree.seen(number.0).ok_or(Errno::ENOTDIR)?;
        let own = [".", ".."].map(|name| (number.0, FileType::Directory, OsString::from(name)));
        let inner = names.iter().filter_map(|(name, inner)| {
            tree.node(*inner).map(|node| (*inner, file_type(&node.kind), name.clone()))
        });
        Ok(Arc::new(own.into_iter().chain(inner).collect()))
    }

    fn space(&self) -> io::Result<(u64, u64)> {
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
struct Wanted {
    mode: Option<u32>,
    owner: (Option<u32>, Option<u32>),
    size: Option<u64>,
    modified: Option<TimeOrNow>,
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
fn free_name(tree: &Tree, folder: Number, name: &OsStr) -> Result<(), Errno> {
    if tree.seen(folder).ok_or(Errno::ENOTDIR)?.contains_key(name) {
        return Err(Errno::EEXIST);
    }
    if folder == ROOT && name == SCRATCH { Err(Errno::EPERM) } else { Ok(()) }
}

fn body_of(tree: &Tree, number: Number) -> Result<Arc<Body>, Errno> {
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

fn attributes(tree: &Tree, number: Number) -> Result<FileAttr, Errno> {
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

/// Answers with what came out of an operation, or with its error.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $done:expr) => {
        match $result {
            Ok($value) => $done,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Served {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.direct = config.add_capabilities(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP).is_ok();
        // Look-ups of one folder need not wait for each other.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let look_up = || {
            let _on = self.begin()?;
            let tree = self.disk.tree.lock();
            attributes(&tree, tree.look_up(parent.0, name).ok_or(Errno::ENOENT)?)
        };
        answer!(reply, look_up(), attributes => reply.entry(&REMEMBER, &attributes, Generation(0)));
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let get = || {
            let _on = self.begin()?;
            attributes(&self.disk.tree.lock(), number.0)
        };
        answer!(reply, get(), attributes => reply.attr(&REMEMBER, &attributes));
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flags_changed: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wanted = Wanted { mode, owner: (uid, gid), size, modified };
        answer!(reply, self.set_attributes(number, &wanted), attributes => reply.attr(&REMEMBER, &attributes));
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        use std::os::unix::ffi::OsStrExt;
        let read = || {
            let _on = self.begin()?;
            match &self.disk.tree.lock().node(number.0).ok_or(Errno::ENOENT)?.kind {
                Kind::Symlink(target) => Ok(target.clone()),
                _ => Err(Errno::EINVAL),
            }
        };
        answer!(reply, read(), target => reply.data(target.as_os_str().as_bytes()));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.make(request, parent, name, mode & !umask, false, |_| folder());
        answer!(reply, made, attributes => reply.entry(&REMEMBER, &attributes, Generation(0)));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let made = self.make(request, parent, name, 0o777, false, |_| Kind::Symlink(target.to_owned()));
        answer!(reply, made, attributes => reply.entry(&REMEMBER, &attributes, Generation(0)));
    }

    fn link(&self, _request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let link = || {
            let _on = self.begin()?;
            let mut tree = self.disk.tree.lock();
            free_name(&tree, parent.0, name)?;
            if tree.node(number.0).ok_or(Errno::ENOENT)?.seen == 0 {
                return Err(Errno::ENOENT);
            }
            let (folder, name) = (parent.0, name.to_owned());
            tree.change(vec![Change { folder, name, from: None, to: Some(number.0) }]);
            attributes(&tree, number.0)
        };
        answer!(reply, link(), attributes => reply.entry(&REMEMBER, &attributes, Generation(0)));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let file = |number| Kind::File(Arc::new(Body::create(&self.disk.scratch, number, &self.disk.gauges)));
        let made = self.make(request, parent, name, mode & !umask, true, file);
        answer!(reply, made, attributes => {
            reply.created(&REMEMBER, &attributes, Generation(0), FileHandle(0), self.flags());
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        const REGULAR: u32 = 0o100_000;
        if mode & 0o170_000 != REGULAR {
            return reply.error(Errno::EPERM);
        }
        let file = |number| Kind::File(Arc::new(Body::create(&self.disk.scratch, number, &self.disk.gauges)));
        let made = self.make(request, parent, name, mode & !umask, false, file);
        answer!(reply, made, attributes => reply.entry(&REMEMBER, &attributes, Generation(0)));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.remove(parent, name, false), () => reply.ok());
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.remove(parent, name, true), () => reply.ok());
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.move_name((parent, name), (new_parent, new_name), flags), () => reply.ok());
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let open = || {
            let _on = self.begin()?;
            let mut tree = self.disk.tree.lock();
            body_of(&tree, number.0)?;
            tree.node_mut(number.0).ok_or(Errno::ENOENT)?.open += 1;
            Ok(())
        };
        answer!(reply, open(), () => reply.opened(FileHandle(0), self.flags()));
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = || {
            let _on = self.begin()?;
            let body = self.body(number)?;
            if self.fails(Fault::Read, number) {
                return Err(Errno::EIO);
            }
            let mut buffer = vec![0; size as usize];
            let length = body.lock().read(offset, &mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        };
        answer!(reply, read(), data => reply.data(&data));
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = || {
            let _on = self.begin()?;
            let body = self.body(number)?;
            if self.fails(Fault::Write, number) {
                return Err(Errno::EIO);
            }
            let written = body.lock().write(offset, data, &self.disk.faults)?;
            Ok(written as u32)
        };
        answer!(reply, write(), written => reply.written(written));
    }

    fn fallocate(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let allocate = || {
            let _on = self.begin()?;
            let body = self.body(number)?;
            if self.fails(Fault::Write, number) {
                return Err(Errno::EIO);
            }
            Ok(body.lock().allocate(mode.cast_unsigned(), offset, length, &self.disk.faults)?)
        };
        answer!(reply, allocate(), () => reply.ok());
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.close(number), () => reply.ok());
    }

    fn fsync(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.sync_file(number), () => reply.ok());
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.sync_folder(number), () => reply.ok());
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.list(number), listing => {
            let handle = self.last_listing.fetch_add(1, Relaxed) + 1;
            self.listings.lock().insert(handle, listing);
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        // From the beginning, as after rewinddir, it is read anew.
        if offset == 0 && self.listings.lock().contains_key(&handle.0) {
            match self.list(number) {
                Ok(listing) => drop(self.listings.lock().insert(handle.0, listing)),
                Err(error) => return reply.error(error),
            }
        }
        let Some(listing) = self.listings.lock().get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        for (at, (inner, kind, name)) in listing.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*inner), at as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let space = || {
            let _on = self.begin()?;
            Ok::<_, Errno>(self.space()?)
        };
        const FILES: u64 = 1 << 20;
        answer!(reply, space(), (blocks, free) => {
            reply.statfs(blocks, free, free, FILES, FILES, BLOCK as u32, 255, BLOCK as u32);
        });
    }
}
