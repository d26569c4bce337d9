//! Requests of the kernel, as the library hands them on: each is done by an operation and answered.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::body::{BLOCK, Body};
use crate::disk::folder;
use crate::faults::Kind as Fault;
use crate::operations::{Served, Wanted, attributes, body_of, free_name};
use crate::tree::{Change, Kind};

/// The kernel may remember names and attributes: nobody else changes them.
const REMEMBER: Duration = Duration::from_secs(60);

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
