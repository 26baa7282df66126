// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's requests, answered from the tree and its devices.
//!
//! Whatever may take as long as a write goes through [`Gate::write`] and perhaps to another thread; everything else is
//! answered on the event thread that it came in on.

use super::attributes::{LIFETIME, Owner};
use super::errno::errno;
use super::gate::{Gate, Pass};
use super::sparse::{self, Wanted};
use super::tree::{Handle, Tree};
use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Largest request: as many pages as the kernel puts into one.
const MAX_REQUEST: u32 = 1 << 20;

/// Requests that the kernel sends without waiting for each other: read-ahead and asynchronous direct I/O.
const MAX_BACKGROUND: u16 = 64;

/// What cannot be passed on through the kernel's own fallocate flags.
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
const ZERO_KEEP: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

thread_local! {
    /// What a read fills before it goes to the kernel; kept, for zeroing a megabyte costs more than reading it.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Server {
    tree: Tree,
    gate: Gate,
    owner: Owner,
}

impl Server {
    pub(super) fn new(tree: Tree, gate: Gate) -> Self {
        Self { tree, gate, owner: Owner::current() }
    }

    /// The open file, and the right to go to its device.
    fn enter(&self, fh: FileHandle, pass: Option<Pass>) -> Result<(Arc<Handle>, Pass), Errno> {
        let handle = self.tree.handle(fh.0).ok_or(Errno::EBADF)?;
        Ok((handle, pass.ok_or(Errno::EIO)?))
    }

    /// The same for what changes the device.
    fn enter_to_write(&self, fh: FileHandle) -> Result<(Arc<Handle>, Pass), Errno> {
        let (handle, pass) = self.enter(fh, self.gate.write())?;
        if handle.writable { Ok((handle, pass)) } else { Err(Errno::EBADF) }
    }

    /// Runs what may wait long here or elsewhere, and then gives up the pass.
    fn run(&self, pass: Pass, work: impl FnOnce() + Send + 'static) {
        match pass.here() {
            true => work(),
            false => self.gate.elsewhere(move || {
                work();
                drop(pass);
            }),
        }
    }

    fn find(&self, ino: INodeNo) -> Option<fuser::FileAttr> {
        match ino {
            INodeNo::ROOT => Some(self.owner.directory()),
            _ => self.tree.node(ino).map(|node| self.owner.file(&node)),
        }
    }
}

/// The part of `length` bytes at `offset` that the file has.
fn clip(handle: &Handle, offset: u64, length: u64) -> u64 {
    length.min(handle.node.size.saturating_sub(offset))
}

fn write(handle: &Handle, data: &[u8], offset: u64, fua: bool) -> io::Result<u32> {
    let length = clip(handle, offset, data.len() as u64) as usize;
    if length == 0 && !data.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    handle.node.device.write_at(&data[..length], offset, fua)?;
    // At most what one request holds.
    Ok(length as u32)
}

fn answer_write(reply: ReplyWrite, written: io::Result<u32>) {
    match written {
        Ok(length) => reply.written(length),
        Err(error) => reply.error(errno(&error)),
    }
}

fn answer_empty(reply: ReplyEmpty, done: io::Result<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

fn zero(handle: &Handle, offset: u64, length: u64, punch: bool) -> io::Result<()> {
    match clip(handle, offset, length) {
        0 => Ok(()),
        length => handle.node.device.write_zeroes(offset, length, punch, false),
    }
}

impl Filesystem for Server {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each answers with the nearest possible value where this one is not.
        if let Err(value) = config.set_max_write(MAX_REQUEST) {
            let _ = config.set_max_write(value);
        }
        if let Err(value) = config.set_max_readahead(MAX_REQUEST) {
            let _ = config.set_max_readahead(value);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        // Not every kernel has them, and none is needed: several direct reads and writes of one program at a time,
        // several names looked up at a time.
        for wish in [InitFlags::FUSE_ASYNC_DIO, InitFlags::FUSE_PARALLEL_DIROPS] {
            let _ = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        match self.tree.node_named(name) {
            Some(node) => reply.entry(&LIFETIME, &self.owner.file(&node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.find(ino) {
            Some(attributes) => reply.attr(&LIFETIME, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let Some(attributes) = self.find(ino) else { return reply.error(Errno::ENOENT) };
        // A truncate to the size that it has is what some programs do before they write.
        let unchanged = mode.is_none() && uid.is_none() && gid.is_none() && size == Some(attributes.size);
        match unchanged && ino != INodeNo::ROOT {
            true => reply.attr(&LIFETIME, &attributes),
            false => reply.error(Errno::EPERM),
        }
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if ino != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        for (position, name) in [(1, "."), (2, "..")] {
            if offset < position && reply.add(INodeNo::ROOT, position, FileType::Directory, name) {
                return reply.ok();
            }
        }
        for node in self.tree.nodes_after(offset) {
            if reply.add(INodeNo(node.ino), node.ino, FileType::RegularFile, &node.name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writable = flags.acc_mode() != OpenAccMode::O_RDONLY;
        match self.tree.open(ino, writable, req.pid()) {
            Ok((number, node)) => {
                let how = match node.read_only {
                    true => FopenFlags::FOPEN_KEEP_CACHE,
                    false => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
                };
                reply.opened(FileHandle(number), how);
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.tree.release(fh.0);
        reply.ok();
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (handle, _pass) = match self.enter(fh, self.gate.read()) {
            Ok(entered) => entered,
            Err(error) => return reply.error(error),
        };
        let length = clip(&handle, offset, size.into()) as usize;
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < length {
                buffer.resize(length, 0);
            }
            let buffer = &mut buffer[..length];
            match handle.node.device.read_at(buffer, offset) {
                Ok(()) => reply.data(buffer),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (handle, pass) = match self.enter_to_write(fh) {
            Ok(entered) => entered,
            Err(error) => return reply.error(error),
        };
        // O_SYNC has this bit too, and so has a single write with RWF_DSYNC.
        let fua = flags.0 & libc::O_DSYNC != 0;
        if pass.here() {
            // Not through `run`: the data is the event thread's, and copied only when it has to leave it.
            return answer_write(reply, write(&handle, data, offset, fua));
        }
        let data = data.to_vec();
        self.run(pass, move || answer_write(reply, write(&handle, &data, offset, fua)));
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        // Any handle may flush, one that only reads too.
        match self.enter(fh, self.gate.write()) {
            Ok((handle, pass)) => self.run(pass, move || answer_empty(reply, handle.node.device.flush())),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        // Sent on every close, and no cache is here to write back. The kernel asks no second time after this answer.
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (handle, pass) = match self.enter_to_write(fh) {
            Ok(entered) => entered,
            Err(error) => return reply.error(error),
        };
        let end = offset.saturating_add(length);
        let punch = match mode {
            PUNCH => true,
            // Without KEEP_SIZE it would make a file longer, which a device cannot become.
            ZERO if end > handle.node.size => return reply.error(Errno::ENOSPC),
            ZERO | ZERO_KEEP => false,
            _ => return reply.error(Errno::from_i32(libc::EOPNOTSUPP)),
        };
        self.run(pass, move || answer_empty(reply, zero(&handle, offset, length, punch)));
    }

    fn lseek(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let wanted = match whence {
            libc::SEEK_DATA => Wanted::Data,
            libc::SEEK_HOLE => Wanted::Hole,
            // The kernel does the others itself.
            _ => return reply.error(Errno::EINVAL),
        };
        let (handle, _pass) = match self.enter(fh, self.gate.read()) {
            Ok(entered) => entered,
            Err(error) => return reply.error(error),
        };
        let found = match u64::try_from(offset) {
            Ok(offset) => sparse::seek(&*handle.node.device, offset, wanted),
            Err(_) => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        };
        match found.map(i64::try_from) {
            Ok(Ok(position)) => reply.offset(position),
            Ok(Err(_)) => reply.error(Errno::from_i32(libc::EOVERFLOW)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let files = self.tree.nodes_after(0);
        let blocks = files.iter().map(|node| node.size / 4096).sum();
        reply.statfs(blocks, 0, 0, files.len() as u64, 0, 4096, 255, 4096);
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        // These are files, whatever is behind them: programs ask and go on when they hear this.
        reply.error(Errno::ENOTTY);
    }

    // The host alone says which files there are.

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EPERM);
    }

    fn mknod(&self, _req: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _req: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _req: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn link(&self, _req: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _req: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _req: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rename(&self, _req: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }
}
